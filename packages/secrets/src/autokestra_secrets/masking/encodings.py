"""The forms in which a value can be printed: a pure table of name, function and reason.

`forms` answers what a masker has to look for, `maskability` why a value cannot be masked safely. Nothing here
searches, and nothing here touches the outside world.
"""

import base64
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

MIN_LENGTH: Final = 4  # bytes of a plain value, by default
ENCODED_LENGTH: Final = 8  # bytes of an encoded form; shorter ones stand in ordinary text by chance
STRONG_LETTERS: Final = 5  # letters and digits that make a line or a leaf worth masking by itself

_BOOLEAN_LIKE: Final = frozenset(
    b"true false yes no on off null nil none undefined enabled disabled y n t f 0 1".split()
)
_LINE_END: Final = re.compile(rb"[\r\n]+")
_WORD: Final = re.compile(rb"[^\W_]|[\x80-\xff]", re.ASCII)
_MARKER: Final = re.compile(rb"-----(BEGIN|END) [^\r\n]*-----|[\w.-]+:")  # PEM armour; a key without its value


ENCODED_LEAD: Final = 8  # bytes of a wrapped encoding that stand together at its beginning
PLAIN_LEAD: Final = 4  # the same for a plain value


class Form(NamedTuple):
    """One spelling of a value: `kind` is what reports call it, `data` the bytes to look for."""

    kind: str
    data: bytes
    lead: int = 0


def maskability(value: bytes, *, min_length: int = MIN_LENGTH) -> str | None:
    """Return why `value` cannot be masked safely, or None when it can.

    The reason never repeats the value. `min_length` is in bytes.
    """
    if not value:
        return "empty"
    trimmed = value.strip()
    if not trimmed:
        return "only whitespace"
    if len(trimmed) < min_length:
        return f"shorter than {min_length} bytes"
    if trimmed.lower() in _BOOLEAN_LIKE and min_length > 1:
        return "a word that logs are full of"
    return None


def forms(value: bytes, *, min_length: int = MIN_LENGTH) -> Iterator[Form]:
    """Yield the forms of `value` that are worth looking for; the same bytes may come twice.

    A value with a `maskability` reason has none.
    """
    if maskability(value, min_length=min_length) is not None:
        return
    trimmed = value.strip()
    yield Form("plain", trimmed)
    for line in _strong_lines(trimmed, max(min_length, STRONG_LETTERS)):
        yield Form("line", line)
    for form in _base64(trimmed):
        if len(form) >= ENCODED_LENGTH:
            yield Form("base64", form)


def _strong_lines(value: bytes, floor: int) -> Iterator[bytes]:
    lines = _LINE_END.split(value)
    if len(lines) > 1:
        for line in map(bytes.strip, lines):
            if len(line) >= floor and len(_WORD.findall(line)) >= STRONG_LETTERS and not _MARKER.fullmatch(line):
                yield line


def _base64(value: bytes) -> Iterator[bytes]:
    """Yield the characters that `value` alone decides, for 0, 1 and 2 bytes before it, in both alphabets.

    RFC 4648, 4 and 5: three bytes are four characters, so any prefix shifts the value to one of three
    alignments, and the characters at its edges also hold bits of its neighbours.
    """
    for before in range(3):
        first = (before * 8 + 5) // 6
        last = (before + len(value)) * 8 // 6
        core = base64.b64encode(b"\0" * before + value)[first:last]
        yield core
        yield core.translate(_URL_SAFE)


_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
