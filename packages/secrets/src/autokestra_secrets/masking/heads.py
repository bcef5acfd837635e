"""Where a match may still be open at the end of the data.

A form is recognised by its head: a small database of heads runs over the last bytes only. Fewer bytes than a head are
looked up in a set.
"""

from bisect import bisect_right
from collections.abc import Iterable
from typing import Final, Protocol

from autokestra_secrets.masking.finder import Patterns, literal
from autokestra_secrets.masking.long import HEAD, Long
from autokestra_secrets.masking.repeats import HEAD_BYTES

_SORTED: Final = -1  # the meaning of a head that is looked up among the sorted literals


class Opener(Protocol):
    """Something that may be growing when one of the expressions `openings` is among the last `reach` bytes."""

    @property
    def openings(self) -> Iterable[bytes]: ...  # noqa: D102
    @property
    def reach(self) -> int: ...  # noqa: D102

    def open_at(self, data: bytes, start: int) -> int:
        """Return the smallest offset >= `start` from which it may be growing, or the size of `data`."""
        ...


class Heads:
    """The beginnings of `literals`, which are found as they are, of `openers`, and of what begins with `beginnings`."""

    __slots__ = ("_finder", "_lasts", "_meant", "_near_reach", "_openers", "_reach", "_shorts", "_sorted")

    def __init__(self, literals: Iterable[bytes], openers: Iterable[Opener], beginnings: Iterable[bytes]) -> None:
        heads = Patterns()
        self._openers = list(openers)
        self._sorted: list[bytes] = []
        for data in literals:
            if len(data) > HEAD_BYTES:
                self._openers.append(Long(data, 0))
            elif len(data) > HEAD:
                heads.add((literal(data[:HEAD]),), _SORTED)
                self._sorted.append(data)
        self._sorted.sort()
        for number, opener in enumerate(self._openers):
            heads.add(opener.openings, number, once=True)
        self._finder, self._meant = heads.compile()
        self._near_reach = max(map(len, self._sorted), default=0)
        self._reach = max((self._near_reach, *(opener.reach for opener in self._openers)))
        self._shorts: set[bytes] = set()
        for head in {data[:HEAD] for data in beginnings}:
            self._shorts.update([head[:size] for size in range(1, len(head))])
        self._lasts = frozenset(short[-1] for short in self._shorts)

    def earliest(self, data: bytes, start: int) -> int:
        """Return the smallest offset >= `start` from which a form may still be growing, or the size of `data`."""
        hold = size = len(data)
        if self._finder is not None:
            base = max(start, size - self._reach)
            hits = self._finder.scan(data[base:] if base else data)
            if hits:
                hold = self._examine(data, start, [(base + end, index) for end, index in hits])
        if size and data[-1] in self._lasts:
            for length in range(min(HEAD - 1, size - start), size - hold, -1):
                if data[-length:] in self._shorts:
                    return size - length
        return hold

    def _examine(self, data: bytes, start: int, hits: list[tuple[int, int]]) -> int:
        hold = len(data)
        floor = hold - self._near_reach
        openers: set[int] = set()
        for end, index in hits:
            for meaning in self._meant[index]:
                if meaning != _SORTED:
                    openers.add(meaning)
                elif floor < end - HEAD < hold and self._grows(data[end - HEAD :]):
                    hold = end - HEAD
        return min([hold, *(self._openers[number].open_at(data, start) for number in openers)])

    def _grows(self, rest: bytes) -> bool:
        # The literals that begin with `rest` follow it in sorted order; the one equal to it is no longer growing.
        place = bisect_right(self._sorted, rest)
        return place < len(self._sorted) and self._sorted[place].startswith(rest)
