"""Views: a text with something left out, on which ordinary matching works, and the way back to the original.

Three things can stand between the bytes of a value without a reader noticing: terminal escapes and carriage returns,
the width of a run of blanks, the line breaks of a wrapped encoding. A view only ever *adds* matches to those of the
text itself.
"""

import re
from bisect import bisect_right
from itertools import accumulate, count
from operator import add
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
_WORTH_BYTES: Final = 2048  # of a piece from which on replacing known escapes pays
_COLOURS: Final = 24  # different control sequences worth remembering
_PASSES: Final = 64  # pieces with more of them before replacing is tried again
_UNFINISHED_BYTES: Final = STRING_BYTES + 8
ESCAPES: Final = re.compile(_ESCAPE)
_CONTROL_SEQUENCE: Final = re.compile(rb"\x1b\[[0-?]{0,64}[ -/]{0,8}[@-~]")  # none of them begins another one
_UNSEEN: Final = re.compile(_ESCAPE + rb"|\r")
BLANKS: Final = re.compile(rb"[ \t\n\r\x0b\x0c]+")
LINE_BREAKS: Final = re.compile(rb"\r{0,4}\n[ \t]{0,32}")  # bounded: a megabyte of CR must not take long


class View:
    """`source[start:end]` with every match of `pattern` replaced by `instead` (nothing, or one byte).

    With `keeps_lines` the pattern never matches a line feed, and the way back is worked out for single lines only.
    """

    __slots__ = ("_begins", "_end", "_instead", "_keeps_lines", "_maps", "_pattern", "_source", "data", "start")

    def __init__(
        self,
        source: bytes,
        pattern: re.Pattern[bytes],
        *,
        start: int = 0,
        end: int | None = None,
        instead: bytes = b"",
        keeps_lines: bool = False,
        data: bytes | None = None,
    ) -> None:
        self._source, self._pattern, self._instead, self._keeps_lines = source, pattern, instead, keeps_lines
        self.start, self._end = start, len(source) if end is None else end
        self.data = pattern.sub(instead, source[start : self._end]) if data is None else data
        self._begins: tuple[list[int], list[int]] | None = None
        self._maps: dict[int, tuple[list[int], list[int]]] = {}

    def original(self, position: int) -> int:
        """Return where the byte at `position` of the view stands in the source; the end maps to the end."""
        if position >= len(self.data):
            return self._end
        at, raw = self._map(bisect_right(self._parts()[0], position) - 1)
        run = bisect_right(at, position) - 1
        return raw[run] + position - at[run]

    def position(self, original: int) -> int:
        """Return where the byte at `original` of the source stands in the view; if it was left out, the next one."""
        at, raw = self._map(bisect_right(self._parts()[1], original) - 1)
        run = bisect_right(raw, original) - 1
        position = at[run] + original - raw[run]
        return min(position, at[run + 1]) if run + 1 < len(at) else position

    def span(self, first: int, last: int) -> tuple[int, int]:
        """Return the part of the source that holds the view's bytes from `first` up to `last`, not empty."""
        return self.original(first), self.original(last - 1) + 1

    def left_out_behind(self, position: int) -> int:
        """Return how many bytes are left out behind `position`."""
        return self._end - self.original(position) - (len(self.data) - position)

    def roomiest(self, extra: int) -> int:
        """Return the smallest position behind which at most `extra` bytes are left out."""
        if self._end - self.start - len(self.data) <= extra:
            return 0
        low, high = 0, len(self.data)
        while low < high:
            middle = (low + high) // 2
            if self.left_out_behind(middle) <= extra:
                high = middle
            else:
                low = middle + 1
        return low

    def _parts(self) -> tuple[list[int], list[int]]:
        """Where each part begins, in the view and in the source: each line, or all there is."""
        if self._begins is None:
            if self._keeps_lines:
                source = self._source[self.start : self._end].split(b"\n")
                self._begins = (_starts(self.data.split(b"\n"), 0), _starts(source, self.start))
            else:
                self._begins = ([0], [self.start])
        return self._begins

    def _map(self, part: int) -> tuple[list[int], list[int]]:
        """The runs of kept bytes of a part: where each begins, in the view and in the source."""
        found = self._maps.get(part)
        if found is not None:
            return found
        starts, begins = self._parts()
        position, begin = starts[part], begins[part]
        end = begins[part + 1] if part + 1 < len(begins) else self._end
        at, raw = [position], [begin]
        width = len(self._instead)
        kept = 0
        for match in self._pattern.finditer(self._source[begin:end]):
            first, last = match.span()
            position += first - kept
            if width:
                at.append(position)
                raw.append(begin + first)
                position += width
            at.append(position)
            raw.append(begin + last)
            kept = last
        self._maps[part] = at, raw
        return at, raw


def _starts(lines: list[bytes], start: int) -> list[int]:
    # Where each line begins: the lengths before it, and a line feed for each line before it.
    return list(map(add, accumulate(map(len, lines[:-1]), initial=start), count()))


class Unseen:
    """Takes escapes and carriage returns out of the pieces of one stream, and remembers which escapes it uses."""

    __slots__ = ("_known", "_passes")

    def __init__(self) -> None:
        self._known: tuple[bytes, ...] = ()
        self._passes = 0

    def without(self, data: bytes, start: int, *, final: bool) -> tuple[View, int]:
        """Return the view of `data[start:]` without escapes and CR, and where an unfinished escape begins.

        At the end of a stream nothing is unfinished. `start` is behind an escape that began in bytes already released.
        """
        end = len(data)
        if not final and not data.endswith((b"\n", b"\r")):  # neither stands in an escape
            part = _UNFINISHED.search(data, max(start, end - _UNFINISHED_BYTES))
            if part:
                end = part.start()
        start = min(start, end)
        return View(data, _UNSEEN, start=start, end=end, keeps_lines=True, data=self._strip(data[start:end])), end

    def _strip(self, data: bytes) -> bytes:
        # A program uses few colours, and `replace` is many times faster than `sub`. A known escape becomes a CR first,
        # which is left out as well, so that nothing can come together to an escape that was none. If no ESC is left,
        # every one of them began a known escape, and this is what `sub` does.
        if len(data) >= _WORTH_BYTES and not self._passes:
            rest = self._replaced(data)
            if b"\x1b" in rest:
                self._known = tuple({*self._known, *filter(_CONTROL_SEQUENCE.fullmatch, ESCAPES.findall(rest))})
                if len(self._known) > _COLOURS:  # a gradient, or many programs: not worth another try for a while
                    self._known, self._passes = (), _PASSES
                rest = self._replaced(data)
            if b"\x1b" not in rest:
                return rest.translate(None, b"\r")
        self._passes = max(0, self._passes - 1)
        return _UNSEEN.sub(b"", data)

    def _replaced(self, data: bytes) -> bytes:
        for escape in self._known:
            data = data.replace(escape, b"\r")
        return data


def has_unseen(data: bytes) -> bool:
    """Whether `data` has escapes, or carriage returns other than those of CRLF line ends (blanks to every form)."""
    return b"\x1b" in data or (b"\r" in data and data.count(b"\r") != data.count(b"\r\n"))


def escape_around(data: bytes, start: int, cut: int) -> int:
    """Return how many bytes behind `cut` belong to an escape that begins before it, be it before `start` or behind."""
    if cut < start:
        return start - cut
    for match in ESCAPES.finditer(data, max(start, data.rfind(b"\n", 0, cut) + 1)):  # no escape spans lines
        first, last = match.span()
        if first >= cut:
            break
        if last > cut:
            return last - cut
    return 0
