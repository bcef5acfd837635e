"""Masked standard streams: what a program prints, as text or bytes, in however many pieces.

A program's descriptors are not touched: what a child process, or C code, writes to them goes past Python.
"""

import codecs
import sys
from collections.abc import Iterable
from threading import RLock
from typing import Any, Final, TextIO, cast

from autokestra_secrets.masking.masker import SecretMasker, as_bytes

WITHHELD: Final = "<output withheld: masking failed>\n"


class MaskedText:
    """A text stream in front of `target`: `write`, `writelines` and `.buffer` all pass through one masker.

    Bytes that may still become a match wait for more, or for `finish`; `flush` does not release them. After `finish`
    everything passes as it is. All other attributes are those of `target`.
    """

    def __init__(self, target: TextIO, masker: SecretMasker) -> None:
        self.target = target
        self.is_finished = False
        self.buffer = MaskedBytes(self)
        self._stream = masker.stream()
        self._lock = RLock()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        encoding = codecs.lookup(getattr(target, "encoding", None) or "ascii").name
        # Bytes go out as bytes where that is the same: `sys.stdout.buffer` may carry anything. Elsewhere only the
        # stream behind knows its encoding and its line ends.
        self._sink = getattr(target, "buffer", None) if encoding == "utf-8" and sys.platform != "win32" else None
        target.flush()

    def write(self, text: str) -> int:
        """Write `text` masked, and return its length."""
        self.write_bytes(as_bytes(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each of `lines`."""
        for line in lines:
            self.write(line)

    def write_bytes(self, data: bytes) -> None:
        """Write bytes, of which text is expected to be UTF-8, masked."""
        with self._lock:
            if not self.is_finished:
                try:
                    data = self._stream.feed(data)
                except Exception:  # noqa: BLE001  # whatever went wrong: unmasked output must not pass
                    data = WITHHELD.encode()
            self._emit(data)

    def flush(self) -> None:
        """Flush what is certain; what may still become a match stays held."""
        self.target.flush()

    def finish(self) -> None:
        """Release what is held, and mask nothing from now on."""
        with self._lock:
            if not self.is_finished:
                self._emit(self._stream.flush())
                self.is_finished = True
            self.target.flush()

    def _emit(self, data: bytes) -> None:
        if self._sink is None:
            self.target.write(self._decoder.decode(data))
            return
        self._sink.write(data)
        if getattr(self.target, "write_through", False) or (self.target.line_buffering and b"\n" in data):
            self._sink.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.target, name)


class MaskedBytes:
    """The `.buffer` of a `MaskedText`: bytes, through the same masker."""

    def __init__(self, text: MaskedText) -> None:
        self._text = text

    def write(self, data: Any) -> int:
        """Write a bytes-like object masked, and return its size."""
        raw = bytes(data)
        self._text.write_bytes(raw)
        return len(raw)

    def writelines(self, lines: Iterable[Any]) -> None:
        """Write each of `lines`."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush what is certain."""
        self._text.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._text.target.buffer, name)


def put_in_front(masker: SecretMasker) -> list[tuple[str, MaskedText]]:
    """Replace `sys.stdout` and `sys.stderr` by masked streams, and return those."""
    ours: list[tuple[str, MaskedText]] = []
    for name in ("stdout", "stderr"):
        target = getattr(sys, name)
        if target is not None:
            masked = MaskedText(target, masker)
            setattr(sys, name, masked)
            ours.append((name, masked))
    return ours


def take_away(ours: Iterable[tuple[str, MaskedText]]) -> None:
    """Finish the streams, and put back what was there unless something else has replaced them in the meantime."""
    for name, masked in ours:
        masked.finish()
        if getattr(sys, name) is masked:
            setattr(sys, name, _without_finished(masked))


def _without_finished(stream: MaskedText) -> TextIO:
    current: Any = stream
    while isinstance(current, MaskedText) and current.is_finished:
        current = current.target
    return cast("TextIO", current)
