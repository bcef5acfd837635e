"""`workflow init`, `workflow run`, `workflow validate`: from a file to an execution."""

import gc
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from autokestra.cli import console
from autokestra.cli.codes import EXIT_CANCELLED, EXIT_FAILED, EXIT_INVALID
from autokestra.cli.completion.suggestions import file_paths
from autokestra.cli.plugin import plugins_option
from autokestra.cli.pool import check_sendable, pool_address, pool_options
from autokestra.cli.states import state_option
from autokestra.cli.stores import say
from autokestra.errors import UsageError

if TYPE_CHECKING:
    from types import FrameType

    from autokestra.app import App
    from autokestra.cli.progress import JsonProgress, PlainProgress
    from autokestra.engine import WorkflowEngine
    from autokestra.executions.events import Observer
    from autokestra.executions.records import Execution
    from autokestra.worker.address import PoolAddress
    from autokestra.workflow.loader import LoadedWorkflow
    from autokestra.workflow.problems import Problem

HELLO: Final = """\
# Run it with: workflow run hello.yaml
id: hello
description: A first workflow

tasks:
  - id: greet
    type: core/shell.run
    inputs:
      script: |
        echo "Hello from $(uname -s)"

  - id: count
    type: core/shell.run
    needs: [greet]
    env:
      GREETING: "{{ tasks.greet.output.stdout }}"
    inputs:
      script: |
        echo "The greeting has ${#GREETING} characters"

# To use a secret: store it with `workflow secrets set API_TOKEN`, declare it here,
#   secrets: [API_TOKEN]
# and hand it to the tasks that need it:
#   env: {API_TOKEN: "{{ secrets.API_TOKEN }}"}
"""

store_option = click.option("--store", metavar="LOCATION", shell_complete=file_paths, help="Secrets store to use.")
plain_option = click.option("--plain", is_flag=True, help="Lines only, also on a terminal: no live view.")


@click.command("init")
@click.argument("directory", default=".", type=click.Path(file_okay=False))
def init(directory: str) -> None:
    """Write a first workflow into a directory."""
    path = Path(directory) / "hello.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(HELLO)
    except FileExistsError:
        raise UsageError(f"{path} exists already, and is left as it is", hint=f"workflow run {path}") from None
    console.notice(f"wrote {path}")
    console.notice(f"run it with: workflow run {path}")


@click.command("run")
@click.argument("file", type=click.Path(readable=False))  # the loader says it better
@click.option("-i", "--input", "inputs", metavar="KEY=VALUE", multiple=True, help="An input; may be given again.")
@click.option("--max-parallel", type=click.IntRange(1, 1024), metavar="N", help="Most tasks at once.")
@pool_options
@plugins_option
@click.option("--require-isolation", is_flag=True, help="Refuse to run where tasks cannot be isolated.")
@click.option("--dry-run", is_flag=True, help="Check everything, say what would run, and run nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line for all that happens.")
@click.option("-q", "--quiet", is_flag=True, help="Print only what went wrong.")
@plain_option
@store_option
@state_option
def run(
    file: str,
    inputs: Sequence[str],
    max_parallel: int | None,
    pool: str | None,
    tls_ca: str | None,
    tls_cert: str | None,
    tls_key: str | None,
    insecure_cluster: bool,  # noqa: FBT001  # click calls by name
    plugins: Sequence[str],
    require_isolation: bool,  # noqa: FBT001
    dry_run: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
    quiet: bool,  # noqa: FBT001
    plain: bool,  # noqa: FBT001
    store: str | None,
    state: str | None,
) -> int:
    """Run a workflow.

    Exit codes: 0 success, 1 a task failed, 3 the workflow is invalid, 4 a secret is missing, 9 isolation is required
    and not to be had, 10 cancelled, 130 interrupted.
    """
    address = pool_address(
        pool=pool, tls_ca=tls_ca, tls_cert=tls_cert, tls_key=tls_key, insecure_cluster=insecure_cluster
    )
    gc.disable()  # importing makes many objects and no garbage: looking for it costs a tenth of the start-up
    from autokestra.actions.isolation import prepare as prepare_isolation  # noqa: PLC0415  # only for those who run
    from autokestra.actions.spawner import SPAWNER  # noqa: PLC0415

    if address is None:
        prepare_isolation()
        SPAWNER.prepare()  # the fork server starts on another processor while the rest is imported here
    from autokestra.app import App  # noqa: PLC0415
    from autokestra.workflow.arguments import typed_arguments  # noqa: PLC0415

    gc.freeze()
    gc.enable()
    app = App(store=store, state=state, notify=say, require_isolation=require_isolation, plugins=plugins)
    loaded = _load(file, app, quiet=quiet)
    if address is None:
        app.check_isolation(loaded.workflow)
    else:
        check_sendable(str(loaded.path))
    warn_of_expiry(app, loaded.workflow.secrets)
    arguments = typed_arguments(loaded.workflow.inputs, _pairs(inputs))
    if dry_run:
        return _dry_run(loaded, app)
    with (
        engine_on(
            address, app, max_parallel=max_parallel, observer=progress(as_json=as_json, quiet=quiet, plain=plain)
        ) as engine,
        stopped_by_signals(engine) as received,
    ):
        execution = engine.run(loaded, arguments)
    return exit_code(execution, received)


