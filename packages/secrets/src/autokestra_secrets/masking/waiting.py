"""A long value arriving in small pieces: each piece is compared once, instead of searching all that is held again."""

from collections.abc import Iterable
from typing import Final

from autokestra_secrets.masking.encodings import ENCODED_LEAD, Form
from autokestra_secrets.masking.view import BLANKS, GAP_BYTES

WORTH_BYTES: Final = 4096  # held; below, searching again is cheap


class Waiting:
    """The beginning of `form`, piece by piece.

    While it goes on, nothing can be released, whatever else matches in the meantime. Giving up is always safe: then
    what is held is searched as usual.
    """

    __slots__ = ("_extra", "_form", "_has_blanks", "_is_wrapped", "_matched")

    def __init__(self, form: Form) -> None:
        self._has_blanks = BLANKS.search(form.data) is not None
        self._is_wrapped = form.lead == ENCODED_LEAD
        self._form = BLANKS.sub(b" ", form.data)
        self._matched = 0
        self._extra = 0

    def goes_on(self, piece: bytes) -> bool:
        """Whether the form, not yet complete, goes on with `piece`."""
        rest = piece
        if self._has_blanks:
            rest = BLANKS.sub(b" ", piece)
            if self._matched and self._form[self._matched - 1] == ord(" ") and rest.startswith(b" "):
                rest = rest[1:]
        elif self._is_wrapped and b"\n" not in piece[: max(0, ENCODED_LEAD - self._matched)]:
            rest = piece.replace(b"\r\n", b"\n").replace(b"\n", b"")
        if not self._form.startswith(rest, self._matched):
            return False
        self._matched += len(rest)
        self._extra += len(piece) - len(rest)
        return self._matched < len(self._form) and self._extra <= GAP_BYTES


def wait_for(forms: Iterable[Form], held: bytes) -> Waiting | None:
    """Return the state of waiting for the first of `forms` that begins with `held`."""
    for form in forms:
        waiting = Waiting(form)
        if waiting.goes_on(held):
            return waiting
    return None
