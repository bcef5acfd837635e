"""Log lines on their way to the table: batched by a thread, so that a task never waits for the disk.

The queue is bounded: a task that prints faster than the disk writes is slowed down, not buffered without end.
"""

import threading
from collections.abc import Callable, Iterable
from typing import Final

from autokestra.executions.records import LogLine

BATCH_LINES: Final = 2_000
WAIT_SECONDS: Final = 0.2  # what a kill can cost, beside the batch being written; the promise is one second
QUEUE_LINES: Final = 20_000


class LogWriter:
    """Writes lines in batches through `write`; `add` may be called from any thread.

    A batch is written when it has `lines`, or after `seconds`; what has come in the meantime goes along.

    A failing `write` is remembered and raised by the next `add`, `drain` or `close`: lines are not lost silently.
    """

    def __init__(
        self, write: Callable[[Iterable[LogLine]], None], *, lines: int = BATCH_LINES, seconds: float = WAIT_SECONDS
    ) -> None:
        self._write = write
        self._batch_lines = lines
        self._wait_seconds = seconds
        self._lines: list[LogLine] = []
        self._state = threading.Condition()
        self._writing = False
        self._wanted = False
        self._closed = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def add(self, lines: Iterable[LogLine]) -> None:
        """Hand over lines; waits while the queue is full."""
        with self._state:
            while len(self._lines) >= QUEUE_LINES and self._error is None:
                self._wanted = True
                self._state.notify_all()
                self._state.wait()
            self._check()
            was_empty = not self._lines
            self._lines.extend(lines)
            if was_empty or len(self._lines) >= self._batch_lines:
                self._state.notify_all()

    def drain(self) -> None:
        """Return when everything that was handed over before is committed."""
        with self._state:
            while (self._lines or self._writing) and self._error is None:
                self._wanted = True
                self._state.notify_all()
                self._state.wait()
            self._check()

    def close(self) -> None:
        """Drain and stop the thread."""
        try:
            self.drain()
        finally:
            with self._state:
                self._closed = True
                self._state.notify_all()
            self._thread.join()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while batch := self._next_batch():
            try:
                self._write(batch)
            except Exception as error:  # noqa: BLE001  # raised in the thread that can do something about it
                self._error = error
            with self._state:
                self._writing = False
                self._state.notify_all()
            if self._error is not None:
                return

    def _next_batch(self) -> list[LogLine]:
        with self._state:
            self._state.wait_for(lambda: self._lines or self._closed)
            # A moment's patience turns a line at a time into a batch, unless somebody waits for it.
            self._state.wait_for(
                lambda: self._wanted or self._closed or len(self._lines) >= self._batch_lines,
                timeout=self._wait_seconds,
            )
            batch, self._lines = self._lines, []
            self._wanted = False
            self._writing = bool(batch)
            return batch
