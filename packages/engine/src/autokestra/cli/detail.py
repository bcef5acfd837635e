"""Executions as they are shown: as lines for people, as objects for programs. All of it is masked already.

Whoever can write the state database can write anything into it, so what a row says is `visible` before it is shown.
"""

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from autokestra.cli import console
from autokestra.cli.times import duration, local_time, utc_time
from autokestra.executions.records import Attempt, Execution, TaskRun

if TYPE_CHECKING:
    from autokestra.executions.store import ExecutionStore
    from autokestra_secrets import OutputCipher


class ShownOutputs:
    """Opens masked outputs with the key of the store, which is looked for once and only if one is sealed."""

    def __init__(self, store: str | None) -> None:
        self._store = store
        self._cipher: OutputCipher | None = None
        self._asked = False

    def of(self, attempt: Attempt) -> object:
        """Return the output of an attempt as it may be shown; None, with a warning, when it cannot be opened.

        Raises StateFormatError for one in clear that is damaged.
        """
        from autokestra.app import App  # noqa: PLC0415  # few executions have outputs that are sealed
        from autokestra.worker.outputs import OutputError, shown_output  # noqa: PLC0415
        from autokestra_secrets import SecretsError  # noqa: PLC0415

        if attempt.shown.sealed is not None and not self._asked:
            self._asked = True
            try:
                self._cipher = App(store=self._store).output_cipher()
            except SecretsError as error:
                console.warn(error.message, hint=error.hint)
        try:
            return shown_output(attempt, self._cipher)
        except (OutputError, SecretsError) as error:
            console.warn(error.message, hint=error.hint)
            return None


def row_cells(row: Execution) -> Sequence[str]:
    """Return what `execution list` shows of an execution."""
    return (
        row.id,
        row.workflow_id,
        _state(row),
        local_time(row.started_at or row.created_at),
        _took(row.started_at, row.finished_at),
    )


def _state(row: Execution, left: int = 0) -> str:
    if not row.orphan:
        return row.state.value
    return f"{row.state.value}, its process is gone" + (f", {still_run(left)}" if left else "")


def where(store: "ExecutionStore", execution: str) -> str:
    """Return what has to follow `resume ID` for an execution to go on where it ran: on a cluster, or here."""
    return " --pool URL" if store.accounts(execution) or store.left_running(store.execution(execution)) else ""


def still_run(left: int) -> str:
    """Say how many tasks workers have kept when their coordinator died."""
    return f"workers still run {left} task{'' if left == 1 else 's'}"


def _took(start: int | None, end: int | None) -> str:
    return "" if start is None or end is None else duration((end - start) / 1e6)


# --- lines --------------------------------------------------------------------------------------------------------


def detail_lines(
    row: Execution,
    runs: Sequence[TaskRun],
    attempts: Sequence[Attempt],
    outputs: ShownOutputs,
    *,
    left: int,
    now: int,
) -> Iterator[str]:
    """Yield what `execution show` prints; `now`, in microseconds, is the end of what is still running.

    `left` is how many attempts live workers run though their coordinator is gone.
    """
    from autokestra.cli.progress import masked_lines  # noqa: PLC0415  # not for the JSON

    until = now if left else _until(row, attempts, now)
    yield console.visible(f"{row.id}  {row.workflow_id}  {_state(row, left)}")
    if row.message:
        yield console.visible(row.message)
    yield f"created {local_time(row.created_at)}, {_lasting(row, until)}"
    yield console.visible(f"from {row.workflow_path} (sha256 {row.workflow_sha256[:12]})")
    if row.caller:
        yield console.visible(f"a part of task '{row.caller.task}' of execution {row.caller.execution}")
    yield ""
    last = {attempt.task_id: attempt for attempt in attempts}  # sorted by number: the last one stays
    cells = [
        (run.task_id, run.state.value, str(run.attempts), _took(run.started_at, run.finished_at), _why(run, last))
        for run in runs
    ]
    yield console.table(("TASK", "STATE", "ATTEMPTS", "TOOK", "WHY"), cells)
    yield from _timeline(runs, attempts, until)
    for run in runs:
        attempt = last.get(run.task_id)
        output = outputs.of(attempt) if attempt else None
        if output is not None:
            yield ""
            yield console.visible(f"output of {run.task_id}:")
            yield json.dumps(output, indent=2)
    yield from map(console.visible, masked_lines(row.masked))
    for name, source in row.secrets_used.items():
        yield console.visible(f"secret {name} came from the {source}")


