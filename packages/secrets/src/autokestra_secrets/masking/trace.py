"""Forms that no single literal finds: longer than an expression may be, cut by line breaks, or full of blanks.

The database reports a trigger, a short part that is always there; what stands around it decides. All of it is linear
in the text, however often a value or a text repeats itself.
"""

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from autokestra_secrets.masking.finder import literal
from autokestra_secrets.masking.repeats import Openings, occurrences, smallest_period
from autokestra_secrets.masking.view import BLANKS, GAP_BYTES, LINE_BREAKS, View

Span = tuple[int, int]
HEAD: Final = 8  # bytes that announce a form at the end of a text
WINDOW: Final = 32  # bytes that announce a long value anywhere
WORD: Final = 12  # bytes of a word that is rare enough to announce a value with blanks
PIECE: Final = 16  # bytes of a value that certainly stand on one line, when it is broken elsewhere
_OTHER_GAPS: Final = (b"\t", b"\n", b"\r", b"\x0b", b"\x0c", *(b" " + bytes((blank,)) for blank in b" \t\n\r\x0b\x0c"))


class Traced(Protocol):
    """A form that is verified after its trigger has been seen.

    `triggers` are expressions; with `once` it does not matter where they are. `opening` begins the form and is an
    expression too; without one the triggers serve as such. A `near` one has to be told where its openings end.
    `reach` is the most bytes that a match can cover.
    """

    data: bytes
    reach: int
    triggers: tuple[bytes, ...]
    once: bool
    opening: bytes | None
    near: bool

    def matches(self, text: "Text", ends: Sequence[int]) -> Iterator[Span]:
        """Yield the spans of the form in `text`, given where its triggers end."""
        ...

    def open_at(self, text: "Text", start: int, ends: Sequence[int]) -> int:
        """Return the smallest offset >= `start` from which the form may still be growing, or the size of the text."""
        ...


class Text:
    """What is searched, and its view with single blanks, made at most once."""

    __slots__ = ("_spaced", "data", "size")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)
        self._spaced: View | None = None

    @property
    def spaced(self) -> View:
        """The text with every run of blanks as one space."""
        if self._spaced is None:
            self._spaced = View(self.data, BLANKS, instead=b" ")
        return self._spaced


class Long:
    """A value that is searched for as it is: its anchor only says that the search is worth while."""

    __slots__ = ("_openings", "_period", "data", "near", "once", "opening", "reach", "triggers")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.reach = len(data)
        self.triggers: tuple[bytes, ...] = (literal(_anchor(data)),)
        self.once = True
        self.opening: bytes | None = literal(data[:HEAD])
        self.near = False
        self._period = smallest_period(data)
        self._openings = Openings(data)

    def matches(self, text: Text, ends: Sequence[int]) -> Iterator[Span]:
        """Yield every occurrence."""
        return occurrences(text.data, self.data, self._period)

    def open_at(self, text: Text, start: int, ends: Sequence[int]) -> int:
        """Return where the longest suffix begins that is a proper prefix of the value."""
        return self._openings.earliest(text.data, start)


class Spaced:
    """A value with blanks: each run of them matches any run of blanks and line ends, 4 KiB more in all."""

    __slots__ = ("_openings", "_period", "data", "near", "once", "opening", "reach", "triggers")

    def __init__(self, data: bytes) -> None:
        self.data = BLANKS.sub(b" ", data)
        self.reach = len(self.data) + GAP_BYTES
        self.triggers = _spaced_triggers(self.data)
        self.once = True
        self.opening: bytes | None = literal(self.data.split(b" ", 1)[0][:HEAD])
        self.near = False
        self._period = smallest_period(self.data)
        self._openings = Openings(self.data)

    def matches(self, text: Text, ends: Sequence[int]) -> Iterator[Span]:
        """Yield every occurrence in the text with single blanks, as spans of the text itself."""
        view = text.spaced
        size = len(self.data)
        for begin, end in occurrences(view.data, self.data, self._period):
            for at in range(begin, end - size + 1, self._period or size):
                span = view.span(at, at + size)
                if span[1] - span[0] - size <= GAP_BYTES:
                    yield span

    def open_at(self, text: Text, start: int, ends: Sequence[int]) -> int:
        """Return where the longest growing suffix begins."""
        view = View(text.data, BLANKS, start=max(start, text.size - self.reach), instead=b" ")
        return view.original(self._openings.earliest(view.data, view.roomiest(GAP_BYTES)))


