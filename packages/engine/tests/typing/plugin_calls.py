"""What a plugin's author writes against the engine. It is never run: it has to type-check, strictly.

A line with `type: ignore[…]` is a misuse that has to be refused; when it no longer is, the check fails.
"""

from pathlib import Path
from typing import assert_type

from pydantic import BaseModel, Field

from autokestra.plugins import Context


class SendInputs(BaseModel):
    """Inputs of the action below."""

    to: str = Field(description="Who gets it")
    copies: int = 1


def send(inputs: SendInputs, context: Context) -> dict[str, int]:
    """An action: its inputs are checked, its output is JSON."""
    assert_type(context.workdir, Path)
    assert_type(context.attempt, int)
    assert_type((context.execution_id, context.task_id), tuple[str, str])
    context.log(f"sending to {inputs.to}")
    context.log("slow", "warning")
    context.log("slow", level="error")
    context.mask("a token that the service gave out")
    context.progress(0.5, "half")
    context.log("slow", "loud")  # type: ignore[arg-type]
    context.mask(b"bytes")  # type: ignore[arg-type]
    context.progress("half")  # type: ignore[arg-type]
    context.attempt = 2  # type: ignore[misc]  # it is told, not asked
    context.secrets  # type: ignore[attr-defined]  # noqa: B018  # a plugin gets what its inputs name, and no store
    Context(Path(), "e", "t", 1)  # type: ignore[call-arg]
    return {"sent": inputs.copies}
