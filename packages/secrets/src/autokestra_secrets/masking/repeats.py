"""Exact searches that stay linear when values and texts repeat themselves.

`bytes.find` is linear (two-way search), but a text full of overlapping occurrences, or of almost-occurrences, would
be searched over and over. Here a run of a repeated unit is dealt with once.
"""

from collections.abc import Iterator
from typing import Final

HEAD_BYTES: Final = 256  # of a long value; how it is recognised in a text


def smallest_period(value: bytes) -> int:
    """Return the smallest p <= len(value) / 2 with `value[p:] == value[:-p]`, or 0.

    The first half recurs at every period; if its first recurrence is no period, none as small exists (Fine and Wilf).
    """
    half = value[: (len(value) + 1) // 2]
    period = value.find(half, 1)
    return period if period > 0 and value.startswith(value[period:]) and 2 * period <= len(value) else 0


def occurrences(text: bytes, value: bytes, period: int, start: int = 0) -> Iterator[tuple[int, int]]:
    """Yield spans that cover every occurrence of `value` in `text[start:]`; a periodic run is one span.

    `period` is the value's `smallest_period`.
    """
    size = len(value)
    at = text.find(value, start)
    while at >= 0:
        end = at + size
        if period:
            end += _repeats(text, value[size - period :], end)
        yield at, end
        at = text.find(value, end - size + 1)


def _repeats(text: bytes, unit: bytes, at: int) -> int:
    # How many bytes from `at` on are whole repetitions of `unit`.
    block = unit * max(1, 4096 // len(unit))
    end = at
    while text.startswith(block, end):
        end += len(block)
    while text.startswith(unit, end):
        end += len(unit)
    return end - at


class Openings:
    """Finds where a long value may be growing at the end of a text."""

    __slots__ = ("_head", "_recurs", "_run", "_unit", "value")

    def __init__(self, value: bytes) -> None:
        self.value = value
        self._head = value[:HEAD_BYTES]
        # The head's distance to its next place within the value, and how far the value repeats itself at that distance.
        self._recurs = value.find(self._head, 1) if len(value) > HEAD_BYTES else 0
        self._unit = value[: self._recurs + HEAD_BYTES]
        self._run = self._recurs + common_prefix(value, 0, self._recurs) if self._recurs > 0 else 0

    def earliest(self, text: bytes, start: int = 0) -> int:
        """Return the smallest offset >= `start` whose suffix is a proper prefix of the value, or `len(text)`."""
        size, longest = len(text), len(self.value) - 1
        at = text.find(self._head, max(start, size - longest))
        while at >= 0:
            if self.value.startswith(text[at:]):
                return at
            if self._recurs <= 0 or not text.startswith(self._unit, at):
                at = text.find(self._head, at + 1)
                continue
            # A run of the repeated unit. Only one place in it can go on as the value does: `_run` bytes before its
            # end, or, when the run reaches the end of the text, the first place that leaves the value room.
            run_end = at + self._recurs + common_prefix(text, at, at + self._recurs)
            reach = min(self._run, longest)
            skip = max(0, run_end - reach - at + self._recurs - 1) // self._recurs * self._recurs
            candidate = at + skip
            if candidate + HEAD_BYTES <= size and self.value.startswith(text[candidate:]):
                return candidate
            at = text.find(self._head, max(at + 1, run_end - HEAD_BYTES + 1))
        return self._short(text, start)

    def _short(self, text: bytes, start: int) -> int:
        size = len(text)
        for length in range(min(HEAD_BYTES - 1, len(self.value) - 1, size - start), 0, -1):
            if text.endswith(self.value[:length]):
                return size - length
        return size


def common_prefix(text: bytes, first: int, second: int) -> int:
    """Return how many bytes `text[first:]` and `text[second:]` have in common; `first < second`."""
    done, step = 0, 64
    while step:
        room = len(text) - second - done
        width = min(step, room)
        if width and text[first + done : first + done + width] == text[second + done : second + done + width]:
            done += width
            step *= 2
        else:
            step = min(step, room) // 2 if width else 0
    return done
