"""Values with blanks: a run of blanks in a value matches any run of blanks and line ends.

With single blanks a value is an ordinary literal. Only when a gap looks different somewhere is the text searched once
more, with every run of blanks as one space, by an index of its own. That index is handed in, since it is of the same
kind as the one around it.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from autokestra_secrets.masking.finder import LITERAL_BYTES, literal
from autokestra_secrets.masking.long import HEAD, Match
from autokestra_secrets.masking.view import BLANKS, GAP_BYTES, View

if TYPE_CHECKING:
    from autokestra_secrets.masking.index import Index

WORDS: Final = 64  # of a value; one with more is announced by its longest word instead of by its gaps
_OTHER_GAPS: Final = (b"\t", b"\n", b"\r", b"\x0b", b"\x0c", *(b" " + bytes((blank,)) for blank in b" \t\n\r\x0b\x0c"))


def single_spaced(data: bytes) -> bytes:
    """Return `data` with every run of blanks as one space."""
    return BLANKS.sub(b" ", data)


class Spaced:
    """The values with blanks, and the index that finds them in text with single blanks."""

    __slots__ = ("_index", "_numbers", "openings", "reach", "triggers")

    def __init__(self, values: Sequence[bytes], index: "Index", numbers: Sequence[int]) -> None:
        self._index = index
        self._numbers = numbers  # of the values in the index around this one
        self.reach = max(map(len, values)) + GAP_BYTES
        self.triggers = {literal(trigger) for value in values for trigger in _triggers(value)}
        self.openings = {literal(value.split(b" ", 1)[0][:HEAD] or b" ") for value in values}

    def matches(self, data: bytes) -> Iterator[Match]:
        """Yield every occurrence, as a span of `data`. A match may hold 4 KiB more blanks than its value."""
        view = View(data, BLANKS, instead=b" ")
        for first, last, number in self._index.search(view.data, final=True)[0]:
            start, end = view.span(first, last)
            if end - start - (last - first) <= GAP_BYTES:
                yield start, end, self._numbers[number]

    def open_at(self, data: bytes, start: int) -> int:
        """Return the smallest offset >= `start` from which a value may still be growing, or the size of `data`."""
        view = View(data, BLANKS, start=max(start, len(data) - self.reach), instead=b" ")
        return view.original(self._index.open_at(view.data, view.roomiest(GAP_BYTES)))


def _triggers(value: bytes) -> Iterator[bytes]:
    words = value.split(b" ")
    if len(words) > WORDS or len(value) > LITERAL_BYTES:
        yield max(words, key=len)
        return
    for word in words[:-1]:
        for gap in _OTHER_GAPS:
            yield word[-HEAD:] + gap