def _until(row: Execution, attempts: Sequence[Attempt], now: int) -> int:
    """Return the moment up to which something is known of an execution."""
    if not row.orphan:
        return row.finished_at or now
    # Nobody knows when the tasks of a dead process ended; the last thing that is known of it is not after that.
    known = [moment for each in attempts for moment in (each.claimed_at, each.finished_at) if moment]
    return max(known, default=row.created_at)


def _lasting(row: Execution, until: int) -> str:
    if row.started_at is None:
        return "never started" if row.state.ended else "not started yet"
    so_far = duration(max(0, until - row.started_at) / 1e6)
    if row.finished_at is not None:
        return f"took {so_far}"
    return f"ran for {so_far} or longer" if row.orphan else f"running for {so_far}"


def _timeline(runs: Sequence[TaskRun], attempts: Sequence[Attempt], until: int) -> Iterator[str]:
    from autokestra.cli import timeline  # noqa: PLC0415  # not for the JSON

    rows = timeline.rows(runs, attempts, now=until)
    if rows:
        plain = "utf" not in (sys.stdout.encoding or "").lower()
        yield ""
        yield from timeline.lines(rows, width=shutil.get_terminal_size().columns, plain=plain)


def _why(run: TaskRun, last: dict[str, Attempt]) -> str:
    attempt = last.get(run.task_id)
    if run.state.value == "SUCCESS":
        return ""
    message = run.message or (attempt.message if attempt else None)
    return message.splitlines()[0] if message else run.reason or ""


# --- objects ------------------------------------------------------------------------------------------------------


def execution_object(row: Execution) -> dict[str, object]:
    """Return an execution as `execution list --json` shows it."""
    return {
        "id": row.id,
        "workflow": row.workflow_id,
        "state": row.state.value,
        "reason": row.reason,
        "message": row.message,
        "created_at": utc_time(row.created_at),
        "started_at": _optional_time(row.started_at),
        "finished_at": _optional_time(row.finished_at),
        "path": row.workflow_path,
        "sha256": row.workflow_sha256,
        "inputs": dict(row.inputs),
        "secrets": dict(row.secrets_used),
        "masked": row.masked,
        "caller": None if row.caller is None else {"execution": row.caller.execution, "task": row.caller.task},
    }


def detail_object(
    row: Execution, runs: Sequence[TaskRun], attempts: Sequence[Attempt], outputs: ShownOutputs
) -> dict[str, object]:
    """Return an execution with its tasks and their attempts, as `execution show --json` shows it."""
    by_task: dict[str, list[Attempt]] = {run.task_id: [] for run in runs}
    for attempt in attempts:
        by_task[attempt.task_id].append(attempt)
    return {
        **execution_object(row),
        "tasks": [
            {
                "id": run.task_id,
                "state": run.state.value,
                "reason": run.reason,
                "started_at": _optional_time(run.started_at),
                "finished_at": _optional_time(run.finished_at),
                "attempts": [
                    {
                        "id": attempt.id,
                        "number": attempt.number,
                        "state": attempt.state.value,
                        "reason": attempt.reason,
                        "message": attempt.message,
                        "exit_code": attempt.exit_code,
                        "started_at": _optional_time(attempt.claimed_at),
                        "finished_at": _optional_time(attempt.finished_at),
                        "output": outputs.of(attempt),
                    }
                    for attempt in by_task[run.task_id]
                ],
            }
            for run in runs
        ],
    }


def _optional_time(microseconds: int | None) -> str | None:
    return None if microseconds is None else utc_time(microseconds)
