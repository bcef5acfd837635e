"""Files that hold many secrets, read as text: dotenv, JSON and shell. Nothing is opened, stored or printed here.

Every error names the file and, where there is one, the line or the key; never what stands there, since half a
line may be a value.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final, Literal

from autokestra.errors import UsageError
from autokestra_secrets import SecretsError, SecretValue, secret_name

Format = Literal["dotenv", "json", "shell"]

_LINE: Final = re.compile(r"[ \t]*(?:export[ \t]+)?([^\s=#'\"]+)[ \t]*=[ \t]*")
_BLANK: Final = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_UNQUOTED: Final = re.compile(r"[^\n]*")
_COMMENT: Final = re.compile(r"(?:^|[ \t])#.*")  # `a#b` is a value, `a #b` is a value and a comment
_SINGLE_QUOTED: Final = re.compile(r"'([^']*)'")
# Possessive, so that a quote which is never closed takes no memory per character.
_DOUBLE_QUOTED: Final = re.compile(r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"', re.DOTALL)
_VARIABLE: Final = re.compile(r"(?<!\\)(?:\\\\)*\$(?:[A-Za-z_]|\{[A-Za-z_])")  # $NAME, ${NAME}, and not \$NAME
_ESCAPE: Final = re.compile(r'\\([nrt\\"$`])')
_ESCAPED: Final = {"n": "\n", "r": "\r", "t": "\t"}


def detect_format(file_name: str, text: str) -> Format:
    """Return the format by the file's extension, and where that says nothing, JSON when the text begins with `{`."""
    lower = file_name.lower()
    if lower.endswith(".json"):
        return "json"
    if lower.endswith(".env"):
        return "dotenv"
    if lower.endswith(".sh"):
        return "shell"
    return "json" if text.lstrip().startswith("{") else "dotenv"


