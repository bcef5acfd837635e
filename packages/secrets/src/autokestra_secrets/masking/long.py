"""Values that are searched for, not reported: longer than an expression may be, or repeating a few bytes.

An anchor in the database says that the search is worth while.
"""

from collections.abc import Iterator
from typing import Final

from autokestra_secrets.masking.finder import literal
from autokestra_secrets.masking.repeats import Openings, occurrences, smallest_period

Match = tuple[int, int, int]  # start, end, number of the form
HEAD: Final = 8  # bytes that announce a form at the end of a text
WINDOW: Final = 32  # bytes that announce a long value anywhere


class Long:
    """A value that is searched for as it is, in time linear in the text. `merged`: a periodic run may be one match."""

    __slots__ = ("_data", "_merged", "_openings", "_period", "number", "openings", "reach", "trigger")

    def __init__(self, data: bytes, number: int, *, merged: bool = True) -> None:
        self._data = data
        self._merged = merged
        self.number = number
        self.trigger = literal(_anchor(data))
        self.openings = (literal(data[:HEAD]),)
        self.reach = len(data)
        self._period = smallest_period(data)
        self._openings = Openings(data)

    def matches(self, data: bytes) -> Iterator[Match]:
        """Yield every occurrence."""
        size = len(self._data)
        for start, end in occurrences(data, self._data, self._period):
            if self._merged:
                yield start, end, self.number
            else:
                for at in range(start, end - size + 1, self._period or size):
                    yield at, at + size, self.number

    def open_at(self, data: bytes, start: int) -> int:
        """Return where the longest suffix begins that is a proper prefix of the value."""
        return self._openings.earliest(data, start)


def _anchor(data: bytes) -> bytes:
    # The window with the most distinct bytes among evenly spread ones: the least repetitive, the rarest in a text.
    step = max(1, (len(data) - WINDOW) // 256)
    places = range(0, max(1, len(data) - WINDOW + 1), step)
    return max((data[at : at + WINDOW] for at in places), key=lambda window: len(set(window)))
