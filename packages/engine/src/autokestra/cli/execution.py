"""`workflow execution`: what ran, how it went, what it printed. All of it is masked already; no key is needed."""

import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import click

from autokestra.cli import console
from autokestra.cli.housekeeping import delete, prune
from autokestra.cli.plugin import plugins_option
from autokestra.cli.pool import pool_address, pool_options
from autokestra.cli.report.command import report
from autokestra.cli.run import exit_code, plain_option, state_option, store_option
from autokestra.cli.stores import say
from autokestra.cli.times import duration, local_time, utc_time

if TYPE_CHECKING:
    from autokestra.executions.records import Attempt, Execution, TaskRun
    from autokestra.executions.store import ExecutionStore
    from autokestra_secrets import OutputCipher

CANCEL_SECONDS: Final = 10.0  # a task may use two of them to end, and its tree five

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group("execution")
def execution() -> None:
    """Look at what ran: states, outputs, logs.

    ID is an execution's id, or `latest` for the newest.
    """


execution.add_command(report)


@execution.command("list")
@click.option("-n", "--most", type=click.IntRange(1), default=50, show_default=True, help="How many at most.")
@json_option
@state_option
def list_(most: int, as_json: bool, state: str | None) -> None:  # noqa: FBT001  # click calls by name
    """List executions, newest first."""
    with _opened(state) as store:
        rows = store.executions(most=most) if store else []
    if as_json:
        console.out_json([_execution_object(row) for row in rows])
    elif not rows:
        console.notice("no executions yet")
    else:
        headers = ("ID", "WORKFLOW", "STATE", "STARTED", "TOOK")
        console.out(console.table(headers, (_cells(row) for row in rows)))
        _suggest_resume(rows)


@execution.command("show")
@click.argument("id_", metavar="ID")
@json_option
@store_option
@state_option
def show(id_: str, as_json: bool, store: str | None, state: str | None) -> None:  # noqa: FBT001  # click calls by name
    """Show one execution: its tasks, why they failed, and their outputs, masked.

    Outputs of workflows with secrets are sealed; showing them needs the key, and nothing else does.
    """
    with _found(state) as executions:
        row = executions.execution(id_)
        runs, attempts = executions.task_runs(row.id), executions.attempts(row.id)
    outputs = _ShownOutputs(store)
    if as_json:
        console.out_json(_detail_object(row, runs, attempts, outputs))
        return
    from autokestra.cli.progress import masked_lines  # noqa: PLC0415

    console.out(f"{row.id}  {row.workflow_id}  {_state(row)}")
    if row.message:
        console.out(console.visible(row.message))
    _suggest_resume([row])
    console.out(f"created {local_time(row.created_at)}, took {_took(row.started_at, row.finished_at) or 'no end yet'}")
    console.out(f"from {console.visible(row.workflow_path)} (sha256 {row.workflow_sha256[:12]})")
    if row.caller:
        console.out(f"a part of task '{row.caller.task}' of execution {row.caller.execution}")
    console.out("")
    last = {attempt.task_id: attempt for attempt in attempts}  # sorted by number: the last one stays
    cells = [
        (run.task_id, run.state.value, str(run.attempts), _took(run.started_at, run.finished_at), _why(run, last))
        for run in runs
    ]
    console.out(console.table(("TASK", "STATE", "ATTEMPTS", "TOOK", "WHY"), cells))
    _draw_timeline(row, runs, attempts)
    for run in runs:
        attempt = last.get(run.task_id)
        output = outputs.of(attempt) if attempt else None
        if output is not None:
            console.out(f"\noutput of {run.task_id}:")
            console.out_json(output)
    for line in masked_lines(row.masked):
        console.out(line)
    for name, source in row.secrets_used.items():
        console.out(f"secret {name} came from the {source}")


