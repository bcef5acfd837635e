"""The time of rows: UTC that never goes back within a process, whatever happens to the machine's clock."""

import threading
import time
from collections.abc import Callable

from autokestra.executions.lease import boottime


class SteadyClock:
    """Gives microseconds since 1970 in UTC. When the wall clock is set back, it goes on as if nothing had happened.

    Lines of a log and ends of attempts then stay in their order. A wall clock that is ahead is followed at once.
    `wall` gives microseconds UTC, `ticks` those of a clock that never jumps.
    """

    def __init__(
        self, wall: Callable[[], int] = lambda: time.time_ns() // 1000, ticks: Callable[[], int] = boottime
    ) -> None:
        self._wall = wall
        self._ticks = ticks
        self._lock = threading.Lock()
        self._ahead = wall() - ticks()

    def __call__(self) -> int:
        """Return the time now."""
        with self._lock:
            ticks = self._ticks()
            self._ahead = max(self._ahead, self._wall() - ticks)
            return ticks + self._ahead
