"""WorkflowEngine: plans an execution, submits its attempts to a pool, and writes down what became of them.

A thin shell around the pure `Plan`: the rows are the truth, a future only says that it is time to look at them.
No secret is read here; whether the declared ones exist is asked before the first task.
"""

import queue
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any, Final, Protocol

from autokestra.errors import AutokestraError
from autokestra.executions.events import ExecutionEnded, ExecutionStarted, Observer, TaskChanged
from autokestra.executions.lease import LEASE_MICROSECONDS, RENEW_SECONDS, boottime, is_dead, own_lease
from autokestra.executions.plan import BACKOFF, Change, Kept, Plan, TaskRule
from autokestra.executions.records import (
    AttemptState,
    Execution,
    ExecutionState,
    Lease,
    Masked,
    TaskState,
    execution_id,
)
from autokestra.executions.store import ExecutionStore
from autokestra.worker.envelope import Envelope
from autokestra.worker.outputs import OutputVault
from autokestra.worker.pools import Pool
from autokestra.workflow.loader import LoadedWorkflow
from autokestra.workflow.model import Task, Workflow
from autokestra_secrets import MissingSecretsError, SecretMasker, SecretResolver, SecretsError, find_references

INTERRUPTED: Final = "interrupted"
TIMEOUT: Final = "timeout"
MISSING_SECRETS: Final = "missing-secrets"
UNREADABLE_SECRETS: Final = "unreadable-secrets"  # the key is missing or wrong, or the store is damaged or busy

_TASK_OF_ATTEMPT: Final = {
    AttemptState.SUCCESS: TaskState.SUCCESS,
    AttemptState.FAILED: TaskState.FAILED,
    AttemptState.CANCELLED: TaskState.CANCELLED,
    AttemptState.LOST: TaskState.FAILED,
    AttemptState.PENDING: TaskState.FAILED,  # submitted, never claimed
    AttemptState.RUNNING: TaskState.FAILED,  # claimed, and its worker said nothing: lost
}


class ExecutionBusyError(AutokestraError):
    """Another process coordinates this execution."""

    exit_code = 11


class Worker(Protocol):
    """What the engine asks of the workers of its own process."""

    def cancel(self, execution: str) -> None:
        """Stop what runs of an execution."""
        ...

    def forget(self, execution: str) -> None:
        """Drop what is kept in memory for an execution that is over."""
        ...


