"""An execution whose coordinator is gone, while workers of other machines are still at work on it.

They are not disturbed: nothing new starts before each of them has ended its attempt, or has died.
"""

import queue
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from autokestra.engine.coordinator import POLL_SECONDS, Wish
from autokestra.engine.ports import taken_over
from autokestra.executions.cancel import CANCELLED, stop_running
from autokestra.executions.lease import LEASE_MICROSECONDS, RENEW_SECONDS
from autokestra.executions.records import Lease
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
    renew_at = time.monotonic() + RENEW_SECONDS
    poll_at = 0.0
    told = stopped = False
    while running := store.run_elsewhere(execution, clock()):
        if not told:
            told = True
            notify(f"waiting for {running} running {'task' if running == 1 else 'tasks'} on other machines")
        now = time.monotonic()
        if now >= renew_at:
            if not store.renew(execution, Lease(owner=owner, until=store.leases.now() + LEASE_MICROSECONDS)):
                raise taken_over(execution)
            renew_at = now + RENEW_SECONDS
        if now >= poll_at:
            if store.cancel_requested(execution):
                wish.reason = wish.reason or CANCELLED
            poll_at = now + POLL_SECONDS
        if wish.reason and not stopped:
            stopped = True
            stop_running(store, execution, clock())
        with suppress(queue.Empty):
            wish.wake.get(timeout=PAUSE_SECONDS)