@execution.command("logs")
@click.argument("id_", metavar="ID")
@click.option("--task", metavar="TASK", help="Only this task.")
@click.option("-f", "--follow", is_flag=True, help="Print lines as they come, until the execution has ended.")
@click.option("--debug", is_flag=True, help="Also what only those who look for a fault want to know.")
@json_option
@state_option
def logs(
    id_: str,
    task: str | None,
    follow: bool,  # noqa: FBT001  # click calls by name
    debug: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
    state: str | None,
) -> None:
    """Print the log of an execution.

    With `--follow --json` each line is a JSON object of its own.
    """
    from autokestra.cli.progress import line_object, shown  # noqa: PLC0415

    with _found(state) as store:
        row = store.execution(id_)
        if task is not None and task not in {run.task_id for run in store.task_runs(row.id)}:
            raise click.BadParameter(f"execution '{row.id}' has no task '{task}'", param_hint="--task")
        if follow:
            from autokestra.cli.following import follow as follow_log  # noqa: PLC0415

            follow_log(store, row.id, task=task, as_json=as_json, debug=debug)
            return
        lines = store.log_lines(row.id, task=task)
    if as_json:
        console.out_json([line_object(line) for line in lines])
        return
    for line in lines if debug else [line for line in lines if not line.is_debug]:
        console.out(f"[{line.task_id}] {shown(line.message)}")


@execution.command("resume")
@click.argument("id_", metavar="ID")
@click.option("--from", "from_task", metavar="TASK", help="Run this task and all that needs it again.")
@click.option("--max-parallel", type=click.IntRange(1, 1024), metavar="N", help="Most tasks at once.")
@pool_options
@plugins_option
@click.option("--require-isolation", is_flag=True, help="Refuse to run where tasks cannot be isolated.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line for all that happens.")
@click.option("-q", "--quiet", is_flag=True, help="Print only what went wrong.")
@plain_option
@store_option
@state_option
def resume(
    id_: str,
    from_task: str | None,
    max_parallel: int | None,
    pool: str | None,
    tls_ca: str | None,
    tls_cert: str | None,
    tls_key: str | None,
    insecure_cluster: bool,  # noqa: FBT001  # click calls by name
    plugins: Sequence[str],
    require_isolation: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
    quiet: bool,  # noqa: FBT001
    plain: bool,  # noqa: FBT001
    store: str | None,
    state: str | None,
) -> int:
    """Run what had not finished in an execution that was killed, interrupted or failed.

    Tasks that succeeded are not run again, unless --from says so. The workflow is the one that was started, not what
    the file says now.
    """
    from autokestra.app import App  # noqa: PLC0415
    from autokestra.cli.run import engine_on, progress, stopped_by_signals  # noqa: PLC0415
    from autokestra.workflow.model import Workflow  # noqa: PLC0415

    address = pool_address(
        pool=pool, tls_ca=tls_ca, tls_cert=tls_cert, tls_key=tls_key, insecure_cluster=insecure_cluster
    )
    app = App(store=store, state=state, notify=say, require_isolation=require_isolation, plugins=plugins)
    with _found(state) as executions:
        row = executions.execution(id_)
    if row.state == "SUCCESS" and from_task is None:
        console.notice(f"execution '{row.id}' is done: there is nothing to resume")
        return 0
    if address is None:
        app.check_isolation(Workflow.model_validate_json(row.workflow))
    with (
        engine_on(
            address, app, max_parallel=max_parallel, observer=progress(as_json=as_json, quiet=quiet, plain=plain)
        ) as engine,
        stopped_by_signals(engine) as received,
    ):
        return exit_code(engine.resume(row.id, from_task=from_task), received)


@execution.command("cancel")
@click.argument("id_", metavar="ID")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing when it is done.")
@state_option
def cancel(id_: str, quiet: bool, state: str | None) -> int:  # noqa: FBT001  # click calls by name
    """Stop an execution that is under way, here or in another terminal.

    Its running tasks are terminated within a second, nothing new starts, and `workflow run` ends with exit code 10.
    One whose process is gone becomes CANCELLED; one that has ended stays as it is.
    """
    from autokestra.app import now  # noqa: PLC0415
    from autokestra.executions.cancel import Cancelled  # noqa: PLC0415
    from autokestra.executions.cancel import cancel as cancel_row  # noqa: PLC0415

    with _found(state) as store:
        row = store.execution(id_)
        done = cancel_row(store, row.id, now=now())
        if done is Cancelled.ENDED:
            console.notice(f"execution {row.id} has ended already: {row.state.value}")
            return 0
        row = _awaited(store, row.id)
    if not row.state.ended:
        console.warn(
            f"execution {row.id} was asked to stop and has not ended yet",
            hint=f"look at it with: workflow execution show {row.id}",
        )
    elif not quiet:
        console.notice(f"execution {row.id} is {row.state.value}")
    return 0


