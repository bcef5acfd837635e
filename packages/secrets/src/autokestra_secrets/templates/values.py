"""Plain data: what an expression may hold, how it reads as text, and how much of it is too much.

Plain data is what JSON can say, and bytes on their way into a filter. No message here repeats a value.
"""

import json
import math
from collections.abc import Mapping
from typing import Final

from autokestra_secrets.errors import TemplateError

RESULT_LIMIT: Final = 10 << 20  # characters or bytes; what one call may return, 10 MiB
WORK_LIMIT: Final = 10 * RESULT_LIMIT  # characters or bytes; all that one call may make on the way
ITEM_COST: Final = 8  # characters; what an item of a list or mapping counts for besides its content
DEPTH_LIMIT: Final = 100  # lists and mappings within each other
NUMBER_BITS: Final = 4096  # about 1,230 digits; well under the 4,300 at which Python refuses to print a number

TOO_LARGE: Final = "result is larger than 10 MiB"
TOO_DEEP: Final = "nested too deeply"


def kind(value: object) -> str:
    """Name the sort of `value` for a message."""
    match value:
        case None:
            return "nothing (null)"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case bytes():
            return "bytes"
        case list() | tuple():
            return "a list"
        case Mapping():
            return "a mapping"
        case _:
            return "something that is no plain data"


def is_number(value: object) -> bool:
    """Whether `value` is an integer or a float; true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def size(value: object, depth: int = 0) -> int:
    """Count the characters of `value` and everything in it.

    Raises TemplateError when it is too large, nested too deeply, no finite number, or no plain data.
    """
    match value:
        case None | bool():
            return ITEM_COST
        case bytes():
            total = len(value)
        case str():
            total = len(value)
            if not _is_unicode(value):
                raise TemplateError("text is not valid Unicode: it holds half of a surrogate pair")
        case int():
            if value.bit_length() > NUMBER_BITS:
                raise TemplateError("number is too large")
            return ITEM_COST
        case float():
            if not math.isfinite(value):
                raise TemplateError("number is too large or not a number")
            return ITEM_COST
        case list() | tuple():
            total = _size_of_items(value, depth)
        case Mapping():
            total = _size_of_items([*value.keys(), *value.values()], depth)
        case _:
            raise TemplateError(f"{kind(value)} cannot be used in an expression")
    if total > RESULT_LIMIT:
        raise TemplateError(TOO_LARGE)
    return total


def _size_of_items(items: list[object] | tuple[object, ...], depth: int) -> int:
    if depth >= DEPTH_LIMIT:
        raise TemplateError(TOO_DEEP)
    total = 0
    for item in items:
        total += ITEM_COST + size(item, depth + 1)
        if total > RESULT_LIMIT:  # here and not after the loop: the same large text may stand in a list many times
            raise TemplateError(TOO_LARGE)
    return total


def text_of(value: object) -> str:
    """Return how `value` reads inside a text: null is empty, true and false are JSON, and so are lists and mappings."""
    match value:
        case str():
            return value
        case None:
            return ""
        case bytes():
            raise TemplateError(
                "value is bytes, not UTF-8 text",
                hint="use a filter that takes bytes: b64encode, hex, sha256, urlencode",
            )
        case bool() | list() | tuple() | Mapping():
            return json_of(value)
        case int() | float():
            return str(value)
        case _:
            raise TemplateError(f"{kind(value)} cannot be used in a text")


def json_of(value: object) -> str:
    """Return `value` as JSON, non-ASCII characters as they are. Raises TemplateError for what JSON cannot say."""
    size(value)
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_mapping)
    except (TypeError, ValueError):
        pass
    raise TemplateError("value cannot be written as JSON")  # outside the handler: the cause may hold the value


def _mapping(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError


def copied(value: object) -> object:
    """Return a copy of plain data in which every mapping is a dict and every sequence a list.

    Whoever gets a result may change it without changing what other tasks see.
    """
    match value:
        case list() | tuple():
            return [copied(item) for item in value]
        case Mapping():
            return {key: copied(item) for key, item in value.items()}
        case bytes():
            return text_of(value)  # raises: bytes are no plain data outside of an expression
        case _:
            return value


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