def engine_on(
    address: "PoolAddress | None", app: "App", *, max_parallel: int | None, observer: "Observer"
) -> "AbstractContextManager[WorkflowEngine]":
    """Return an engine whose tasks run in this process, or on the cluster at `address`."""
    if address is None:
        return app.engine(max_parallel=max_parallel or app.settings.max_parallel, observer=observer)
    from autokestra.cluster import cluster_engine  # noqa: PLC0415  # few use a cluster

    return cluster_engine(app, address, max_parallel=max_parallel, observer=observer)


def warn_of_expiry(app: "App", declared: Sequence[str]) -> None:
    """Warn of each declared secret that has expired, or will within 14 days."""
    if not declared:
        return
    from autokestra.app import now  # noqa: PLC0415
    from autokestra.cli.expiry import warnings  # noqa: PLC0415
    from autokestra_secrets import SecretsError  # noqa: PLC0415

    with suppress(SecretsError), app.secrets() as store:
        for line in warnings(store.list(), declared, now=now()):
            console.warn(line)


def exit_code(execution: "Execution", received: Sequence[int]) -> int:
    """Return what an ended execution means to the shell."""
    if execution.state == "SUCCESS":
        return 0
    if received:
        return 128 + received[0]
    return EXIT_CANCELLED if execution.state == "CANCELLED" else EXIT_FAILED


@click.command("validate")
@click.argument("files", nargs=-1, required=True, type=click.Path(readable=False))
@plugins_option
@click.option("--strict", is_flag=True, help="Warnings fail too.")
@click.option("--json", "as_json", is_flag=True, help="Print the problems as a JSON array.")
def validate(files: Sequence[str], plugins: Sequence[str], strict: bool, as_json: bool) -> int:  # noqa: FBT001  # click's
    """Check workflows without running them.

    Everything that is wrong in any of the files is reported at once. Exit code 3 when there is an error (with
    --strict a warning is one too), 9 when a file may not be read.
    """
    from autokestra.actions.plugin import Catalog  # noqa: PLC0415
    from autokestra.app import App  # noqa: PLC0415
    from autokestra.workflow.loader import load_workflow  # noqa: PLC0415
    from autokestra.workflow.problems import WorkflowInvalidError  # noqa: PLC0415

    catalog = Catalog(App(plugins=plugins).actions)
    problems: list[Problem] = []
    code = 0
    for file in files:
        try:
            loaded = load_workflow(Path(file), catalog=catalog)
        except WorkflowInvalidError as error:
            problems += error.problems
            code = max(code, error.exit_code)
        else:
            problems += loaded.warnings
            if not as_json:
                console.notice(f"{file}: workflow '{loaded.workflow.id}' is valid")
    if as_json:
        console.out_json([_problem_object(problem) for problem in problems])
    else:
        show_problems(problems)
    if strict and problems:
        code = max(code, EXIT_INVALID)
    return code


