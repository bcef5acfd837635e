"""YAML text to plain data, with the place of every value, and nothing that YAML can do besides.

libyaml's events go into a builder of our own: scalars follow the core schema of YAML 1.2 (`yes`, `12:30:45` and dates
are text, `010` is ten); tags, anchors, aliases, repeated keys, second documents, deep nesting and characters that
YAML forbids are faults with a place. Time and memory are bounded by the size of the text.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, NoReturn

import yaml

Steps = tuple[str | int, ...]

SIZE_LIMIT: Final = 2 << 20  # bytes; 200,000 keys in one flow mapping take libyaml 1.5 s
VALUE_LIMIT: Final = 300_000  # values; 10,000 tasks have about half of that
DEPTH_LIMIT: Final = 64  # mappings and lists within each other
FAULT_LIMIT: Final = 100  # faults after which reading stops; a bomb has a hundred thousand
DIGIT_LIMIT: Final = 1000  # digits of an integer; Python refuses to print more than 4,300

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_FORBIDDEN: Final = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # YAML 1.2.2, 5.1
_UNQUOTED_TEMPLATE: Final = re.compile(r"(?:^|[:\-,\[{]\s+)\{\{")
_YAML_TAG: Final = "tag:yaml.org,2002:"  # what `!!` stands for
QUOTES_HINT: Final = "a value that begins with '{{' needs quotes: \"{{ … }}\""
HALF_HINT: Final = "\\ud83d and the like are halves of a character: write the character itself, or \\U0001f600"

# YAML 1.2.2, 10.3.2: the core schema.
_CONSTANTS: Final[dict[str, object]] = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_FIRST_CHARACTERS: Final = ("", *"0123456789+-.~nNtTfF")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that may not stand in a document; `line` and `column` count from 1."""

    line: int
    column: int
    message: str
    hint: str | None = None
    path: Steps = ()


class _Mark(NamedTuple):  # a tuple, since there is one for every value: a frozen dataclass takes five times as long
    """Where a value stands: its key (or itself, in a list), its first character, and its extent in the text."""

    key: tuple[int, int]
    value: tuple[int, int]
    start: int
    end: int


class _Stop(Exception):  # noqa: N818  # never leaves this module
    """Reading cannot go on."""


@dataclass(slots=True, kw_only=True)
class Document:
    """A document that was read: `data`, the `faults` in it, and the place of everything.

    `complete` is False when reading stopped early; then `data` is only a part. Paths in `broken` hold None instead of
    what was refused.
    """

    text: str
    data: Any = None
    faults: list[Fault] = field(default_factory=list)
    complete: bool = True
    broken: set[Steps] = field(default_factory=set)
    marks: dict[int, dict[str | int, _Mark]] = field(default_factory=dict, repr=False)

    def place(self, path: Steps, *, key: bool = False) -> tuple[int, int]:
        """Return line and column of the value at `path` or of its key; of the nearest parent where it is absent."""
        mark = self._mark(path)
        if mark is None:
            return (1, 1)
        return mark.key if key else mark.value

    def place_of_braces(self, path: Steps, text: str, offset: int) -> tuple[int, int]:
        """Return line and column of the `{{` that stands at `offset` in the text at `path`.

        Quotes, escapes and folding make offsets useless in the source, but they leave braces alone: the n-th pair in
        the text is the n-th in the source.
        """
        mark = self._mark(path)
        if mark is None:
            return (1, 1)
        index = mark.start - 2
        for _ in range(text.count("{{", 0, offset) + 1):
            index = self.text.find("{{", index + 2, mark.end)
            if index < 0:
                return mark.value
        # Counted from the value's own line: from the first line of a large file it would take too long.
        line = mark.value[0] + self.text.count("\n", mark.start, index)
        return line, index - self.text.rfind("\n", 0, index)

    def mark(self, path: Steps) -> _Mark | None:
        """Return what is known of the value at `path`, None where there is none."""
        box = self.data
        for step in path[:-1]:
            box = self.marks.get(id(box), {}).get(step) and box[step]
        return self.marks.get(id(box), {}).get(path[-1]) if path else None

    def _mark(self, path: Steps) -> _Mark | None:
        mark: _Mark | None = None
        value = self.data
        for step in path:
            found = self.marks.get(id(value), {}).get(step)
            if found is None:
                break
            mark, value = found, value[step]
        return mark


