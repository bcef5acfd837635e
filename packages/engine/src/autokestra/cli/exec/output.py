"""What of a program's output may be shown now: masked, and without making a person wait for what they typed.

Pure: bytes in, bytes out, and `idle` when nothing came for a while. Where bytes come from and go to is not known here.
"""

import os
import re
from typing import TYPE_CHECKING, Final

from autokestra.settings import DEFAULT_MASK
from autokestra_secrets import SecretMasker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autokestra_secrets import SecretValue

EARLY_BYTES: Final = 3  # of a match may be shown before it is known to be one: fewer than the shortest value, 4
SETTLE_BYTES: Final = 1 << 16  # bytes kept to find out later how much is held


class OutputMasker:
    """The values, and the mark that stands for one until the last moment.

    The mark is random, so that what the masker replaced can be told from a program that prints the placeholder. It is
    followed by the name of the secret and a NUL.
    """

    def __init__(self, values: "Mapping[str, SecretValue]", *, placeholder: str = DEFAULT_MASK) -> None:
        self.mark = f"\0{os.urandom(16).hex()}:".encode()
        self._marked = re.compile(re.escape(self.mark) + rb"([^\0]*)\0")
        self._placeholder = placeholder.encode()
        self.masker = SecretMasker(placeholder=f"{self.mark.decode()}{{name}}\0")
        for name, value in values.items():
            self.masker.add(value, name)

    def output(self, *, early: bool) -> "MaskedOutput":
        """Return a masker for one stream; with `early`, one whose `idle` shows what is held, if it is little."""
        return MaskedOutput(self, early=early)

    def finished(self, out: bytes) -> bytes:
        """Return `out` with the placeholder where marks are."""
        return self._marked.sub(lambda mark: self._placeholder.replace(b"{name}", mark[1]), out)


class MaskedOutput:
    """Masks one stream. When `early`, the first bytes of what may become a match can be shown by `idle`.

    A masker holds back what may be the beginning of a value, and so would hold the echo of an `h` until the next
    key if a value begins with it. `idle` lets up to 3 such bytes go, and only those are lost if they turn out to
    be a value: the search goes on as if they had been held, and the rest is replaced.
    """

    def __init__(self, owner: OutputMasker, *, early: bool) -> None:
        self._owner = owner
        self._mark = owner.mark
        self._masker = owner.masker
        self._stream = owner.masker.stream()
        self._early = early
        self._since: list[bytes] = []  # all bytes since a moment at which nothing or only the first of them was held
        self._size = 0
        self._shown = 0  # how many of the bytes that the stream holds were let go

    @property
    def is_waiting(self) -> bool:
        """Whether `idle` may have something to show."""
        return self._early and bool(self._since)

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes and return what is certain by now."""
        out = self._stream.feed(data)
        if self._early:
            self._since.append(data)
            self._size += len(data)
            if self._size > SETTLE_BYTES:
                self._held()
            out = self._without_shown(out)
        return self._owner.finished(out)

    def idle(self) -> bytes:
        """Return what is held if it is shorter than any value; it stays part of the search. Else nothing."""
        held = self._held()
        # A piece of an escape sequence is no echo that a person waits for, and may be left out of a later match.
        if held is None or len(held) > EARLY_BYTES or b"\x1b" in held:
            return b""
        new = held[self._shown :]
        self._shown = len(held)
        return new

    def flush(self) -> bytes:
        """Return what was held, at the end of the stream."""
        self._since, self._size = [], 0
        return self._owner.finished(self._without_shown(self._stream.flush()))

    def _held(self) -> bytes | None:
        """Return the bytes that the stream holds, None when a whole value that could be longer is among them.

        The stream does not tell. But a second one that is fed the same comes to hold the same, since what is held
        does not depend on how the input was cut, and that one can be flushed.
        """
        probe = self._masker.stream()
        probe.feed(b"".join(self._since))
        held = probe.flush()
        if self._mark in held:
            return None
        self._since, self._size = ([held] if held else []), len(held)
        return held

    def _without_shown(self, out: bytes) -> bytes:
        if not self._shown or not out:
            return out
        mark = out.find(self._mark)
        plain = min(len(out) if mark < 0 else mark, self._shown)
        # Shown bytes that do not come out in clear are in the match that does.
        self._shown = self._shown - plain if mark < 0 else 0
        return out[plain:]
