"""WorkflowEngine: begins executions and takes them up again; what happens in between is the coordinator's.

That all declared secrets can be read is asked before the first task; their values go to the masker alone.
"""

import queue
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from autokestra.engine.coordinator import Coordinator
from autokestra.engine.decisions import Decisions
from autokestra.engine.ports import (
    BUSY,
    INTERRUPTED,
    MISSING_SECRETS,
    UNREADABLE_SECRETS,
    Job,
    Maskers,
    Worker,
    no_worker,
    taken_over,
    words_for,
)
from autokestra.engine.takeover import await_workers
from autokestra.engine.tenure import POLL_SECONDS, Tenure, Wish
from autokestra.errors import ExecutionBusyError, UsageError
from autokestra.executions.events import ExecutionEnded, ExecutionStarted, Observer
from autokestra.executions.lease import boottime, own_lease
from autokestra.executions.plan import Change, Kept, Plan, TaskRule
from autokestra.executions.records import Execution, ExecutionState, Lease, TaskOf, TaskState, execution_id
from autokestra.executions.store import ExecutionStore
from autokestra.worker.outputs import OutputVault
from autokestra.worker.pools import Pool
from autokestra.workflow.graph import downstream
from autokestra.workflow.loader import LoadedWorkflow
from autokestra.workflow.model import Task, Workflow
from autokestra.workflow.problems import nearest
from autokestra_secrets import MissingSecretsError, SecretResolver, SecretsError, SecretValue

TELLING_CHARACTERS: Final = 8  # of an input, from which on a secret within it is no coincidence