class Joined:
    """A value without blanks that may be wrapped: line breaks, with their indentation, are left out.

    The first `lead` bytes stand together; else almost every line end would be held back. `whole` says that the
    database finds the unbroken value by itself.
    """

    __slots__ = (
        "_extra",
        "_half",
        "_lead",
        "_period",
        "_whole",
        "data",
        "near",
        "once",
        "opening",
        "reach",
        "triggers",
    )

    def __init__(self, data: bytes, lead: int, *, whole: bool) -> None:
        self.data = data
        self._lead = data[:lead]
        self._whole = whole
        self._extra = 128 + len(data) // 4
        self.reach = len(data) + self._extra
        self._period = -1  # computed when it is needed: hardly any form of this kind is ever seen broken
        self._half = half = min(PIECE, len(data) // 2)
        self.once = False
        # A single break leaves one of two neighbouring pieces in one piece.
        self.triggers: tuple[bytes, ...] = (
            (literal(data[:half]), literal(data[half : 2 * half])) if whole else (literal(self._lead),)
        )
        self.opening = literal(self._lead) if whole else None
        self.near = True

    def matches(self, text: Text, ends: Sequence[int]) -> Iterator[Span]:
        """Yield unbroken occurrences, unless the database does, then the broken ones around the triggers left over."""
        data, size = text.data, len(self.data)
        if self._whole:
            broken = [end for end in ends if not self._is_unbroken(data, end)]
            before = self.reach
        else:
            broken, before = [], len(self._lead)
            for end in ends:
                if data.startswith(self.data, end - before):
                    yield end - before, end - before + size
                else:
                    broken.append(end)
        if not broken:
            return
        first, last = max(0, broken[0] - before), min(text.size, broken[-1] + self.reach)
        if data.find(b"\n", first, last) < 0:
            return
        if self._period < 0:
            self._period = smallest_period(self.data)
        view = View(data, LINE_BREAKS, start=first, end=last)
        for begin, end in occurrences(view.data, self.data, self._period):
            for at in range(begin, end - size + 1, self._period or size):
                span = view.span(at, at + size)
                if span[1] - span[0] - size <= self._extra and self._is_announced(data, view, at, span[0]):
                    yield span

    def _is_announced(self, data: bytes, view: View, at: int, start: int) -> bool:
        # A match has to hold a trigger of its own, else it would depend on what else stands in the same piece.
        if not data.startswith(self._lead, start):
            return False
        if not self._whole or data.startswith(self.data[: self._half], start):
            return True
        second = self.data[self._half : self._half * 2]
        return data.startswith(second, view.original(at + self._half))

    def _is_unbroken(self, data: bytes, end: int) -> bool:
        first, second = end - self._half, end - self._half * 2
        return data.startswith(self.data, first) or (second >= 0 and data.startswith(self.data, second))

    def open_at(self, text: Text, start: int, ends: Sequence[int]) -> int:
        """Return the first of the places whose lead ends at `ends` that may still be growing."""
        floor = max(start, text.size - self.reach)
        for end in ends:
            at = end - len(self._lead)
            if at >= floor and self._grows(text.data, at):
                return at
        return text.size

    def _grows(self, data: bytes, at: int) -> bool:
        stop = data.find(b"\n", at)
        rest = data[at : stop if stop >= 0 else len(data)].rstrip(b"\r")  # a CR may be half of a line break
        if not self.data.startswith(rest) or len(rest) < len(self._lead):
            return False
        if stop >= 0:
            rest += LINE_BREAKS.sub(b"", data[at + len(rest) :].rstrip(b"\r"))
        return len(rest) < len(self.data) and self.data.startswith(rest) and len(data) - at - len(rest) <= self._extra


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
