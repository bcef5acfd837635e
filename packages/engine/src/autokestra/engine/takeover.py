"""An execution whose coordinator is gone, while workers of other machines are still at work on it.

They are not disturbed: nothing new starts before each of them has ended its attempt, or has died.
"""

import queue
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from autokestra.engine.tenure import Tenure, Wish
from autokestra.executions.cancel import stop_running
from autokestra.executions.store import ExecutionStore

PAUSE_SECONDS: Final = 0.25


def await_workers(
    store: ExecutionStore,
    execution: str,
    owner: str,
    wish: Wish,
    *,
    clock: Callable[[], int],
    notify: Callable[[str], None],
) -> None:
    """Return when no worker runs an attempt of `execution`, whose lease `owner` has taken.

    A wish to stop is handed on to them. Raises ExecutionBusyError when the execution is taken over in turn.
    """
    tenure = Tenure(store, execution, owner, wish)
    told = stopped = False
    while running := store.run_elsewhere(execution, clock()):
        if not told:
            told = True
            notify(f"waiting for {running} running {'task' if running == 1 else 'tasks'} on other machines")
        if tenure.keep() and not stopped:
            stopped = True
            stop_running(store, execution, clock())
        with suppress(queue.Empty):
            wish.wake.get(timeout=PAUSE_SECONDS)