class WorkflowEngine:
    """Runs executions, one at a time, with at most `max_parallel` attempts under way.

    `reads_secrets` says that this process has a key, so that the masker learns every declared secret before the first
    attempt; `past_values` gives the kept versions of secrets, for a resume. `clock` gives microseconds
    UTC, `ticks` those of a clock that never jumps. `observer` is told of everything that happens and must not raise,
    `notify` gets words for a person who waits. `environ` is where the variables of `passEnv` come from, `chance`
    gives numbers from 0 up to 1 for the jitter of retries.
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
        environ: Mapping[str, str],
        past_values: Callable[[Sequence[str]], Iterable[tuple[SecretValue, str]]] = lambda _: (),
        notify: Callable[[str], None] = lambda _: None,
        ticks: Callable[[], int] = boottime,
        chance: Callable[[], float] = random.random,
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
        self._environ = environ
        self._past_values = past_values
        self._notify = notify
        self._ticks = ticks
        self._chance = chance
        self._wish = Wish()

    def run(self, loaded: LoadedWorkflow, arguments: Mapping[str, Any], *, caller: TaskOf | None = None) -> Execution:
        """Run a loaded workflow to its end and return its row; `arguments` are its inputs, typed already.

        `caller` is the task as a part of which it runs.
        """
        self._refuse_unknown_tags(loaded.workflow)
        now = self._clock()
        lease = own_lease(self._store.leases.now)
        id_ = execution_id(now)
        self._refuse_secrets_among(arguments, id_, loaded.workflow)
        row = Execution(
            id=id_,
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
            caller=caller,
        )
        row = replace(row, workflow_seal=self._outputs.workflow_seal(row))
        self._store.create(row, [task.id for task in loaded.workflow.all_tasks])
        return self._coordinate(self._job(row, loaded.workflow, lease), {}, {})

    def resume(self, execution: str, *, from_task: str | None = None, unproven: bool = False) -> Execution:
        """Run again what had not finished in an execution whose coordinator is gone; finished tasks stay finished.

        `from_task` and all that needs it run again even if they have finished; `unproven` as in
        `OutputVault.check_workflow`. Raises ExecutionNotFoundError; StateFormatError when the rows hold another
        workflow than it began with; UsageError for an unknown task; ExecutionBusyError when somebody else coordinates
        it or was first.
        """
        row = self._store.execution(execution)
        workflow = Workflow.model_validate_json(row.workflow)
        self._outputs.check_workflow(row, unproven=unproven)
        again = _from(workflow, from_task)
        if row.state is ExecutionState.SUCCESS and not again:
            return row
        self._refuse_unknown_tags(workflow)
        lease = own_lease(self._store.leases.now)
        busy = row.lease is not None and not self._store.leases.is_dead(row.lease)
        if busy or not self._store.take_over(row.id, row.lease, lease, self._clock()):
            owner = row.lease.owner.split("/")[0] if row.lease else "another process"
            raise ExecutionBusyError(
                f"execution '{row.id}' is coordinated by another process on {owner}",
                hint=f"look at it with: workflow execution show {row.id}",
            )
        job = self._job(row, workflow, lease)
        running = self._store.run_elsewhere(row.id, self._clock())
        if running:
            kept, _ = self._what_counts(row.id, again)
            self._tell_start(job, self._plan(workflow, kept).begin())
            self._notify(f"waiting for {len(running)} task{'' if len(running) == 1 else 's'} that workers still run")
            await_workers(self._store, row.id, lease.owner, self._wish, clock=self._clock, observer=self._observe)
        self._store.forget_items(row.id, again)
        kept, items = self._what_counts(row.id, again)
        for value, name in self._past_values(workflow.secrets):
            self._maskers.of(row.id).add(value, name)  # outputs of before may hold what was changed since
        return self._coordinate(job, kept, items, is_told=bool(running))

    def stop(self, reason: str = INTERRUPTED) -> None:
        """Cancel the execution under way: nothing new starts, what runs is terminated. Safe in a signal handler."""
        self._wish.stop(reason)

    # --- inside

    def _refuse_unknown_tags(self, workflow: Workflow) -> None:
        """Raise PoolUnavailableError where some task would wait for ever for a worker with its tags."""
        for task in workflow.all_tasks:
            if task.tags and not self._pool.can_run(frozenset(task.tags)):
                raise no_worker(task.id, task.tags)

    def _refuse_secrets_among(self, arguments: Mapping[str, Any], execution: str, workflow: Workflow) -> None:
        """Inputs are kept in clear and shown, so a secret may not be one. Raises UsageError that names the input."""
        if not (self._reads_secrets and workflow.secrets and arguments):
            return
        masker = self._maskers.of(execution)
        try:
            with self._resolver.scope(workflow.secrets, workflow=workflow.id) as scope:
                scope.register(masker)
        except SecretsError:
            return  # told in a moment, with an execution that says so
        for name, value in arguments.items():
            # Short values are words as often as secrets: `prod` in `-i stage=prod` is nobody's leak.
            if len(str(value)) >= TELLING_CHARACTERS and masker.mask_object(value) != value:
                self._worker.forget(execution)
                raise UsageError(
                    f"input '{name}' holds the value of a secret, and inputs are kept in clear",
                    hint="write {{ secrets.NAME }} in the workflow instead",
                )

    def _job(self, row: Execution, workflow: Workflow, lease: Lease) -> Job:
        return Job(
            id=row.id,
            workflow=workflow,
            path=Path(row.workflow_path),
            arguments=row.inputs,
            lease=lease,
            tasks={task.id: task for task in workflow.all_tasks},
        )

    def _what_counts(self, execution: str, again: frozenset[str]) -> tuple[dict[str, Kept], dict[str, dict[int, Kept]]]:
        """Return how the tasks of an execution stand, and the items of each: those of `again` have to run once more."""
        kept: dict[str, Kept] = {}
        items: dict[str, dict[int, Kept]] = {}
        readable: dict[str, frozenset[int]] = {}
        for run in self._store.task_runs(execution):
            if run.parent is None or run.item is None:
                state = TaskState.PENDING if run.task_id in again else run.state
                kept[run.task_id] = Kept(state=self._that_counts(execution, run.task_id, state), attempts=run.attempts)
                continue
            if run.parent not in readable:
                readable[run.parent] = self._outputs.kept_items(execution, run.parent)
            gone = run.state is TaskState.SUCCESS and run.item not in readable[run.parent]
            state = TaskState.PENDING if gone or run.parent in again else run.state
            items.setdefault(run.parent, {})[run.item] = Kept(state=state, attempts=run.attempts)
        return kept, items

    def _that_counts(self, execution: str, task: str, state: TaskState) -> TaskState:
        """A task that succeeded with an output that is gone (it was kept in memory only) has to run again."""
        if state is TaskState.SUCCESS and not self._outputs.has(execution, task):
            return TaskState.PENDING
        return state

    def _plan(self, workflow: Workflow, kept: Mapping[str, Kept]) -> Plan:
        rules = {task.id: _rule(task, on_failure=False) for task in workflow.tasks}
        rules |= {task.id: _rule(task, on_failure=True) for task in workflow.on_failure}
        return Plan(rules, kept, chance=self._chance)

    def _tell_start(self, job: Job, changes: Sequence[Change]) -> None:
        open_ = {change.task for change in changes}
        self._observe(
            ExecutionStarted(
                execution_id=job.id,
                workflow_id=job.workflow.id,
                time=self._clock(),
                tasks=tuple(job.tasks),
                kept=tuple(task for task in job.tasks if task not in open_),
            )
        )

    def _coordinate(
        self,
        job: Job,
        kept: Mapping[str, Kept],
        items: Mapping[str, Mapping[int, Kept]],
        *,
        is_told: bool = False,
    ) -> Execution:
        """Run what has not ended; with `is_told` the observer knows already that the execution is under way."""
        workflow = job.workflow
        plan = self._plan(workflow, kept)
        changes = plan.begin()
        waited = self._admitted(job)
        now = self._clock()
        if not is_told:
            self._tell_start(job, changes)
        if waited is not None:
            state, why, said = waited
            self._store.advance(job.id, owner=job.lease.owner, now=now, changes=changes + plan.cancel(why))
            row = self._end(job, state, why, said)
            if why == BUSY:
                raise ExecutionBusyError(said, hint=f"look at it with: workflow execution show {job.id}")
            return row
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
            decisions=Decisions(job, self._outputs, self._environ),
            outputs=self._outputs,
            items=items,
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

    def _admitted(self, job: Job) -> tuple[ExecutionState, str, str] | None:
        """Return when the execution may run, and None; or how it has ended before it could."""
        limit = job.workflow.concurrency
        if limit is None:
            self._store.start(job.id, self._clock())
            return None
        told = False
        tenure = Tenure(self._store, job.id, job.lease.owner, self._wish)
        row = self._store.execution(job.id)
        while ahead := self._store.admit(row, most=limit.max, now=self._clock()):
            most = "one" if limit.max == 1 else str(limit.max)
            message = f"execution {ahead[0]} of workflow '{job.workflow.id}' is under way, and {most} may run at once"
            if limit.on_busy == "fail":
                return ExecutionState.FAILED, BUSY, message
            if not told:
                told = True
                self._notify(f"waiting: {message}")
            if reason := tenure.keep():
                return ExecutionState.CANCELLED, reason, words_for(reason) or reason
            with suppress(queue.Empty):
                self._wish.wake.get(timeout=POLL_SECONDS)
        return None

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


def _rule(task: Task, *, on_failure: bool) -> TaskRule:
    retry = task.retry
    return TaskRule(
        needs=tuple(task.needs),
        continue_on_error=task.continue_on_error,
        retries=retry.max if retry else 0,
        backoff=retry.backoff_seconds if retry else 0,
        max_backoff=retry.max_backoff_seconds if retry else 0,
        jitter=retry.jitter if retry else 0,
        asks=task.when is not True or task.for_each is not None,
        on_failure=on_failure,
        max_parallel=task.max_parallel,
    )


def _from(workflow: Workflow, task: str | None) -> frozenset[str]:
    """Return `task` and all that needs it. Raises UsageError where there is no such task."""
    if task is None:
        return frozenset()
    needs = {each.id: each.needs for each in workflow.tasks}
    if task not in needs:
        if any(task == each.id for each in workflow.on_failure):
            raise UsageError(
                f"task '{task}' runs after a failure only", hint="name a task of the list `tasks` of the workflow"
            )
        raise UsageError(
            f"the workflow has no task '{task}'", hint=nearest(task, needs) or f"it has: {', '.join(needs)}"
        )
    return downstream(needs, task) | {task}
