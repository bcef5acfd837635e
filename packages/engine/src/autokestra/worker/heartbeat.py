"""The attempts that run in this process: the proof that they do, and the word that one of them must stop.

One thread for all of them, and only while there is one. It renews their leases with one statement, and gives up an
attempt that the rows no longer count as ours: a worker that was not heard of for too long was replaced, so its child
must not go on (fencing). It also looks whether somebody has asked for an execution to stop.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from autokestra.errors import AutokestraError
from autokestra.executions.lease import boottime
from autokestra.executions.records import AttemptKey, Lease

BEAT_SECONDS: Final = 2.0
LEASE_MICROSECONDS: Final = 10_000_000  # of an attempt: four beats may go astray
POLL_SECONDS: Final = 0.4  # how late a cancel may be seen; with the child's own delay it stays under a second


class LeaseRows(Protocol):
    """The rows that a heartbeat reads and writes."""

    def beat(self, lease: Lease) -> set[AttemptKey]:
        """Renew all attempts of the lease's owner; return them."""
        ...

    def cancelled_attempts(self, owner: str) -> set[AttemptKey]:
        """Return the owner's attempts that are to stop."""
        ...


class RunningAttempts:
    """Knows what runs in this process; one object for all of its threads.

    `owner` is who claims the attempts; `ticks` gives microseconds of a clock that counts time asleep and never jumps;
    `beat_seconds`, `poll_seconds` and `lease_microseconds` are shorter in tests only.
    """

    def __init__(
        self,
        rows: LeaseRows,
        *,
        owner: str,
        ticks: Callable[[], int] = boottime,
        beat_seconds: float = BEAT_SECONDS,
        poll_seconds: float = POLL_SECONDS,
        lease_microseconds: int = LEASE_MICROSECONDS,
    ) -> None:
        self._rows = rows
        self._owner = owner
        self._ticks = ticks
        self._beat_seconds = beat_seconds
        self._poll_seconds = poll_seconds
        self._lease_microseconds = lease_microseconds
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._stops: dict[AttemptKey, threading.Event] = {}
        self._running: set[AttemptKey] = set()
        self._given_up: set[AttemptKey] = set()
        self._beating = False

    def lease(self) -> Lease:
        """Return the lease under which an attempt is claimed now."""
        return Lease(owner=self._owner, until=self._ticks() + self._lease_microseconds)

    @contextmanager
    def over(self, attempt: AttemptKey) -> Iterator[threading.Event]:
        """Prove that a claimed attempt is alive within the block; the event says when it has to stop."""
        with self._lock:
            stop = self._stops.setdefault(attempt, threading.Event())
            self._running.add(attempt)
            if not self._beating:
                self._beating = True
                threading.Thread(target=self._run, name="heartbeat", daemon=True).start()
        try:
            yield stop
        finally:
            with self._lock:
                self._running.discard(attempt)
                self._stops.pop(attempt, None)
                if not self._running:
                    self._changed.notify_all()

    def cancel(self, attempt: AttemptKey) -> None:
        """Tell one attempt to stop; one that has not started yet stops as soon as it does."""
        with self._lock:
            self._stops.setdefault(attempt, threading.Event()).set()

    def was_given_up(self, attempt: AttemptKey) -> bool:
        """Whether the attempt was stopped because the rows no longer count it as ours."""
        with self._lock:
            return attempt in self._given_up

    def forget(self, execution: str) -> None:
        """Drop what is known of an execution that is over."""
        with self._lock:
            for attempt in [each for each in self._stops if each[0] == execution and each not in self._running]:
                del self._stops[attempt]
            self._given_up = {each for each in self._given_up if each[0] != execution}

    def _run(self) -> None:
        due = time.monotonic() + self._beat_seconds  # the claim itself was the first beat
        while True:
            with self._lock:
                if not self._changed.wait_for(lambda: not self._running, timeout=self._poll_seconds):
                    running = set(self._running)
                elif not self._changed.wait_for(lambda: self._running, timeout=self._poll_seconds):
                    # Idle for a while. Between one attempt and the next a thread need not end and begin again.
                    self._beating = False
                    return
                else:
                    continue
            try:
                if time.monotonic() >= due:
                    owned = self._rows.beat(self.lease())
                    due = time.monotonic() + self._beat_seconds
                    self._stop(running - owned, given_up=True)
                self._stop(self._rows.cancelled_attempts(self._owner))
            except AutokestraError:
                # Nobody can take an attempt away while the rows cannot be written; if that lasts, whoever waits for
                # the attempt's result fails with more to say.
                continue

    def _stop(self, attempts: set[AttemptKey], *, given_up: bool = False) -> None:
        with self._lock:
            for attempt in attempts & self._running:  # what has ended since is no longer in the rows, rightly
                self._stops[attempt].set()
                if given_up:
                    self._given_up.add(attempt)
