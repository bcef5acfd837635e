"""From rows to values: the same for both databases, whose rows are read by name."""

import json
from typing import Any, cast

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


def to_json(value: object) -> str:
    """Return a value as it is kept."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


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