execution.add_command(delete)
execution.add_command(prune)


def _awaited(store: "ExecutionStore", id_: str) -> "Execution":
    """Return the execution when it has ended, or as it is when that takes too long."""
    deadline = time.monotonic() + CANCEL_SECONDS
    while not (row := store.execution(id_)).state.ended and time.monotonic() < deadline:
        time.sleep(0.1)
    return row


@contextmanager
def _opened(state: str | None) -> "Iterator[ExecutionStore | None]":
    """Open the state database; None where the default one does not exist yet."""
    from autokestra.app import App  # noqa: PLC0415

    app = App(state=state, notify=say)
    path = app.state_path
    if state is None and path is not None and not path.exists():
        yield None
        return
    with app.executions(create=False) as store:
        yield store


@contextmanager
def _found(state: str | None) -> "Iterator[ExecutionStore]":
    from autokestra.errors import ExecutionNotFoundError  # noqa: PLC0415

    with _opened(state) as store:
        if store is None:
            raise ExecutionNotFoundError("there is no execution yet", hint="start one with: workflow run FILE")
        yield store


def _cells(row: "Execution") -> Sequence[str]:
    return (
        row.id,
        row.workflow_id,
        _state(row),
        local_time(row.started_at or row.created_at),
        _took(row.started_at, row.finished_at),
    )


def _suggest_resume(rows: "Sequence[Execution]") -> None:
    for row in rows:
        if row.orphan and row.caller is None:  # what is a part of a task goes on with that
            console.notice(f"go on with it: workflow execution resume {row.id}")


def _state(row: "Execution") -> str:
    if row.orphan:
        return f"{row.state.value}, its process is gone"
    return row.state.value


def _took(start: int | None, end: int | None) -> str:
    return "" if start is None or end is None else duration((end - start) / 1e6)


def _draw_timeline(row: "Execution", runs: "Sequence[TaskRun]", attempts: "Sequence[Attempt]") -> None:
    from autokestra.app import now  # noqa: PLC0415
    from autokestra.cli import timeline  # noqa: PLC0415

    # Nobody knows when the tasks of a dead process ended; the last thing that is known of it is not after that.
    known = [time for each in attempts for time in (each.claimed_at, each.finished_at) if time]
    until = max(known, default=row.created_at) if row.orphan else row.finished_at or now()
    rows = timeline.rows(runs, attempts, now=until)
    if rows:
        plain = "utf" not in (sys.stdout.encoding or "").lower()
        console.out("")
        for line in timeline.lines(rows, width=shutil.get_terminal_size().columns, plain=plain):
            console.out(line)


def _why(run: "TaskRun", last: "dict[str, Attempt]") -> str:
    attempt = last.get(run.task_id)
    if run.state.value == "SUCCESS":
        return ""
    message = run.message or (attempt.message if attempt else None)
    return message.splitlines()[0] if message else run.reason or ""


def _execution_object(row: "Execution") -> dict[str, object]:
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


class _ShownOutputs:
    """Opens masked outputs with the key of the store, which is looked for once and only if one is sealed."""

    def __init__(self, store: str | None) -> None:
        self._store = store
        self._cipher: OutputCipher | None = None
        self._asked = False

    def of(self, attempt: "Attempt") -> object:
        """Return the output of an attempt as it may be shown; None, with a notice, when it cannot be opened."""
        from autokestra.app import App  # noqa: PLC0415
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


def _detail_object(
    row: "Execution", runs: "Sequence[TaskRun]", attempts: "Sequence[Attempt]", outputs: _ShownOutputs
) -> dict[str, object]:
    by_task: dict[str, list[Attempt]] = {run.task_id: [] for run in runs}
    for attempt in attempts:
        by_task[attempt.task_id].append(attempt)
    return {
        **_execution_object(row),
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
