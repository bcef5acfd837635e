"""One execution from its first attempt to its last: the loop around the plan.

Each turn asks the plan what follows from what has happened, writes all of that in one transaction, and only then
submits. The rows are the truth: a future only says that it is time to look at them, and a coordinator that finds
that the execution is no longer its own stops its children and writes nothing more.
"""

import queue
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from typing import Final

from autokestra.engine.decisions import DecisionError, Decisions
from autokestra.engine.ports import Job, Worker, taken_over
from autokestra.engine.tenure import Tenure, Wish
from autokestra.errors import AutokestraError
from autokestra.executions.events import Observer, TaskChanged
from autokestra.executions.plan import BACKOFF, TIMEOUT, Change, Kept, Plan, Start
from autokestra.executions.records import Attempt, AttemptState, ExecutionState, ItemList, TaskState
from autokestra.executions.store import ExecutionStore
from autokestra.worker.envelope import Envelope
from autokestra.worker.outputs import OutputVault
from autokestra.worker.pools import Pool
from autokestra.workflow.model import Task
from autokestra_secrets import SecretsError, find_references

LOOK_SECONDS: Final = 2.0  # between two looks at the heartbeats of other processes

_TASK_OF_ATTEMPT: Final = {
    AttemptState.SUCCESS: TaskState.SUCCESS,
    AttemptState.FAILED: TaskState.FAILED,
    AttemptState.CANCELLED: TaskState.CANCELLED,
    AttemptState.LOST: TaskState.FAILED,
    AttemptState.PENDING: TaskState.FAILED,  # submitted, never claimed
    AttemptState.RUNNING: TaskState.FAILED,  # claimed, and its worker said nothing: lost
}


