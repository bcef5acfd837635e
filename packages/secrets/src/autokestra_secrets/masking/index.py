"""One compiled set of forms: what matches, and where a match may still be open at the end of the data.

An index never changes; the masker replaces it. It knows nothing of streams, names or placeholders. Most forms are
literals of one database; the others have a trigger in it and are traced from there.
"""

from collections.abc import Sequence

from autokestra_secrets.masking.encodings import ENCODED_LEAD, Form
from autokestra_secrets.masking.finder import LITERAL_BYTES, Patterns, literal
from autokestra_secrets.masking.heads import Heads
from autokestra_secrets.masking.trace import Joined, Long, Spaced, Text, Traced
from autokestra_secrets.masking.view import BLANKS

Match = tuple[int, int, int]  # start, end, number of the form


class Index:
    """Finds every occurrence of `forms`, and the earliest place where one may still be growing."""

    __slots__ = ("_finder", "_heads", "_meant", "_sizes", "_traced", "forms")

    def __init__(self, forms: Sequence[Form]) -> None:
        self.forms = tuple(forms)
        self._sizes = [len(form.data) for form in self.forms]
        self._traced: list[tuple[Traced, int]] = []
        patterns, literals = Patterns(), []
        for number, form in enumerate(self.forms):
            traced, is_literal = _plan(form)
            for trace in traced:
                patterns.add(trace.triggers, ~len(self._traced), once=trace.once)
                self._traced.append((trace, number))
            if is_literal:
                patterns.add((literal(form.data),), number)
                literals.append(form.data)
        self._finder, self._meant = patterns.compile()
        self._heads = Heads(literals, [trace for trace, _ in self._traced])

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
        hold = len(data)
        for which, ends in triggers.items():
            trace, number = self._traced[which]
            ends.sort()
            matches += [(first, last, number) for first, last in trace.matches(text, ends)]
            if trace.opening is None and not final:
                hold = min(hold, trace.open_at(text, start, ends))
        return matches, hold if final else min(hold, self._heads.earliest(text, start))


def _plan(form: Form) -> tuple[list[Traced], bool]:
    """Return how a form is traced, and whether it is a literal of the database."""
    data = form.data
    if BLANKS.search(data):
        return [Spaced(data)], False
    if form.lead == ENCODED_LEAD:
        return [Joined(data, form.lead, whole=False)], False
    fits = len(data) <= LITERAL_BYTES
    traced: list[Traced] = [] if fits else [Long(data)]
    if form.lead:
        traced.append(Joined(data, form.lead, whole=True))
    return traced, fits
