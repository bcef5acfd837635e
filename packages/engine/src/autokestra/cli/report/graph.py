"""The graph of the tasks as SVG inside the page: a box for each, with its state in words, that leads to its details."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

from autokestra.cli.report.layout import BOX_HEIGHT, BOX_WIDTH, Layout, layout
from autokestra.cli.report.material import Material
from autokestra.cli.report.text import escaped
from autokestra.cli.times import duration
from autokestra.workflow.model import Task

MOST_BOXES: Final = 300  # more cannot be read
MOST_LETTERS: Final = 21  # of a name in a box

SIGNS: Final[Mapping[str, str]] = {
    "SUCCESS": "\u2713",
    "FAILED": "\u2717",
    "CANCELLED": "\u25a0",
    "SKIPPED": "\u2013",
    "RUNNING": "\u25b6",
    "WAITING": "\u2026",
    "PENDING": "\u2026",
}
_MARGIN: Final = 10.0
_TITLE: Final = 30.0


def graph(material: Material) -> str:
    """Return the SVG element, or a sentence where there are too many tasks for a picture."""
    workflow = material.workflow
    count = len(workflow.all_tasks)
    if count > MOST_BOXES:
        return f"<p>{count:,} tasks are too many for a picture; <kbd>workflow graph FILE</kbd> lists them in steps.</p>"
    number = {task.id: place for place, task in enumerate(workflow.all_tasks)}
    main = layout({task.id: task.needs for task in workflow.tasks})
    failing = layout({task.id: task.needs for task in workflow.on_failure})
    top = main.height + 2 * _MARGIN + _TITLE
    width = max(main.width, failing.width + 2 * _MARGIN) + 2 * _MARGIN
    height = main.height + 2 * _MARGIN
    parts = [_drawn(material, workflow.tasks, main, number, left=_MARGIN, top=_MARGIN)]
    if workflow.on_failure:
        height = top + failing.height + 2 * _MARGIN
        frame = f'width="{failing.width + 2 * _MARGIN:.0f}" height="{failing.height + _TITLE + 4:.0f}"'
        parts += [
            f'<rect class="frame" x="{_MARGIN}" y="{top - _TITLE + 4:.0f}" rx="8" {frame}/>',
            f'<text class="type" x="{2 * _MARGIN}" y="{top - 10:.0f}">on failure</text>',
            _drawn(material, workflow.on_failure, failing, number, left=2 * _MARGIN, top=top),
        ]
    return (
        f'<svg class="graph" role="group" aria-label="Graph of the tasks" width="{width:.0f}" height="{height:.0f}"'
        f' viewBox="0 0 {width:.0f} {height:.0f}">{"".join(parts)}</svg>'
    )


def _drawn(
    material: Material, tasks: Sequence[Task], places: Layout, number: Mapping[str, int], *, left: float, top: float
) -> str:
    lines = [_line([(x + left, y + top) for x, y in line]) for line in places.lines]
    boxes = [
        _box(material, task, number[task.id], places.boxes[task.id][0] + left, places.boxes[task.id][1] + top)
        for task in tasks
    ]
    return "".join(lines + boxes)


def _line(points: Sequence[tuple[float, float]]) -> str:
    path = [f"M{points[0][0]:.0f} {points[0][1]:.0f}"]
    for place, ((x, y), (to_x, to_y)) in enumerate(pairwise(points)):
        if place % 2:  # through a column
            path.append(f"L{to_x:.0f} {to_y:.0f}")
        else:
            bend = (x + to_x) / 2
            path.append(f"C{bend:.0f} {y:.0f} {bend:.0f} {to_y:.0f} {to_x:.0f} {to_y:.0f}")
    return f'<path class="line" d="{" ".join(path)}"/>'


def _box(material: Material, task: Task, number: int, x: float, y: float) -> str:
    run = material.runs.get(task.id)
    state = run.state.value if run else "WAITING"
    took = ""
    if run and run.started_at is not None and run.finished_at is not None:
        took = f" {duration((run.finished_at - run.started_at) / 1e6)}"
    name = task.id if len(task.id) <= MOST_LETTERS else f"{task.id[: MOST_LETTERS - 1]}\u2026"
    marks = [mark for mark, there in (("each", task.for_each is not None), ("when", task.when is not True)) if there]
    dashed = " soft" if task.continue_on_error else ""
    size = f'rx="6" width="{BOX_WIDTH:.0f}" height="{BOX_HEIGHT:.0f}"'
    behind = f'<rect class="box" x="{x + 4:.0f}" y="{y + 4:.0f}" {size}/>' if task.for_each is not None else ""
    right = f'text-anchor="end" x="{x + BOX_WIDTH - 8:.0f}" y="{y + 36:.0f}"'
    return (
        f'<a href="#task-{number}"><title>{escaped(task.id)}: {state}{took}, {escaped(task.type)}</title>{behind}'
        f'<rect class="box{dashed} {state}" x="{x:.0f}" y="{y:.0f}" {size}/>'
        f'<rect class="side {state}" x="{x:.0f}" y="{y:.0f}" rx="3" width="6" height="{BOX_HEIGHT:.0f}"/>'
        f'<text class="name" x="{x + 16:.0f}" y="{y + 19:.0f}">{escaped(name)}</text>'
        f'<text class="type" x="{x + 16:.0f}" y="{y + 36:.0f}">{SIGNS[state]} {state.lower()}{took}</text>'
        f'<text class="mark" {right}>{" ".join(marks)}</text></a>'
    )
