"""Where a match may still be open at the end of the data.

A form is recognised by its head: small databases of heads run over the last bytes only. Fewer bytes than a head are
looked up in a set.
"""

from bisect import bisect_right
from collections.abc import Iterable
from typing import Protocol

from autokestra_secrets.masking.finder import Patterns, literal
from autokestra_secrets.masking.repeats import HEAD_BYTES
from autokestra_secrets.masking.trace import HEAD, Long, Text


class Opener(Protocol):
    """Something that may be growing when the expression `opening` is among the last `reach` bytes."""

    @property
    def opening(self) -> bytes: ...  # noqa: D102
    @property
    def reach(self) -> int: ...  # noqa: D102

    def open_at(self, text: Text, start: int) -> int:
        """Return the smallest offset >= `start` from which it may be growing, or the size of the text."""
        ...


class Heads:
    """The beginnings of `literals`, which are found as they are, of `openers`, and of what begins with `shorts`."""

    __slots__ = ("_far", "_far_reach", "_lasts", "_meant", "_near", "_near_reach", "_openers", "_shorts", "_sorted")

    def __init__(self, literals: Iterable[bytes], openers: Iterable[Opener], beginnings: Iterable[bytes]) -> None:
        near, far = Patterns(), Patterns()
        self._openers = list(openers)
        self._sorted: list[bytes] = []
        for data in literals:
            if len(data) > HEAD_BYTES:
                self._openers.append(Long(data, 0))
            elif len(data) > HEAD:
                near.add((literal(data[:HEAD]),), 0)
                self._sorted.append(data)
        self._sorted.sort()
        self._near, _ = near.compile()
        self._near_reach = max(map(len, self._sorted), default=0)
        for number, opener in enumerate(self._openers):
            far.add((opener.opening,), number, once=True)
        self._far, self._meant = far.compile()
        self._far_reach = max((opener.reach for opener in self._openers), default=0)
        self._shorts = frozenset(data[:size] for data in beginnings for size in range(1, min(HEAD, len(data))))
        self._lasts = frozenset(short[-1] for short in self._shorts)

    def earliest(self, text: Text, start: int) -> int:
        """Return the smallest offset >= `start` from which a form may still be growing, or the size of the text."""
        hold = size = text.size
        if self._far is not None:
            base = max(start, size - self._far_reach)
            for _, index in self._far.scan(text.data[base:] if base else text.data):
                hold = min([hold, *(self._openers[number].open_at(text, start) for number in self._meant[index])])
        if self._near is not None:
            base = max(start, size - self._near_reach)
            for end, _ in self._near.scan(text.data[base:] if base else text.data):
                at = base + end - HEAD
                if at < hold and self._grows(text.data[at:]):
                    hold = at
        if size and text.data[-1] in self._lasts:
            for length in range(min(HEAD - 1, size - start), size - hold, -1):
                if text.data[-length:] in self._shorts:
                    return size - length
        return hold

    def _grows(self, rest: bytes) -> bool:
        # The literals that begin with `rest` follow it in sorted order; the one equal to it is no longer growing.
        place = bisect_right(self._sorted, rest)
        return place < len(self._sorted) and self._sorted[place].startswith(rest)
