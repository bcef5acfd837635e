"""From rows to values: the same for both databases, whose rows are read by name."""

import json
import os
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import unquote_to_bytes

from autokestra.errors import StateFormatError
from autokestra.executions.records import (
    Attempt,
    AttemptKey,
    AttemptState,
    Execution,
    ExecutionState,
    Lease,
    LogExcerpt,
    LogLine,
    StoredOutput,
    TaskOf,
)

_FILE: Final = "file://"  # RFC 8089; a path as it is begins with a slash, so the two cannot be mistaken


def to_json(value: object) -> str:
    """Return a value as it is kept."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def path_to_text(path: str) -> str:
    """Return an absolute path as it is kept: as it is, or as a `file://` URL where its bytes are no UTF-8.

    A path is bytes, and a database holds text only.
    """
    return path if is_text(path) else Path(path).as_uri()


def path_of_text(text: str) -> str:
    """Return the path that `path_to_text` wrote, byte for byte."""
    return os.fsdecode(unquote_to_bytes(text.removeprefix(_FILE))) if text.startswith(_FILE) else text


def is_text(text: str) -> bool:
    """Whether `text` can be kept: no name of a file or argument of a command whose bytes were no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def to_text(message: str) -> str:
    """Return a message as it is kept, with bytes that were no UTF-8 as escapes: it may name such a file."""
    return message.encode(errors="backslashreplace").decode()


def read_execution(row: Any) -> Execution:
    """Return an execution from its row. Raises StateFormatError when the row is damaged."""
    fields = cast("dict[str, Any]", dict(row))
    lease = row_lease(fields)
    del fields["lease_owner"], fields["lease_until"]
    caller, task = fields.pop("caller_execution"), fields.pop("caller_task")
    try:
        for name in ("inputs", "secrets_used", "masked"):
            fields[name] = json.loads(fields[name])
        fields["state"] = ExecutionState(fields["state"])
        fields["workflow_path"] = path_of_text(fields["workflow_path"])
    except ValueError:
        raise StateFormatError(
            f"the row of execution '{fields['id']}' is damaged", hint="use another state database: --state FILE"
        ) from None
    return Execution(
        **fields,
        lease=lease,
        caller=None if caller is None else TaskOf(execution=caller, task=task),
    )


def row_is(row: Any, **expected: object) -> bool:
    """Whether there is a row, and it holds what is expected."""
    return row is not None and all(row[name] == value for name, value in expected.items())


def row_lease(row: Any) -> Lease | None:
    """Return who coordinates the execution of a row, None where nobody does."""
    owner = row["lease_owner"]
    return None if owner is None else Lease(owner=owner, until=row["lease_until"])


def row_key(row: Any) -> AttemptKey:
    """Return execution, task and number of the attempt that a row names."""
    return row["execution_id"], row["task_id"], row["number"]


def read_attempt(row: Any) -> Attempt:
    """Return an attempt from its row."""
    fields = cast("dict[str, Any]", dict(row))
    shown = StoredOutput(sealed=fields.pop("shown_sealed"), clear=fields.pop("shown_clear"))
    fields["state"] = AttemptState(fields["state"])
    return Attempt(**fields, shown=shown)


def read_excerpt(row: Any, longest: int) -> LogExcerpt:
    """Return a line of a log with its place among those of its task, the message cut at `longest` characters."""
    fields = cast("dict[str, Any]", dict(row))
    task, place, total = (fields.pop(name) for name in ("task", "place", "total"))
    length, fields["message"] = len(fields["message"]), fields["message"][:longest]
    return LogExcerpt(line=LogLine(**fields), task=task, place=place, total=total, length=length)
