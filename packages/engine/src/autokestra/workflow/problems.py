"""What can be wrong with a workflow, said so that a reader finds the place and knows what to type."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from autokestra.errors import AutokestraError

Steps = tuple[str | int, ...]

NEAREST_AMONG: Final = 1000  # names; comparing with one takes up to 20 microseconds

_PLAIN_KEY: Final = re.compile(r"[\w-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong in a workflow file, or (a warning) that a reader should look at.

    `line` and `column` count from 1; `trail` is the way through the keys, such as `tasks[1].inputs.url`. `end` is the
    place after the last character, None where it is not known. `rule` is what a warning is allowed by in its place.
    """

    file: str
    line: int
    column: int
    trail: str
    message: str
    hint: str | None = None
    severity: Literal["error", "warning"] = "error"
    end: tuple[int, int] | None = None
    rule: str | None = None

    def __str__(self) -> str:
        trail = f" ({self.trail})" if self.trail else ""
        return f"{self.file}:{self.line}:{self.column}: {self.message}{trail}"


class WorkflowInvalidError(AutokestraError):
    """The file holds no valid workflow; `problems` are all that were found, warnings among them."""

    exit_code = 3

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        first = next(problem for problem in self.problems if problem.severity == "error")
        count = sum(problem.severity == "error" for problem in self.problems)
        super().__init__(f"{first}, and {count - 1} more" if count > 1 else str(first), hint=first.hint)


class WorkflowPermissionError(WorkflowInvalidError):
    """The file may not be read."""

    exit_code = 9


def trail_of(path: Steps) -> str:
    """Write a path as a reader would: `tasks[1].inputs.url`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN_KEY.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{step!r}]"
    return text


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return "did you mean 'x'?" for the name most like `name`, None where none is like it."""
    near = nearest_name(name, names)
    return f"did you mean '{near}'?" if near is not None else None


def nearest_name(name: str, names: Iterable[str]) -> str | None:
    """Return the name most like `name`, None where none is like it.

    Among more than 1,000 names only spelling with other capitals or hyphens is found: comparing each takes too long.
    """
    known = list(names)
    if len(known) > NEAREST_AMONG:
        near = [each for each in known if _folded(each) == _folded(name)]
    else:
        from difflib import get_close_matches  # noqa: PLC0415  # only a mistake pays for it

        near = get_close_matches(name, known, n=1)
    return near[0] if near else None


def action_hint(kind: str, catalog: Iterable[str]) -> str:
    """Return what to do about an action that nobody offers: the name that was meant, or where it may come from.

    A name is proposed only where its namespace is known, or nearly: `acme/hello.greet` is no slip for `core/…`.
    """
    known = sorted(catalog)
    namespace, slash, _ = kind.partition("/")
    if slash and nearest_name(namespace, {each.partition("/")[0] for each in known}) is None:
        return "no plugin offers it; name the folder of one with --plugins DIR, and see: workflow plugin list"
    return nearest(kind, known) or f"there are: {', '.join(known)}"


def _folded(name: str) -> str:
    return name.lower().replace("_", "-")
