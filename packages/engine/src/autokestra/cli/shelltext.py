r"""Shell files of assignments, read as text: `export NAME='VALUE'`. Nothing is run and nothing expanded.

What a shell would expand is an error and not text: a file that says `"$HOME/key"` means something else than it says.
"""

import re
from typing import Final

from autokestra.errors import UsageError

_BLANK: Final = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_START: Final = re.compile(r"[ \t]*(?:(?:export|declare -x)[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)=")
_END: Final = re.compile(r"[ \t]*(?:;[ \t]*)?(?:#[^\n]*)?(?:\n|\Z)")
# What a word is made of, in the order in which it is tried. Possessive, so that an open quote takes no memory.
_SINGLE: Final = re.compile(r"'([^']*+)'")
_DOUBLE: Final = re.compile(r'"((?:[^"\\$`]|\\.)*+)"', re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_BARE: Final = re.compile(r"[^\s'\"\\$`;&|<>()]+")  # a '#' within a word begins no comment
_DOUBLE_ESCAPE: Final = re.compile(r'\\(["\\$`\n])')


def assignments(text: str, *, origin: str) -> list[tuple[str, str, int]]:
    """Return (name, value, line) of each assignment in `text`. Raises UsageError with `origin` and the line."""
    found: list[tuple[str, str, int]] = []
    position, line = 0, 1
    while position < len(text):
        blank = _BLANK.match(text, position)
        if blank:
            position, line = blank.end(), line + 1
            continue
        start = _START.match(text, position)
        if start is None:
            raise UsageError(
                f"{origin}:{line}: expected export NAME='VALUE'", hint="is it a dotenv file? --format dotenv"
            )
        value, end = _word(text, start.end(), where=f"{origin}:{line}")
        found.append((start[1], value, line))
        after = _END.match(text, end)
        if after is None:
            raise UsageError(f"{origin}:{line}: there is text after the value", hint="put the value in single quotes")
        line += text.count("\n", position, after.end())
        position = after.end()
    return found


def _word(text: str, position: int, *, where: str) -> tuple[str, int]:
    """Return the word that begins at `position`, as a shell would read it, and where it ends."""
    parts: list[str] = []
    while position < len(text):
        sign = text[position]
        pattern = {"'": _SINGLE, '"': _DOUBLE, "\\": _ESCAPE}.get(sign, _BARE)
        match = pattern.match(text, position)
        if match is None:
            if sign in "$`" or (sign == '"' and _has_expansion(text, position)):
                raise UsageError(
                    f"{where}: this needs a shell to be understood", hint="write the value itself, in quotes"
                )
            if sign in "'\"":
                raise UsageError(f"{where}: the quote {sign} is not closed")
            break
        if pattern is _DOUBLE:
            parts.append(_DOUBLE_ESCAPE.sub(lambda found: "" if found[1] == "\n" else found[1], match[1]))
        elif pattern is _ESCAPE:
            parts.append("" if match[1] == "\n" else match[1])
        else:
            parts.append(match[1] if pattern is _SINGLE else match[0])
        position = match.end()
    return "".join(parts), position


def _has_expansion(text: str, position: int) -> bool:
    inside = re.compile(r'"(?:[^"\\$`]|\\.)*+[$`]', re.DOTALL)
    return inside.match(text, position) is not None
