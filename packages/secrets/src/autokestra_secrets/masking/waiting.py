"""A long value arriving in small pieces: each piece is compared once, instead of searching all that is held again."""

from collections.abc import Iterable
from typing import Final

from autokestra_secrets.masking.encodings import ENCODED_LEAD
from autokestra_secrets.masking.needle import Needle
from autokestra_secrets.masking.view import BLANKS, GAP_BYTES
from autokestra_secrets.masking.wrapped import extra_bytes

WORTH_BYTES: Final = 4096  # held; below, searching again is cheap


class LargeForm:
    """A form worth waiting for, prepared for comparison."""

    __slots__ = ("data", "extra", "has_blanks", "head", "is_wrapped")

    def __init__(self, form: Needle) -> None:
        self.has_blanks = BLANKS.search(form.data) is not None
        self.is_wrapped = form.lead == ENCODED_LEAD
        self.data = BLANKS.sub(b" ", form.data) if self.has_blanks else form.data
        self.extra = GAP_BYTES if self.has_blanks else extra_bytes(len(self.data))
        self.head = self.data[:ENCODED_LEAD].split(b" ")[0]  # what stands together in every occurrence


class Waiting:
    """The beginning of a form, piece by piece.

    While it goes on, nothing can be released, whatever else matches in the meantime. Giving up is always safe: then
    what is held is searched as usual.
    """

    __slots__ = ("_extra", "_form", "_matched")

    def __init__(self, form: LargeForm) -> None:
        self._form = form
        self._matched = 0
        self._extra = 0

    def goes_on(self, piece: bytes) -> bool:
        """Whether the form, not yet complete, goes on with `piece`."""
        form, rest = self._form, piece
        if form.has_blanks:
            rest = BLANKS.sub(b" ", piece)
            if self._matched and form.data[self._matched - 1] == ord(" ") and rest.startswith(b" "):
                rest = rest[1:]
        elif form.is_wrapped and b"\n" not in piece[: max(0, ENCODED_LEAD - self._matched)]:
            rest = piece.replace(b"\r\n", b"\n").replace(b"\n", b"")
        if not form.data.startswith(rest, self._matched):
            return False
        self._matched += len(rest)
        self._extra += len(piece) - len(rest)
        return self._matched < len(form.data) and self._extra <= form.extra


def wait_for(forms: Iterable[LargeForm], held: bytes) -> Waiting | None:
    """Return the state of waiting for the first of `forms` that begins with `held`."""
    for form in forms:
        if held.startswith(form.head):
            waiting = Waiting(form)
            if waiting.goes_on(held):
                return waiting
    return None
