"""The live view of a run on a terminal: the plain lines as always, and under them the tasks, drawn over and over.

What is under the lines is taken back before anything else is written and at the end, so that what remains on the screen
is what a pipe would have got. A run that is over at once shows no view at all.

Own code and not rich's: what was drawn is taken back by counting the rows that it fills *now*, so that a window that
was made narrower in between is cleaned up; a flood of lines costs one write a tick; and nothing is imported for it.
"""

import atexit
import os
import select
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import Final

from autokestra.cli import console
from autokestra.cli.board import Board
from autokestra.cli.progress import PlainProgress
from autokestra.executions.events import Event, ExecutionEnded, ExecutionStarted, TaskChanged
from autokestra.executions.records import TaskState

START_SECONDS: Final = 0.3  # what is over sooner needs no view
TICK_SECONDS: Final = 0.125
STUCK_SECONDS: Final = 1.0  # how long Ctrl-C waits for a terminal that takes nothing (Ctrl-S)
MOST_HELD: Final = 500  # lines that wait for the next tick; a task that prints more is slowed down to the terminal

_NO_WRAP: Final = "\x1b[?7l"  # DECAWM off: whatever the widths of characters, a row stays one row
_WRAP: Final = "\x1b[?7h"
_TINTS: Final = {"+ ": "32", "x ": "31", "~ ": "33", "- ": "2", "  ": "2"}  # by the sign that says the same


class LiveProgress(PlainProgress):
    """Shows events as `PlainProgress` does, with the state of all tasks under them while the execution runs."""

    def __init__(self) -> None:
        super().__init__()
        # Reentrant: Ctrl-C says something in the thread that may be drawing just then.
        self._turn = threading.RLock()
        self._board = Board()
        self._held: list[str] = []
        self._drawn: list[str] = []
        self._drawing = False
        self._gone = False
        self._ended = threading.Event()
        self._descriptor = sys.stdout.fileno()
        self._encoding = sys.stdout.encoding
        self._has_colour = console.stdout_has_colour()

    def __call__(self, event: Event) -> None:
        """Show one event; called from any thread."""
        with self._turn:
            if isinstance(event, ExecutionEnded):
                self._end_view()  # first, since what follows may be talk
            if not self._is_only_counted(event):
                self._held += self._lines(event)
            self._board.note(event, time.monotonic())
            if isinstance(event, ExecutionStarted):
                self._begin()
            if not self._drawing or len(self._held) >= MOST_HELD:
                self._draw()

    def _is_only_counted(self, event: Event) -> bool:
        """Whether it is an item that begins or went well: of 10,000 such lines nobody reads one."""
        return (
            isinstance(event, TaskChanged)
            and event.state in (TaskState.RUNNING, TaskState.SUCCESS)
            and self._board.is_item(event.task_id)
        )

    # --- inside

    def _begin(self) -> None:
        sys.stdout.flush()
        console.cover_with(self._take_back)
        atexit.register(self._end_view)  # when the run breaks off, no event says so
        with suppress(ValueError):  # not the main thread
            signal.signal(signal.SIGCONT, self._forget)
        threading.Thread(target=self._tick, name="live-view", daemon=True).start()

    def _end_view(self) -> None:
        with self._turn:
            if not self._ended.is_set():
                self._ended.set()
                self._drawing = False
                self._draw()
                console.cover_with(None)
                atexit.unregister(self._end_view)

    def _tick(self) -> None:
        if self._ended.wait(START_SECONDS):
            return
        while True:
            with self._turn:
                if self._ended.is_set():
                    return
                self._drawing = True
                self._draw()
            if self._ended.wait(TICK_SECONDS):
                return

    def _forget(self, *_: object) -> None:
        """After Ctrl-Z and `fg` the shell has written below the view: it stays there, and a new one is drawn."""
        self._drawn = []

    def _take_back(self) -> None:
        """Write the lines that wait and remove the view, so that others can write; the next tick draws it again."""
        if not self._turn.acquire(timeout=STUCK_SECONDS):
            return
        try:
            drawing, self._drawing = self._drawing, False
            self._draw()
            self._drawing = drawing
        finally:
            self._turn.release()

    def _erase(self) -> str:
        if not self._drawn:
            return ""
        # A window that has become narrower has broken each row that no longer fits into several.
        columns, _ = self._size()
        rows = sum(max(1, -(-console.columns_of(line) // columns)) for line in self._drawn)
        return f"\r\x1b[{rows}A\x1b[J"

    def _draw(self) -> None:
        """Write the lines that wait, and the view under them, in one go."""
        view: list[str] = []
        if self._drawing and self._is_in_front():
            columns, rows = self._size()
            view = self._board.lines(time.monotonic(), width=columns - 1, height=rows)
        if not self._held and view == self._drawn:
            return
        lines, self._held = self._held, []
        text = self._erase() + "".join(f"{line}\n" for line in lines)
        if view:
            text += _NO_WRAP + "".join(f"{self._tinted(line)}\n" for line in view) + _WRAP
        self._drawn = view
        self._write(text)

    def _size(self) -> tuple[int, int]:
        """Columns and rows of the terminal itself; COLUMNS in the environment does not know of a resize."""
        try:
            size = os.get_terminal_size(self._descriptor)
        except OSError:
            return 80, 24
        return size.columns or 80, size.lines or 24

    def _is_in_front(self) -> bool:
        """Whether the terminal is ours now; in the background there are lines only."""
        try:
            return os.tcgetpgrp(self._descriptor) == os.getpgrp()
        except OSError:  # it controls nobody
            return True

    def _tinted(self, line: str) -> str:
        tint = _TINTS.get(line[:2]) if self._has_colour else None
        return line if tint is None else f"\x1b[{tint}m{line}\x1b[0m"

    def _write(self, text: str) -> None:
        # Not through sys.stdout: its buffer must not be entered twice, which a signal could do.
        data = text.encode(self._encoding, errors="replace")
        while data and not self._gone:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:  # another program has left the terminal like that
                select.select([], [self._descriptor], [])
            except OSError:
                # The terminal is gone; the work goes on, and the rows have it all.
                self._gone = True