def read(text: str) -> Document:
    """Read YAML; never raises: whatever is wrong is in `faults`."""
    document = Document(text=text)
    try:
        _Builder(document).build()
    except _Stop:
        document.complete = False
    return document


def decode(data: bytes) -> str | Fault:
    """Return the text of a file, or what is wrong with its bytes."""
    if len(data) > SIZE_LIMIT:
        return Fault(line=1, column=1, message=f"file is larger than {SIZE_LIMIT >> 20} MiB")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        line, column = _place(before, len(before))
        # U+D800 to U+DFFF, which are no characters, encoded as if they were: what `printf '\\ud83d'` of a shell writes.
        is_half = data[error.start] == 0xED and data[error.start + 1 : error.start + 2] >= b"\xa0"
        hint = HALF_HINT if is_half else "save it as UTF-8"
        return Fault(line=line, column=column, message="file is not UTF-8 text", hint=hint)
    return text.removeprefix("\ufeff")


def _place(text: str, index: int) -> tuple[int, int]:
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)


@dataclass(slots=True)
class _Open:
    """A mapping or list that is being filled; `key` waits for its value."""

    box: dict[str, Any] | list[Any]
    path: Steps
    key: str | None = None
    key_place: tuple[int, int] = (1, 1)
    drop: bool = False  # the key is a repetition: its value goes nowhere


