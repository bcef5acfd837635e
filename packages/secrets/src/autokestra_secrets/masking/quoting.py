"""Encodings of programming languages: shells, string literals, SQL, templates.

The quotes around a value are no part of its form: a form is what stands between them.
"""

import re
from collections.abc import Iterator
from typing import Final

from autokestra_secrets.masking.escapes import as_text

_BASH_SPECIAL: Final = re.compile(r"""[ !"$&'()*,;<>?\[\\\]^`{|}]|\A[#~]|(?<=[=:])~""")
_BASH_META: Final = re.compile(r"""[\s!"$&'()*;<>?\[\\\]^`{|}]|\A[#~]|(?<=[=:])~""")
_NOT_WORD: Final = re.compile(r"[^A-Za-z0-9_]")
_NOT_SHELLWORD: Final = re.compile(r"[^A-Za-z0-9_\-.,:+/@\n]")
_DOUBLE_QUOTE_SPECIAL: Final = re.compile(r'["\\$`]')
_CONTROLS: Final = re.compile("[\x00-\x1f\x7f]+")
_C_SHORT: Final = {
    "\a": "\\a", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\v": "\\v", "\f": "\\f", "\r": "\\r", "\\": "\\\\",
}  # fmt: skip


def _c_string(text: str, *, escape: str, ascii_only: bool) -> str:
    # The inside of bash's $'…': other control characters, and bytes that are not ASCII in the C locale, are octal.
    out = []
    for char in text:
        if char in _C_SHORT:
            out.append(_C_SHORT[char])
        elif char == "\x1b":
            out.append(escape)
        elif char < " " or char == "\x7f" or (ascii_only and not char.isascii()):
            out += [f"\\{byte:03o}" for byte in char.encode("utf-8", "surrogateescape")]
        else:
            out.append(char)
    return "".join(out)


@as_text
def shell_quotes(text: str) -> Iterator[str]:
    r"""Yield the inside of `'…'` (bash, shlex.quote, dash), of `"…"` and of `$'…'`."""
    yield text.replace("'", "'\\''")  # bash -x, printf %q of coreutils
    yield text.replace("'", "'\"'\"'")  # Python shlex.quote
    yield re.sub("'+", lambda quotes: f"'\"{quotes[0]}\"'", text)  # dash -x
    yield _DOUBLE_QUOTE_SPECIAL.sub(r"\\\g<0>", text)  # declare -p, docker inspect
    for escape in ("\\E", "\\e", "\\033"):
        for ascii_only in (False, True):
            form = _c_string(text, escape=escape, ascii_only=ascii_only)
            yield form
            yield form.replace("'", "\\'")
    # coreutils: control characters stand in a $'…' of their own
    yield _CONTROLS.sub(_own_c_string, text.replace("'", "'\\''")).removesuffix("''")
    yield " ".join(map(_traced_word, text.split())).strip("'")


def _traced_word(word: str) -> str:
    # bash -x shows each word of an unquoted expansion in quotes of its own, where it needs them.
    return "'" + word.replace("'", "'\\''") + "'" if _BASH_META.search(word) else word


def _own_c_string(controls: re.Match[str]) -> str:
    return "'$'" + _c_string(controls[0], escape="\\033", ascii_only=True) + "''"


@as_text
def backslashes(text: str) -> Iterator[str]:
    """Yield every special character behind a backslash: `printf %q`, Ruby's Shellwords, Perl's quotemeta, re.escape."""
    yield _BASH_SPECIAL.sub(r"\\\g<0>", text)
    yield _NOT_SHELLWORD.sub(r"\\\g<0>", text)
    yield _NOT_WORD.sub(r"\\\g<0>", text)
    yield re.escape(text)
    yield re.sub("[^A-Za-z0-9_\x80-\U0010ffff]", r"\\\g<0>", text)


def backslashed_bytes(value: bytes) -> Iterator[bytes]:
    """Yield every byte that is no letter, digit or underscore behind a backslash: Perl's quotemeta of bytes."""
    yield re.sub(rb"[^A-Za-z0-9_]", rb"\\\g<0>", value)


@as_text
def doubled(text: str) -> Iterator[str]:
    """Yield the characters that stand for themselves when doubled, or behind a caret: SQL, CSV, Compose, cron, cmd."""
    yield text.replace("'", "''")  # SQL, YAML, PowerShell
    yield text.replace('"', '""')  # CSV, SQL identifiers, PowerShell
    yield text.replace("$", "$$")  # Compose, make
    yield text.replace("%", "%%")  # batch files, printf, configparser, systemd units
    yield text.replace("$", "$$").replace("%", "%%")
    yield text.replace("{", "{{").replace("}", "}}")  # format strings
    yield re.sub(r"[&|<>()^\"%!]", r"^\g<0>", text)  # cmd
    yield re.sub(r"[&|<>()^]", r"^\g<0>", text)
    yield re.sub(r"[`$\"]", r"`\g<0>", text)  # PowerShell


@as_text
def representations(text: str) -> Iterator[str]:
    """Yield the inside of string literals: Python's `repr` and `ascii`, Go's %q, JavaScript's inspect, C."""
    raw = text.encode("utf-8", "surrogateescape")
    for literal in (
        repr(text)[1:-1],
        ascii(text)[1:-1],
        repr(raw)[2:-1],
    ):
        bare = literal.replace("\\'", "'")
        yield bare
        yield re.sub(r"\\(?:x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})", _upper_hex, bare)  # JavaScript, YAML
        yield bare.replace("'", "\\'")
        yield bare.replace('"', '\\"')


def _upper_hex(escape: re.Match[str]) -> str:
    return escape[0][:2] + escape[0][2:].upper()
