"""Durations as people write them: `30s`, `5m`, `2h`, `1d`."""

import re
from typing import Final

UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}  # seconds
LONGEST: Final = 3650 * 86_400  # seconds; ten years, well within what every clock and lock can wait for
FORM: Final = "a duration such as 30s, 5m, 2h or 1d"

_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhd])")


def parse_duration(value: object) -> float:
    """Return a duration in seconds: text such as `30s` or `1.5h`, or a number of seconds.

    Raises ValueError, whose text says what was expected, for anything else, and for what is not between 0 (which is
    excluded) and ten years.
    """
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        seconds = float(match[1]) * UNITS[match[2]]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(min(value, LONGEST + 1))  # an integer may be too large for a float
    else:
        raise ValueError(f"expected {FORM}")
    if not 0 < seconds <= LONGEST:
        raise ValueError(f"expected {FORM}, more than 0 and at most 3650d")
    return seconds
