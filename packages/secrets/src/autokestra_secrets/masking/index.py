"""One compiled set of forms: what matches, and where a match may still be open at the end of the data.

An index never changes; the masker replaces it. It knows nothing of streams, names or placeholders. Most forms are
literals of one database; the others have a trigger in it, and what stands around the trigger decides.
"""

from collections.abc import Sequence
from typing import Final

from autokestra_secrets.masking.encodings import ENCODED_LEAD, PLAIN_LEAD
from autokestra_secrets.masking.finder import LITERAL_BYTES, Patterns, literal
from autokestra_secrets.masking.heads import Heads, Opener
from autokestra_secrets.masking.long import Long, Match
from autokestra_secrets.masking.needle import Needle
from autokestra_secrets.masking.repeats import smallest_period
from autokestra_secrets.masking.spaced import Spaced, single_spaced
from autokestra_secrets.masking.view import BLANKS
from autokestra_secrets.masking.waiting import WORTH_BYTES, LargeForm
from autokestra_secrets.masking.wrapped import PIECE, BrokenTokens, TokenLeads, Wrapped, may_be_wrapped

DENSE_BYTES: Final = 4  # period of a value that is searched for like a long one

Values = list[tuple[bytes, int]]
_SPACED: Final = -1  # the meaning of a trigger of values with blanks; below it come long values, then local triggers


class Index:
    """Finds every occurrence of `forms`, and the earliest place where one may still be growing.

    With `as_is`, blanks and line breaks have no special meaning.
    """

    __slots__ = ("_finder", "_heads", "_local", "_long", "_meant", "_sizes", "_spaced", "forms", "large")

    def __init__(self, forms: Sequence[Needle], *, as_is: bool = False) -> None:
        self.forms = tuple(forms)
        self.large = tuple(LargeForm(form) for form in self.forms if len(form.data) > WORTH_BYTES)
        self._sizes = [len(form.data) for form in self.forms]
        plan = _Plan(self.forms, as_is=as_is)
        self._long = [Long(data, number, merged=not as_is) for data, number in plan.long]
        self._local: list[Wrapped | BrokenTokens] = [
            *(Wrapped(lead, values) for lead, values in plan.wrapped.items()),
            *(BrokenTokens(*piece, values, PLAIN_LEAD) for piece, values in plan.pieces.items()),
        ]
        self._spaced = plan.spaced_values()
        patterns = Patterns()
        for data, number in (*plan.literals, *plan.singles):
            patterns.add((literal(data),), number)
            self._sizes[number] = len(data)  # of one with blanks: as it is with single ones
        for place, long in enumerate(self._long):
            patterns.add((long.trigger,), _SPACED - 1 - place, once=True)
        for place, local in enumerate(self._local):
            patterns.add((local.trigger,), _SPACED - 1 - len(self._long) - place)
        openers: list[Opener] = [*self._long, *(TokenLeads(lead, values) for lead, values in plan.leads.items())]
        if self._spaced:
            patterns.add(self._spaced.triggers, _SPACED, once=True)
            openers.append(self._spaced)
        self._finder, self._meant = patterns.compile()
        self._heads = Heads([data for data, _ in plan.literals], openers, plan.beginnings)

    def search(self, data: bytes, *, start: int = 0, final: bool = False) -> tuple[list[Match], int]:
        """Return every occurrence of every form in `data`, and the smallest offset >= `start` where one may be open.

        At the end of a stream nothing is open, and the offset is the size of `data`.
        """
        matches: list[Match] = []
        hold = len(data)
        hits = self._finder.scan(data) if self._finder else None
        if hits:
            matches, hold = self._examine(data, start, hits, final=final)
        return matches, hold if final else min(hold, self._heads.earliest(data, start))

    def open_at(self, data: bytes, start: int) -> int:
        """Return the smallest offset >= `start` where a form may be open. For an index of literals only."""
        return self._heads.earliest(data, start)

    def _examine(self, data: bytes, start: int, hits: list[tuple[int, int]], *, final: bool) -> tuple[list[Match], int]:
        matches: list[Match] = []
        triggers: dict[int, list[int]] = {}
        for end, index in hits:
            for meaning in self._meant[index]:
                if meaning >= 0:
                    matches.append((end - self._sizes[meaning], end, meaning))
                else:
                    triggers.setdefault(meaning, []).append(end)
        hold = len(data)
        for meaning, ends in triggers.items():
            place = _SPACED - 1 - meaning
            if meaning == _SPACED:
                assert self._spaced is not None
                matches += self._spaced.matches(data)
            elif place < len(self._long):
                matches += self._long[place].matches(data)
            else:
                local = self._local[place - len(self._long)]
                ends.sort()
                matches += local.matches(data, ends)
                if isinstance(local, Wrapped) and not final:
                    hold = min(hold, local.open_at(data, start, ends))
        return matches, hold


class _Plan:
    """How each form is found: as a literal, by its lead, by its pieces, or by searching the text for it."""

    def __init__(self, forms: Sequence[Needle], *, as_is: bool) -> None:
        self.literals: Values = []
        self.singles: Values = []  # literals too, but those with blanks open in a way of their own
        self.long: Values = []
        self.wrapped: dict[bytes, Values] = {}
        self.pieces: dict[tuple[bytes, int], Values] = {}
        self.leads: dict[bytes, Values] = {}
        self.spaced: Values = []
        self.beginnings: list[bytes] = []
        for number, form in enumerate(forms):
            if form.exact or as_is:
                self._add_literal(form.data, number)
            elif BLANKS.search(form.data):
                self._add_spaced(form.data, number)
            else:
                self._add(form, number)

    def spaced_values(self) -> Spaced | None:
        """Return what finds the values with blanks, by an index over single-spaced text."""
        if not self.spaced:
            return None
        inner = Index([Needle(data) for data, _ in self.spaced], as_is=True)
        return Spaced([data for data, _ in self.spaced], inner, [number for _, number in self.spaced])

    def _add_literal(self, data: bytes, number: int) -> None:
        self.beginnings.append(data)
        # A value that repeats a few bytes may match at every byte of a text: that is searched, not reported.
        is_literal = len(data) <= LITERAL_BYTES and not 0 < smallest_period(data) <= DENSE_BYTES
        (self.literals if is_literal else self.long).append((data, number))

    def _add_spaced(self, data: bytes, number: int) -> None:
        single = single_spaced(data)
        self.spaced.append((single, number))
        self.beginnings.append(single.split(b" ", 1)[0])
        if len(single) <= LITERAL_BYTES:
            self.singles.append((single, number))

    def _add(self, form: Needle, number: int) -> None:
        data, lead = form.data, form.data[: form.lead]
        if form.lead == ENCODED_LEAD:
            group = self.wrapped.get(lead)
            if group is None and may_be_wrapped(lead):
                group = self.wrapped[lead] = []
            if group is not None:
                self.beginnings.append(data)
                group.append((data, number))
                return
        self._add_literal(data, number)
        half = min(PIECE, len(data) // 2)
        first, second = data[:half], data[half : 2 * half]
        if form.lead == PLAIN_LEAD and may_be_wrapped(first) and may_be_wrapped(second):
            self.pieces.setdefault((first, 0), []).append((data, number))
            self.pieces.setdefault((second, half), []).append((data, number))
            self.leads.setdefault(lead, []).append((data, number))
