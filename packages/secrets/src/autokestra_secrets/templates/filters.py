"""The filters and tests of the template language: one table each, one function each.

A function takes plain data and returns plain data. It may raise TypeError, ValueError or LookupError on a wrong
operand; `nodes.guarded` turns that into a message that repeats no value. Whatever could make much out of little
checks first. `default` and `defined` work on absent names and live in `nodes`.
"""

import base64
import hashlib
import json
import math
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NoReturn
from urllib.parse import quote

from autokestra_secrets.errors import TemplateError
from autokestra_secrets.templates.values import RESULT_LIMIT, TOO_LARGE, is_number, json_of, kind, text_of

ITEM_LIMIT: Final = 1_000_000  # items that `split` and `lines` may make
ROUND_DIGITS: Final = 15  # a float has no more; `round(5, -10**9)` would compute 10 to that power


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """One filter: `value | name(parameters)`; `required` of the parameters must be given."""

    name: str
    apply: Callable[..., object]
    doc: str
    parameters: tuple[str, ...] = ()
    required: int = 0

    @property
    def usage(self) -> str:
        """How it is written: `join(separator)`."""
        return f"{self.name}({', '.join(self.parameters)})" if self.parameters else self.name


def _refuse(wanted: str, value: object) -> NoReturn:
    raise TemplateError(f"expected {wanted}, got {kind(value)}")


def _text(value: object) -> str:
    return value if isinstance(value, str) else _refuse("text", value)


def _scalar(value: object) -> str:
    return text_of(value) if isinstance(value, str | int | float) else _refuse("text or a number", value)


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else _scalar(value).encode()