class Coordinator:
    """Drives one plan to its end, with at most `max_parallel` attempts under way.

    `clock` gives microseconds UTC for the rows; `ticks` microseconds of a clock that never jumps, for everything that
    is waited for. `items` are those that an earlier coordinator has left behind, by task.
    """

    def __init__(
        self,
        job: Job,
        plan: Plan,
        *,
        decisions: Decisions,
        outputs: OutputVault,
        items: Mapping[str, Mapping[int, Kept]],
        store: ExecutionStore,
        pool: Pool,
        worker: Worker,
        observer: Observer,
        clock: Callable[[], int],
        ticks: Callable[[], int],
        max_parallel: int,
        wish: Wish,
    ) -> None:
        self._job = job
        self._plan = plan
        self._decisions = decisions
        self._outputs = outputs
        self._items = items
        self._store = store
        self._pool = pool
        self._worker = worker
        self._observe = observer
        self._clock = clock
        self._ticks = ticks
        self._max_parallel = max_parallel
        self._wish = wish
        self._stopped = False
        self._timed_out = False
        self._parents: dict[str, tuple[str, ...]] = {}
        self._lists: list[ItemList] = []
        self._expanded: dict[str, tuple[int, int]] = {}  # task -> how many items, how many of them had ended before
        self._futures: dict[Future[str], Start] = {}
        self._changes: list[Change] = []
        self._endings: dict[str, tuple[int, str | None, float]] = {}  # task -> number, message, seconds
        now = time.monotonic()
        self._tenure = Tenure(store, job.id, job.lease.owner, wish)
        self._looked_at = now
        self._deadline = None if job.workflow.timeout is None else now + job.workflow.timeout

    def drive(self, changes: Sequence[Change]) -> tuple[ExecutionState, str | None]:
        """Run to the end, from the changes that opened the plan; return how it ended and why.

        Raises ExecutionBusyError when another process has taken over, StateUnavailableError when rows cannot be
        written; `abandon` is then due.
        """
        self._changes += changes
        while True:
            self._hear()
            self._decide()
            self._write(self._plan.take(self._max_parallel - self._plan.running, self._ticks()))
            if self._plan.finished:
                break
            starts = []
            for future in self._wait():
                if (start := self._futures.pop(future, None)) is not None:
                    future.result()  # an exception here means that rows could not be written: nothing can go on
                    starts.append(start)
            for start, attempt in self._rows_of(starts):
                self._settle(start, attempt)
        return self._plan.outcome()

    def abandon(self) -> None:
        """Stop what still runs; `resume` finds the rows as they are."""
        for start in self._futures.values():
            self._worker.cancel(self._job.id, start.task, start.number)

    # --- what comes from outside

    def _hear(self, *, listen_now: bool = False) -> None:
        now = time.monotonic()
        if self._deadline is not None and now >= self._deadline and not self._timed_out:
            self._timed_out = True
            if not self._plan.main_ended:
                self._halt(TIMEOUT)
        reason = self._tenure.keep(listen_now=listen_now)
        if now >= self._looked_at + LOOK_SECONDS:
            self._look_for_the_dead(now)
        if reason and not self._stopped:
            self._stopped = True
            self._halt(reason)

    def _halt(self, reason: str) -> None:
        self._changes += self._plan.cancel(reason)
        self.abandon()

    def _decide(self) -> None:
        """Answer what the plan asks about tasks that may start, until it asks no more."""
        while tasks := self._plan.questions():
            for task in tasks:
                self._changes += self._answer(self._job.tasks[task])

    def _answer(self, task: Task) -> list[Change]:
        failed = self._plan.failed if self._plan.main_ended else ()
        try:
            if not self._decisions.holds(task, failed):
                return self._plan.skip(task.id)
            if task.for_each is None:
                return self._plan.admit(task.id)
            return self._expand(task, failed)
        except (AutokestraError, SecretsError) as error:
            reason = error.reason if isinstance(error, DecisionError) else "template"
            return self._plan.refuse(task.id, reason, error.message)

    def _expand(self, task: Task, failed: tuple[str, ...]) -> list[Change]:
        # A list that is there is the one that some of the items have run with.
        items = self._outputs.items(self._job.id, task.id, learn=lambda *_: None)
        if items is None:
            items, values = self._decisions.items(task, failed)
            has_secrets = bool(self._job.workflow.secrets)
            kept = self._outputs.keep_items(self._job.id, task.id, items, has_secrets=has_secrets, values=values)
            self._lists.append(kept)
        changes = self._plan.expand(task.id, len(items), self._items.get(task.id))
        to_run = {change.task for change in changes if change.item is not None}
        self._expanded[task.id] = (len(items), len(items) - len(to_run))
        return changes

    def _look_for_the_dead(self, now: float) -> None:
        """Give up attempts whose workers have died; they may be tried again."""
        # One that could not look for a while (stopped, or the database was locked) first lets the others speak.
        late = now > self._looked_at + 2 * LOOK_SECONDS
        self._looked_at = now
        if late:
            return
        futures = {start: future for future, start in self._futures.items()}
        for start, attempt in self._rows_of(futures):
            lease = attempt.lease
            if attempt.state is not AttemptState.RUNNING or lease is None or lease.owner == self._job.lease.owner:
                continue  # our own worker answers by its future, for as long as there is anybody to hear it
            if self._store.leases.is_dead(lease) and self._store.lose(
                self._job.id, start.task, start.number, lease=lease, now=self._clock()
            ):
                del self._futures[futures[start]]
                self._settle(start, self._store.attempt(self._job.id, start.task, start.number))

    def _wait(self) -> list[Future[str]]:
        """Return the futures that are done, all that are there at once, or none when something else is due."""
        done = []
        with suppress(queue.Empty):
            item = self._wish.wake.get(timeout=max(self._patience(), 0.0))
            while True:
                if item is not None:
                    done.append(item)
                item = self._wish.wake.get_nowait()
        return done

    def _patience(self) -> float:
        now = time.monotonic()
        waits = [self._tenure.due - now, self._looked_at + LOOK_SECONDS - now]
        if self._deadline is not None and not self._timed_out:
            waits.append(self._deadline - now)
        due = self._plan.next_due()
        if due is not None:
            waits.append((due - self._ticks()) / 1e6)
        return min(waits)

    # --- what follows from it

    def _rows_of(self, starts: Collection[Start]) -> Iterable[tuple[Start, Attempt]]:
        """Look at all of them at once: each look is a way to the database."""
        if not starts:
            return ()
        keys = [(start.task, start.number) for start in starts]
        return zip(starts, self._store.these_attempts(self._job.id, keys), strict=True)

    def _settle(self, start: Start, attempt: Attempt) -> None:
        if attempt.state is AttemptState.CANCELLED and not self._stopped:
            # Its worker has seen the row before we have. What it means must be known before what follows from it.
            self._hear(listen_now=True)
        now = self._clock()
        seconds = ((attempt.finished_at or now) - (attempt.claimed_at or now)) / 1e6
        self._endings[start.task] = (start.number, attempt.message, seconds)
        state = _TASK_OF_ATTEMPT[attempt.state]
        self._changes += self._plan.ended(start.task, start.number, state, attempt.reason, self._ticks())

    def _write(self, starts: Sequence[Start]) -> None:
        """Write what was decided, then tell of it, then submit."""
        if not self._changes and not starts:
            return
        begun = {start.task for start in starts}
        wall, ticks = self._clock(), self._ticks()
        changes = [
            _at_wall_time(change, wall - ticks)
            for change in self._changes
            # Two steps of one transaction are one; but an item's row has to be made first.
            if not (change.state is TaskState.PENDING and change.task in begun and change.item is None)
        ]
        owner = self._job.lease.owner
        if not self._store.advance(
            self._job.id, owner=owner, now=wall, changes=changes, starts=starts, lists=self._lists
        ):
            raise taken_over(self._job.id)
        for change in changes:
            expanded = change.state is TaskState.RUNNING and change.task in self._expanded
            if change.state.ended or change.reason == BACKOFF or expanded:
                self._tell(change, wall)
        self._changes.clear()
        self._lists.clear()
        self._endings.clear()
        for start in starts:
            self._observe(
                TaskChanged(
                    execution_id=self._job.id,
                    task_id=start.task,
                    time=wall,
                    state=TaskState.RUNNING,
                    attempt=start.number,
                )
            )
            future = self._pool.submit(
                self._envelope(start).to_json(), frozenset(self._job.tasks[start.parent or start.task].tags)
            )
            self._futures[future] = start
            future.add_done_callback(self._wish.wake.put)

    def _tell(self, change: Change, now: int) -> None:
        attempt, message, seconds = self._endings.get(change.task, (None, None, None))
        running = change.state is TaskState.RUNNING
        items, items_kept = self._expanded.pop(change.task, (None, 0)) if running else (None, 0)
        self._observe(
            TaskChanged(
                execution_id=self._job.id,
                task_id=change.task,
                time=now,
                state=change.state,
                reason=change.reason,
                attempt=attempt,
                message=change.message or message,
                seconds=seconds,
                items=items,
                items_kept=items_kept,
            )
        )

    def _envelope(self, start: Start) -> Envelope:
        task, workflow = self._job.tasks[start.parent or start.task], self._job.workflow
        if task.id not in self._parents:
            # Only what is named; that it is upstream was checked before anything ran.
            named = (each.name for each in find_references([task.inputs, task.env]) if each.root == "tasks")
            self._parents[task.id] = tuple(dict.fromkeys(named))
        return Envelope(
            execution_id=self._job.id,
            workflow_id=workflow.id,
            task_id=start.task,
            attempt=start.number,
            type=task.type,
            workdir=str(self._job.path.parent),
            inputs=task.inputs,
            env=task.env,
            secrets=workflow.secrets,
            pass_env=workflow.pass_env,
            timeout=task.timeout,
            isolation=task.isolation or workflow.isolation,
            max_output=task.max_output,
            limits=task.limits.numbers if task.limits else {},
            variables=workflow.vars,
            arguments=self._job.arguments,
            parents=self._parents[task.id],
            parent=start.parent,
            item=start.item,
            failed=self._plan.failed if self._plan.main_ended else (),
        )


def _at_wall_time(change: Change, difference: int) -> Change:
    """The plan counts in ticks, the rows in UTC."""
    if change.not_before is None:
        return change
    return replace(change, not_before=change.not_before + difference)
