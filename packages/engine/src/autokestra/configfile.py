"""Reading `config.toml`: which keys it has and on which line. What a value must be is the business of `settings`.

A key or a password has no place in the file, and is refused with the reason, unread and unshown.
"""

import os
import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from shlex import quote
from typing import Final, NamedTuple, NoReturn

from autokestra.errors import SettingsError

SIZE_LIMIT: Final = 1 << 20  # bytes
OTHERS_WRITE: Final = 0o022

_FORBIDDEN: Final = re.compile(r"(?:^|_)(?:secrets?|keys?|passphrase|password|passwd|token)$")
_KEY_SHOWN: Final = 40  # characters


class Entry(NamedTuple):
    """One key of the file; `place` is `PATH:LINE`."""

    key: str
    value: object
    place: str


def read_entries(path: str, *, known: Sequence[str], notify: Callable[[str], None] | None = None) -> Iterator[Entry]:
    """Yield the keys of the file, in its order; `notify` gets a warning where others can write it.

    Raises SettingsError for what is no TOML, for a key that is not `known`, and for one that looks like a secret;
    OSError where the file cannot be read.
    """
    text = _text(path, notify)
    for key, value in _parsed(path, text).items():
        place = f"{path}:{_line_of(text, key)}"
        if key not in known:
            _refuse(place, key, known)
        yield Entry(key, value, place)


def kind_of(value: object) -> str:
    """Name the kind of a value as readers of TOML know it; the value itself is not for messages."""
    match value:
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case dict():
            return "a table"
        case _:
            return "a date"


def _text(path: str, notify: Callable[[str], None] | None) -> str:
    with Path(path).open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        data = file.read(SIZE_LIMIT + 1)
    if len(data) > SIZE_LIMIT:
        raise SettingsError(f"{path} is larger than {SIZE_LIMIT >> 20} MiB")
    if mode & OTHERS_WRITE and notify is not None:
        notify(f"warning: others can write {path}, and so decide how your workflows run: chmod go-w {quote(path)}")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not UTF-8 text", hint="save it as UTF-8") from None


def _parsed(path: str, text: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # Only the place: the parser's words may repeat what stands there.
        place = re.search(r"at line (\d+), column (\d+)", str(error))
        where = f"{path}:{place[1]}:{place[2]}" if place else f"{path}:{text.count(chr(10)) + 1}"
    except RecursionError:
        where = path
    raise SettingsError(f"{where}: this is no TOML", hint='a line is written: key = "text", or key = 5')


def _refuse(place: str, key: str, known: Sequence[str]) -> NoReturn:
    name, folded = key[:_KEY_SHOWN], key.lower().replace("-", "_")
    if _FORBIDDEN.search(folded):
        raise SettingsError(
            f"{place}: '{name}' has no place in this file, which is copied, shared and backed up as no key should be",
            hint="a key comes from the key file, AUTOKESTRA_SECRET_KEY_FILE or AUTOKESTRA_SECRET_KEY; "
            "a secret from: workflow secrets set NAME",
        )
    near = get_close_matches(folded, known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(known)}"
    raise SettingsError(f"{place}: unknown key '{name}'", hint=hint)


def _line_of(text: str, key: str) -> int:
    """Return the line of a key or table; the parser tells none."""
    form = rf"^[ \t]*\[{{0,2}}[ \t]*[\"']?{re.escape(key)}[\"']?[ \t]*[=.\]]"
    match = re.search(form, text, re.MULTILINE)
    return text.count("\n", 0, match.start()) + 1 if match else 1
