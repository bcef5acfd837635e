"""Encodings that replace only some characters: URLs, JSON, XML, shells, source code.

Each function yields every spelling that a known writer produces. A value without special characters is spelled as it
is by all of them, which costs nothing.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import combinations, product
from typing import Final

_ALNUM: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")

# Characters besides letters and digits that a writer leaves alone in a URL, and whether a blank becomes `+`.
_URL_WRITERS: Final = (
    (b"-._~", False),  # RFC 3986, 2.3: curl, jq @uri, Python quote(safe=''), PHP rawurlencode
    (b"-._~", True),  # Python quote_plus, Go QueryEscape
    (b"*-._", True),  # WHATWG application/x-www-form-urlencoded: URLSearchParams, Java URLEncoder
    (b"-._", True),  # PHP urlencode
    (b"-._~/", False),  # Python quote()
    (b"-_.!~*'()", False),  # ECMAScript encodeURIComponent
    (b"-_.!~*'();/?:@&=+$,#", False),  # ECMAScript encodeURI
    (b"-_.~$&+:=@", False),  # Go PathEscape
    (b"-._~!$&'()*+,;=:@", False),  # RFC 3986, 3.3: a path segment with sub-delimiters
    (b"-._~!$&'()*+,;=:@/", False),  # a whole path
    (b"-._~!$&'()*+,;=:@/?", False),  # a query
    (b"-._~!$&'()*+,;=", False),  # RFC 3986, 3.2.1: userinfo
    (b"!$%&'()*+,-./:;=?@[\\]^_`{|}~", False),  # WHATWG query
    (b"!$%&'()*+,-./:;=@[\\]^_|~", False),  # WHATWG path
    (b"!$%&'()*+,-._~", False),  # WHATWG userinfo
    (bytes(c for c in range(0x21, 0x7F) if c != ord("%")), False),  # blanks, `%` and non-ASCII only
    (bytes(range(0x21, 0x7F)), False),  # blanks and non-ASCII only
)


def _percent(value: bytes, writers: Iterable[tuple[bytes, bool]] = _URL_WRITERS) -> Iterator[bytes]:
    seen = set()
    present = frozenset(value)
    for safe, plus in writers:
        unsafe = present - _ALNUM - frozenset(safe)
        if not unsafe or (unsafe, plus and b" " in value) in seen:
            continue
        seen.add((unsafe, plus and b" " in value))
        for digits in ("%%%02X", "%%%02x"):
            table = {c: (digits % c).encode() for c in unsafe}
            if plus:
                table[ord(" ")] = b"+"
            yield b"".join([table.get(c) or bytes((c,)) for c in value])


_RESERVED: Final = b"!#$&'()*+,/:;=?@[]~"  # RFC 3986, 2.2, and `~`: writers differ about them
_RESERVED_MIXES: Final = 3  # different reserved characters; up to so many, every choice of what to encode is spelled


def _choices(value: bytes) -> Iterator[tuple[bytes, bool]]:
    present = [bytes((c,)) for c in _RESERVED if c in value]
    if len(present) <= _RESERVED_MIXES:
        for size in range(len(present) + 1):
            for chosen in combinations(present, size):
                yield b"-._" + b"".join(chosen), False
                yield b"-._" + b"".join(chosen), True


def common_percent(value: bytes) -> Iterator[bytes]:
    """Yield the percent-encodings (RFC 3986, 2.1) of URLs and forms, in both cases."""
    yield from _percent(value, _URL_WRITERS[:2])


def percent(value: bytes) -> Iterator[bytes]:
    """Yield percent-encodings (RFC 3986, 2.1) by every writer's idea of what to encode, in both cases."""
    yield from _percent(value, (*_URL_WRITERS, *_choices(value)))


def double_percent(value: bytes) -> Iterator[bytes]:
    """Yield percent-encodings that were encoded once more."""
    for form in _percent(value):
        yield form.replace(b"%", b"%25")


def quoted_printable(value: bytes) -> Iterator[bytes]:
    """Yield the quoted-printable encoding (RFC 2045, 6.7) of mail, without its line breaks."""
    yield re.sub(rb"[=\x80-\xff]", lambda match: b"=%02X" % match[0][0], value)


def as_text(spell: Callable[[str], Iterator[str]]) -> Callable[[bytes], Iterator[bytes]]:
    """Let a function of text work on bytes; what is not UTF-8 passes through as it is."""

    def encoded(value: bytes) -> Iterator[bytes]:
        for text in spell(value.decode("utf-8", "surrogateescape")):
            yield text.encode("utf-8", "surrogateescape")

    encoded.__doc__ = spell.__doc__
    return encoded


_JSON_SHORT: Final = {
    '"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f",
}  # fmt: skip
_NOT_UTF8: Final = re.compile("[\udc80-\udcff]")


