"""WorkflowEngine: begins executions and takes them up again; what happens in between is the coordinator's.

No secret is read here; whether the declared ones exist is asked before the first task.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from autokestra.engine.coordinator import Coordinator, Wish
from autokestra.engine.ports import (
    INTERRUPTED,
    MISSING_SECRETS,
    UNREADABLE_SECRETS,
    ExecutionBusyError,
    Job,
    Maskers,
    Worker,
    taken_over,
    words_for,
)
from autokestra.executions.events import ExecutionEnded, ExecutionStarted, Observer
from autokestra.executions.lease import boottime, is_dead, own_lease
from autokestra.executions.plan import Change, Kept, Plan, TaskRule
from autokestra.executions.records import Execution, ExecutionState, Lease, TaskState, execution_id
from autokestra.executions.store import ExecutionStore
from autokestra.worker.outputs import OutputVault
from autokestra.worker.pools import Pool
from autokestra.workflow.loader import LoadedWorkflow
from autokestra.workflow.model import Task, Workflow
from autokestra_secrets import MissingSecretsError, SecretResolver, SecretsError


class WorkflowEngine:
    """Runs executions, one at a time, with at most `max_parallel` attempts under way.

    `reads_secrets` says that attempts run in this process, so that a key that is missing or wrong is found before
    the first of them. `clock` gives microseconds UTC, `ticks` those of a clock that never jumps. `observer` is told of
    everything that happens and must not raise.
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
        ticks: Callable[[], int] = boottime,
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
        self._ticks = ticks
        self._wish = Wish()

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
        self._wish.stop(reason)

    # --- inside

    def _job(self, row: Execution, workflow: Workflow, lease: Lease) -> Job:
        return Job(
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

    def _coordinate(self, job: Job, kept: Mapping[str, Kept]) -> Execution:
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
            self._refuse(job, changes + plan.cancel(why), why, error.message)
            raise
        coordinator = Coordinator(
            job,
            plan,
            store=self._store,
            pool=self._pool,
            worker=self._worker,
            observer=self._observe,
            clock=self._clock,
            ticks=self._ticks,
            max_parallel=self._max_parallel,
            wish=self._wish,
        )
        try:
            state, reason = coordinator.drive(changes)
            return self._end(job, state, reason, words_for(reason))
        except BaseException:
            # The rows cannot be written or are no longer ours, or this is a bug.
            coordinator.abandon()
            self._pool.close()
            self._worker.forget(job.id)
            raise

    def _refuse(self, job: Job, changes: list[Change], reason: str, message: str) -> None:
        self._store.advance(job.id, owner=job.lease.owner, now=self._clock(), changes=changes)
        self._end(job, ExecutionState.FAILED, reason, message)

    def _end(self, job: Job, state: ExecutionState, reason: str | None, message: str | None) -> Execution:
        masker = self._maskers.of(job.id)
        now = self._clock()
        before = self._store.execution(job.id)  # what an earlier coordinator had counted stays
        masked = {**before.masked, **self._maskers.masked(job.id)}
        used = {**before.secrets_used, **self._maskers.used(job.id)}
        if not self._store.end(
            job.id,
            state,
            owner=job.lease.owner,
            now=now,
            reason=reason,
            message=message,
            secrets_used=used,
            masked=masked,
        ):
            raise taken_over(job.id)
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


def _rule(task: Task) -> TaskRule:
    retry = task.retry
    return TaskRule(
        needs=tuple(task.needs),
        continue_on_error=task.continue_on_error,
        retries=retry.max if retry else 0,
        backoff=retry.backoff_seconds if retry else 0,
        max_backoff=retry.max_backoff_seconds if retry else 0,
    )
