"""How a run is shown: plain lines for people and their mail, or one JSON object a line for programs."""

import json
import re
import sys
import threading
from collections import Counter, deque
from typing import Final

from autokestra.cli import console
from autokestra.cli.times import duration, utc_time
from autokestra.errors import UsageError
from autokestra.executions.events import Event, ExecutionEnded, ExecutionStarted, TaskChanged
from autokestra.executions.plan import UPSTREAM
from autokestra.executions.records import LogLine, Masked, TaskState

_LAST_LINES: Final = 10  # of a failed task, when nothing else was shown
_COLOUR: Final = re.compile(r"\x1b\[[0-9;:]*m")
_RESET: Final = "\x1b[0m"


class PlainProgress:
    """Writes a line for everything that happens; with `quiet` only what went wrong, with the task's last lines."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._lock = threading.Lock()
        self._out = _Lines()
        self._started = 0
        self._failed = False
        self._last: dict[str, deque[str]] = {}

    def __call__(self, event: Event) -> None:
        """Show one event; called from any thread."""
        with self._lock:
            for line in self._lines(event):
                self._out.write(line)

    def _lines(self, event: Event) -> list[str]:
        match event:
            case LogLine():
                if event.is_debug:
                    return []
                line = line_text(event)
                if not self._quiet:
                    return [line]
                self._last.setdefault(event.task_id, deque(maxlen=_LAST_LINES)).append(line)
                return []
            case ExecutionStarted():
                self._started = event.time
                return [] if self._quiet else [f"execution {event.execution_id} of workflow '{event.workflow_id}'"]
            case TaskChanged():
                return self._task(event)
            case ExecutionEnded():
                return self._end(event)

    def _task(self, event: TaskChanged) -> list[str]:
        self._failed |= event.state is TaskState.FAILED
        if self._quiet and self._went_well(event):
            return []
        again = f" (attempt {event.attempt})" if event.attempt and event.attempt > 1 else ""
        if event.items is not None:
            before = f", {event.items_kept:,} of them done before" if event.items_kept else ""
            return [f"[{event.task_id}] started: {event.items:,} item{'' if event.items == 1 else 's'}{before}"]
        if event.state is TaskState.RUNNING:
            return [f"[{event.task_id}] started{again}"]
        if event.state is TaskState.WAITING:
            why = f": {shown(event.message)}" if event.message else ""
            return [f"[{event.task_id}] attempt {event.attempt} failed, another one follows{why}"]
        took = f" after {duration(event.seconds)}" if event.seconds is not None else ""
        why = f" ({event.reason})" if event.reason else ""
        return [*self._last.pop(event.task_id, ()), f"[{event.task_id}] {event.state.value}{took}{again}{why}"]

    def _went_well(self, event: TaskChanged) -> bool:
        """Whether nobody needs to read of it: an attempt that is made again is no failure yet, a condition never is."""
        if event.state is TaskState.SKIPPED:
            return event.reason != UPSTREAM or not self._failed
        return event.state in (TaskState.RUNNING, TaskState.SUCCESS, TaskState.WAITING)

    def _end(self, event: ExecutionEnded) -> list[str]:
        for name, reason in sorted(event.unmaskable.items()):
            console.warn(f"secret '{name}' was not masked: {reason}")
        good = event.state == "SUCCESS"
        if self._quiet and good:
            return []
        took = duration((event.time - self._started) / 1e6)
        why = f": {event.message}" if event.message else ""
        more = [] if good else [f"look at it with: workflow execution show {event.execution_id}"]
        return [f"{event.state.value} after {took}{console.visible(why)}", *masked_lines(event.masked), *more]


class JsonProgress:
    """Writes each event as one JSON object on a line, with `event` naming its kind and times in UTC."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._out = _Lines()

    def __call__(self, event: Event) -> None:
        """Show one event; called from any thread."""
        text = json.dumps(event_object(event))
        with self._lock:
            self._out.write(text)


def event_object(event: Event) -> dict[str, object]:
    """Return an event as the object that `--json` prints; every one has `event`, `execution` and `time`."""
    base: dict[str, object] = {"execution": event.execution_id, "time": utc_time(event.time)}
    match event:
        case ExecutionStarted():
            return {
                "event": "execution.started",
                **base,
                "workflow": event.workflow_id,
                "tasks": list(event.tasks),
                "kept": list(event.kept),
            }
        case TaskChanged():
            return {
                "event": "task",
                **base,
                "task": event.task_id,
                "state": event.state.value,
                "reason": event.reason,
                "attempt": event.attempt,
                "message": event.message,
                "seconds": event.seconds,
                "items": event.items,
                "items_kept": event.items_kept,
            }
        case LogLine():
            return {"event": "log", **base, **line_object(event)}
        case ExecutionEnded():
            return {
                "event": "execution.ended",
                **base,
                "workflow": event.workflow_id,
                "state": event.state.value,
                "reason": event.reason,
                "message": event.message,
                "masked": event.masked,
                "secrets": dict(event.secrets_used),
            }


def line_object(line: LogLine) -> dict[str, object]:
    """Return a log line as JSON shows it."""
    return {
        "task": line.task_id,
        "attempt": line.attempt,
        "sequence": line.sequence,
        "time": utc_time(line.time),
        "stream": line.stream,
        "level": line.level,
        "message": line.message,
    }


def masked_lines(masked: Masked) -> list[str]:
    """Return `masked 14 times: API_TOKEN (plain 11, base64 3) in task shout` for each secret that was replaced."""
    sums: dict[str, Counter[str]] = {}
    tasks: dict[str, list[str]] = {}
    for task, names in masked.items():
        for name, forms in names.items():
            sums.setdefault(name, Counter()).update(forms)
            tasks.setdefault(name, []).append(task)
    lines = []
    for name in sorted(sums):
        total = sums[name].total()
        times = "once" if total == 1 else f"{total:,} times"
        parts = ", ".join(f"{form} {count:,}" for form, count in sums[name].most_common())
        where = f"task{'s' if len(tasks[name]) > 1 else ''} {', '.join(tasks[name])}"
        lines.append(f"masked {times}: {name} ({parts}) in {where}")
    return lines


def line_text(line: LogLine) -> str:
    """Return a log line as people see it, with the name of its task before it."""
    return f"[{console.visible(line.task_id)}] {shown(line.message)}"


def shown(message: str) -> str:
    """Return a log message as a terminal may show it: tabs expanded, colours kept there and dropped elsewhere."""
    text = message.expandtabs(8)
    if "\x1b" not in text:
        return console.visible(text)
    if not console.stdout_has_colour():
        return console.visible(_COLOUR.sub("", text))
    parts, end = [], 0
    for colour in _COLOUR.finditer(text):
        parts += [console.visible(text[end : colour.start()]), colour.group()]
        end = colour.end()
    return "".join(parts) + console.visible(text[end:]) + _RESET


class _Lines:
    """Stdout, a line at a time. Work goes on when nobody can read of it any more: it is told once and left at that."""

    def __init__(self) -> None:
        self._open = True

    def write(self, text: str) -> None:
        """Write and hand over at once, so that a pipe sees a line when it happens."""
        if not self._open:
            return
        try:
            console.out(text)
            sys.stdout.flush()
        except (OSError, UsageError) as error:
            self._open = False
            if not isinstance(error, UsageError):
                console.drop_output()
            if not isinstance(error, BrokenPipeError):
                console.warn("nothing more can be written to stdout, the run goes on: workflow execution logs latest")
