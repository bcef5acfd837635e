"""Views: a text with something left out, on which ordinary matching works, and the way back to the original.

Three things can stand between the bytes of a value without a reader noticing: terminal escapes and carriage returns,
the width of a run of blanks, the line breaks of a wrapped encoding. A view only ever *adds* matches to those of the
text itself.
"""

import re
from bisect import bisect_right
from typing import Final

GAP_BYTES: Final = 4096  # bytes that a match may hold beyond those of its form
STRING_BYTES: Final = 4000  # bytes of an operating system command or device control string; longer ones are text

# ECMA-48: control strings (OSC, DCS, SOS, PM, APC) up to BEL or ST, control sequences, nF and two-byte escapes.
_ESCAPE: Final = (
    rb"\x1b(?:[\]PX^_][^\x07\x1b\r\n]{0,%d}(?:\x07|\x1b\\)|\[[0-?]{0,64}[ -/]{0,8}[@-~]|[ -/]{1,4}[0-~]|[0-~])"
    % STRING_BYTES
)
_UNFINISHED: Final = re.compile(
    rb"\x1b(?:[\]PX^_][^\x07\x1b\r\n]{0,%d}\x1b?|\[[0-?]{0,64}[ -/]{0,8}|[ -/]{0,4})?\Z" % STRING_BYTES
)
_UNFINISHED_BYTES: Final = STRING_BYTES + 8
ESCAPES: Final = re.compile(_ESCAPE)
_UNSEEN: Final = re.compile(_ESCAPE + rb"|\r")
BLANKS: Final = re.compile(rb"[ \t\n\r\x0b\x0c]+")
LINE_BREAKS: Final = re.compile(rb"\r*\n[ \t]{0,32}")


class View:
    """`source[start:end]` with every match of `pattern` replaced by `instead` (nothing, or one byte)."""

    __slots__ = ("_at", "_end", "_instead", "_pattern", "_raw", "_source", "data", "start")

    def __init__(
        self, source: bytes, pattern: re.Pattern[bytes], *, start: int = 0, end: int | None = None, instead: bytes = b""
    ) -> None:
        self._source, self._pattern, self._instead = source, pattern, instead
        self.start, self._end = start, len(source) if end is None else end
        self.data = pattern.sub(instead, source[start : self._end])
        self._at: list[int] = []
        self._raw: list[int] = []

    def original(self, position: int) -> int:
        """Return where the byte at `position` of the view stands in the source; the end maps to the end."""
        if position >= len(self.data):
            return self._end
        if not self._at:
            self._map()
        run = bisect_right(self._at, position) - 1
        return self._raw[run] + position - self._at[run]

    def position(self, original: int) -> int:
        """Return where the byte at `original` of the source stands in the view; of one left out, the next that stands."""
        if not self._at:
            self._map()
        run = bisect_right(self._raw, original) - 1
        position = self._at[run] + original - self._raw[run]
        return min(position, self._at[run + 1]) if run + 1 < len(self._at) else position

    def span(self, first: int, last: int) -> tuple[int, int]:
        """Return the part of the source that holds the view's bytes from `first` up to `last`, not empty."""
        return self.original(first), self.original(last - 1) + 1

    def roomiest(self, extra: int) -> int:
        """Return the smallest position behind which at most `extra` bytes are left out."""
        if self._end - self.start - len(self.data) <= extra:
            return 0
        low, high = 0, len(self.data)
        while low < high:
            middle = (low + high) // 2
            if self._end - self.original(middle) - (len(self.data) - middle) <= extra:
                high = middle
            else:
                low = middle + 1
        return low

    def _map(self) -> None:
        # Runs of kept bytes: where each begins in the view and in the source. Built only when something was found.
        # The pattern sees the same bytes as in __init__, so that an escape cut at `_end` is read the same way.
        position, at = 0, 0
        width = len(self._instead)
        for match in self._pattern.finditer(self._source[self.start : self._end]):
            first, last = match.span()
            if first > at:
                self._at.append(position)
                self._raw.append(self.start + at)
                position += first - at
            if width:
                self._at.append(position)
                self._raw.append(self.start + first)
                position += width
            at = last
        self._at.append(position)
        self._raw.append(self.start + at)


def has_unseen(data: bytes) -> bool:
    """Whether `data` has escapes, or carriage returns other than those of CRLF line ends (blanks to every form)."""
    return b"\x1b" in data or (b"\r" in data and data.count(b"\r") != data.count(b"\r\n"))


def without_unseen(data: bytes, start: int, *, final: bool) -> tuple[View, int]:
    """Return the view of `data[start:]` without escapes and CR, and where an unfinished escape begins.

    At the end of a stream nothing is unfinished. `start` is behind an escape that began in bytes already released.
    """
    end = len(data)
    if not final:
        part = _UNFINISHED.search(data, max(start, end - _UNFINISHED_BYTES))
        if part:
            end = part.start()
    return View(data, _UNSEEN, start=min(start, end), end=end), end


def escape_around(data: bytes, start: int, cut: int) -> int:
    """Return how many bytes behind `cut` belong to an escape that begins before it, be it before `start` or behind."""
    if cut < start:
        return start - cut
    for match in ESCAPES.finditer(data, start):
        first, last = match.span()
        if first >= cut:
            break
        if last > cut:
            return last - cut
    return 0
