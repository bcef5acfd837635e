"""Sizes as people write them: `64MiB`, `1.5GiB`, `500kB`."""

import re
from typing import Final

UNITS: Final = {
    "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
}  # fmt: skip  # bytes; IEC 80000-13
LARGEST: Final = 1 << 50  # bytes
FORM: Final = "a size such as 500kB, 64MiB or 2GiB"

_SIZE: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?([kKMGT]?i?B)")


def parse_size(value: object) -> int:
    """Return a size in bytes: text such as `64MiB`, or a number of bytes.

    Raises ValueError, whose text says what was expected, for anything else, and for what is not between 1 byte and
    1 PiB.
    """
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())) and match[2] in UNITS:
        size = int(float(match[1]) * UNITS[match[2]])
    elif isinstance(value, int) and not isinstance(value, bool):
        size = value
    else:
        raise ValueError(f"expected {FORM}")
    if not 0 < size <= LARGEST:
        raise ValueError(f"expected {FORM}, more than 0 and at most 1024TiB")
    return size