def decode(data: bytes, *, origin: str) -> str:
    """Return the text of a file: UTF-8, with or without byte order mark.

    Raises UsageError naming `origin` and the line.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{origin}:{line}: not UTF-8 text", hint="save the file as UTF-8") from None
    return text


def parse(
    text: str, *, origin: str, file_format: Format, unexpanded: list[int] | None = None
) -> dict[str, SecretValue]:
    """Return the secrets of a file in its order, all names and values checked.

    `origin` is the file's name for messages. The lines of a dotenv file that a shell would have expanded are added to
    `unexpanded`. Raises UsageError for the first thing that is wrong.
    """
    if file_format == "dotenv":
        secrets = parse_dotenv(text, origin=origin, unexpanded=unexpanded)
    else:
        secrets = (parse_json if file_format == "json" else parse_shell)(text, origin=origin)
    if not secrets:
        raise UsageError(f"{origin}: no secrets in it", hint="each line is NAME=VALUE, or the file is a JSON object")
    return secrets


# --- dotenv -------------------------------------------------------------------------------------------------------


def parse_dotenv(text: str, *, origin: str, unexpanded: list[int] | None = None) -> dict[str, SecretValue]:
    r"""Parse `NAME=VALUE` lines: `export` before the name, comments, quotes over several lines.

    Unquoted values end at ` #` or the line's end, and lose blanks around them. Nothing is special within single
    quotes. Within double quotes `\n \r \t \\ \" \$` and an escaped backtick are escapes, and any other backslash is
    itself. `$NAME` is text everywhere: nothing is expanded, because a password may hold a `$`; the lines where a shell
    would have done so are added to `unexpanded`. CRLF is LF, as other readers of such files have it.
    """
    text = text.replace("\r\n", "\n")
    found: dict[str, SecretValue] = {}
    lines: dict[str, int] = {}
    position, line = 0, 1
    while position < len(text):
        blank = _BLANK.match(text, position)
        if blank:
            position, line = blank.end(), line + 1
            continue
        start = _LINE.match(text, position)
        if start is None:
            raise UsageError(f"{origin}:{line}: expected NAME=VALUE", hint="a comment begins with '#'")
        name = start[1]
        value, end = _dotenv_value(text, start.end(), where=f"{origin}:{line}")
        if name in found:
            raise UsageError(f"{origin}:{line}: '{name}' is already in line {lines[name]}", hint="keep one of the two")
        found[name] = _checked(name, value, where=f"{origin}:{line}")
        lines[name] = line
        if unexpanded is not None and _would_expand(text[start.end() : end]):
            unexpanded.append(line)
        line += text.count("\n", position, end)
        position = end
    return found


def _dotenv_value(text: str, start: int, *, where: str) -> tuple[str, int]:
    """Return the value that begins at `start`, and where the next line begins."""
    quote = text[start : start + 1]
    if quote not in {"'", '"'}:
        rest = _UNQUOTED.match(text, start)
        assert rest is not None  # it matches the empty string too
        return _COMMENT.sub("", rest[0]).strip(), rest.end() + 1
    quoted = (_SINGLE_QUOTED if quote == "'" else _DOUBLE_QUOTED).match(text, start)
    if quoted is None:
        raise UsageError(f"{where}: the quote {quote} is not closed")
    after = _BLANK.match(text, quoted.end())
    if after is None:
        hint = None if quote == '"' else "for a value with a single quote in it, use double quotes"
        raise UsageError(f"{where}: there is text after the closing quote", hint=hint)
    value = quoted[1]
    if quote == '"':
        value = _ESCAPE.sub(lambda escape: _ESCAPED.get(escape[1], escape[1]), value)
    return value, after.end()


def _would_expand(written: str) -> bool:
    """Whether a shell that reads this value, quotes and comment included, would put something in place of a `$NAME`."""
    if written[:1] == "'":
        return False
    quoted = _DOUBLE_QUOTED.match(written)
    return _VARIABLE.search(quoted[1] if quoted else _COMMENT.sub("", written)) is not None


# --- shell --------------------------------------------------------------------------------------------------------


def parse_shell(text: str, *, origin: str) -> dict[str, SecretValue]:
    """Parse lines `export NAME='VALUE'`. Raises UsageError naming the line."""
    from autokestra.cli.shelltext import assignments  # noqa: PLC0415  # the other formats do without

    found: dict[str, SecretValue] = {}
    lines: dict[str, int] = {}
    for name, value, line in assignments(text, origin=origin):
        if name in found:
            raise UsageError(f"{origin}:{line}: '{name}' is already in line {lines[name]}", hint="keep one of the two")
        found[name] = _checked(name, value, where=f"{origin}:{line}")
        lines[name] = line
    return found


# --- JSON ---------------------------------------------------------------------------------------------------------


def parse_json(text: str, *, origin: str) -> dict[str, SecretValue]:
    """Parse one JSON object of strings, and of `{"encoding": "base64", "value": …}` for what is no text.

    Raises UsageError naming the line of bad syntax, or the key of a bad value.
    """
    import json  # noqa: PLC0415  # dotenv files do without

    try:
        document: object = json.loads(text, object_pairs_hook=_Pairs)
    except json.JSONDecodeError as error:
        reason = error.msg[:1].lower() + error.msg[1:]
        raise UsageError(f"{origin}:{error.lineno}: no JSON: {reason}") from None
    except (ValueError, RecursionError):  # a number of thousands of digits, an array in an array in an array …
        raise UsageError(f"{origin}: no JSON object of strings") from None
    if not isinstance(document, _Pairs):
        raise UsageError(f"{origin}: expected a JSON object, got {_kind(document)}", hint='{"NAME": "value"}')
    found: dict[str, SecretValue] = {}
    for name, value in document.pairs:
        if name in found:
            raise UsageError(f"{origin}: '{name}' is there twice", hint="keep one of the two")
        found[name] = _checked(name, value, where=origin)
    return found


class _Pairs:
    """A JSON object as it stands in the file: a dict would forget that a key came twice."""

    def __init__(self, pairs: Iterable[tuple[str, object]]) -> None:
        self.pairs = tuple(pairs)


_KINDS: Final[Mapping[type, str]] = {
    _Pairs: "an object",
    list: "an array",
    str: "a string",
    bool: "true or false",
    int: "a number",
    float: "a number",
    type(None): "null",
}


def _kind(value: object) -> str:
    return _KINDS[type(value)]


def _checked(name: str, value: object, *, where: str) -> SecretValue:
    try:
        secret_name(name)
    except SecretsError as error:
        # Not what stands there: it is as likely a piece of a value, such as a line of a key without its quotes.
        raise UsageError(f"{where}: no secret name stands there", hint=error.hint) from None
    data = _from_base64(value)
    if data is None and not isinstance(value, str):
        raise UsageError(
            f"{where}: '{name}' is {_kind(value)}, expected a string", hint="write the value in double quotes"
        )
    content = value if isinstance(value, str) else data
    if not content:
        raise UsageError(
            f"{where}: '{name}': secret value cannot be empty", hint="take it out of the file, or give it a value"
        )
    try:
        return SecretValue(content)
    except SecretsError as error:
        raise UsageError(f"{where}: '{name}': {error.message}", hint=error.hint) from None


def _from_base64(value: object) -> bytes | None:
    """Return the bytes of `{"encoding": "base64", "value": …}`, which is how JSON here holds what is no text."""
    if not isinstance(value, _Pairs) or sorted(key for key, _ in value.pairs) != ["encoding", "value"]:
        return None
    parts = dict(value.pairs)
    if parts["encoding"] != "base64" or not isinstance(parts["value"], str):
        return None
    from base64 import b64decode  # noqa: PLC0415  # rare

    try:
        return b64decode(parts["value"], validate=True)
    except ValueError:
        return None