class Maskers(Protocol):
    """Where an execution's masker, and what its tasks have read, are found."""

    def of(self, execution: str) -> SecretMasker:
        """Return the masker of an execution."""
        ...

    def used(self, execution: str) -> Mapping[str, str]:
        """Return secret name -> source of every secret that a task has read."""
        ...

    def masked(self, execution: str) -> Masked:
        """Return what was masked in the logs of its tasks."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """An execution under way."""

    id: str
    workflow: Workflow
    path: Path
    arguments: Mapping[str, Any]
    lease: Lease
    tasks: Mapping[str, Task]


class WorkflowEngine:
    """Runs executions, one at a time, with at most `max_parallel` attempts under way.

    `reads_secrets` says that attempts run in this process, so that a key that is missing or wrong is found before
    the first of them. `clock` gives microseconds UTC. `observer` is told of everything that happens and must not raise.
    """

    def __init__(
        self,
        *,
        store: ExecutionStore,
        pool: Pool,
        worker: Worker,
        resolver: SecretResolver,
        maskers: Maskers,
        outputs: OutputVault,
        observer: Observer,
        clock: Callable[[], int],
        max_parallel: int,
        reads_secrets: bool,
    ) -> None:
        self._store = store
        self._pool = pool
        self._worker = worker
        self._resolver = resolver
        self._maskers = maskers
        self._outputs = outputs
        self._observe = observer
        self._clock = clock
        self._max_parallel = max_parallel
        self._reads_secrets = reads_secrets
        self._stop: str | None = None
        self._wake: queue.SimpleQueue[Future[str] | None] = queue.SimpleQueue()

    def run(self, loaded: LoadedWorkflow, arguments: Mapping[str, Any]) -> Execution:
        """Run a loaded workflow to its end and return its row; `arguments` are its inputs, typed already."""
        now = self._clock()
        lease = own_lease()
        row = Execution(
            id=execution_id(now),
            workflow_id=loaded.workflow.id,
            workflow=loaded.workflow.model_dump_json(by_alias=True, exclude_unset=True),
            workflow_path=str(loaded.path),
            workflow_sha256=loaded.sha256,
            inputs=arguments,
            state=ExecutionState.PENDING,
            reason=None,
            message=None,
            created_at=now,
            started_at=None,
            finished_at=None,
            lease=lease,
        )
        self._store.create(row, [task.id for task in loaded.workflow.tasks])
        return self._coordinate(self._job(row, loaded.workflow, lease), {})

    def resume(self, execution: str) -> Execution:
        """Run again what had not finished in an execution whose coordinator is gone; finished tasks stay finished.

        Raises ExecutionNotFoundError; ExecutionBusyError when somebody else coordinates it or was first.
        """
        row = self._store.execution(execution)
        if row.state is ExecutionState.SUCCESS:
            return row
        lease = own_lease()
        busy = row.lease is not None and not is_dead(row.lease)
        if busy or not self._store.take_over(row.id, row.lease, lease, self._clock()):
            owner = row.lease.owner.split("/")[0] if row.lease else "another process"
            raise ExecutionBusyError(
                f"execution '{row.id}' is coordinated by another process on {owner}",
                hint=f"look at it with: workflow execution show {row.id}",
            )
        workflow = Workflow.model_validate_json(row.workflow)
        kept = {
            run.task_id: Kept(state=self._state_that_counts(row.id, run.task_id, run.state), attempts=run.attempts)
            for run in self._store.task_runs(row.id)
        }
        return self._coordinate(self._job(row, workflow, lease), kept)

    def stop(self, reason: str = INTERRUPTED) -> None:
        """Cancel the execution under way: nothing new starts, what runs is terminated. Safe in a signal handler."""
        self._stop = self._stop or reason
        self._wake.put(None)

    # --- inside

    def _job(self, row: Execution, workflow: Workflow, lease: Lease) -> _Job:
        return _Job(
            id=row.id,
            workflow=workflow,
            path=Path(row.workflow_path),
            arguments=row.inputs,
            lease=lease,
            tasks={task.id: task for task in workflow.tasks},
        )

    def _state_that_counts(self, execution: str, task: str, state: TaskState) -> TaskState:
        """A task that succeeded with an output that is gone (it was kept in memory only) has to run again."""
        if state is TaskState.SUCCESS and not self._outputs.has(execution, task):
            return TaskState.PENDING
        return state

    def _coordinate(self, job: _Job, kept: Mapping[str, Kept]) -> Execution:
        workflow = job.workflow
        now = self._clock()
        self._store.start(job.id, now)
        self._observe(ExecutionStarted(execution_id=job.id, workflow_id=workflow.id, time=now, tasks=tuple(job.tasks)))
        plan = Plan({task.id: _rule(task) for task in workflow.tasks}, kept)
        changes = plan.begin()
        try:
            # Before the first task: all of the declared secrets can be read, or none of the tasks starts.
            with self._resolver.scope(workflow.secrets, workflow=workflow.id) as scope:
                scope.check()
                if self._reads_secrets:
                    scope.register(self._maskers.of(job.id))
        except SecretsError as error:
            why = MISSING_SECRETS if isinstance(error, MissingSecretsError) else UNREADABLE_SECRETS
            self._change(job, changes + plan.cancel(why), {})
            self._end(job, ExecutionState.FAILED, why, error.message)
            raise
        self._change(job, changes, {})
        try:
            state, reason = self._drive(job, plan)
        except BaseException:
            self._abandon(job)
            raise
        return self._end(job, state, reason, _words(reason))

    def _drive(self, job: _Job, plan: Plan) -> tuple[ExecutionState, str | None]:
        futures: dict[Future[str], tuple[str, int]] = {}
        renew = time.monotonic() + RENEW_SECONDS
        deadline = None if job.workflow.timeout is None else time.monotonic() + job.workflow.timeout
        stopped: str | None = None
        while not plan.finished:
            if deadline is not None and time.monotonic() >= deadline:
                self._stop = self._stop or TIMEOUT
            if self._stop and not stopped:
                stopped = self._stop
                self._change(job, plan.cancel(stopped), {})
                self._worker.cancel(job.id)
            self._submit(job, plan, futures)
            if time.monotonic() >= renew:
                self._renew(job)
                renew = time.monotonic() + RENEW_SECONDS
            for future in self._wait(self._patience(plan, renew, deadline)):
                task, number = futures.pop(future)
                self._ended(job, plan, task, number, future)
        state, reason = plan.outcome()
        return (ExecutionState.FAILED, reason) if reason == TIMEOUT else (state, reason)

    def _submit(self, job: _Job, plan: Plan, futures: dict[Future[str], tuple[str, int]]) -> None:
        starts = plan.take(self._max_parallel - plan.running, self._clock())
        if not starts:
            return
        now = self._clock()
        self._store.begin_attempts(job.id, starts, now)  # committed before it is submitted
        for start in starts:
            self._observe(
                TaskChanged(
                    execution_id=job.id, task_id=start.task, time=now, state=TaskState.RUNNING, attempt=start.number
                )
            )
            future = self._pool.submit(self._envelope(job, start.task, start.number).to_json(), frozenset())
            futures[future] = (start.task, start.number)
            future.add_done_callback(self._wake.put)

    def _envelope(self, job: _Job, task_id: str, number: int) -> Envelope:
        task, workflow = job.tasks[task_id], job.workflow
        return Envelope(
            execution_id=job.id,
            workflow_id=workflow.id,
            task_id=task_id,
            attempt=number,
            type=task.type,
            workdir=str(job.path.parent),
            inputs=task.inputs,
            env=task.env,
            secrets=workflow.secrets,
            pass_env=workflow.pass_env,
            timeout=task.timeout,
            isolation=task.isolation or workflow.isolation,
            max_output=task.max_output,
            limits=_limits(task),
            variables=workflow.vars,
            arguments=job.arguments,
            parents=tuple(
                # Only what is named; that it is upstream was checked before anything ran.
                dict.fromkeys(
                    reference.name
                    for reference in find_references([task.inputs, task.env])
                    if reference.root == "tasks"
                )
            ),
        )

    def _wait(self, seconds: float) -> list[Future[str]]:
        """Return the futures that are done, after at most `seconds`; all that are there at once."""
        done = []
        with suppress(queue.Empty):
            item = self._wake.get(timeout=max(seconds, 0.0))
            while True:
                if item is not None:
                    done.append(item)
                item = self._wake.get_nowait()
        return done

    def _patience(self, plan: Plan, renew: float, deadline: float | None) -> float:
        due = plan.next_due()
        if not plan.running and due is None:  # cancelled with nothing under way
            return 0.0
        now = time.monotonic()
        waits = [renew - now]
        if deadline is not None and self._stop is None:
            waits.append(deadline - now)
        if due is not None:
            waits.append((due - self._clock()) / 1e6)
        return min(waits)

    def _ended(self, job: _Job, plan: Plan, task: str, number: int, future: Future[str]) -> None:
        future.result()  # an exception here means that rows could not be written: the engine cannot go on
        attempt = self._store.attempt(job.id, task, number)
        now = self._clock()
        state = _TASK_OF_ATTEMPT[attempt.state]
        changes = plan.ended(task, state, attempt.reason, now)
        seconds = ((attempt.finished_at or now) - (attempt.claimed_at or now)) / 1e6
        self._change(job, changes, {task: (number, attempt.message, seconds)})

    def _change(self, job: _Job, changes: Sequence[Change], ended: Mapping[str, tuple[int, str | None, float]]) -> None:
        now = self._clock()
        self._store.change_tasks(job.id, changes, now)
        for change in changes:
            if change.state.ended or change.reason == BACKOFF:
                attempt, message, seconds = ended.get(change.task, (None, None, None))
                self._observe(
                    TaskChanged(
                        execution_id=job.id,
                        task_id=change.task,
                        time=now,
                        state=change.state,
                        reason=change.reason,
                        attempt=attempt,
                        message=message,
                        seconds=seconds,
                    )
                )

    def _renew(self, job: _Job) -> None:
        lease = Lease(owner=job.lease.owner, until=boottime() + LEASE_MICROSECONDS)
        if not self._store.renew(job.id, lease):
            raise ExecutionBusyError(
                f"execution '{job.id}' was taken over by another process while this one was not heard of",
                hint=f"look at it with: workflow execution show {job.id}",
            )

    def _end(self, job: _Job, state: ExecutionState, reason: str | None, message: str | None) -> Execution:
        masker = self._maskers.of(job.id)
        now = self._clock()
        before = self._store.execution(job.id)  # what an earlier coordinator had counted stays
        masked = {**before.masked, **self._maskers.masked(job.id)}
        used = {**before.secrets_used, **self._maskers.used(job.id)}
        self._store.end(job.id, state, now=now, reason=reason, message=message, secrets_used=used, masked=masked)
        self._observe(
            ExecutionEnded(
                execution_id=job.id,
                workflow_id=job.workflow.id,
                time=now,
                state=state,
                reason=reason,
                message=message,
                masked=masked,
                secrets_used=used,
                unmaskable=masker.unmaskable,
            )
        )
        self._worker.forget(job.id)
        return self._store.execution(job.id)

    def _abandon(self, job: _Job) -> None:
        """The rows cannot be written, or this is a bug: stop the children; `resume` finds the rest as it was."""
        self._worker.cancel(job.id)
        self._pool.close()
        self._worker.forget(job.id)


def _rule(task: Task) -> TaskRule:
    retry = task.retry
    return TaskRule(
        needs=tuple(task.needs),
        continue_on_error=task.continue_on_error,
        retries=retry.max if retry else 0,
        backoff=retry.backoff_seconds if retry else 0,
        max_backoff=retry.max_backoff_seconds if retry else 0,
    )


def _limits(task: Task) -> dict[str, int]:
    limits = {} if task.limits is None else {"memory": task.limits.memory, "cpu": task.limits.cpu}
    return {name: ceil(value) for name, value in limits.items() if value is not None}


def _words(reason: str | None) -> str | None:
    if reason is None:
        return None
    kind, _, task = reason.partition(":")
    if kind == "task":
        return f"task '{task}' did not succeed"
    return {
        TIMEOUT: "the workflow's timeout has passed",
        INTERRUPTED: "interrupted",
    }.get(reason, reason)
