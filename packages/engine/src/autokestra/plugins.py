"""What a Python plugin is given: `Context`, the second argument of each of its actions.

A plugin is a distribution with entry points in the group `autokestra.actions`. Each names a function

    def send(inputs: SendInputs, context: Context) -> SendOutput: ...

whose first parameter is annotated with a pydantic model. It runs in a process of its own, never in the engine's.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["Context"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What an action may use besides its inputs; `workdir` is the directory of the workflow file."""

    workdir: Path
    execution_id: str
    task_id: str
    attempt: int

    def log(self, text: str, level: Literal["debug", "info", "warning", "error"] = "info") -> None:
        """Write to the task's log; `print` does the same as level info. Secrets are masked either way."""
        prefix = "" if level == "info" else f"{level}: "
        for line in text.splitlines() or [""]:
            print(f"{prefix}{line}", file=sys.stderr, flush=True)  # noqa: T201

    def mask(self, value: str) -> None:
        """Have `value` masked in all that the task prints and shows from now on: a token that it was given."""
        escaped = value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
        # On both, since what is printed next may overtake what was printed on the other one.
        for stream in (sys.stdout, sys.stderr):
            print(f"::add-mask::{escaped}", file=stream, flush=True)

    def progress(self, fraction: float, text: str = "") -> None:
        """Say how far the action is, between 0 and 1."""
        self.log(f"{max(0.0, min(1.0, fraction)):.0%} {text}".rstrip())
