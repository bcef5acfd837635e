"""What comes next in an execution: events in, decisions out. No clock, no database, no thread, no chance of its own.

The plan holds the state of each task run and counts the needs that are still open, so that an event costs what it
changes and not the number of tasks. Every transition carries a machine-readable reason; an event that says what is
already known changes nothing. What only a template can tell (a condition, a list) is asked of the caller.
"""

import heapq
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from autokestra.executions.records import ExecutionState, TaskState

MICROSECONDS: Final = 1_000_000

DEPENDENCY: Final = "dependency"
BACKOFF: Final = "backoff"
CONCURRENCY: Final = "concurrency"  # may start, but as many as are allowed at once run already
UPSTREAM: Final = "upstream"
CONDITION: Final = "condition"
NO_FAILURE: Final = "no-failure"  # of an `onFailure` task of an execution in which nothing failed
ITEMS: Final = "items"  # items of the task did not succeed
REMOVED: Final = "removed"  # of an item that a new list no longer has
TIMEOUT: Final = "timeout"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRule:
    """What the plan must know of a task.

    `backoff` and `max_backoff` are seconds; `retries` counts further attempts; `jitter` is the part of a pause, from 0
    to 1, that chance may take away. `asks` is true where a condition or a list must be looked at before the start,
    `on_failure` for what runs after all others when something failed. `max_parallel` limits the items at once.
    """

    needs: tuple[str, ...] = ()
    continue_on_error: bool = False
    retries: int = 0
    backoff: float = 1.0
    max_backoff: float = 3600.0
    jitter: float = 0.0
    asks: bool = False
    on_failure: bool = False
    max_parallel: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What an earlier coordinator left behind for one task or item: its state and how many attempts it has used."""

    state: TaskState
    attempts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A task run enters `state`; `not_before` (microseconds) only while it waits for a backoff.

    `parent` and `item` are there only when an item enters the plan, so that its row may have to be made.
    """

    task: str
    state: TaskState
    reason: str | None = None
    message: str | None = None
    not_before: int | None = None
    parent: str | None = None
    item: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Attempt `number` (from 1) of `task` is to be submitted now; of an item, `parent` is the task and `item` which."""

    task: str
    number: int
    parent: str | None = None
    item: int | None = None


@dataclass(slots=True, kw_only=True)
class _Group:
    """The items of one task: `open` have not ended, `admitted` may run or do, the rest waits in `waiting`."""

    total: int
    open: int
    limit: int | None
    admitted: int = 0
    failed: int = 0
    waiting: deque[str] = field(default_factory=deque)


def item_id(task: str, item: int) -> str:
    """Return the id of the task run of one item: `task[3]`."""
    return f"{task}[{item}]"


class Plan:
    """The state machine of one execution.

    `kept` are the rows of an execution that is resumed: what ended SUCCESS stays, and so does FAILED where the task
    has `continue_on_error`; everything else starts over, with attempt numbers going on and all retries left. What is
    `on_failure` always starts over. `chance` gives numbers from 0 up to 1 for the jitter.
    """

    def __init__(
        self,
        rules: Mapping[str, TaskRule],
        kept: Mapping[str, Kept] | None = None,
        *,
        chance: Callable[[], float] = lambda: 0.0,
    ) -> None:
        kept = kept or {}
        self._rules = rules
        self._chance = chance
        self._dependents: dict[str, list[str]] = {task: [] for task in rules}
        for task, rule in rules.items():
            for need in set(rule.needs):
                self._dependents[need].append(task)
        # By task, and by item where there are some.
        self._state = dict.fromkeys(rules, TaskState.WAITING)
        self._attempts = {task: kept[task].attempts if task in kept else 0 for task in rules}
        self._failures: dict[str, int] = {}
        self._item: dict[str, tuple[str, int]] = {}  # item id -> task, number
        self._groups: dict[str, _Group] = {}
        self._ready: deque[str] = deque()
        self._questions: deque[str] = deque()
        self._backoff: list[tuple[int, int, str]] = []  # (due, order of arrival, task)
        self._arrivals = 0
        for task, row in kept.items():
            if task in rules and not rules[task].on_failure and self._stays(task, row):
                self._state[task] = row.state
        self._open = {
            task: sum(not self._state[need].ended for need in set(rule.needs)) for task, rule in rules.items()
        }
        self._unended = sum(not state.ended for state in self._state.values())
        self._main_unended = sum(not self._state[task].ended for task, rule in rules.items() if not rule.on_failure)
        self._running = 0
        self._cancelled: str | None = None
        self._halted: str | None = None  # nothing of onFailure starts either

    def begin(self) -> list[Change]:
        """Return the changes that open the execution: tasks without open needs may start, the others wait."""
        changes = []
        for task, state in list(self._state.items()):
            if not state.ended:
                if self._open[task] or self._rules[task].on_failure:
                    changes.append(Change(task=task, state=TaskState.WAITING, reason=DEPENDENCY))
                else:
                    changes.append(self._may_start(task))
        if not self._main_unended:
            changes += self._after_all_others()
        return changes

    # --- what the caller has to find out

    def questions(self) -> list[str]:
        """Return the tasks whose needs have ended and whose condition or list is to be looked at now, each once.

        Each is answered by `admit`, `skip`, `refuse` or `expand`.
        """
        asked = [task for task in self._questions if not self._state[task].ended]
        self._questions.clear()
        return asked

    def admit(self, task: str) -> list[Change]:
        """The condition of `task` holds."""
        self._ready.append(task)
        return []

    def skip(self, task: str) -> list[Change]:
        """The condition of `task` does not hold: return what follows."""
        return self._end(task, TaskState.SKIPPED, CONDITION)

    def refuse(self, task: str, reason: str, message: str) -> list[Change]:
        """The condition or the list of `task` is wrong in itself: return what follows."""
        return self._end(task, TaskState.FAILED, reason, message)

    def expand(self, task: str, count: int, kept: Mapping[int, Kept] | None = None) -> list[Change]:
        """`task` runs once for each of `count` items, which are task runs of their own; return what follows.

        `kept` are the items that an earlier coordinator left behind.
        """
        rule, kept = self._rules[task], kept or {}
        self._state[task] = TaskState.RUNNING
        changes = [Change(task=task, state=TaskState.RUNNING)]
        group = self._groups[task] = _Group(total=count, open=0, limit=rule.max_parallel)
        for number in range(count):
            item, row = item_id(task, number), kept.get(number)
            self._item[item] = (task, number)
            self._attempts[item] = row.attempts if row else 0
            if row and self._stays(task, row):
                self._state[item] = row.state
                group.failed += row.state is TaskState.FAILED
                continue
            group.open += 1
            group.waiting.append(item)
            self._state[item] = TaskState.WAITING
        self._admit_items(group)
        for item in [item_id(task, number) for number in range(count)]:
            if not self._state[item].ended:
                waits = self._state[item] is TaskState.WAITING
                changes.append(
                    Change(
                        task=item,
                        state=self._state[item],
                        reason=CONCURRENCY if waits else None,
                        parent=task,
                        item=self._item[item][1],
                    )
                )
        changes += [
            Change(task=item_id(task, number), state=TaskState.SKIPPED, reason=REMOVED)
            for number in kept
            if number >= count
        ]
        return changes if group.open else changes + self._end_of_items(task)

    # --- what happens

    def take(self, slots: int, now: int) -> list[Start]:
        """Return at most `slots` attempts to submit at `now` (microseconds); they are running from here on."""
        while self._backoff and self._backoff[0][0] <= now:
            task = heapq.heappop(self._backoff)[2]
            if task in self._item:
                group = self._groups[self._item[task][0]]
                group.waiting.appendleft(task)
                self._admit_items(group)
            else:
                self._ready.append(task)
        starts: list[Start] = []
        while self._ready and len(starts) < slots:
            task = self._ready.popleft()
            if self._state[task].ended:  # cancelled while it waited
                continue
            self._attempts[task] += 1
            self._state[task] = TaskState.RUNNING
            self._running += 1
            parent, item = self._item.get(task, (None, None))
            starts.append(Start(task=task, number=self._attempts[task], parent=parent, item=item))
        return starts

    def next_due(self) -> int | None:
        """Return when the next backoff ends (microseconds), or None."""
        return self._backoff[0][0] if self._backoff else None

    def ended(self, task: str, number: int, state: TaskState, reason: str | None, now: int) -> list[Change]:
        """Attempt `number` of `task` is over: return what follows from it, another attempt included.

        The event may come twice, or late, when the attempt was given up and another one runs: nothing changes then.
        """
        if self._state[task] is not TaskState.RUNNING or self._attempts[task] != number:
            return []
        self._running -= 1
        parent = self._item[task][0] if task in self._item else None
        rule = self._rules[parent or task]
        if parent is not None:
            self._groups[parent].admitted -= 1
        again = False
        if state is TaskState.FAILED and self._stopped(rule) is None:
            self._failures[task] = self._failures.get(task, 0) + 1
            again = self._failures[task] <= rule.retries
        if again:
            delay = min(rule.backoff * 2.0 ** min(self._failures[task] - 1, 60), rule.max_backoff)
            delay *= 1.0 - rule.jitter * self._chance()
            changes = [self._wait_until(task, now + round(delay * MICROSECONDS))]
        elif parent is not None:
            changes = self._end_item(task, parent, state, reason)
        else:
            changes = self._end(task, state, reason)
        if parent is not None:
            self._admit_items(self._groups[parent])
        return changes

    def cancel(self, reason: str) -> list[Change]:
        """Nothing new starts any more: what waits becomes CANCELLED, what runs is left to end.

        A timeout is a failure: what is `on_failure` still runs after it, and a second cancel stops that too.
        """
        stops = self._cancelled is None and self._main_unended > 0
        halts = self._halted is None and reason != TIMEOUT
        if not stops and not halts:
            return []
        self._cancelled = reason if stops else self._cancelled
        self._halted = reason if halts else self._halted
        self._ready.clear()
        self._backoff.clear()
        changes: list[Change] = []
        for task, state in list(self._state.items()):
            on_failure = self._rules[self._item[task][0] if task in self._item else task].on_failure
            if state in (TaskState.WAITING, TaskState.PENDING) and (halts if on_failure else stops):
                self._state[task] = TaskState.CANCELLED
                changes.append(Change(task=task, state=TaskState.CANCELLED, reason=reason))
                if task in self._item:
                    self._groups[self._item[task][0]].open -= 1
                    self._groups[self._item[task][0]].failed += 1
                else:
                    self._count_end(task)
        for task, group in self._groups.items():
            if not group.open and not self._state[task].ended:
                self._state[task] = TaskState.CANCELLED
                self._count_end(task)
                changes.append(Change(task=task, state=TaskState.CANCELLED, reason=reason))
        if stops and not self._main_unended:
            changes += self._after_all_others()
        return changes

    @property
    def running(self) -> int:
        """How many attempts are under way."""
        return self._running

    @property
    def main_ended(self) -> bool:
        """Whether every task that is not `on_failure` is over."""
        return self._main_unended == 0

    @property
    def finished(self) -> bool:
        """Whether every task run is over."""
        return self._unended == 0

    def outcome(self) -> tuple[ExecutionState, str | None]:
        """Return how the execution ended and why; only once `main_ended`. What is `on_failure` has no say."""
        if self._cancelled is not None:
            state = ExecutionState.FAILED if self._cancelled == TIMEOUT else ExecutionState.CANCELLED
            return state, self._cancelled
        failed = self.failed
        return (ExecutionState.FAILED, f"task:{failed[0]}") if failed else (ExecutionState.SUCCESS, None)

    @property
    def failed(self) -> tuple[str, ...]:
        """The tasks that have made the execution fail, in the order of the document."""
        return tuple(
            task
            for task, rule in self._rules.items()
            if self._state[task] in (TaskState.FAILED, TaskState.CANCELLED)
            and not rule.continue_on_error
            and not rule.on_failure
        )

    # --- inside

    def _stays(self, task: str, row: Kept) -> bool:
        return row.state is TaskState.SUCCESS or (row.state is TaskState.FAILED and self._rules[task].continue_on_error)

    def _stopped(self, rule: TaskRule) -> str | None:
        return self._halted if rule.on_failure else self._cancelled

    def _may_start(self, task: str) -> Change:
        self._state[task] = TaskState.PENDING
        (self._questions if self._rules[task].asks else self._ready).append(task)
        return Change(task=task, state=TaskState.PENDING)

    def _wait_until(self, task: str, due: int) -> Change:
        self._state[task] = TaskState.WAITING
        self._arrivals += 1
        heapq.heappush(self._backoff, (due, self._arrivals, task))
        return Change(task=task, state=TaskState.WAITING, reason=BACKOFF, not_before=due)

    def _admit_items(self, group: _Group) -> None:
        while group.waiting and (group.limit is None or group.admitted < group.limit):
            item = group.waiting.popleft()
            if not self._state[item].ended:
                self._state[item] = TaskState.PENDING
                group.admitted += 1
                self._ready.append(item)

    def _end_item(self, item: str, task: str, state: TaskState, reason: str | None) -> list[Change]:
        group = self._groups[task]
        self._state[item] = state
        group.open -= 1
        group.failed += state is not TaskState.SUCCESS
        changes = [Change(task=item, state=state, reason=reason)]
        return changes if group.open else changes + self._end_of_items(task)

    def _end_of_items(self, task: str) -> list[Change]:
        group, stopped = self._groups[task], self._stopped(self._rules[task])
        if stopped is not None and group.failed:
            return self._end(task, TaskState.CANCELLED, stopped)
        if group.failed:
            message = f"{group.failed:,} of {group.total:,} items did not succeed"
            return self._end(task, TaskState.FAILED, ITEMS, message)
        return self._end(task, TaskState.SUCCESS, None)

    def _end(self, task: str, state: TaskState, reason: str | None, message: str | None = None) -> list[Change]:
        changes: list[Change] = []
        queue: deque[str] = deque()
        others_open = self._main_unended > 0
        self._close(Change(task=task, state=state, reason=reason, message=message), changes, queue)
        while queue:  # skipping spreads downwards; a loop, since chains may be thousands long
            ended = queue.popleft()
            passes = self._state[ended] is TaskState.SUCCESS or (
                self._state[ended] is TaskState.FAILED and self._rules[ended].continue_on_error
            )
            for dependent in self._dependents[ended]:
                if self._state[dependent].ended:
                    continue
                self._open[dependent] -= 1
                if not passes:
                    self._close(Change(task=dependent, state=TaskState.SKIPPED, reason=UPSTREAM), changes, queue)
                elif not self._open[dependent]:
                    changes.append(self._may_start(dependent))
        if others_open and not self._main_unended:
            changes += self._after_all_others()
        return changes

    def _after_all_others(self) -> list[Change]:
        """Everything else is over: what is `on_failure` may start, or has nothing to do."""
        tasks = [task for task, rule in self._rules.items() if rule.on_failure and not self._state[task].ended]
        if self.outcome()[0] is ExecutionState.FAILED and self._halted is None:
            return [self._may_start(task) for task in tasks if not self._open[task]]
        changes: list[Change] = []
        for task in tasks:
            self._close(Change(task=task, state=TaskState.SKIPPED, reason=NO_FAILURE), changes, deque())
        return changes

    def _close(self, change: Change, changes: list[Change], queue: deque[str]) -> None:
        self._state[change.task] = change.state
        self._count_end(change.task)
        changes.append(change)
        queue.append(change.task)

    def _count_end(self, task: str) -> None:
        self._unended -= 1
        self._main_unended -= not self._rules[task].on_failure
