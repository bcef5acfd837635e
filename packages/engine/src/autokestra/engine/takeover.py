"""An execution whose coordinator is gone, while workers are still at work on it.

They are not disturbed: nothing new starts before each of them has ended its attempt, or has died. Until then their
attempts are told of as if they had begun here.
"""

import queue
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from autokestra.engine.tenure import Tenure, Wish
from autokestra.executions.cancel import stop_running
from autokestra.executions.events import Observer, TaskChanged
from autokestra.executions.records import Attempt, AttemptState, TaskState
from autokestra.executions.store import ExecutionStore

PAUSE_SECONDS: Final = 0.25


def await_workers(
    store: ExecutionStore,
    execution: str,
    owner: str,
    wish: Wish,
    *,
    clock: Callable[[], int],
    observer: Observer,
) -> None:
    """Return when no worker runs an attempt of `execution`, whose lease `owner` has taken.

    A wish to stop is handed on to them. Raises ExecutionBusyError when the execution is taken over in turn.
    """
    tenure = Tenure(store, execution, owner, wish)
    stopped = False
    told: set[tuple[str, int]] = set()
    while True:
        running = store.run_elsewhere(execution, clock())
        for attempt in store.these_attempts(execution, sorted(running - told)):
            observer(_begun(attempt, clock()))
        for attempt in store.these_attempts(execution, sorted(told - running)):
            # Of a task that was stopped the end is told by who ends it; nobody else tells of its items.
            if attempt.state is not AttemptState.CANCELLED or attempt.task_id.endswith("]"):
                observer(_ended(attempt, clock()))
        told = running
        if not running:
            tenure.keep(listen_now=True)  # workers see a cancel by themselves, and may have ended for it
            return
        if tenure.keep() and not stopped:
            stopped = True
            stop_running(store, execution, clock())
        with suppress(queue.Empty):
            wish.wake.get(timeout=PAUSE_SECONDS)


def _begun(attempt: Attempt, now: int) -> TaskChanged:
    return TaskChanged(
        execution_id=attempt.execution_id,
        task_id=attempt.task_id,
        time=attempt.claimed_at or now,
        state=TaskState.RUNNING,
        attempt=attempt.number,
    )


def _ended(attempt: Attempt, now: int) -> TaskChanged:
    """What became of an attempt: where it did not end well, its task is what a resume begins again."""
    states = {AttemptState.SUCCESS: TaskState.SUCCESS, AttemptState.CANCELLED: TaskState.CANCELLED}
    return TaskChanged(
        execution_id=attempt.execution_id,
        task_id=attempt.task_id,
        time=now,
        state=states.get(attempt.state, TaskState.WAITING),
        reason=attempt.reason,
        attempt=attempt.number,
        message=attempt.message,
        seconds=((attempt.finished_at or now) - (attempt.claimed_at or now)) / 1e6,
    )
