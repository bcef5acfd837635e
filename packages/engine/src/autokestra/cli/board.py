"""What a live view says: events in, lines out. Pure, but for the time, which is given.

All that a task has printed is cut to its own row and cannot leave it: controls are written out, colours dropped. Items
of a task are counts on its row, however many there are.
"""

import re
from dataclasses import dataclass, field
from typing import Final

from autokestra.cli import console
from autokestra.cli.times import duration
from autokestra.executions.events import Event, ExecutionEnded, ExecutionStarted, TaskChanged
from autokestra.executions.records import LogLine, TaskState

LEAST_WIDTH: Final = 24  # columns; with fewer there is no view, only lines
LEAST_HEIGHT: Final = 6
MOST_ROWS: Final = 16  # of tasks, on the tallest terminal: more are counted
NAME_WIDTH: Final = 24
BAR_WIDTH: Final = 12
RULE_WIDTH: Final = 60
_SCANNED: Final = 1_000  # characters of a line; no terminal is wider

_COLOUR: Final = re.compile(r"\x1b\[[0-9;:]*m")
_PERCENT: Final = re.compile(r"\s*(\d{1,3})(?:\.\d+)?\s?%")

_WORDS: Final = {
    TaskState.WAITING: "waits",
    TaskState.PENDING: "waits",
    TaskState.RUNNING: "running",
    TaskState.SUCCESS: "done",
    TaskState.FAILED: "failed",
    TaskState.CANCELLED: "stopped",
    TaskState.SKIPPED: "skipped",
}
_SIGNS: Final = {"waits": " ", "running": ">", "done": "+", "failed": "x", "stopped": "x", "skipped": "-", "again": "~"}


@dataclass(slots=True)
class _Entry:
    """A task of the document; times are seconds of a clock that never jumps."""

    state: TaskState = TaskState.WAITING
    since: float | None = None
    took: float | None = None
    again: bool = False
    last: str = ""
    items: int | None = None
    done: int = 0
    failed: int = 0
    under_way: set[str] = field(default_factory=set)

    @property
    def word(self) -> str:
        return "again" if self.again else _WORDS[self.state]


class Board:
    """The tasks of one execution as they stand."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._started: float | None = None

    def note(self, event: Event, now: float) -> None:
        """Take in what happened at `now`."""
        match event:
            case ExecutionStarted():
                self._started = now
                self._entries = {task: _Entry() for task in event.tasks}
                for task in event.kept:
                    self._entries[task].state = TaskState.SUCCESS
            case LogLine():
                if not event.is_debug and (entry := self._entry(event.task_id)[0]) is not None:
                    entry.last = event.message
            case TaskChanged():
                entry, item = self._entry(event.task_id)
                if entry is not None and item:
                    _note_item(entry, event)
                elif entry is not None:
                    _note_task(entry, event, now)
            case ExecutionEnded():
                pass

    def _entry(self, task: str) -> tuple[_Entry | None, bool]:
        """Return the entry of a task, or that of the task whose item it is, and whether it is an item."""
        if (entry := self._entries.get(task)) is not None:
            return entry, False
        return self._entries.get(task.rpartition("[")[0]), True

    def is_item(self, task: str) -> bool:
        """Whether `task` is an item of a task, which has a count and no row."""
        entry, item = self._entry(task)
        return entry is not None and item

    def lines(self, now: float, *, width: int, height: int) -> list[str]:
        """Return the view at `now` for a terminal of that size; nothing where there is no room or nothing to show."""
        if self._started is None or width < LEAST_WIDTH or height < LEAST_HEIGHT:
            return []
        passed = now - self._started
        room = min(MOST_ROWS, height // 2 - 2)
        shown = list(self._entries.items())
        if len(shown) > room:
            shown = [(task, entry) for task, entry in shown if entry.state is TaskState.RUNNING or entry.again][:room]
        name = min(NAME_WIDTH, width // 3, max((len(task) for task, _ in shown), default=0))
        rows = [self._row(task, entry, now, name, width) for task, entry in shown]
        hidden = sum(entry.state is TaskState.RUNNING for entry in self._entries.values()) - sum(
            entry.state is TaskState.RUNNING for _, entry in shown
        )
        return ["-" * min(width, RULE_WIDTH), *rows, console.clipped(self._sum(passed, hidden), width)]

    def _row(self, task: str, entry: _Entry, now: float, name: int, width: int) -> str:
        label = console.clipped(task, name)
        seconds = entry.took if entry.took is not None else None if entry.since is None else now - entry.since
        took = "" if seconds is None else _seconds(seconds)
        word = entry.word
        parts = [f"{_SIGNS[word]} {label:{name}}  {word:7}  {took:>10}"]
        if entry.items is not None:
            parts.append(f"{_bar(entry.done, entry.items)} {entry.done:,} of {entry.items:,}")
            if entry.failed:
                parts.append(f"{entry.failed:,} failed")
        said = _COLOUR.sub("", entry.last[:_SCANNED].expandtabs(8)).strip()
        if word == "running":
            if entry.items is None and (percent := _PERCENT.match(said)) and int(percent[1]) <= 100:
                parts.append(_bar(int(percent[1]), 100))
            parts.append(console.visible(said))
        return console.clipped("  ".join(parts), width).rstrip()

    def _sum(self, passed: float, hidden: int) -> str:
        states = [entry.state for entry in self._entries.values()]
        running = sum(state is TaskState.RUNNING for state in states)
        failed = sum(state is TaskState.FAILED for state in states)
        parts = [
            f"{sum(state.ended for state in states):,} of {len(states):,} tasks ended",
            f"{running:,} running" + (f" ({hidden:,} not shown)" if hidden else ""),
            *([f"{failed:,} failed"] if failed else []),
            _seconds(passed),
        ]
        return ", ".join(parts)


def _note_task(entry: _Entry, event: TaskChanged, now: float) -> None:
    entry.state = event.state
    entry.again = event.state is TaskState.WAITING
    if event.items is not None:
        entry.items, entry.done = event.items, event.items_kept
    if event.state is TaskState.RUNNING:
        entry.since, entry.took, entry.last = now, None, ""
    elif event.state.ended and entry.since is not None:
        entry.took = event.seconds if event.seconds is not None else now - entry.since


def _note_item(entry: _Entry, event: TaskChanged) -> None:
    if event.state is TaskState.RUNNING:
        entry.under_way.add(event.task_id)
    else:
        entry.under_way.discard(event.task_id)
    if event.state.ended:
        entry.done += 1
        entry.failed += event.state is TaskState.FAILED


def _bar(done: int, total: int) -> str:
    filled = BAR_WIDTH * done // total if total else BAR_WIDTH
    return f"[{'#' * filled}{'.' * (BAR_WIDTH - filled)}]"


def _seconds(seconds: float) -> str:
    return f"{int(seconds)} s" if seconds < 60 else duration(seconds)
