"""The masked log on the page: a line each, in order of time, with notes where lines are left out."""

from collections.abc import Mapping

from autokestra.cli.report.material import Material
from autokestra.cli.report.text import escaped, left_out
from autokestra.executions.records import LogExcerpt


def log(material: Material) -> str:
    """Return the search tools and the list of lines."""
    silent = all(excerpt.line.is_debug for excerpt in material.log)
    words = "<p>Nothing was printed.</p>" if silent else ""
    if not material.log:
        return words
    number = {task.id: place for place, task in enumerate(material.workflow.all_tasks)}
    start = material.execution.started_at or material.execution.created_at
    reached: dict[str, int] = {}
    parts = []
    for excerpt in material.log:
        missing = excerpt.place - reached.get(excerpt.task, 0) - 1
        reached[excerpt.task] = excerpt.place
        if missing:
            parts.append(_gap(material, excerpt.task, number.get(excerpt.task, -1), missing))
        parts.append(_line(excerpt, number, start))
    options = "".join(
        f'<option value="{place}">{escaped(id_)}</option>' for id_, place in number.items() if id_ in reached
    )
    has_debug = any(excerpt.line.is_debug for excerpt in material.log)
    debug = ' <label><input id="debug" type="checkbox"> debug</label>' if has_debug else ""
    return (
        f'{words}<form class="tool" role="search" hidden><label>Search'
        ' <input id="search" type="search" autocomplete="off" spellcheck="false"></label>'
        ' <label>Task <select id="only"><option value="">all</option>'
        f'{options}</select></label>{debug} <output id="found" aria-live="polite"></output></form>'
        f'<ol id="lines" tabindex="0" aria-label="Log">{"".join(parts)}</ol>'
    )


def _line(excerpt: LogExcerpt, number: Mapping[str, int], start: int) -> str:
    line = excerpt.line
    more = excerpt.length - len(line.message)
    cut = f" {left_out(f'{more:,} more characters')}" if more > 0 else ""
    label = "debug" if line.is_debug else {"system": "note", "stderr": "err"}.get(line.stream, "")
    kind = f"<i>{label}</i> " if label else ""
    attributes = f'{" class=debug" if line.is_debug else ""} data-task="{number.get(excerpt.task, -1)}"'
    return (
        f"<li{attributes}><time>{(line.time - start) / 1e6:.3f}</time>"
        f"<b>{escaped(line.task_id)}</b><span>{kind}{escaped(line.message)}{cut}</span></li>"
    )


def _gap(material: Material, task: str, number: int, missing: int) -> str:
    command = f"workflow execution logs {material.execution.id} --task {task}"
    words = f"{missing:,} lines of {task} are left out here; all of them: {command}"
    return f'<li class="gap" data-task="{number}"><time></time><b></b><span>{left_out(words)}</span></li>'
