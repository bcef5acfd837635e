"""Values without blanks that were broken into lines: base64 and hex by their tools, long tokens by terminals.

A group of values shares a trigger, a few bytes that stand together in every occurrence. Around each trigger the line
breaks, with their indentation, are left out, and what remains is looked up. Grouping keeps this independent of the
number of values: a thousand tokens may all begin with `ghp_`.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from autokestra_secrets.masking.finder import LITERAL_BYTES, literal
from autokestra_secrets.masking.long import Match
from autokestra_secrets.masking.view import LINE_BREAKS, View

PIECE: Final = 16  # bytes at most of each of the two neighbouring pieces of a plain value one of which is unbroken

_LINE_END: Final = re.compile(rb"[\r\n]")


def may_be_wrapped(lead: bytes) -> bool:
    """Whether `lead` cannot recur at nearly every byte of a text, which would make searching around it slow."""
    return not any(lead.startswith(lead[period:]) for period in range(1, 5))


class Values:
    """Values with their numbers, to be found at a place of a text."""

    __slots__ = ("_long", "_only", "_short", "_sizes", "_sorted", "extra", "reach", "size")

    def __init__(self, values: Iterable[tuple[bytes, int]]) -> None:
        values = list(values)
        self._short = {data: number for data, number in values if len(data) <= LITERAL_BYTES}
        self._long = [(data, number) for data, number in values if len(data) > LITERAL_BYTES]
        self._sizes = sorted({len(data) for data in self._short})
        self._sorted = sorted(data for data, _ in values)
        self._only = values[0] if len(values) == 1 else None
        self.size = longest = max(map(len, self._sorted))
        self.extra = extra_bytes(longest)
        self.reach = longest + self.extra

    def at(self, text: bytes, place: int) -> Iterator[tuple[int, int]]:
        """Yield size and number of every value that stands at `place`."""
        if place < 0:
            return
        for size in self._sizes:
            if place + size > len(text):
                break
            number = self._short.get(text[place : place + size])
            if number is not None:
                yield size, number
        for data, number in self._long:
            if text.startswith(data, place):
                yield len(data), number

    def only_at(self, text: bytes, place: int) -> int | None:
        """Return the number of the only value there is if it stands at `place`: nothing else needs to be looked for."""
        if self._only is not None and place >= 0 and text.startswith(self._only[0], place):
            return self._only[1]
        return None

    def one_grows(self, text: bytes) -> bool:
        """Whether `text` is a proper prefix of one of the values."""
        place = bisect_right(self._sorted, text)
        return place < len(self._sorted) and self._sorted[place].startswith(text)


def extra_bytes(size: int) -> int:
    """Return how many bytes of line breaks and indentation an occurrence of a value of `size` bytes may hold."""
    return 128 + size // 4


class Wrapped:
    """Encodings that begin with `lead`, broken or not."""

    __slots__ = ("_lead", "_values", "trigger")

    def __init__(self, lead: bytes, values: Iterable[tuple[bytes, int]]) -> None:
        self._lead = lead
        self._values = Values(values)
        self.trigger = literal(lead)

    def matches(self, text: bytes, ends: Sequence[int]) -> Iterator[Match]:
        """Yield the occurrences whose lead ends at one of `ends`."""
        for end in ends:
            at = end - len(self._lead)
            unbroken = self._values.only_at(text, at)
            if unbroken is not None:
                yield at, at + self._values.size, unbroken
                continue
            for size, number in self._values.at(text, at):
                yield at, at + size, number
            last = at + self._values.reach
            if text.find(b"\n", end, last) >= 0:
                yield from _broken(text, at, last, 0, self._values)

    def open_at(self, text: bytes, start: int, ends: Sequence[int]) -> int:
        """Return the first place >= `start` from which a value may still be growing, or the size of the text."""
        floor = max(start, len(text) - self._values.reach)
        for end in ends:
            if end - len(self._lead) >= floor and _grows(text, end - len(self._lead), self._values):
                return end - len(self._lead)
        return len(text)


class BrokenTokens:
    """Plain values that hold `piece` at `offset`; those that are not broken are found without this."""

    __slots__ = ("_lead_bytes", "_offset", "_piece", "_values", "trigger")

    def __init__(self, piece: bytes, offset: int, values: Iterable[tuple[bytes, int]], lead_bytes: int) -> None:
        self._piece = piece
        self._offset = offset
        self._lead_bytes = lead_bytes
        self._values = Values(values)
        self.trigger = literal(piece)

    def matches(self, text: bytes, ends: Sequence[int]) -> Iterator[Match]:
        """Yield the broken occurrences whose piece ends at one of `ends`."""
        before = self._offset + self._values.extra if self._offset else 0
        for end in ends:
            at = end - len(self._piece)
            if self._values.only_at(text, at - self._offset) is not None:
                continue
            first, last = max(0, at - before), at + self._values.reach
            if text.find(b"\n", first, last) >= 0:
                for match in _broken(text, first, last, at - first, self._values, self._offset):
                    if not _LINE_END.search(text, match[0], match[0] + self._lead_bytes):
                        yield match


class TokenLeads:
    """Where one of the plain values that begin with `lead` may be growing across a line break."""

    __slots__ = ("_lead", "_values", "openings", "reach")

    def __init__(self, lead: bytes, values: Iterable[tuple[bytes, int]]) -> None:
        self._lead = lead
        self._values = Values(values)
        self.openings = (literal(lead),)
        self.reach = self._values.reach

    def open_at(self, text: bytes, start: int) -> int:
        """Return the smallest offset >= `start` from which a broken value may still be growing, or the size."""
        size = len(text)
        stop = size if text.endswith(b"\r") else text.rfind(b"\n") + 1  # a CR may be half of a line break
        at = text.find(self._lead, max(start, size - self.reach), stop)
        while at >= 0:
            if _grows(text, at, self._values):
                return at
            at = text.find(self._lead, at + 1, stop)
        return size


def _broken(text: bytes, first: int, last: int, piece: int, values: Values, offset: int = 0) -> Iterator[Match]:
    """Yield the values that stand in `text[first:last]` without line breaks, `offset` bytes before `first + piece`."""
    view = View(text, LINE_BREAKS, start=first, end=min(last, len(text)))
    place = view.position(first + piece) - offset
    for size, number in values.at(view.data, place):
        start, end = view.span(place, place + size)
        if size < end - start <= size + extra_bytes(size):
            yield start, end, number


def _grows(text: bytes, at: int, values: Values) -> bool:
    rest = LINE_BREAKS.sub(b"", text[at:].rstrip(b"\r"))
    return values.one_grows(rest) and len(text) - at - len(rest) <= values.extra
