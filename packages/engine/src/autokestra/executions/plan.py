"""What comes next in an execution: events in, decisions out. No clock, no database, no thread.

The plan holds the state of each task run and counts the needs that are still open, so that an event costs what it
changes and not the number of tasks. Every transition carries a machine-readable reason; an event that says what is
already known changes nothing.
"""

import heapq
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from autokestra.executions.records import ExecutionState, TaskState

MICROSECONDS: Final = 1_000_000

DEPENDENCY: Final = "dependency"
BACKOFF: Final = "backoff"
UPSTREAM: Final = "upstream"
TIMEOUT: Final = "timeout"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRule:
    """What the plan must know of a task. `backoff` and `max_backoff` are seconds; `retries` counts further attempts."""

    needs: tuple[str, ...] = ()
    continue_on_error: bool = False
    retries: int = 0
    backoff: float = 1.0
    max_backoff: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What an earlier coordinator left behind for one task: its state and how many attempts it has used."""

    state: TaskState
    attempts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A task run enters `state`; `not_before` (microseconds) only while it waits for a backoff."""

    task: str
    state: TaskState
    reason: str | None = None
    not_before: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Attempt `number` (from 1) of `task` is to be submitted now."""

    task: str
    number: int


class Plan:
    """The state machine of one execution.

    `kept` are the rows of an execution that is resumed: what ended SUCCESS stays, and so does FAILED where the task
    has `continue_on_error`; everything else starts over, with attempt numbers going on and all retries left.
    """

    def __init__(self, rules: Mapping[str, TaskRule], kept: Mapping[str, Kept] | None = None) -> None:
        kept = kept or {}
        self._rules = rules
        self._dependents: dict[str, list[str]] = {task: [] for task in rules}
        for task, rule in rules.items():
            for need in set(rule.needs):
                self._dependents[need].append(task)
        self._state = dict.fromkeys(rules, TaskState.WAITING)
        self._attempts = {task: kept[task].attempts if task in kept else 0 for task in rules}
        self._failures = dict.fromkeys(rules, 0)
        self._ready: deque[str] = deque()
        self._backoff: list[tuple[int, int, str]] = []  # (due, order of arrival, task)
        self._arrivals = 0
        for task, row in kept.items():
            if row.state is TaskState.SUCCESS or (row.state is TaskState.FAILED and rules[task].continue_on_error):
                self._state[task] = row.state
        self._open = {
            task: sum(not self._state[need].ended for need in set(rule.needs)) for task, rule in rules.items()
        }
        self._unended = sum(not state.ended for state in self._state.values())
        self._running = 0
        self._cancelled: str | None = None

    def begin(self) -> list[Change]:
        """Return the changes that open the execution: tasks without open needs may start, the others wait."""
        changes = []
        for task, state in self._state.items():
            if not state.ended:
                if self._open[task]:
                    changes.append(Change(task=task, state=TaskState.WAITING, reason=DEPENDENCY))
                else:
                    changes.append(self._may_start(task))
        return changes

    def take(self, slots: int, now: int) -> list[Start]:
        """Return at most `slots` attempts to submit at `now` (microseconds); they are running from here on."""
        while self._backoff and self._backoff[0][0] <= now:
            self._ready.append(heapq.heappop(self._backoff)[2])
        starts: list[Start] = []
        while self._ready and len(starts) < slots:
            task = self._ready.popleft()
            if self._state[task].ended:  # cancelled while it waited
                continue
            self._attempts[task] += 1
            self._state[task] = TaskState.RUNNING
            self._running += 1
            starts.append(Start(task=task, number=self._attempts[task]))
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
        rule = self._rules[task]
        if state is TaskState.FAILED and self._cancelled is None:
            self._failures[task] += 1
            if self._failures[task] <= rule.retries:
                delay = min(rule.backoff * 2.0 ** min(self._failures[task] - 1, 60), rule.max_backoff)
                return [self._wait_until(task, now + round(delay * MICROSECONDS))]
        return self._end(task, state, reason)

    def cancel(self, reason: str) -> list[Change]:
        """Nothing new starts any more: what waits becomes CANCELLED, what runs is left to end."""
        if self._cancelled is not None:
            return []
        self._cancelled = reason
        self._ready.clear()
        self._backoff.clear()
        waiting = [task for task, state in self._state.items() if not state.ended and state is not TaskState.RUNNING]
        for task in waiting:
            self._state[task] = TaskState.CANCELLED
        self._unended -= len(waiting)
        return [Change(task=task, state=TaskState.CANCELLED, reason=reason) for task in waiting]

    @property
    def running(self) -> int:
        """How many attempts are under way."""
        return self._running

    @property
    def finished(self) -> bool:
        """Whether every task run is over."""
        return self._unended == 0

    def outcome(self) -> tuple[ExecutionState, str | None]:
        """Return how the execution ended and why; only once `finished`."""
        if self._cancelled is not None:
            state = ExecutionState.FAILED if self._cancelled == TIMEOUT else ExecutionState.CANCELLED
            return state, self._cancelled
        failed = [
            task
            for task, state in self._state.items()
            if state in (TaskState.FAILED, TaskState.CANCELLED) and not self._rules[task].continue_on_error
        ]
        if failed:
            return ExecutionState.FAILED, f"task:{failed[0]}"
        return ExecutionState.SUCCESS, None

    def _may_start(self, task: str) -> Change:
        self._state[task] = TaskState.PENDING
        self._ready.append(task)
        return Change(task=task, state=TaskState.PENDING)

    def _wait_until(self, task: str, due: int) -> Change:
        self._state[task] = TaskState.WAITING
        self._arrivals += 1
        heapq.heappush(self._backoff, (due, self._arrivals, task))
        return Change(task=task, state=TaskState.WAITING, reason=BACKOFF, not_before=due)

    def _end(self, task: str, state: TaskState, reason: str | None) -> list[Change]:
        changes: list[Change] = []
        queue: deque[str] = deque()
        self._close(Change(task=task, state=state, reason=reason), changes, queue)
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
        return changes

    def _close(self, change: Change, changes: list[Change], queue: deque[str]) -> None:
        self._state[change.task] = change.state
        self._unended -= 1
        changes.append(change)
        queue.append(change.task)
