"""Encodings that replace every byte: base64 in its varieties, hexadecimal, UTF-16.

All of them hide what a reader could recognise, so only forms of 8 bytes and more are worth looking for.
"""

from base64 import b64encode
from collections.abc import Iterator
from typing import Final

_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
_QUANTUM: Final = 8  # characters; a core that is shorter is too weak to be looked for


def _cores(value: bytes) -> Iterator[bytes]:
    """Yield the characters that `value` alone decides, for 0, 1 and 2 bytes before it.

    RFC 4648, 4: three bytes are four characters, so any prefix shifts the value to one of three alignments, and the
    characters at its edges also hold bits of its neighbours. What is left is the same with any prefix, suffix and
    padding.
    """
    for before in range(3):
        first = (before * 8 + 5) // 6
        last = (before + len(value)) * 8 // 6
        yield b64encode(b"\0" * before + value)[first:last]


def base64(value: bytes) -> Iterator[bytes]:
    """Yield the base64 of `value` within any text (RFC 4648, 4).

    A value too short for that is looked for as it is encoded alone, with and without the newline of `echo`.
    """
    yield from _cores(value)
    if len(value) * 8 // 6 < _QUANTUM:
        yield b64encode(value)
        yield b64encode(value + b"\n")


def base64_url(value: bytes) -> Iterator[bytes]:
    """Yield the same in the URL-safe alphabet (RFC 4648, 5)."""
    for form in base64(value):
        yield form.translate(_URL_SAFE)


def base64_escaped(value: bytes) -> Iterator[bytes]:
    """Yield base64 whose `+` and `/` were escaped for a URL or by a JSON writer of PHP's kind."""
    for core in _cores(value):
        if b"+" in core or b"/" in core:
            yield core.replace(b"+", b"%2B").replace(b"/", b"%2F")
            yield core.replace(b"+", b"%2b").replace(b"/", b"%2f")
            yield core.replace(b"/", b"\\/")


def double_base64(value: bytes) -> Iterator[bytes]:
    """Yield the base64 of the base64 of `value`, each within any text."""
    for core in _cores(value):
        yield from _cores(core)


def base64_utf16(value: bytes) -> Iterator[bytes]:
    """Yield the base64 of UTF-16LE text: what `powershell -EncodedCommand` takes."""
    try:
        wide = value.decode().encode("utf-16-le")
    except UnicodeDecodeError:
        return
    yield from _cores(wide)


def utf16(value: bytes) -> Iterator[bytes]:
    """Yield `value` as UTF-16 text of either byte order, as some Windows tools print; the outer NULs are left out."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return
    yield text.encode("utf-16-le").strip(b"\0")
    yield text.encode("utf-16-be").strip(b"\0")


def hexadecimal(value: bytes) -> Iterator[bytes]:
    """Yield two hexadecimal digits a byte, lower and upper case."""
    yield value.hex().encode()
    yield value.hex().upper().encode()


def hexadecimal_separated(value: bytes) -> Iterator[bytes]:
    r"""Yield hexadecimal digits as `aa:bb` and `\xaa\xbb`, lower and upper case."""
    for digits in (value.hex(":"), value.hex(":").upper()):
        yield digits.encode()
        yield b"\\x" + digits.replace(":", "\\x").encode()


def byte_lists(value: bytes) -> Iterator[bytes]:
    """Yield the bytes one by one, as programs print a buffer that they do not take for text.

    In hexadecimal: `61 62` (od, Node.js, Go), `0x61, 0x62` (C, Go); in decimal: `97,98` (JSON), `97, 98` (Python,
    Rust, Java). More separators would be found more rarely than they would cost.
    """
    yield value.hex(" ").encode()
    yield ", ".join([f"0x{byte:02x}" for byte in value]).encode()
    yield ",".join(map(str, value)).encode()
    yield ", ".join(map(str, value)).encode()
