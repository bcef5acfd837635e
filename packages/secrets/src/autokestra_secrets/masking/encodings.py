"""The forms in which a value can be printed: a pure table of name, function and reason.

`forms` answers what a masker has to look for. Nothing here searches, and nothing here touches the outside world.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from autokestra_secrets.masking import alphabets, escapes, quoting
from autokestra_secrets.masking.parts import parts
from autokestra_secrets.masking.policy import MIN_LENGTH, maskability

__all__ = ["ENCODINGS", "Encoding", "Form", "forms", "maskability"]

ENCODED_LENGTH: Final = 8  # bytes of a form in another alphabet; shorter ones stand in ordinary text by chance
ESCAPED_LENGTH: Final = 4  # bytes of a form with some characters escaped
LARGE: Final = 1 << 16  # bytes; of larger values only the common encodings are looked for

ENCODED_LEAD: Final = 8  # bytes of a wrapped encoding that stand together at its beginning
WRAPPED_BYTES: Final = 16  # of an encoding that is recognised across line breaks
PLAIN_LEAD: Final = 4  # the same for a plain value
TOKEN_BYTES: Final = 12  # of a plain value of letters and digits that is recognised across a line break
LONG_TOKEN_BYTES: Final = 40  # of any plain value without blanks
TOKEN_LIMIT: Final = 4000
TOLERANT_LINES: Final = 1000  # lines of one value that are recognised when they are broken or spaced differently

_BRIDGED: Final = frozenset({"plain", "line", "unquoted", "leaf"})
_TOKEN: Final = re.compile(rb"[\x21-\x7e]+")
_MIXED: Final = re.compile(rb"(?=[^0-9]*[0-9])(?=[^A-Za-z]*[A-Za-z])")


class Form(NamedTuple):
    """One spelling of a value: `kind` is what reports call it, `data` the bytes to look for.

    A form with a `lead` is also recognised when line breaks cut it behind its first `lead` bytes. In an `exact` one a
    blank is a blank; in others it stands for any run of them.
    """

    kind: str
    data: bytes
    lead: int = 0
    exact: bool = False


class Encoding(NamedTuple):
    """A row of the table.

    Values that consist of `spared` bytes only are left as they are by it. Tools break `wrapped` ones into lines;
    with `tails`, also so early that what stands behind the break is looked for by itself. `common` ones are also
    looked for in large values. In `exact` ones a blank is a blank.
    """

    kind: str
    spell: Callable[[bytes], Iterator[bytes]]
    why: str
    spared: re.Pattern[bytes] | None = None
    wrapped: bool = False
    tails: bool = False
    common: bool = False
    exact: bool = False


_WORD: Final = re.compile(rb"[A-Za-z0-9_]*")
_UNRESERVED: Final = re.compile(rb"[A-Za-z0-9_.-]*")

ENCODINGS: Final = (
    Encoding("base64", alphabets.base64, "basic auth, Kubernetes, `base64`", wrapped=True, tails=True, common=True),
    Encoding("base64", alphabets.base64_url, "JWT, URL-safe APIs", wrapped=True, common=True),
    Encoding("base64", alphabets.base64_escaped, "base64 in a URL or by PHP"),
    Encoding("double base64", alphabets.double_base64, "how CVE-2025-30066 got past a masker", wrapped=True),
    Encoding("base64 of UTF-16", alphabets.base64_utf16, "powershell -EncodedCommand", wrapped=True),
    Encoding("utf-16", alphabets.utf16, "wsl.exe, redirected PowerShell"),
    Encoding("hex", alphabets.hexadecimal, "xxd -p, digest tools", wrapped=True, tails=True, common=True),
    Encoding("hex", alphabets.hexadecimal_separated, "openssl, C and Python literals", wrapped=True),
    Encoding("bytes", alphabets.byte_lists, "buffers printed as they are: [97, 98], <Buffer 61 62>", exact=True),
    Encoding("percent", escapes.common_percent, "URLs and forms", _UNRESERVED, common=True),
    Encoding("percent", escapes.percent, "by every writer's idea of what to escape", _UNRESERVED),
    Encoding("double percent", escapes.double_percent, "a URL within a URL", _UNRESERVED),
    Encoding("quoted-printable", escapes.quoted_printable, "mail", _UNRESERVED),
    Encoding("json", escapes.json_string, "every structured log", _UNRESERVED, common=True),
    Encoding("nested json", escapes.nested_json, "a JSON log of a JSON body", _UNRESERVED),
    Encoding("xml", escapes.xml, "XML, HTML, SOAP", _UNRESERVED),
    Encoding("shell", quoting.shell_quotes, "set -x, shlex, declare -p", _UNRESERVED),
    Encoding("shell", quoting.backslashes, "printf %q, quotemeta", _WORD),
    Encoding("shell", quoting.backslashed_bytes, "quotemeta of undecoded text", _WORD),
    Encoding("doubled", quoting.doubled, "SQL, CSV, Compose, cron, cmd", _UNRESERVED),
    Encoding("repr", quoting.representations, "tracebacks, debuggers, Go's %q", _UNRESERVED),
)


def forms(value: bytes, *, min_length: int = MIN_LENGTH) -> Iterator[Form]:
    """Yield the forms of `value` that are worth looking for, each once; the value itself comes first.

    A value with a `maskability` reason has none.
    """
    if maskability(value, min_length=min_length) is not None:
        return
    seen: set[bytes] = set()
    lines = 0
    for part in parts(value, min_length):
        if part.data in seen:
            continue
        seen.add(part.data)
        lines += part.kind == "line"
        if lines > TOLERANT_LINES and part.kind == "line":
            yield Form(part.kind, part.data, exact=True)
            continue
        yield Form(part.kind, part.data, _plain_lead(part.data) if part.kind in _BRIDGED else 0)
        if part.encoded:
            for encoding in ENCODINGS:
                if encoding.common or len(part.data) <= LARGE:
                    yield from _encoded(encoding, part.data, seen)


def _encoded(encoding: Encoding, data: bytes, seen: set[bytes]) -> Iterator[Form]:
    if encoding.spared is not None and encoding.spared.fullmatch(data):
        return
    shortest = ENCODED_LENGTH if encoding.spared is None else ESCAPED_LENGTH
    for form in encoding.spell(data):
        if len(form) < shortest or form in seen:
            continue
        seen.add(form)
        lead = ENCODED_LEAD if encoding.wrapped and len(form) >= WRAPPED_BYTES else 0
        yield Form(encoding.kind, form, lead, encoding.exact)
        if lead and encoding.tails:
            seen.add(form[lead:])
            yield Form(encoding.kind, form[lead:], lead)


def _plain_lead(data: bytes) -> int:
    long_enough = LONG_TOKEN_BYTES if not _MIXED.match(data) else TOKEN_BYTES
    return PLAIN_LEAD if long_enough <= len(data) <= TOKEN_LIMIT and _TOKEN.fullmatch(data) else 0
