"""What a coordinator does again and again while it has an execution: renew its lease, and listen for a cancel."""

import queue
import time
from typing import TYPE_CHECKING, Final

from autokestra.engine.ports import taken_over
from autokestra.executions.cancel import CANCELLED
from autokestra.executions.lease import LEASE_MICROSECONDS, RENEW_SECONDS
from autokestra.executions.records import Lease
from autokestra.executions.store import ExecutionStore

if TYPE_CHECKING:
    from concurrent.futures import Future

POLL_SECONDS: Final = 0.4  # between two looks for a cancel


class Wish:
    """The wish that the execution stops, from a signal handler or another thread: a reason, and a way to wake."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.wake: queue.SimpleQueue[Future[str] | None] = queue.SimpleQueue()

    def stop(self, reason: str) -> None:
        """Stop for `reason`; the first one counts."""
        self.reason = self.reason or reason
        self.wake.put(None)


class Tenure:
    """The hold of `owner`, a process, on `execution`. Raises ExecutionBusyError when another one has taken over."""

    def __init__(self, store: ExecutionStore, execution: str, owner: str, wish: Wish) -> None:
        self._store = store
        self._execution = execution
        self._owner = owner
        self._wish = wish
        now = time.monotonic()
        self._renew_at = now + RENEW_SECONDS
        self._poll_at = now + POLL_SECONDS

    @property
    def due(self) -> float:
        """When `keep` has something to do again, in seconds of `time.monotonic`."""
        return min(self._renew_at, self._poll_at)

    def keep(self, *, listen_now: bool = False) -> str | None:
        """Renew and listen as far as it is time for that; return why the execution is to stop, None if it is not."""
        if time.monotonic() >= self._renew_at:
            lease = Lease(owner=self._owner, until=self._store.leases.now() + LEASE_MICROSECONDS)
            if not self._store.renew(self._execution, lease):
                raise taken_over(self._execution)
            self._renew_at = time.monotonic() + RENEW_SECONDS
        if listen_now or time.monotonic() >= self._poll_at:
            if self._store.cancel_requested(self._execution):
                self._wish.reason = self._wish.reason or CANCELLED
            self._poll_at = time.monotonic() + POLL_SECONDS
        return self._wish.reason