class _Builder:
    """Turns events into data; one instance reads one document."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._stack: list[_Open] = []
        self._values = 0
        self._skip = 0  # levels of a value that is being skipped

    def build(self) -> None:
        """Fill the document. Raises _Stop when reading cannot go on."""
        text = self._document.text
        if bad := _FORBIDDEN.search(text):
            self._stop(_place(text, bad.start()), f"character U+{ord(bad[0]):04X} is not allowed in YAML")
        started = False
        for event in self._events(text):
            if isinstance(event, yaml.DocumentStartEvent):
                if started:
                    self._stop(_start(event), "only one document is allowed in a file", "remove what follows '---'")
                started = True
            elif isinstance(event, yaml.NodeEvent):
                self._node(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                self._end()

    def _events(self, text: str) -> Iterator[Any]:
        loader = _LOADER(text)
        problem: yaml.MarkedYAMLError | None = None
        try:
            while (event := loader.get_event()) is not None:
                yield event
        except yaml.MarkedYAMLError as error:
            problem = error
        finally:
            loader.dispose()
        if problem is not None:
            self._syntax(problem)

    def _syntax(self, error: yaml.MarkedYAMLError) -> None:
        text = self._document.text
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        lines = text.splitlines() or [""]
        if place[0] > len(lines):  # the end of the file, which libyaml puts on a line of its own
            place = len(lines), len(lines[-1]) + 1
        line = lines[place[0] - 1]
        at = line[place[1] - 1 : place[1]]
        message, hint = error.problem or "not valid YAML", None
        if "tab character" in message or ("cannot start any token" in message and at == "\t"):
            message, hint = "a tab cannot be used for indentation", "indent with spaces"
        elif "cannot start any token" in message:
            message, hint = f"a value cannot begin with '{at}'", "put it in quotes"
        elif "mapping values are not allowed" in message:
            message, hint = "a ': ' is not allowed here", "put the value in quotes, or check the indentation"
        elif "Unicode character escape" in message:
            message, hint = "an escape that stands for no character", HALF_HINT
        elif "expected" in message:
            hint = "check quotes, brackets and indentation here and in the lines above"
        if _UNQUOTED_TEMPLATE.search(line):
            hint = QUOTES_HINT
        self._stop(place, message, hint)

    def _node(self, event: Any) -> None:
        if self._skip:
            self._skip += isinstance(event, yaml.CollectionStartEvent)
            self._check_depth(event, len(self._stack) + self._skip)
            return
        if isinstance(event, yaml.AliasEvent):
            self._fault(event, "aliases are not allowed", "write the value out")
            self._refuse(event)
            return
        if event.anchor is not None:
            self._fault(event, "anchors are not allowed", f"remove '&{_shown(event.anchor)}'")
        if event.tag is not None:
            self._fault(event, "tags are not allowed", f"remove '{_shown(event.tag.replace(_YAML_TAG, '!!'))}'")
        if isinstance(event, yaml.ScalarEvent):
            if self._awaits_key():
                self._take_key(event)
            else:
                self._put(event, self._scalar(event))
        elif self._document.text.startswith("{{", event.start_mark.index):
            self._fault(event, "a template needs quotes", QUOTES_HINT)
            self._refuse(event)
            self._skip = 1
        else:
            self._begin(event)

    def _awaits_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].box, dict) and self._stack[-1].key is None

    def _take_key(self, event: Any) -> None:
        top = self._stack[-1]
        key: str = event.value
        top.key, top.key_place, top.drop = key, _start(event), key in top.box
        if top.drop:
            line = self._document.marks[id(top.box)][key].key[0]
            self._fault(event, f"key '{_shown(key)}' is repeated", f"it stands in line {line} already")

    def _scalar(self, event: Any) -> Any:
        value: str = event.value
        if not event.implicit[0] or value[:1] not in _FIRST_CHARACTERS:  # quoted, or no number and no constant
            return value
        if value in _CONSTANTS:
            return _CONSTANTS[value]
        if _INTEGER.fullmatch(value):
            if len(value) > DIGIT_LIMIT:
                self._fault(event, "number is too long", "put it in quotes")
                return None
            return int(value, {"0o": 8, "0x": 16}.get(value[:2], 10))
        if _FLOAT.fullmatch(value) and math.isfinite(number := float(value)):
            return number
        if _FLOAT.fullmatch(value) or _NOT_FINITE.fullmatch(value):
            self._fault(event, "number is not finite", "put it in quotes if it is text")
            return None
        return value

    def _begin(self, event: Any) -> None:
        self._check_depth(event, len(self._stack) + 1)
        box: dict[str, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
        path = self._put(event, box)
        self._document.marks[id(box)] = {}
        self._stack.append(_Open(box, path))

    def _check_depth(self, event: Any, depth: int) -> None:
        # In what is skipped too: libyaml itself takes minutes for a hundred thousand open brackets.
        if depth > DEPTH_LIMIT:
            self._stop(_start(event), f"nested deeper than {DEPTH_LIMIT} levels")

    def _end(self) -> None:
        if self._skip:
            self._skip -= 1
        else:
            self._stack.pop()

    def _refuse(self, event: Any) -> None:
        self._document.broken.add(self._put(event, None))

    def _put(self, event: Any, value: Any) -> Steps:
        """Put a value where it belongs, note its place, and return its path."""
        if not self._stack:
            self._document.data = value
            return ()
        top = self._stack[-1]
        place = _start(event)
        self._values += 1
        if self._values > VALUE_LIMIT:
            self._stop(place, f"more than {VALUE_LIMIT:,} values in one file", "split the workflow")
        step: str | int
        if isinstance(top.box, list):
            step, key_place = len(top.box), place
            top.box.append(value)
        elif top.key is None:
            self._stop(place, "a key must be text", "put it in quotes")
        else:
            step, key_place = top.key, top.key_place
            top.key = None
            if top.drop:
                return (*top.path, step)
            top.box[step] = value
        self._document.marks[id(top.box)][step] = _Mark(key_place, place, event.start_mark.index, event.end_mark.index)
        return (*top.path, step)

    def _fault(self, event: Any, message: str, hint: str | None) -> None:
        line, column = _start(event)
        path: Steps = ()
        if self._stack:
            top = self._stack[-1]
            step = len(top.box) if isinstance(top.box, list) else top.key
            path = top.path if step is None else (*top.path, step)
        self._document.faults.append(Fault(line=line, column=column, message=message, hint=hint, path=path))
        if len(self._document.faults) >= FAULT_LIMIT:
            raise _Stop

    def _stop(self, place: tuple[int, int], message: str, hint: str | None = None) -> NoReturn:
        self._document.faults.append(Fault(line=place[0], column=place[1], message=message, hint=hint))
        raise _Stop


def _start(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _shown(text: str) -> str:
    return text if len(text) <= 40 else text[:40] + "…"
