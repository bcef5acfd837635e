"""Forms that no single literal finds: longer than an expression may be, or full of blanks.

The database reports a trigger, a part that is always there; then the text is searched once, in time linear in its
length, however often a value or a text repeats itself.
"""

from collections.abc import Iterator
from typing import Final

from autokestra_secrets.masking.finder import literal
from autokestra_secrets.masking.repeats import Openings, occurrences, smallest_period
from autokestra_secrets.masking.view import BLANKS, GAP_BYTES, View

Match = tuple[int, int, int]  # start, end, number of the form
HEAD: Final = 8  # bytes that announce a form at the end of a text
WINDOW: Final = 32  # bytes that announce a long value anywhere
WORD: Final = 12  # bytes of a word that is rare enough to announce a value with blanks
_OTHER_GAPS: Final = (b"\t", b"\n", b"\r", b"\x0b", b"\x0c", *(b" " + bytes((blank,)) for blank in b" \t\n\r\x0b\x0c"))


class Text:
    """What is searched, and its views with single blanks, made at most once."""

    __slots__ = ("_spaced", "_tails", "data", "size")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)
        self._spaced: View | None = None
        self._tails: dict[int, View] = {}

    @property
    def spaced(self) -> View:
        """The text with every run of blanks as one space."""
        if self._spaced is None:
            self._spaced = View(self.data, BLANKS, instead=b" ")
        return self._spaced

    def spaced_tail(self, reach: int) -> View:
        """The same for at least the last `reach` bytes; values of similar length share a view."""
        room = 1 << reach.bit_length()
        view = self._tails.get(room)
        if view is None:
            view = self._tails[room] = View(self.data, BLANKS, start=max(0, self.size - room), instead=b" ")
        return view


class Long:
    """A value that is searched for as it is: its anchor only says that the search is worth while."""

    __slots__ = ("_data", "_openings", "_period", "number", "once", "opening", "reach", "triggers")

    def __init__(self, data: bytes, number: int) -> None:
        self._data = data
        self.number = number
        self.triggers: tuple[bytes, ...] = (literal(_anchor(data)),)
        self.once = True
        self.opening = literal(data[:HEAD])
        self.reach = len(data)
        self._period = smallest_period(data)
        self._openings = Openings(data)

    def matches(self, text: Text) -> Iterator[Match]:
        """Yield every occurrence."""
        for start, end in occurrences(text.data, self._data, self._period):
            yield start, end, self.number

    def open_at(self, text: Text, start: int) -> int:
        """Return where the longest suffix begins that is a proper prefix of the value."""
        return self._openings.earliest(text.data, start)


class Spaced:
    """A value with blanks: each run of them matches any run of blanks and line ends, 4 KiB more in all."""

    __slots__ = ("_data", "_openings", "_period", "number", "once", "opening", "reach", "triggers")

    def __init__(self, data: bytes, number: int) -> None:
        self._data = data = BLANKS.sub(b" ", data)
        self.number = number
        self.triggers = _spaced_triggers(data)
        self.once = True
        self.opening = literal(first_word(data)[:HEAD])
        self.reach = len(data) + GAP_BYTES
        self._period = smallest_period(data)
        self._openings = Openings(data)

    def matches(self, text: Text) -> Iterator[Match]:
        """Yield every occurrence in the text with single blanks, as spans of the text itself."""
        view, size = text.spaced, len(self._data)
        for begin, end in occurrences(view.data, self._data, self._period):
            for at in range(begin, end - size + 1, self._period or size):
                first, last = view.span(at, at + size)
                if last - first - size <= GAP_BYTES:
                    yield first, last, self.number

    def open_at(self, text: Text, start: int) -> int:
        """Return where the longest growing suffix begins."""
        view = text.spaced_tail(self.reach)
        first = max(view.roomiest(GAP_BYTES), view.position(start) if start > view.start else 0)
        return view.original(self._openings.earliest(view.data, first))


def first_word(data: bytes) -> bytes:
    """Return what stands before the first blank of a value with single blanks, the blank itself if that is nothing."""
    return data.split(b" ", 1)[0] or b" "


def _spaced_triggers(data: bytes) -> tuple[bytes, ...]:
    words = data.split(b" ")
    longest = max(words, key=len)
    if len(longest) >= WORD:
        return (literal(longest),)
    # Only short words: the value stands as it is, or at one of its gaps there is something else than one space.
    return (literal(data), *sorted({literal(word + gap) for word in words[:-1] for gap in _OTHER_GAPS}))


def _anchor(data: bytes) -> bytes:
    # The window with the most distinct bytes among evenly spread ones: the least repetitive, the rarest in a text.
    step = max(1, (len(data) - WINDOW) // 256)
    places = range(0, len(data) - WINDOW + 1, step)
    return max((data[at : at + WINDOW] for at in places), key=lambda window: len(set(window)))
