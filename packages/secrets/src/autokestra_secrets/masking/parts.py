"""What of a value is secret by itself: its lines, its leaves, the value without quotes, read by another decoder.

Strong parts are looked for anywhere. Weak ones (`}`, `],`, two letters, `-----BEGIN`) count only inside the whole
value, so that logs are not shredded.
"""

import html
import json
import re
import unicodedata
from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from autokestra_secrets.masking.policy import BOOLEAN_LIKE

LETTERS: Final = 5  # letters and digits that make a line worth masking
LEAF_BYTES: Final = 6  # of a string inside a structured value
LINES: Final = 20_000  # of one value that are masked by themselves
LEAVES: Final = 1000  # strings of one structured value that are masked by themselves
FOLDED_BYTES: Final = 16  # of a value in mixed case that is also looked for in one case

_LINE_END: Final = re.compile(rb"[\r\n]+")
_LETTER: Final = re.compile(rb"[A-Za-z0-9\x80-\xff]")
_WEAK: Final = re.compile(rb"-----(BEGIN|END) [^\r\n]*-----|[\"']?[\w.-]+[\"']?\s*[:=]\s*[\[{(|>]?")
_PLAIN_URL: Final = re.compile(rb"[a-z][a-z0-9+.-]*://[^@?#]*")
_PASSWORD: Final = re.compile(rb"://[^/?#\s:@]*:([^/?#\s@]+)@")
_ASSIGNMENT: Final = re.compile(rb"(?:export\s+)?[A-Za-z_][\w.-]*\s*(?:=|:\s)\s*(\S.*)")
_ESCAPE: Final = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|([0-7]{1,3})|(.))", re.DOTALL)
_CONTROL: Final = {
    b"n": b"\n",
    b"t": b"\t",
    b"r": b"\r",
    b"b": b"\b",
    b"f": b"\f",
    b"a": b"\a",
    b"v": b"\v",
    b"e": b"\x1b",
    b"E": b"\x1b",
}


class Part(NamedTuple):
    """A piece of a value: what reports call it, its bytes, and whether its encodings are looked for as well."""

    kind: str
    data: bytes
    encoded: bool


def parts(value: bytes, floor: int) -> Iterator[Part]:
    """Yield the whole value without the blanks around it, then what is secret by itself; `floor` is in bytes."""
    whole = value.strip()
    yield Part("plain", whole, encoded=True)
    inner = _without_quotes(whole)
    if inner != whole and len(inner) >= max(floor, 4):
        yield Part("unquoted", inner, encoded=True)
    if not _is_text(whole):
        return
    for line in _strong_lines(whole, floor):
        yield Part("line", line, encoded=False)
    for text in _read_by_others(whole):
        if len(text) >= max(floor, 4):
            yield Part("unescaped", text, encoded=False)
            for line in _strong_lines(text, floor):
                yield Part("line", line, encoded=False)
    for leaf in _leaves(whole, floor):
        yield Part("leaf", leaf, encoded=True)
        for line in _strong_lines(leaf, floor):
            yield Part("line", line, encoded=False)
    yield from _other_spellings(whole)


def is_strong(data: bytes, floor: int) -> bool:
    """Whether a line or leaf is unlikely to stand in a log by chance."""
    return (
        len(data) >= floor
        and len(_LETTER.findall(data)) >= LETTERS
        and data.lower() not in BOOLEAN_LIKE
        and not _WEAK.fullmatch(data)
    )


def _strong_lines(value: bytes, floor: int) -> Iterator[bytes]:
    lines = _LINE_END.split(value)
    if len(lines) > 1:
        strong = (line.strip() for line in lines if is_strong(line.strip(), floor))
        yield from islice(strong, LINES)


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return b"\0" not in value


def _without_quotes(value: bytes) -> bytes:
    if len(value) > 2 and value[0] == value[-1] and value[:1] in (b'"', b"'", b"`"):
        return value[1:-1].strip()
    return value


def _read_by_others(value: bytes) -> Iterator[bytes]:
    """Yield what a program prints that undoes the escapes in the value."""
    texts = []
    if b"\\" in value:
        texts.append(_ESCAPE.sub(_unescape, value))
        texts.append(re.sub(rb"\\(.)", rb"\1", value, flags=re.DOTALL))
    if b"%" in value:
        texts.append(unquote_to_bytes(value))
    if b"&" in value:
        texts.append(html.unescape(value.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape"))
    for text in texts:
        if text != value:
            yield text.lstrip()  # a blank at its end was written on purpose
            yield text.strip()


def _unescape(match: re.Match[bytes]) -> bytes:
    byte, unit, octal, char = match.groups()
    if byte:
        return bytes((int(byte, 16),))
    if unit:
        return chr(int(unit, 16)).encode("utf-8", "surrogatepass")
    if octal:
        return bytes((int(octal, 8) & 0xFF,))
    return _CONTROL.get(char, char)


def _leaves(value: bytes, floor: int) -> Iterator[bytes]:
    """Yield the strings of JSON, the right sides of assignments, the passwords of URLs."""
    count = 0
    for leaf in (*_json_strings(value), *_assigned(value), *_passwords(value)):
        text = leaf.strip()
        if text != value and is_strong(text, max(floor, LEAF_BYTES)) and not _PLAIN_URL.fullmatch(text):
            yield text
            count += 1
            if count == LEAVES:
                return


def _json_strings(value: bytes) -> Iterator[bytes]:
    if value[:1] not in (b"{", b"[", b'"'):
        return
    try:
        pending = [json.loads(value)]
    except (ValueError, RecursionError):
        return
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            yield item.encode("utf-8", "surrogatepass")
        elif isinstance(item, dict):
            pending += item.values()
        elif isinstance(item, list):
            pending += item


def _assigned(value: bytes) -> Iterator[bytes]:
    lines = _LINE_END.split(value)
    if len(lines) > 1:
        for line in lines:
            match = _ASSIGNMENT.fullmatch(line.strip())
            if match:
                yield _without_quotes(match[1].rstrip(b","))


def _passwords(value: bytes) -> Iterator[bytes]:
    for match in _PASSWORD.finditer(value):
        yield match[1]
        yield unquote_to_bytes(match[1])


def _other_spellings(value: bytes) -> Iterator[Part]:
    """Yield the value in the other normal form, in one case, and as wrong decoders print it."""
    text = value.decode()
    if not text.isascii():
        for form in ("NFC", "NFD"):
            yield Part("normalised", unicodedata.normalize(form, text).encode(), encoded=True)
        for wrong in ("latin-1", "cp1252"):
            yield Part("mojibake", value.decode(wrong, "replace").encode(), encoded=False)
            yield Part("mojibake", text.encode(wrong, "replace"), encoded=False)
        yield Part("mojibake", value.decode("ascii", "replace").encode(), encoded=False)
        yield Part("mojibake", text.encode("ascii", "replace"), encoded=False)
    if len(value) >= FOLDED_BYTES and not text.islower() and not text.isupper():
        yield Part("case", text.lower().encode(), encoded=False)
        yield Part("case", text.upper().encode(), encoded=False)
