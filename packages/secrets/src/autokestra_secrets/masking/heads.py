"""Where a match may still be open at the end of the data.

A form is recognised by its head: small databases of heads run over the last bytes only. Fewer bytes than a head are
looked up in sets.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Final

from autokestra_secrets.masking.finder import Patterns, literal
from autokestra_secrets.masking.repeats import HEAD_BYTES
from autokestra_secrets.masking.trace import HEAD, Long, Text, Traced

_SORTED: Final = -1  # the meaning of a hit that is looked up among the sorted literals


class Heads:
    """The beginnings of a set of forms: `literals`, which are found as they are, and `traced` ones."""

    __slots__ = (
        "_far", "_far_reach", "_lasts", "_meant_far", "_meant_near", "_near", "_near_reach", "_openers", "_shorts",
        "_sorted",
    )  # fmt: skip

    def __init__(self, literals: Iterable[bytes], traced: Sequence[Traced]) -> None:
        near, far = Patterns(), Patterns()
        self._openers = list(traced)
        self._sorted: list[bytes] = []
        self._shorts: set[bytes] = set()
        self._near_reach = self._far_reach = 0
        for data in literals:
            self._add_shorts(data)
            if HEAD < len(data) <= HEAD_BYTES:
                near.add((literal(data[:HEAD]),), _SORTED)
                self._sorted.append(data)
                self._near_reach = max(self._near_reach, len(data))
            elif len(data) > HEAD_BYTES:
                self._openers.append(Long(data))
        for number, opener in enumerate(self._openers):
            self._add_shorts(opener.data.split(b" ", 1)[0])
            if opener.opening is None:
                continue
            if opener.near:
                near.add((opener.opening,), number)
                self._near_reach = max(self._near_reach, opener.reach)
            else:
                far.add((opener.opening,), number, once=True)
                self._far_reach = max(self._far_reach, opener.reach)
        self._sorted.sort()
        self._lasts = frozenset(short[-1] for short in self._shorts)
        self._near, self._meant_near = near.compile()
        self._far, self._meant_far = far.compile()

    def _add_shorts(self, data: bytes) -> None:
        self._shorts.update(data[:size] for size in range(1, min(HEAD, len(data))))

    def earliest(self, text: Text, start: int) -> int:
        """Return the smallest offset >= `start` from which a form may still be growing, or the size of the text."""
        hold = text.size
        if self._far is not None:
            base = max(start, hold - self._far_reach)
            for _, index in self._far.scan(text.data[base:] if base else text.data):
                hold = min(
                    [hold, *(self._openers[number].open_at(text, start, ()) for number in self._meant_far[index])]
                )
        if self._near is not None:
            hold = min(hold, self._earliest_near(text, start, hold))
        if text.size and text.data[-1] in self._lasts:
            for size in range(min(HEAD - 1, text.size - start), text.size - hold, -1):
                if text.data[-size:] in self._shorts:
                    hold = text.size - size
                    break
        return hold

    def _earliest_near(self, text: Text, start: int, hold: int) -> int:
        assert self._near is not None
        base = max(start, text.size - self._near_reach)
        ends: dict[int, list[int]] = {}
        for end, index in sorted(self._near.scan(text.data[base:] if base else text.data)):
            for meaning in self._meant_near[index]:
                if meaning != _SORTED:
                    ends.setdefault(meaning, []).append(base + end)
                elif base + end - HEAD < hold and self._grows(text.data[base + end - HEAD :]):
                    hold = base + end - HEAD
        return min([hold, *(self._openers[number].open_at(text, start, places) for number, places in ends.items())])

    def _grows(self, rest: bytes) -> bool:
        # The literals that begin with `rest` follow it in sorted order; the one equal to it is no longer growing.
        position = bisect_right(self._sorted, rest)
        return position < len(self._sorted) and self._sorted[position].startswith(rest)
