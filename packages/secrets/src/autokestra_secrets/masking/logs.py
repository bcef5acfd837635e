"""Masking where Python programs print: logging, warnings, uncaught exceptions, standard streams.

Everything is masked after rendering, at the last step before the sink, so that two halves of a value which only
meet in the finished text are caught too. When masking itself fails, the text is withheld, never passed on.
"""

import io
import logging
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from autokestra_secrets.masking.masker import SecretMasker


@contextmanager
def install_log_masking(masker: SecretMasker, logger: logging.Logger | None = None) -> Iterator[None]:
    """Mask what `logger` and its descendants (default: every logger) hand to any handler, until the block ends."""
    name = None if logger is None or isinstance(logger, logging.RootLogger) else logger.name
    original = logging.Handler.format

    def format_masked(handler: logging.Handler, record: logging.LogRecord) -> str:
        text = original(handler, record)
        if name is None or record.name == name or record.name.startswith(name + "."):
            return masker.mask(text)
        return text

    logging.Handler.format = format_masked  # type: ignore[method-assign]
    try:
        yield
    finally:
        logging.Handler.format = original  # type: ignore[method-assign]


class MaskedText(io.TextIOBase):
    """A text stream in front of another; `write`, `writelines` and `.buffer` are all masked."""

    def __init__(self, target: TextIO, masker: SecretMasker) -> None:
        self._target = target
        self._stream = masker.stream()
        self.buffer = MaskedBytes(self)

    def write(self, text: str) -> int:
        """Write `text` masked; what may still become a match waits for more."""
        self._emit(self._stream.feed(text.encode("utf-8", "surrogateescape")))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:  # type: ignore[override]
        """Write each of `lines`."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush what is certain; held bytes stay held."""
        self._target.flush()

    def finish(self) -> None:
        """Release everything."""
        self._emit(self._stream.flush())
        self._target.flush()

    def _emit(self, data: bytes) -> None:
        if data:
            self._target.write(data.decode("utf-8", "surrogateescape"))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)


class MaskedBytes(io.RawIOBase):
    """The `.buffer` of a `MaskedText`: same stream, bytes."""

    def __init__(self, text: MaskedText) -> None:
        self._text = text

    def write(self, data: Any) -> int:
        """Write bytes masked."""
        self._text.write(bytes(data).decode("utf-8", "surrogateescape"))
        return len(data)


@contextmanager
def masked_stdio(masker: SecretMasker) -> Iterator[None]:
    """Mask `sys.stdout` and `sys.stderr` until the block ends."""
    before = sys.stdout, sys.stderr
    ours = MaskedText(sys.stdout, masker), MaskedText(sys.stderr, masker)
    sys.stdout, sys.stderr = ours  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for stream in ours:
            stream.finish()
