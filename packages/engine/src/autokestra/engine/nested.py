"""A workflow as a task of another: an execution of its own, driven by an engine of its own in the same process.

It shares rows, log, outputs and masker with its caller, ends when its caller is told to, and never has more than its
caller has (`actions.nested` decides that). Which engine, and out of what, is handed in.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

from pydantic import JsonValue

from autokestra.actions.nested import MAX_DEPTH, Caller, refuse_wider
from autokestra.actions.protocol import ActionContext, ActionError, Level, check_time
from autokestra.engine.ports import STOPPED, Worker
from autokestra.engine.workflow_engine import WorkflowEngine
from autokestra.errors import AutokestraError
from autokestra.executions.events import Event, ExecutionStarted, Observer, TaskChanged
from autokestra.executions.records import AttemptState, Execution, ExecutionState, LogLine, TaskOf
from autokestra.executions.store import ExecutionStore
from autokestra.worker.outputs import OutputVault
from autokestra.workflow.arguments import checked_arguments
from autokestra.workflow.loader import LoadedWorkflow
from autokestra.workflow.model import Workflow
from autokestra_secrets import SecretMasker, SecretsError

NOTICE_SECONDS: Final = 0.1  # how late it notices that its task is cancelled or out of time


class LastingWorker:
    """What a sub-workflow's engine takes for its worker: it forgets nothing, since the outputs are still wanted."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def cancel(self, execution: str, task: str, number: int) -> None:
        """Stop one attempt."""
        self._worker.cancel(execution, task, number)

    def forget(self, execution: str) -> None:
        """Do nothing; who has read the outputs tells the worker itself."""


def run_nested(
    path: Path,
    inputs: Mapping[str, JsonValue],
    context: ActionContext,
    caller: Caller,
    *,
    ancestors: tuple[str, ...],
    load: Callable[[Path], LoadedWorkflow],
    build: Callable[[Observer], tuple[WorkflowEngine, Worker]],
    store: ExecutionStore,
    outputs: OutputVault,
) -> JsonValue:
    """Run a workflow file to its end for a task that waits for it, and return what its tasks have handed on.

    `ancestors` are the ids of the workflows that run around it, the outermost first; `build` makes its engine, which
    has a LastingWorker, and returns that with the worker behind it. An execution that an earlier attempt of the task
    had begun is taken up again. Raises ActionError when it may not run or does not succeed.
    """
    if len(ancestors) > MAX_DEPTH:
        raise ActionError(f"more than {MAX_DEPTH} workflows run within each other", reason="bad-input")
    try:
        loaded = load(path)
        refuse_wider(loaded.workflow, caller, inputs)
        arguments = checked_arguments(loaded.workflow.inputs, inputs)
    except AutokestraError as error:
        raise ActionError(f"cannot run '{path.name}': {error.message}", reason="bad-input") from None
    _refuse_to_wait_for_itself(loaded.workflow, ancestors)
    relay = _Relay(context)
    engine, worker = build(relay)
    task = TaskOf(execution=context.execution_id, task=context.task_id)
    try:
        with _stopped_with(context, engine):
            begun = _begun_before(store, task, context.attempt, loaded, arguments)
            row = engine.run(loaded, arguments, caller=task) if begun is None else engine.resume(begun, unproven=True)
        check_time(context)
        if row.state is not ExecutionState.SUCCESS:
            why = f": {row.message}" if row.message else ""
            raise ActionError(f"workflow '{row.workflow_id}' ({row.id}) did not succeed{why}", reason="sub-workflow")
        return {"execution": row.id, "tasks": _handed_on(row, loaded.workflow, outputs, caller.masker)}
    except (AutokestraError, SecretsError) as error:
        check_time(context)
        raise ActionError(f"workflow '{loaded.workflow.id}': {error.message}", reason="sub-workflow") from None
    finally:
        for execution in relay.executions:
            worker.forget(execution)


def _handed_on(row: Execution, workflow: Workflow, outputs: OutputVault, masker: SecretMasker) -> dict[str, Any]:
    """Return the outputs; the task that hands them on knows what is to be masked in them."""
    return {task.id: {"output": outputs.read(row.id, task.id, learn=masker.add)} for task in workflow.tasks}


def _refuse_to_wait_for_itself(workflow: Workflow, ancestors: Sequence[str]) -> None:
    limit = workflow.concurrency
    if limit is not None and ancestors.count(workflow.id) >= limit.max:
        raise ActionError(
            f"workflow '{workflow.id}' runs within itself, and of it only {limit.max} may run at once: "
            "it would wait for ever",
            reason="bad-input",
        )


def _begun_before(
    store: ExecutionStore, task: TaskOf, attempt: int, loaded: LoadedWorkflow, arguments: Mapping[str, Any]
) -> str | None:
    """Return the id of the execution that the attempt before this one began, if it is to be taken up again.

    Not after a success: then the task runs again because somebody wants it to. Not when file or inputs have changed,
    and only with the workflow that was checked just now, for the rows are no secret of the engine's.
    """
    row = store.latest_of(task)
    if row is None or attempt < 2:
        return None
    if store.attempt(task.execution, task.task, attempt - 1).state is AttemptState.SUCCESS:
        return None
    is_same = (
        row.workflow_sha256 == loaded.sha256
        and row.workflow_path == str(loaded.path)
        and dict(row.inputs) == dict(arguments)
        and Workflow.model_validate_json(row.workflow) == loaded.workflow
    )
    return row.id if is_same else None


class _Relay:
    """The log of a workflow within a task is part of the task's log; its own rows have it as well."""

    def __init__(self, context: ActionContext) -> None:
        self._context = context
        self.executions: set[str] = set()

    def __call__(self, event: Event) -> None:
        match event:
            case ExecutionStarted():
                self.executions.add(event.execution_id)
                self._context.output.message(f"execution {event.execution_id} of workflow '{event.workflow_id}'")
            case LogLine():
                level = cast(Level, event.level)
                self._context.output.message(f"[{event.task_id}] {event.message}", level)
            case TaskChanged() if event.state.ended:
                why = f" ({event.reason})" if event.reason else ""
                self._context.output.message(f"[{event.task_id}] {event.state.value}{why}")
            case _:
                return


@contextmanager
def _stopped_with(context: ActionContext, engine: WorkflowEngine) -> Iterator[None]:
    """Stop what `engine` runs when the task that waits for it is cancelled or out of time."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(NOTICE_SECONDS):
            if context.cancelled.is_set() or (context.deadline is not None and time.monotonic() >= context.deadline):
                engine.stop(STOPPED)
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
