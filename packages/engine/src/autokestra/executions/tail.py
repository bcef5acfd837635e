"""Lines of logs that workers of other machines write into the rows, told to who looks on here."""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from autokestra.errors import AutokestraError
from autokestra.executions.events import Event, ExecutionEnded, Observer, TaskChanged
from autokestra.executions.records import AttemptKey, LogLine, TaskState

LOOK_SECONDS: Final = 0.3


class LogTail:
    """An observer that puts lines in their place among the events of `observer`: before the end of their attempt.

    `lines` gives those of one attempt after a sequence number.
    """

    def __init__(self, observer: Observer, lines: Callable[[str, str, int, int], Sequence[LogLine]]) -> None:
        self._observer = observer
        self._lines = lines
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._reading = threading.Lock()
        self._last: dict[AttemptKey, int] = {}  # of each attempt under way, the last line that was told
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="log-tail", daemon=True)
        self._thread.start()

    def __call__(self, event: Event) -> None:
        """Tell of an event, and before the end of an attempt, or of them all, of all that was printed."""
        key = None
        if isinstance(event, ExecutionEnded):
            with self._lock:
                left = list(self._last)  # attempts whose end nobody told of: they were stopped
            for each in left:
                self._tell(each)
            with self._lock:
                self._last.clear()
        if isinstance(event, TaskChanged) and event.attempt is not None:
            key = (event.execution_id, event.task_id, event.attempt)
            if event.state is not TaskState.RUNNING:
                self._tell(key)
                with self._lock:
                    self._last.pop(key, None)
                key = None
        self._observer(event)
        if key is not None:
            with self._lock:
                self._last[key] = -1
                self._wake.notify_all()

    def close(self) -> None:
        """Stop looking."""
        with self._lock:
            self._closed = True
            self._wake.notify_all()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._lock:
                self._wake.wait_for(lambda: self._last or self._closed)
                self._wake.wait_for(lambda: self._closed, timeout=LOOK_SECONDS)
                if self._closed:
                    return
                keys = list(self._last)
            for key in keys:
                with suppress(AutokestraError):  # who coordinates finds that the rows cannot be read, and says so
                    self._tell(key)

    def _tell(self, key: AttemptKey) -> None:
        with self._reading:  # one reader at a time, so that no line is told twice
            with self._lock:
                after = self._last.get(key)
            if after is None:
                return
            for line in self._lines(*key, after):
                self._observer(line)
                after = line.sequence
            with self._lock:
                if key in self._last:
                    self._last[key] = after
