"""Which values can be masked without shredding every log, and what stands in their place.

A room of its own, since a command that stores a value asks only this and should not pay for more.
"""

from collections.abc import Mapping
from typing import Final

from autokestra_secrets.errors import InvalidSettingError

MIN_LENGTH: Final = 4  # bytes of a plain value, by default
PLACEHOLDER: Final = "***SECRET***"
PLACEHOLDER_LENGTH: Final = 64  # characters

BOOLEAN_LIKE: Final = frozenset(b"true false yes no on off null nil none undefined enabled disabled".split())


def maskability(value: bytes, *, min_length: int = MIN_LENGTH) -> str | None:
    """Return why `value` cannot be masked safely, or None when it can.

    The reason never repeats the value. `min_length` is in bytes.
    """
    trimmed = value.strip()
    if not value:
        return "empty"
    if not trimmed:
        return "only whitespace"
    if len(trimmed) < min_length:
        return f"shorter than {min_length} bytes"
    if trimmed.lower() in BOOLEAN_LIKE and min_length > 1:
        return "a word that logs are full of"
    return None


def placeholder_from(environ: Mapping[str, str]) -> str:
    """Return the placeholder that the variable AUTOKESTRA_MASK asks for, the default when it is absent or empty.

    It may contain `{name}`. Raises InvalidSettingError when it is longer than 64 characters or holds one that cannot
    be printed.
    """
    chosen = environ.get("AUTOKESTRA_MASK") or PLACEHOLDER
    if len(chosen) > PLACEHOLDER_LENGTH or not chosen.isprintable():
        raise InvalidSettingError(
            f"AUTOKESTRA_MASK is no placeholder: expected at most {PLACEHOLDER_LENGTH} printable characters",
            hint="export AUTOKESTRA_MASK='***{name}***', or unset it",
        )
    return chosen