def _json(
    text: str, *, extra: str = "", ascii_only: bool = False, upper: bool = False, short: str = '"\\\n\r\t\b\f'
) -> str:
    out = []
    digits = "\\u%04X" if upper else "\\u%04x"
    for char in text:
        code = ord(char)
        if char in short and char in _JSON_SHORT:
            out.append(_JSON_SHORT[char])
        elif code < 0x20 or char in extra or (ascii_only and code > 0x7E):
            wide = char.encode("utf-16-be")
            out += [digits % int.from_bytes(wide[at : at + 2], "big") for at in range(0, len(wide), 2)]
        else:
            out.append(char)
    return "".join(out)


def _json_writers(text: str) -> Iterator[str]:
    plain = _json(text)
    yield plain  # ECMAScript, Python ensure_ascii=False, serde
    yield _json(text, ascii_only=True)  # Python json.dumps, Ruby
    yield _json(text, ascii_only=True, upper=True)
    yield _json(text, extra="\x7f")  # jq
    yield _json(text, extra="<>&\u2028\u2029")  # Go
    yield _json(text, extra="<>&\u2028\u2029", short='"\\\n\r\t')  # Go before 1.22
    yield _json(text, extra="<>&\u2028\u2029", ascii_only=True)  # Rails, HTML-safe writers
    yield _json(text, extra="<>&='\u2028\u2029")  # Gson
    yield _json(text, extra="<>&'\"", ascii_only=True, upper=True, short="\\\n\r\t\b\f")  # PHP JSON_HEX_*
    yield _json(text, extra="<>&'\"+`\x7f", ascii_only=True, upper=True, short="\\\n\r\t\b\f")  # .NET
    for form in (plain, _json(text, ascii_only=True)):
        yield form.replace("/", "\\/")  # PHP, older Java writers


@as_text
def json_string(text: str) -> Iterator[str]:
    r"""Yield the inside of a JSON string (RFC 8259, 7), as ASCII, as Unicode, HTML-safe, with `\/`."""
    if not _NOT_UTF8.search(text):
        yield from _json_writers(text)


@as_text
def nested_json(text: str) -> Iterator[str]:
    """Yield JSON strings within JSON strings, two and three deep."""
    if not _NOT_UTF8.search(text):
        for inner in dict.fromkeys(_json_writers(text)):
            twice = _json(inner)
            yield twice
            yield twice.replace("/", "\\/")
            yield _json(twice)


_XML_MIXES: Final = 128  # spellings; up to so many, every character is spelled in every way
_XML: Final = {
    "&": ("&amp;", "&#38;", "&#x26;"),
    "<": ("&lt;", "&#60;", "&#x3c;", "&#x3C;"),
    ">": ("&gt;", ">", "&#62;", "&#x3e;", "&#x3E;"),
    '"': ("&quot;", '"', "&#34;", "&#x22;"),
    "'": ("&apos;", "'", "&#39;", "&#x27;", "&#039;"),
}  # fmt: skip
_XML_WRITERS: Final = (
    "&lt; &gt; &amp; \" '",  # text: saxutils.escape
    "&lt; > &amp; \" '",  # XML serialisers that leave `>`
    "&lt; &gt; &amp; &quot; '",  # attributes; .NET, Node's serialisers
    "&lt; &gt; &amp; &quot; &apos;",  # XML 1.0, 4.6
    "&lt; &gt; &amp; &quot; &#39;",  # jinja2, lodash, Java
    "&lt; &gt; &amp; &quot; &#x27;",  # html.escape
    "&lt; &gt; &amp; &quot; &#039;",  # PHP
    "&lt; &gt; &amp; &#34; &#39;",  # Go, MarkupSafe
    "&#60; &#62; &#38; &#34; &#39;",
    "&#x3c; &#x3e; &#x26; &#x22; &#x27;",
    "&#x3C; &#x3E; &#x26; &#x22; &#x27;",
)


@as_text
def xml(text: str) -> Iterator[str]:
    """Yield XML and HTML text with named and numeric references, mixed where that is affordable."""
    specials = [char for char in text if char in _XML]
    mixes = 1
    for char in specials:
        mixes *= len(_XML[char])
    if specials and mixes <= _XML_MIXES:
        pieces = re.split("([&<>\"'])", text)
        choices = [_XML.get(piece, (piece,)) for piece in pieces]
        forms = ["".join(chosen) for chosen in product(*choices)]
    else:
        tables = [dict(zip("<>&\"'", writer.split(), strict=True)) for writer in _XML_WRITERS]
        forms = ["".join([table.get(char, char) for char in text]) for table in tables]
    for form in dict.fromkeys(forms):
        yield form
        if not form.isascii() and not _NOT_UTF8.search(form):
            yield form.encode("ascii", "xmlcharrefreplace").decode()
            yield "".join([char if char.isascii() else f"&#x{ord(char):x};" for char in form])
            yield "".join([char if char.isascii() else f"&#x{ord(char):X};" for char in form])
        if "\n" in form:
            yield form.replace("\r", "&#13;").replace("\n", "&#10;").replace("\t", "&#9;")
            yield form.replace("\r", "&#xD;").replace("\n", "&#xA;").replace("\t", "&#x9;")
