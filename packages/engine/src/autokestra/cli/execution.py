"""`workflow execution`: what ran, how it went, what it printed. All of it is masked already; no key is needed."""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import click

from autokestra.cli import console
from autokestra.cli.completion.suggestions import execution_ids, task_names
from autokestra.cli.housekeeping import delete, prune
from autokestra.cli.plugin import plugins_option
from autokestra.cli.pool import pool_address, pool_options
from autokestra.cli.report.command import report
from autokestra.cli.run import exit_code, plain_option, store_option
from autokestra.cli.states import found_state, opened_state, state_option
from autokestra.cli.stores import say

if TYPE_CHECKING:
    from autokestra.executions.records import Execution
    from autokestra.executions.store import ExecutionStore

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
    from autokestra.cli.detail import execution_object, row_cells  # noqa: PLC0415  # not for a help text

    with opened_state(state) as store:
        rows = store.executions(most=most) if store else []
        places = _where(store, rows) if store else {}
    if as_json:
        console.out_json([execution_object(row) for row in rows])
    elif not rows:
        console.notice("no executions yet")
    else:
        headers = ("ID", "WORKFLOW", "STATE", "STARTED", "TOOK")
        console.out(console.table(headers, (row_cells(row) for row in rows)))
        _suggest_resume(places)


@execution.command("show")
@click.argument("id_", metavar="ID", shell_complete=execution_ids)
@json_option
@store_option
@state_option
def show(id_: str, as_json: bool, store: str | None, state: str | None) -> None:  # noqa: FBT001  # click calls by name
    """Show one execution: its tasks, why they failed, and their outputs, masked.

    Outputs of workflows with secrets are sealed; showing them needs the key, and nothing else does.
    """
    from autokestra.app import now  # noqa: PLC0415
    from autokestra.cli.detail import ShownOutputs, detail_lines, detail_object  # noqa: PLC0415

    with found_state(state) as executions:
        row = executions.execution(id_)
        runs, attempts = executions.task_runs(row.id), executions.attempts(row.id)
        left = executions.left_running(row) if row.orphan else 0
        places = _where(executions, [row])
    outputs = ShownOutputs(store)
    if as_json:
        console.out_json(detail_object(row, runs, attempts, outputs))
        return
    for line in list(detail_lines(row, runs, attempts, outputs, left=left, now=now())):  # all, or the error alone
        console.out(line)
    _suggest_resume(places)


@execution.command("logs")
@click.argument("id_", metavar="ID", shell_complete=execution_ids)
@click.option("--task", metavar="TASK", shell_complete=task_names, help="Only this task.")
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
    from autokestra.cli.progress import line_object, line_text  # noqa: PLC0415

    with found_state(state) as store:
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
        console.out(line_text(line))


@execution.command("resume")
@click.argument("id_", metavar="ID", shell_complete=execution_ids)
@click.option(
    "--from", "from_task", metavar="TASK", shell_complete=task_names, help="Run this task and all that needs it again."
)
@click.option("--max-parallel", type=click.IntRange(1, 1024), metavar="N", help="Most tasks at once.")
@pool_options
@plugins_option
@click.option("--require-isolation", is_flag=True, help="Refuse to run where tasks cannot be isolated.")
@click.option("--unproven", is_flag=True, help="Even when no key proves that the workflow is the one that was started.")
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
    unproven: bool,  # noqa: FBT001
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
    with found_state(state) as executions:
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
        return exit_code(engine.resume(row.id, from_task=from_task, unproven=unproven), received)


@execution.command("cancel")
@click.argument("id_", metavar="ID", shell_complete=execution_ids)
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

    with found_state(state) as store:
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


def _where(store: "ExecutionStore", rows: "Sequence[Execution]") -> dict[str, str]:
    """Return how each of those that nobody coordinates goes on; what is a part of a task goes on with that."""
    from autokestra.cli.detail import where  # noqa: PLC0415

    return {row.id: where(store, row.id) for row in rows if row.orphan and row.caller is None}


def _suggest_resume(places: "Mapping[str, str]") -> None:
    for execution, more in places.items():
        console.notice(f"go on with it: workflow execution resume {execution}{more}")
