"""When each task ran, as rows of spans, and these drawn with characters. Pure: rows in, lines out.

The items of a task share its row. Long stretches in which nothing ran, such as the night before a `resume`, are made
short, so that what ran can be seen; they are told in words.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from autokestra.cli import console
from autokestra.cli.times import duration
from autokestra.executions.records import Attempt, AttemptState, TaskRun, TaskState

Kind = Literal["ran", "failed", "waited"]

MOST_ROWS: Final = 100  # on a terminal; nobody compares more bars than that
LABEL_WIDTH: Final = 24
LEAST_BAR: Final = 10
IDLE_PART: Final = 0.25  # of the whole time, from which on a stretch in which nothing ran is made short
IDLE_SHOWN: Final = 0.04  # of what remains: its width then

_SIGNS: Final = {"ran": "█", "failed": "▒", "waited": "·"}
_PLAIN_SIGNS: Final = {"ran": "#", "failed": "x", "waited": "."}
_RANK: Final = {"waited": 1, "ran": 2, "failed": 3}  # where several meet in one cell, the worst is seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A stretch of time, in microseconds: an attempt that went well or still runs, one that did not, or a pause."""

    start: int
    end: int
    kind: Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A task, its spans in order of time, and what is to be said of it in words."""

    task: str
    spans: Sequence[Span]
    note: str

    @property
    def seconds(self) -> float:
        """From its first start to its last end."""
        return (max(span.end for span in self.spans) - min(span.start for span in self.spans)) / 1e6


def rows(runs: Iterable[TaskRun], attempts: Iterable[Attempt], *, now: int) -> list[Row]:
    """Return a row for each task that has run, in the order of the document; what still runs does so until `now`."""
    own: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        if attempt.claimed_at is not None:
            own.setdefault(attempt.task_id, []).append(attempt)
    members: dict[str, list[TaskRun]] = {}
    tasks = []
    for run in runs:
        if run.parent is None:
            tasks.append(run)
        members.setdefault(run.parent or run.task_id, []).append(run)
    found = []
    for task in tasks:
        spans = [span for run in members[task.task_id] for span in _spans(own.get(run.task_id, ()), now)]
        if spans:
            count = sum(len(own.get(run.task_id, ())) for run in members[task.task_id])
            note = _note(task, members[task.task_id], count)
            found.append(Row(task=task.task_id, spans=_merged(spans), note=note))
    return found


def _spans(attempts: Sequence[Attempt], now: int) -> list[Span]:
    spans: list[Span] = []
    for attempt in sorted(attempts, key=lambda each: each.number):
        start = attempt.claimed_at or attempt.created_at
        # Clocks may jump back; a span never does.
        end = max(start, attempt.finished_at if attempt.finished_at is not None else now)
        if spans and start > spans[-1].end:
            spans.append(Span(start=spans[-1].end, end=start, kind="waited"))
        good = attempt.state in (AttemptState.SUCCESS, AttemptState.RUNNING)
        spans.append(Span(start=start, end=end, kind="ran" if good else "failed"))
    return spans


def _merged(spans: Iterable[Span]) -> list[Span]:
    """Join what overlaps and is of one kind, so that 10,000 items are as few spans as can be seen."""
    last: dict[Kind, Span] = {}
    result: list[Span] = []
    for span in sorted(spans, key=lambda each: (each.start, each.end)):
        before = last.get(span.kind)
        if before is not None and span.start <= before.end:
            last[span.kind] = Span(start=before.start, end=max(before.end, span.end), kind=span.kind)
            continue
        if before is not None:
            result.append(before)
        last[span.kind] = span
    return sorted([*result, *last.values()], key=lambda each: (each.start, each.end))


def _note(task: TaskRun, runs: Sequence[TaskRun], attempts: int) -> str:
    if task.items is not None:
        failed = sum(run.state is TaskState.FAILED for run in runs if run.item is not None)
        return f"{task.items:,} item{'' if task.items == 1 else 's'}" + (f", {failed:,} failed" if failed else "")
    return f"{attempts} attempts" if attempts > 1 else ""


class Scale:
    """Turns a time into a place from 0 to 1; `idle` are the stretches that were made short, start and end."""

    def __init__(self, rows: Sequence[Row]) -> None:
        spans = sorted((span.start, span.end) for row in rows for span in row.spans)
        self.start = spans[0][0] if spans else 0
        self.end = max((end for _, end in spans), default=0)
        gaps: list[tuple[int, int]] = []
        reached = self.start
        for start, end in spans:
            if start - reached > IDLE_PART * (self.end - self.start):
                gaps.append((reached, start))
            reached = max(reached, end)
        self.idle: Sequence[tuple[int, int]] = gaps
        busy = (self.end - self.start) - sum(end - start for start, end in gaps)
        self._short = IDLE_SHOWN * busy
        self._length = busy + self._short * len(gaps)

    def place(self, time: int) -> float:
        """Return where `time` stands between the first start and the last end."""
        if self._length <= 0:
            return 0.0 if time <= self.start else 1.0
        moved = float(time - self.start)
        for start, end in self.idle:
            if time >= end:
                moved -= (end - start) - self._short
            elif time > start:
                moved -= (time - start) * (1 - self._short / (end - start))
        return min(1.0, max(0.0, moved / self._length))

    def words(self) -> list[str]:
        """Return a sentence for each stretch that was made short."""
        return [f"nothing ran for {duration((end - start) / 1e6)}" for start, end in self.idle]


def lines(rows: Sequence[Row], *, width: int, plain: bool = False) -> list[str]:
    """Return the rows drawn in `width` columns, under an axis in seconds; `plain` keeps to ASCII."""
    if not rows:
        return []
    scale = Scale(rows)
    shown = rows[:MOST_ROWS]
    labels = [_cut(console.visible(row.task), plain=plain) for row in shown]
    ends = [f"{duration(row.seconds)}{'  ' + row.note if row.note else ''}" for row in shown]
    left = max(map(len, labels))
    bar = max(LEAST_BAR, width - left - max(map(len, ends)) - 4)
    signs = _PLAIN_SIGNS if plain else _SIGNS
    total = duration((scale.end - scale.start) / 1e6)
    result = [f"{'':{left}}  {'0 s':{max(3, bar - len(total))}}{total}"]
    result += [
        f"{label:{left}}  {_bar(row, scale, bar, signs)}  {end}"
        for label, row, end in zip(labels, shown, ends, strict=True)
    ]
    if len(rows) > MOST_ROWS:
        result.append(f"and {len(rows) - MOST_ROWS:,} more tasks")
    return [line.rstrip() for line in result] + scale.words()


def _bar(row: Row, scale: Scale, width: int, signs: dict[str, str]) -> str:
    cells = [0] * width
    kinds = {rank: kind for kind, rank in _RANK.items()}
    for span in row.spans:
        first = min(width - 1, int(scale.place(span.start) * width))
        # However short, an attempt is seen; a pause is where room is left for it.
        last = min(width - 1, max(first, round(scale.place(span.end) * width) - 1))
        for cell in range(first, last + 1):
            cells[cell] = max(cells[cell], _RANK[span.kind])
    return "".join(signs[kinds[rank]] if rank else " " for rank in cells)


def _cut(task: str, *, plain: bool) -> str:
    if len(task) <= LABEL_WIDTH:
        return task
    return f"{task[: LABEL_WIDTH - 3]}..." if plain else f"{task[: LABEL_WIDTH - 1]}…"
