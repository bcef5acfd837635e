"""One compiled set of forms: what matches, and where a match may still be open at the end of the data.

An index never changes; the masker replaces it. It knows nothing of streams, names or placeholders. Most forms are
literals of one database; the others have a trigger in it and are traced from there.
"""

from collections.abc import Sequence

from autokestra_secrets.masking.encodings import ENCODED_LEAD, PLAIN_LEAD, Form
from autokestra_secrets.masking.finder import LITERAL_BYTES, Patterns, literal
from autokestra_secrets.masking.heads import Heads, Opener
from autokestra_secrets.masking.trace import Long, Match, Spaced, Text, first_word
from autokestra_secrets.masking.view import BLANKS
from autokestra_secrets.masking.waiting import WORTH_BYTES
from autokestra_secrets.masking.wrapped import PIECE, BrokenTokens, TokenLeads, Wrapped, may_be_wrapped

Values = list[tuple[bytes, int]]


class Index:
    """Finds every occurrence of `forms`, and the earliest place where one may still be growing."""

    __slots__ = ("_finder", "_heads", "_local", "_meant", "_remote", "_sizes", "forms", "large")

    def __init__(self, forms: Sequence[Form]) -> None:
        self.forms = tuple(forms)
        self.large = tuple(form for form in self.forms if len(form.data) > WORTH_BYTES)
        self._sizes = [len(form.data) for form in self.forms]
        plan = _Plan(self.forms)
        self._remote = plan.remote
        self._local: list[Wrapped | BrokenTokens] = [Wrapped(lead, values) for lead, values in plan.wrapped.items()]
        self._local += [BrokenTokens(*piece, values, PLAIN_LEAD) for piece, values in plan.pieces.items()]
        patterns = Patterns()
        for data, number in plan.literals:
            patterns.add((literal(data),), number)
        for index, trace in enumerate((*self._local, *self._remote)):
            patterns.add(trace.triggers, ~index, once=trace.once)
        self._finder, self._meant = patterns.compile()
        openers: list[Opener] = [*self._remote, *(TokenLeads(lead, values) for lead, values in plan.leads.items())]
        self._heads = Heads([data for data, _ in plan.literals], openers, plan.beginnings)

    def search(self, data: bytes, *, start: int = 0, final: bool = False) -> tuple[list[Match], int]:
        """Return every occurrence of every form in `data`, and the smallest offset >= `start` where one may be open.

        At the end of a stream nothing is open, and the offset is the size of `data`.
        """
        text = Text(data)
        matches: list[Match] = []
        triggers: dict[int, list[int]] = {}
        assert self._finder is not None
        for end, index in self._finder.scan(data):
            for meaning in self._meant[index]:
                if meaning >= 0:
                    matches.append((end - self._sizes[meaning], end, meaning))
                else:
                    triggers.setdefault(~meaning, []).append(end)
        hold = text.size
        for which, ends in triggers.items():
            if which >= len(self._local):
                matches += self._remote[which - len(self._local)].matches(text)
                continue
            local = self._local[which]
            ends.sort()
            matches += local.matches(data, ends)
            if isinstance(local, Wrapped) and not final:
                hold = min(hold, local.open_at(data, start, ends))
        return matches, hold if final else min(hold, self._heads.earliest(text, start))


class _Plan:
    """How each form is found: as a literal, by its lead, by its pieces, or by searching the text for it."""

    def __init__(self, forms: Sequence[Form]) -> None:
        self.literals: Values = []
        self.wrapped: dict[bytes, Values] = {}
        self.pieces: dict[tuple[bytes, int], Values] = {}
        self.leads: dict[bytes, Values] = {}
        self.remote: list[Long | Spaced] = []
        self.beginnings: list[bytes] = []
        for number, form in enumerate(forms):
            self._add(form, number)

    def _add(self, form: Form, number: int) -> None:
        data, lead = form.data, form.data[: form.lead]
        if BLANKS.search(data):
            self.remote.append(Spaced(data, number))
            self.beginnings.append(first_word(data))
            return
        self.beginnings.append(data)
        if form.lead == ENCODED_LEAD and may_be_wrapped(lead):
            self.wrapped.setdefault(lead, []).append((data, number))
            return
        if len(data) > LITERAL_BYTES:
            self.remote.append(Long(data, number))
        else:
            self.literals.append((data, number))
        half = min(PIECE, len(data) // 2)
        first, second = data[:half], data[half : 2 * half]
        if form.lead == PLAIN_LEAD and may_be_wrapped(first) and may_be_wrapped(second):
            self.pieces.setdefault((first, 0), []).append((data, number))
            self.pieces.setdefault((second, half), []).append((data, number))
            self.leads.setdefault(lead, []).append((data, number))
