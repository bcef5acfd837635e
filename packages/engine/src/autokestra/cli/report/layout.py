"""Where the boxes and lines of a graph go: in columns by step, few crossings. Pure.

After Sugiyama, Tagawa and Toda 1981: a line over several columns gets a place of its own in each of them, and the
places in a column are sorted by those of their neighbours, to and fro a few times.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from autokestra.workflow.graph import Needs, layers

BOX_WIDTH: Final = 184.0
BOX_HEIGHT: Final = 46.0
BETWEEN_COLUMNS: Final = 56.0
BETWEEN_BOXES: Final = 16.0
LINE_HEIGHT: Final = 12.0  # of the place that a line takes in a column which it passes
SWEEPS: Final = 6  # more change nothing in graphs that can be read

_Place = tuple[str, str, int]  # a line on its way: from, to, column


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Boxes by their left upper corner, lines by the points that they pass, and the size of it all in CSS pixels."""

    boxes: Mapping[str, tuple[float, float]]
    lines: Sequence[Sequence[tuple[float, float]]]
    width: float
    height: float


def layout(needs: Needs) -> Layout:
    """Return the places of all tasks and of a line for each need, from left to right."""
    steps = layers(needs)
    column = {task: number for number, step in enumerate(steps) for task in step}
    columns: list[list[str | _Place]] = [list(step) for step in steps]
    chains: list[list[str | _Place]] = []
    for task, number in column.items():
        for need in dict.fromkeys(needs[task]):
            if need in column:
                passed: list[str | _Place] = [(need, task, at) for at in range(column[need] + 1, number)]
                for place in passed:
                    columns[place[2]].append(place)  # type: ignore[index]  # these are places, never tasks
                chains.append([need, *passed, task])
    _sort(columns, chains)
    return _placed(columns, chains)


def _sort(columns: list[list[str | _Place]], chains: Sequence[Sequence[str | _Place]]) -> None:
    before: dict[str | _Place, list[str | _Place]] = {}
    after: dict[str | _Place, list[str | _Place]] = {}
    for chain in chains:
        for left, right in pairwise(chain):
            after.setdefault(left, []).append(right)
            before.setdefault(right, []).append(left)
    for sweep in range(SWEEPS):
        forth = sweep % 2 == 0
        neighbours = before if forth else after
        for number in range(1, len(columns)) if forth else range(len(columns) - 2, -1, -1):
            beside = columns[number - 1 if forth else number + 1]
            rank = {member: (place + 0.5) / len(beside) for place, member in enumerate(beside)}
            own = {member: (place + 0.5) / len(columns[number]) for place, member in enumerate(columns[number])}

            def middle(
                member: str | _Place,
                neighbours: Mapping[str | _Place, Sequence[str | _Place]] = neighbours,
                rank: Mapping[str | _Place, float] = rank,
                own: Mapping[str | _Place, float] = own,
            ) -> float:
                near = neighbours.get(member)
                return sum(rank[each] for each in near) / len(near) if near else own[member]

            columns[number].sort(key=middle)


def _placed(columns: Sequence[Sequence[str | _Place]], chains: Sequence[Sequence[str | _Place]]) -> Layout:
    sizes = [sum(_height(member) + BETWEEN_BOXES for member in column) - BETWEEN_BOXES for column in columns]
    height = max(sizes, default=0.0)
    corner: dict[str | _Place, tuple[float, float]] = {}
    for number, column in enumerate(columns):
        top = (height - sizes[number]) / 2
        for member in column:
            corner[member] = (number * (BOX_WIDTH + BETWEEN_COLUMNS), top)
            top += _height(member) + BETWEEN_BOXES
    lines = []
    for chain in chains:
        points = []
        for place, member in enumerate(chain):
            left, top = corner[member]
            middle = top + _height(member) / 2
            if place > 0:
                points.append((left, middle))
            if place < len(chain) - 1:
                points.append((left + BOX_WIDTH, middle))
        lines.append(points)
    boxes = {member: where for member, where in corner.items() if isinstance(member, str)}
    width = len(columns) * (BOX_WIDTH + BETWEEN_COLUMNS) - BETWEEN_COLUMNS if columns else 0.0
    return Layout(boxes=boxes, lines=lines, width=width, height=height)


def _height(member: str | _Place) -> float:
    return BOX_HEIGHT if isinstance(member, str) else LINE_HEIGHT
