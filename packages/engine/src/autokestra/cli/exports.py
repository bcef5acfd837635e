r"""Secrets as the text of a file: dotenv, JSON or shell. `imports` and `shelltext` read back what is written here.

Pure. In dotenv, values are quoted only where they must be, and with single quotes where these do: most readers take
what is in them as it is, and expand `$NAME` elsewhere.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final, Literal

from autokestra.errors import UsageError
from autokestra_secrets import SecretValue

Format = Literal["dotenv", "json", "shell"]

_PLAIN: Final = re.compile(r"[A-Za-z0-9_./:@%+,=-]+")
_ESCAPED: Final = {"\n": "\\n", "\r": "\\r", "\\": "\\\\", '"': '\\"', "$": "\\$", "`": "\\`"}
_UNQUOTABLE: Final = re.compile(r"['\n\r]")  # CRLF would be read as LF, and some readers end a value with its line
_ESCAPABLE: Final = re.compile(r'[\n\r\\"$`]')
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def write(secrets: Mapping[str, SecretValue], *, file_format: Format) -> str:
    """Return the text of a file that holds `secrets` in their order, with a line break at its end.

    Raises UsageError for a value that the format cannot hold, naming the secret.
    """
    writers: dict[str, Callable[[Mapping[str, SecretValue]], str]] = {
        "dotenv": write_dotenv,
        "json": write_json,
        "shell": write_shell,
    }
    return writers[file_format](secrets)


def write_dotenv(secrets: Mapping[str, SecretValue]) -> str:
    """Return lines `NAME=VALUE`. Raises UsageError for values that are no text."""
    return "".join(f"{name}={_dotenv_word(_text(name, value))}\n" for name, value in secrets.items())


def _dotenv_word(text: str) -> str:
    if _PLAIN.fullmatch(text):
        return text
    if not _UNQUOTABLE.search(text):
        return f"'{text}'"
    return '"' + _ESCAPABLE.sub(lambda found: _ESCAPED[found[0]], text) + '"'


def write_json(secrets: Mapping[str, SecretValue]) -> str:
    """Return one JSON object: text as strings, other bytes as `{"encoding": "base64", "value": …}`."""
    import json  # noqa: PLC0415  # the other formats do without
    from base64 import b64encode  # noqa: PLC0415

    shown = {
        name: value.reveal()
        if value.is_text
        else {"encoding": "base64", "value": b64encode(value.reveal_bytes()).decode()}
        for name, value in secrets.items()
    }
    return json.dumps(shown, indent=2) + "\n"


def write_shell(secrets: Mapping[str, SecretValue]) -> str:
    """Return lines `export NAME='VALUE'` for every POSIX shell.

    Raises UsageError for values that are no text or have a NUL character, and for names that no variable can have.
    """
    lines = []
    for name, value in secrets.items():
        text = _text(name, value)
        if not _VARIABLE.fullmatch(name) or "\0" in text:
            what = "its name is no variable's" if "\0" not in text else "it has a NUL character"
            raise UsageError(f"secret '{name}' cannot be written for a shell: {what}", hint="use --format json")
        quoted = text.replace("'", "'\\''")
        lines.append(f"export {name}='{quoted}'\n")
    return "".join(lines)


def _text(name: str, value: SecretValue) -> str:
    if not value.is_text:
        raise UsageError(f"secret '{name}' is no text, which only JSON can hold", hint="use --format json")
    return value.reveal()
