"""What an action is, what it is given, and how it fails: the seam between the executor and every action.

An action receives inputs that are already resolved (it never sees template syntax), runs once, and returns a JSON
value. It knows nothing of secrets, stores, retries or rows: the executor masks what comes out, decides about
retries and writes the result down.
"""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, NoReturn, Protocol

from pydantic import BaseModel, JsonValue

from autokestra.actions.isolation import NO_ISOLATION, Isolation

Stream = Literal["stdout", "stderr"]
Level = Literal["debug", "info", "warning", "error"]

# Why an action failed, for machines. The executor writes it into the task run.
Reason = Literal[
    "bad-input",  # an input is well-formed but cannot be used: NUL byte, missing directory, refused URL
    "assertion",  # what core/assert was told is not true
    "bad-output",  # what came back is no JSON value, or is not what it claims to be
    "cancelled",  # the execution was cancelled while the action ran
    "connection",  # name not found, connection refused or lost, TLS failed
    "database",  # the database refused the statement or the connection
    "exit-code",  # the child ended with a code other than 0
    "http-status",  # the server answered with a status that was not expected
    "lost",  # whatever watched over the child went away, so its result is unknown
    "scope",  # a sub-workflow wants more than the workflow that calls it has
    "signal",  # the child was killed by a signal that did not come from here
    "start",  # the child could not be started
    "timeout",  # the task's deadline or the action's own timeout passed
    "sub-workflow",  # it did not succeed
    "too-large",  # the output or a body is over its limit
]

# What a task may hand on, in bytes of JSON.
MAX_RESULT_BYTES: Final = 10 * 1024 * 1024

# Deeper values make json, pydantic and every recursive reader fail one after another, each in its own way.
MAX_JSON_DEPTH: Final = 200


class Output(Protocol):
    """The log of one attempt; whoever implements it masks what it is given before anything else happens to it."""

    def write(self, stream: Stream, data: bytes) -> None:
        """Append raw bytes of the child, cut anywhere; may block, which slows the child down."""
        ...

    def message(self, text: str, level: Level = "info", *, limit: int | None = None) -> None:
        """Append one message of the action itself; `text` may have several lines.

        Of a longer one `limit` characters are kept. Whoever needs a cut asks for it here: half of a secret, cut
        before it was masked, would be recognised by nothing.
        """
        ...


class Cancellation(Protocol):
    """The part of `threading.Event` that an action needs."""

    def is_set(self) -> bool:
        """Tell whether the attempt is to stop now."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionContext:
    """Everything besides its inputs that an action may use.

    `workdir` is the directory of the workflow file. `environ` is a child's whole environment, nothing is added to
    it. `deadline` is in seconds of `time.monotonic`, None for no limit. `mask` registers a value that the action
    made itself, for the rest of the task. `isolation` is what children run under, and which places are nobody's
    business. `limits` are those of each child process: `memory` in bytes, `cpu` in seconds. `run_workflow` runs a
    workflow file with inputs as a part of this task.
    """

    output: Output
    workdir: Path
    environ: Mapping[str, str]
    deadline: float | None
    cancelled: Cancellation
    mask: Callable[[str | bytes], None]
    task_id: str
    execution_id: str
    attempt: int
    isolation: Isolation = NO_ISOLATION
    limits: Mapping[str, int] = field(default_factory=dict)
    run_workflow: "Callable[[Path, Mapping[str, JsonValue], ActionContext], JsonValue] | None" = None


InputModel = type[BaseModel]


class Action(Protocol):
    """One thing that a task can do, named by its `type` (`core/shell.run`)."""

    @property
    def type(self) -> str:
        """The name that a workflow writes."""
        ...

    @property
    def input_model(self) -> InputModel:
        """The shape of `inputs`; its field descriptions are the reference documentation."""
        ...

    def run(self, inputs: BaseModel, context: ActionContext) -> JsonValue:
        """Do it once and return the output. Raises ActionError, and nothing else on purpose."""
        ...


class ActionError(Exception):
    """The action failed; the task run becomes FAILED (or CANCELLED) with this reason.

    `message` may hold text that a child or a server made, so it must pass the masker before it is shown or stored.
    `exit_code` is the child's, 128 plus the number for a signal, as shells count. `output` is what there was.
    """

    def __init__(self, message: str, *, reason: Reason, exit_code: int | None = None, output: JsonValue = None) -> None:
        super().__init__(message)
        self.message = message
        self.reason: Reason = reason
        self.exit_code = exit_code
        self.output = output


def check_time(context: ActionContext) -> None:
    """Raise ActionError when the attempt is cancelled or its deadline has passed."""
    if context.cancelled.is_set():
        raise ActionError("cancelled", reason="cancelled")
    if context.deadline is not None and time.monotonic() >= context.deadline:
        raise ActionError("stopped, because its timeout has passed", reason="timeout")


# Where a value stands: the place that holds it and its key or index there. Rendered only when something is wrong.
_Place = tuple["_Place | None", str | int]


def check_json(value: object, *, name: str = "output", reason: Reason = "bad-output") -> None:
    """Raise ActionError unless `value` is a JSON value: text keys, finite numbers, at most MAX_JSON_DEPTH deep.

    Lists and dicts only: a tuple would come back as a list, and an output must come back as it went. The message
    names the place (`output.items[3]`) and the type, never the value.
    """
    pending: list[tuple[object, _Place | None, int]] = [(value, None, 0)]
    while pending:
        item, place, depth = pending.pop()
        if depth > MAX_JSON_DEPTH:  # a value that holds itself ends here too, since the deepest is looked at first
            raise ActionError(f"{name} is nested more than {MAX_JSON_DEPTH} levels deep", reason=reason)
        if item is None or isinstance(item, bool | int):
            continue
        if isinstance(item, str):
            if not _encodable(item):
                raise ActionError(f"{_trail(name, place)} {_NOT_UTF8}", reason=reason)
        elif isinstance(item, float):
            if not math.isfinite(item):
                raise ActionError(f"{_trail(name, place)} is {item}, which JSON cannot hold", reason=reason)
        elif isinstance(item, list):
            pending.extend((element, (place, index), depth + 1) for index, element in enumerate(item))
        elif isinstance(item, dict):
            for key, element in item.items():
                if not isinstance(key, str):
                    raise ActionError(
                        f"{_trail(name, place)} has a key that is {_kind(key)} instead of text", reason=reason
                    )
                if not _encodable(key):
                    raise ActionError(f"{_trail(name, place)} has a key that {_NOT_UTF8}", reason=reason)
                pending.append((element, (place, key), depth + 1))
        else:
            raise ActionError(f"{_trail(name, place)} is {_kind(item)}, which is no JSON value", reason=reason)


def read_json(data: bytes | str, *, name: str, reason: Reason = "bad-output") -> JsonValue:
    """Parse JSON as RFC 8259 defines it (no NaN), at most MAX_JSON_DEPTH deep. Raises ActionError without the text."""
    try:
        value: JsonValue = json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):  # no JSON, no UTF-8, a number of 5,000 digits, or deeper than the parser
        raise ActionError(f"{name} is no JSON", reason=reason) from None
    check_json(value, name=name, reason=reason)
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


_NOT_UTF8: Final = "cannot be written as UTF-8"


def _encodable(text: str) -> bool:
    """A lone surrogate passes json.dumps and then fails in the database, far from the task that made it."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _trail(name: str, place: _Place | None) -> str:
    steps = []
    while place is not None:
        place, step = place
        steps.append(f"[{step}]" if isinstance(step, int) else f".{step}")
    return name + "".join(reversed(steps))


def _kind(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
