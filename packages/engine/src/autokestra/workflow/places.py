"""Where things of a document end, and what stands at an index of its source. Where they begin, `Document` says.

Lines and columns count from 1; an end is the column after the last character, as editors count it.
"""

from typing import Any, Final

from autokestra.workflow.document import Document
from autokestra.workflow.problems import Steps

Place = tuple[int, int]

_KEY_WITHIN: Final = 1000  # characters before a value in which its key is looked for


def place_of(document: Document, index: int) -> Place:
    """Return line and column of an index of the source."""
    return _after(document.text, (1, 1), 0, index)


def end_of(document: Document, path: Steps, *, key: bool = False) -> Place | None:
    """Return where the text of the value at `path`, or of its key, ends; None where that cannot be told."""
    mark = document.mark(path)
    if mark is None:
        return None
    if key:
        return _end_of_key(document.text, str(path[-1]), mark.key, mark.start)
    if isinstance(_at(document.data, path), dict | list):
        return None
    text = document.text[mark.start : mark.end].rstrip()
    return _after(document.text, mark.value, mark.start, mark.start + len(text)) if text else None


def end_of_braces(document: Document, path: Steps, place: Place) -> Place | None:
    """Return where the expression ends that begins at `place` in the value at `path`."""
    mark = document.mark(path)
    if mark is None:
        return None
    start = mark.start
    for _ in range(place[0] - mark.value[0]):
        start = document.text.find("\n", start) + 1
    start += place[1] - (mark.value[1] if place[0] == mark.value[0] else 1)
    end = document.text.find("}}", start, mark.end)
    return None if end < 0 else _after(document.text, place, start, end + 2)


def path_at(document: Document, index: int) -> Steps:
    """Return the path of the scalar in whose text an index lies; `()` for comments, keys and what lies between."""
    path: Steps = ()
    value: Any = document.data
    while isinstance(value, dict | list):
        box: Any = value
        marks = document.marks.get(id(value), {})
        begun = [(mark.start, step) for step, mark in marks.items() if mark.start <= index]
        if not begun:
            return ()
        step = max(begun, key=lambda each: each[0])[1]
        path, value = (*path, step), box[step]
        if not isinstance(value, dict | list) and index >= marks[step].end:
            return ()
    return path


def _end_of_key(text: str, name: str, place: Place, before: int) -> Place | None:
    start = text.rfind(name, max(0, before - _KEY_WITHIN), before) if name else -1
    if start < 0:
        return None
    column = start - text.rfind("\n", 0, start)
    quotes = column - place[1]  # 1 where the key stands in quotes
    return (place[0], column + len(name) + quotes) if quotes in (0, 1) else None


def _after(text: str, place: Place, start: int, end: int) -> Place:
    """Return the place of index `end`, `place` being that of `start`."""
    lines = text.count("\n", start, end)
    if lines:
        return place[0] + lines, end - text.rfind("\n", 0, end)
    return place[0], place[1] + end - start


def _at(value: Any, path: Steps) -> Any:
    for step in path:
        value = value[step]
    return value
