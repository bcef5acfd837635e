"""A workflow as a picture made of text: its steps for people, Mermaid for pages that draw it. Pure.

Nothing is resolved: conditions and lists stand there as they were written. Text from the document is cut and escaped,
so that none of it becomes syntax of the picture.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Final

from autokestra.workflow.graph import layers
from autokestra.workflow.model import Task, Workflow

MOST_CHARACTERS: Final = 60  # of a condition or a list; the document has the rest

# What Mermaid may read as text inside quotes; anything else is written as the number of the character.
_PLAIN: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .,_-/:()[]!?=+*")


def steps(workflow: Workflow) -> list[list[Task]]:
    """Return the tasks in steps: each as early as its needs allow. Tasks for a failure are not among them."""
    tasks = {task.id: task for task in workflow.tasks}
    return [[tasks[id_] for id_ in layer] for layer in layers({task.id: task.needs for task in workflow.tasks})]


def rows(workflow: Workflow) -> list[tuple[str, str, str, str]]:
    """Return step, task, action and conditions of each task, in the order of the steps."""
    numbered = [(str(number), task) for number, layer in enumerate(steps(workflow), start=1) for task in layer]
    failing = [("on failure", task) for task in workflow.on_failure]
    return [(step, task.id, task.type, "; ".join(marks(task))) for step, task in numbered + failing]


def marks(task: Task) -> list[str]:
    """Return in words what decides about a task besides its place: `after fetch`, `when {{ … }}`, `for each …`."""
    found = []
    if task.needs:
        found.append(f"after {', '.join(task.needs)}")
    if task.when is not True:
        found.append(f"when {_short(task.when)}")
    if task.for_each is not None:
        most = f", {task.max_parallel} at once" if task.max_parallel else ""
        found.append(f"for each of {_items(task.for_each)}{most}")
    if task.retry and task.retry.max:
        found.append(f"{task.retry.max} {'retry' if task.retry.max == 1 else 'retries'}")
    if task.continue_on_error:
        found.append("may fail")
    return found


def mermaid(workflow: Workflow) -> str:
    """Return a Mermaid flowchart; tasks with a list are drawn as stacks, with a condition as hexagons."""
    number = {task.id: f"t{place}" for place, task in enumerate(workflow.all_tasks)}
    lines = ["flowchart LR"]
    has_failure = bool(workflow.on_failure)
    if has_failure:
        lines.append('  subgraph tasks [" "]')
    lines += [_node(number, task) for task in workflow.tasks]
    lines += [_edge(number, need, task) for task in workflow.tasks for need in task.needs]
    if has_failure:
        lines += ["  end", '  subgraph failure ["on failure"]']
        lines += [_node(number, task) for task in workflow.on_failure]
        lines += [_edge(number, need, task) for task in workflow.on_failure for need in task.needs]
        lines += ["  end", "  tasks -.-> failure"]
    if soft := [number[task.id] for task in workflow.all_tasks if task.continue_on_error]:
        lines += ["  classDef mayfail stroke-dasharray: 4 3", f"  class {','.join(soft)} mayfail"]
    return "\n".join(lines)


def _node(number: Mapping[str, str], task: Task) -> str:
    words = [task.id, task.type]
    if task.for_each is not None:
        words.append(f"for each of {_items(task.for_each)}")
    if task.when is not True:
        words.append(f"when {_short(task.when)}")
    label = "<br>".join(map(_entities, words))
    opening, closing = (
        ("[[", "]]") if task.for_each is not None else ("{{", "}}") if task.when is not True else ("[", "]")
    )
    return f'    {number[task.id]}{opening}"{label}"{closing}'


def _edge(number: Mapping[str, str], need: str, task: Task) -> str:
    return f"    {number[need]} --> {number[task.id]}"


def _items(items: str | Sequence[object]) -> str:
    if isinstance(items, str):
        return _short(items)
    return f"{len(items):,} item{'' if len(items) == 1 else 's'}"


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    text = " ".join(text.split())
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…"


def _entities(text: str) -> str:
    return "".join(char if char in _PLAIN else f"#{ord(char)};" for char in text)
