"""The tasks on the page: a table with the timeline in it; below it what each was told to do and how it went."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from autokestra.cli.report.graph import SIGNS
from autokestra.cli.report.material import Material
from autokestra.cli.report.text import escaped, left_out, lines, template
from autokestra.cli.timeline import Row, Scale
from autokestra.cli.times import duration, utc_time
from autokestra.executions.records import Attempt, TaskRun
from autokestra.workflow.drawing import marks
from autokestra.workflow.model import Task

MOST_ATTEMPTS: Final = 50  # of one task; of its items those that went wrong
LEAST_WIDTH: Final = 0.3  # percent of the timeline: what is shorter would not be seen

_SHAPES: Final = {"ran": (4, 10), "failed": (4, 10), "waited": (8, 2)}  # top and height


def table(material: Material) -> str:
    """Return the table of the tasks that are shown, each with its bar of the timeline."""
    rows = {row.task: row for row in material.timeline}
    scale = Scale(material.timeline)
    missing = len(material.workflow.all_tasks) - len(material.tasks)
    total = duration((scale.end - scale.start) / 1e6) if material.timeline else ""
    head = f'<th class="bar"><span>0 s</span><span>{total}</span></th>'
    body = "".join(_row(material, number, task, rows.get(task.id), scale) for number, task in material.tasks)
    notes = [*scale.words(), *([f"{missing:,} more tasks, none of which went wrong, are left out"] if missing else [])]
    return (
        '<div class="wide" tabindex="0" role="region" aria-label="Tasks"><table class="tasks"><thead><tr><th>Task</th>'
        f"<th>State</th><th>Took</th>{head}<th>Notes</th></tr></thead><tbody>{body}</tbody></table></div>"
        + "".join(f"<p>{left_out(note)}</p>" for note in notes)
    )


def _row(material: Material, number: int, task: Task, row: Row | None, scale: Scale) -> str:
    run = material.runs.get(task.id)
    state = run.state.value if run else "WAITING"
    notes = [note for note in (row.note if row else "", _why(material, task, run)) if note]
    return (
        f'<tr><td><a href="#task-{number}">{escaped(task.id)}</a></td><td>{badge(state)}</td>'
        f'<td class="num">{duration(row.seconds) if row else ""}</td><td class="bar">{_bar(row, scale)}</td>'
        f"<td>{escaped('; '.join(notes))}</td></tr>"
    )


def _bar(row: Row | None, scale: Scale) -> str:
    if row is None:
        return ""
    parts = []
    for span in row.spans:
        left = 100 * scale.place(span.start)
        width = max(LEAST_WIDTH, 100 * scale.place(span.end) - left)
        left = min(left, 100 - LEAST_WIDTH)
        top, height = _SHAPES[span.kind]
        parts.append(f'<rect class="{span.kind}" x="{left:.2f}%" width="{width:.2f}%" y="{top}" height="{height}"/>')
    return f'<svg class="spans" width="100%" height="18" aria-hidden="true">{"".join(parts)}</svg>'


def badge(state: str) -> str:
    """Return a state as a word with its sign; its colour is an ornament."""
    return f'<span class="badge {state}">{SIGNS[state]} {state}</span>'


def _why(material: Material, task: Task, run: TaskRun | None) -> str:
    if run is None or run.state.value == "SUCCESS":
        return ""
    attempts = material.attempts.get(task.id, ())
    message = run.message or (attempts[-1].message if attempts else None)
    return message.split("\n")[0] if message else run.reason or ""


def details(material: Material) -> str:
    """Return for each task that is shown what it was told to do, with secrets by their names, and its attempts."""
    return "".join(_details(material, number, task) for number, task in material.tasks)


def _details(material: Material, number: int, task: Task) -> str:
    run = material.runs.get(task.id)
    state = run.state.value if run else "WAITING"
    parts = [f"<p>{lines(task.description)}</p>"] if task.description else []
    if how := "; ".join(marks(task)):
        parts.append(f"<p>{template(how)}</p>")
    if task.timeout is not None:
        parts.append(f"<p>timeout of an attempt: {duration(task.timeout)}</p>")
    parts += [_values("Inputs", task.inputs.items()), _values("Environment", task.env.items())]
    parts += [_items(material, task), _attempts(material.attempts.get(task.id, ()), material)]
    filter_ = f'<p class="tool" hidden><button type="button" data-task="{number}">Show its log</button></p>'
    return (
        f'<details class="task" id="task-{number}"><summary><b>{escaped(task.id)}</b> '
        f"<span>{escaped(task.type)}</span> {badge(state)}</summary>{''.join(parts)}{filter_}</details>"
    )


def _values(title: str, values: Iterable[tuple[str, object]]) -> str:
    rows = "".join(f"<dt>{escaped(name)}</dt><dd><pre>{template(item)}</pre></dd>" for name, item in values)
    return f"<h3>{title}</h3><dl>{rows}</dl>" if rows else ""


def _items(material: Material, task: Task) -> str:
    items = material.items.get(task.id)
    if not items:
        return ""
    states = Counter(item.state.value for item in items)
    words = ", ".join(f"{count:,} {state}" for state, count in sorted(states.items()))
    wrong = [item for item in items if item.state.value not in ("SUCCESS", "SKIPPED")]
    shown = [attempt for item in wrong for attempt in material.attempts.get(item.task_id, ())]
    return f"<h3>Items</h3><p>{words}</p>{_attempts(shown, material)}"


def _attempts(attempts: Sequence[Attempt], material: Material) -> str:
    if not attempts:
        return ""
    rows = []
    for attempt in attempts[:MOST_ATTEMPTS]:
        start, end = attempt.claimed_at, attempt.finished_at
        took = duration((end - start) / 1e6) if start is not None and end is not None else ""
        words = [attempt.reason or "", f"exit code {attempt.exit_code}" if attempt.exit_code is not None else ""]
        name = attempt.task_id if attempt.task_id not in material.runs else ""
        rows.append(
            f"<tr><td>{escaped(name)} {attempt.number}</td><td>{badge(_state(attempt))}</td>"
            f"<td>{utc_time(start) if start is not None else ''}</td>"
            f'<td class="num">{took}</td><td>{escaped(", ".join(filter(None, words)))}</td>'
            f'<td class="say">{lines(attempt.message or "")}</td></tr>'
        )
    more = len(attempts) - len(rows)
    note = f"<p>{left_out(f'{more:,} more attempts')}</p>" if more else ""
    return (
        "<h3>Attempts</h3><table><thead><tr><th>Attempt</th><th>State</th><th>Started</th><th>Took</th><th>Reason</th>"
        f"<th>Message</th></tr></thead><tbody>{''.join(rows)}</tbody></table>{note}"
    )


def _state(attempt: Attempt) -> str:
    return "FAILED" if attempt.state.value == "LOST" else attempt.state.value