@contextmanager
def stopped_by_signals(engine: "WorkflowEngine") -> Iterator[list[int]]:
    """Let Ctrl-C, SIGTERM and SIGHUP cancel the run; a second one does not wait for anything.

    Children of a process that is gone are killed by the kernel, and `execution resume` finds the rest.
    """
    received: list[int] = []

    def handle(number: int, _: "FrameType | None") -> None:
        received.append(number)
        if len(received) > 1:
            os._exit(128 + number)
        console.notice("stopping: running tasks are terminated; once more to leave at once")
        engine.stop("interrupted" if number == signal.SIGINT else "terminated")

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, handle) for number in numbers]
    try:
        yield received
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _load(file: str, app: "App", *, quiet: bool) -> "LoadedWorkflow":
    """Load a workflow; problems are shown here, one line each, and end the command."""
    from autokestra.actions.plugin import Catalog  # noqa: PLC0415
    from autokestra.workflow.loader import load_workflow  # noqa: PLC0415
    from autokestra.workflow.problems import WorkflowInvalidError  # noqa: PLC0415

    try:
        loaded = load_workflow(Path(file), catalog=Catalog(app.actions))
    except WorkflowInvalidError as error:
        show_problems(error.problems)
        raise click.exceptions.Exit(error.exit_code) from None
    if not quiet:  # a warning every night is mail that nobody reads
        show_problems(loaded.warnings)
    return loaded


def show_problems(problems: "Sequence[Problem]") -> None:
    """Write `file:line:column: message (trail)` for each, with its hint on a line of its own."""
    for problem in problems:
        say = console.warn if problem.severity == "warning" else console.error
        trail = f" ({problem.trail})" if problem.trail else ""
        say(f"{problem.file}:{problem.line}:{problem.column}: {problem.message}{trail}", hint=problem.hint)


def _problem_object(problem: "Problem") -> dict[str, object]:
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "end_line": problem.end[0] if problem.end else None,
        "end_column": problem.end[1] if problem.end else None,
        "trail": problem.trail,
        "severity": problem.severity,
        "rule": problem.rule,
        "message": problem.message,
        "hint": problem.hint,
    }


def _pairs(inputs: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for text in inputs:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError("an input needs a name and a value", hint="write it as: -i day=2026-03-01")
        pairs[name] = value
    return pairs


def progress(*, as_json: bool, quiet: bool, plain: bool) -> "JsonProgress | PlainProgress":
    """Return what shows a run as the options and the terminal ask for."""
    from autokestra.cli.progress import JsonProgress, PlainProgress  # noqa: PLC0415

    if as_json:
        return JsonProgress()
    if quiet or plain or not console.stdout_can_be_redrawn():
        return PlainProgress(quiet=quiet)
    from autokestra.cli.live import LiveProgress  # noqa: PLC0415

    return LiveProgress()


def _dry_run(loaded: "LoadedWorkflow", app: "App") -> int:
    workflow = loaded.workflow
    with app.secrets() as store, app.resolver(store).scope(workflow.secrets, workflow=workflow.id) as scope:
        scope.check()
        sources = scope.sources()
    for name in workflow.secrets:
        console.out(f"secret {name}: from the {sources[name]}")
    for task in workflow.tasks:
        needs = f" after {', '.join(task.needs)}" if task.needs else ""
        console.out(f"task {task.id}: {task.type}{needs}")
    for task in workflow.on_failure:
        console.out(f"on failure {task.id}: {task.type}")
    console.notice("nothing was run")
    return 0