def _items(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else _refuse("a list", value)


def _pairs(value: object) -> Mapping[object, object]:
    return value if isinstance(value, Mapping) else _refuse("a mapping", value)


def _numbers(value: object) -> list[float]:
    return [_number(item) for item in _items(value)]


def _number(value: object) -> float:
    return value if is_number(value) else _refuse("a number", value)  # type: ignore[return-value]


def _b64encode(value: object) -> str:
    return base64.b64encode(_bytes(value)).decode()


def _b64decode(value: object) -> str | bytes:
    data = base64.b64decode("".join(_text(value).split()), validate=True)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _refuse_constant(_text: str) -> NoReturn:
    raise ValueError


def _fromjson(value: object) -> object:
    return json.loads(_text(value), parse_constant=_refuse_constant)


def _length(value: object) -> int:
    return len(value) if isinstance(value, str | bytes | list | tuple | Mapping) else _refuse("text or a list", value)


def _sequence(value: object) -> str | list[object]:
    return value if isinstance(value, str) else _items(value)


def _not_empty(value: object) -> str | list[object]:
    sequence = _sequence(value)
    if not sequence:
        raise TemplateError("there is nothing in it")
    return sequence


def _int(value: object) -> int:
    if not isinstance(value, str) and not is_number(value):
        _refuse("text or a number", value)
    return int(value)  # type: ignore[call-overload,no-any-return]  # checked above


def _float(value: object) -> float:
    if not isinstance(value, str) and not is_number(value):
        _refuse("text or a number", value)
    return float(value)  # type: ignore[arg-type]  # checked above


def _sort(value: object, reverse: object = False) -> object:  # noqa: FBT002  # as in Jinja2
    return sorted(_items(value), reverse=bool(reverse))  # type: ignore[type-var]  # mixed kinds raise TypeError


def _unique(value: object) -> list[object]:
    seen: dict[str, object] = {}
    for item in _items(value):
        seen.setdefault(json_of(item), item)  # JSON tells 1, 1.0, true and "1" apart, and lists have no hash
    return list(seen.values())


def _join(value: object, separator: object = "") -> str:
    between = _text(separator)
    parts = [text_of(item) for item in _items(value)]
    if sum(map(len, parts)) + len(between) * len(parts) > RESULT_LIMIT:
        raise TemplateError(TOO_LARGE)
    return between.join(parts)


def _bounded(parts: list[str]) -> list[str]:
    if len(parts) > ITEM_LIMIT:
        raise TemplateError(f"more than {ITEM_LIMIT:,} parts")
    return parts


def _split(value: object, separator: object = None) -> list[str]:
    return _bounded(_text(value).split(None if separator is None else _text(separator), ITEM_LIMIT))


def _lines(value: object) -> list[str]:
    # Not str.splitlines, which also cuts at form feeds and U+2028: a line ends where a text file's does.
    lines = _bounded(_text(value).split("\n", ITEM_LIMIT))
    return [line.removesuffix("\r") for line in (lines if lines[-1] else lines[:-1])]


def _replace(value: object, old: object, new: object) -> str:
    text, before, after = _text(value), _text(old), _text(new)
    if len(text) + text.count(before) * (len(after) - len(before)) > RESULT_LIMIT:
        raise TemplateError(TOO_LARGE)
    return text.replace(before, after)


def _round(value: object, digits: object = 0) -> float:
    places = digits if isinstance(digits, int) else _refuse("a whole number", digits)
    if abs(places) > ROUND_DIGITS:
        raise TemplateError(f"at most {ROUND_DIGITS} digits")
    return round(_number(value), places) if places else round(_number(value))


def _extreme(choose: Callable[..., object]) -> Callable[[object], object]:
    def apply(value: object) -> object:
        return choose(_not_empty(_items(value)))

    return apply


def _sum(value: object) -> float:
    numbers = _numbers(value)
    return sum(numbers) if all(isinstance(number, int) for number in numbers) else math.fsum(numbers)


def _table(filters: Iterable[Filter]) -> dict[str, Filter]:
    return {each.name: each for each in filters}


# `default` is here for its documentation and the check of its arguments; `nodes.Default` evaluates it.
FILTERS: Final = _table(
    [
        Filter(name="abs", apply=lambda v: abs(_number(v)), doc="The number without its sign."),
        Filter(name="b64decode", apply=_b64decode, doc="Decode Base64; text if it is UTF-8, else bytes."),
        Filter(name="b64encode", apply=_b64encode, doc="Encode text or bytes as Base64."),
        Filter(
            name="default",
            apply=lambda v, *_: v,
            parameters=("value", "boolean"),
            required=1,
            doc="Use `value` where a name is absent; with `boolean` true also where the left side is empty or null.",
        ),
        Filter(name="first", apply=lambda v: _not_empty(v)[0], doc="The first item of a list or character of a text."),
        Filter(name="float", apply=_float, doc="Make a number with a fraction out of text or a number."),
        Filter(name="fromjson", apply=_fromjson, doc="Read text as JSON."),
        Filter(name="hex", apply=lambda v: _bytes(v).hex(), doc="Encode text or bytes as lower-case hexadecimal."),
        Filter(name="int", apply=_int, doc="Make a whole number out of text or a number, cutting the fraction."),
        Filter(name="join", apply=_join, parameters=("separator",), doc="Join a list into one text."),
        Filter(name="keys", apply=lambda v: list(_pairs(v)), doc="The keys of a mapping, in order."),
        Filter(name="last", apply=lambda v: _not_empty(v)[-1], doc="The last item of a list or character of a text."),
        Filter(name="length", apply=_length, doc="How many characters, bytes, items or keys there are."),
        Filter(name="lines", apply=_lines, doc="The lines of a text without their ends (LF or CRLF)."),
        Filter(name="lower", apply=lambda v: _text(v).lower(), doc="In lower case."),
        Filter(name="max", apply=_extreme(max), doc="The largest item of a list."),
        Filter(name="min", apply=_extreme(min), doc="The smallest item of a list."),
        Filter(name="quote", apply=lambda v: shlex.quote(_scalar(v)), doc="Quote for a POSIX shell, as one word."),
        Filter(
            name="replace", apply=_replace, parameters=("old", "new"), required=2, doc="Replace every `old` by `new`."
        ),
        Filter(name="reverse", apply=lambda v: _sequence(v)[::-1], doc="Back to front."),
        Filter(
            name="round", apply=_round, parameters=("digits",), doc="Round to a whole number or to `digits` places."
        ),
        Filter(
            name="sha256",
            apply=lambda v: hashlib.sha256(_bytes(v)).hexdigest(),
            doc="SHA-256 of text or bytes, in hexadecimal.",
        ),
        Filter(name="sort", apply=_sort, parameters=("reverse",), doc="In order; all items of one kind."),
        Filter(
            name="split", apply=_split, parameters=("separator",), doc="Cut text at `separator`, by default at blanks."
        ),
        Filter(name="string", apply=text_of, doc="As text: null is empty; true, false, lists and mappings are JSON."),
        Filter(name="sum", apply=_sum, doc="The sum of a list of numbers."),
        Filter(name="tojson", apply=json_of, doc="As JSON."),
        Filter(name="trim", apply=lambda v: _text(v).strip(), doc="Without blanks and line ends at both ends."),
        Filter(name="unique", apply=_unique, doc="Each item of a list once, at its first place."),
        Filter(name="upper", apply=lambda v: _text(v).upper(), doc="In upper case."),
        Filter(
            name="urlencode",
            apply=lambda v: quote(_bytes(v), safe=""),
            doc="Percent-encode text or bytes for one part of a URL; `/` too.",
        ),
        Filter(name="values", apply=lambda v: list(_pairs(v).values()), doc="The values of a mapping, in order."),
    ]
)

# `defined` and `undefined` are evaluated by `nodes.Defined`.
TESTS: Final[Mapping[str, Callable[[object], bool]]] = {
    "boolean": lambda v: isinstance(v, bool),
    "defined": lambda _: True,
    "mapping": lambda v: isinstance(v, Mapping),
    "none": lambda v: v is None,
    "number": is_number,
    "sequence": lambda v: isinstance(v, list | tuple),
    "string": lambda v: isinstance(v, str),
    "undefined": lambda _: False,
}
