"""`::add-mask::VALUE` lines in a task's output: taken out of the text and registered.

VALUE counts for every byte that has not been released when its line ends. `%0A`, `%0D` and `%25` in it may stand
for LF, CR and `%`, as in GitHub's workflow commands, so both readings are registered. A command that cannot be
obeyed is hidden all the same: what somebody wanted masked is never shown.
"""

from collections.abc import Callable, Iterator
from typing import Final

PREFIX: Final = b"::add-mask::"
VALUE_BYTES: Final = 1 << 16  # bytes of one value
VALUES: Final = 1000  # values of one stream
NAME: Final = "add-mask"  # what reports call them

_START: Final = b"\n" + PREFIX
_LINE_BYTES: Final = len(PREFIX) + VALUE_BYTES + 1  # the CR of a CRLF is not part of the value


class CommandLines:
    """Splits a stream into text to show and values to register."""

    def __init__(self, register: Callable[[bytes, str], None], refuse: Callable[[str, str], None]) -> None:
        self._register = register
        self._refuse = refuse
        self._line = b""  # the beginning of a line that is, or may become, a command
        self._at_start = True  # the next byte begins a line
        self._hiding = False  # inside a command that is too long
        self._count = 0

    def split(self, data: bytes) -> Iterator[bytes]:
        """Yield the text of `data`; a value is registered after the text before its line, before the text behind it."""
        data, self._line = self._line + data, b""
        at = 0
        while at < len(data):
            if self._hiding or (self._at_start and data.startswith(PREFIX, at)):
                end = data.find(b"\n", at)
                if end < 0:
                    self._unfinished(data[at:])
                    return
                self._obey(data[at:end])
                at, self._at_start, self._hiding = end + 1, True, False
                continue
            if self._at_start and PREFIX.startswith(data[at:]):
                self._line = data[at:]
                return
            stop = data.find(_START, at) + 1 or self._safe_end(data, at)
            self._at_start = data[stop - 1] == ord("\n")
            yield data[at:stop]
            at = stop

    def finish(self) -> Iterator[bytes]:
        """Yield what is left at the end of the stream; a command without its line end is a command."""
        line, self._line = self._line, b""
        if line.startswith(PREFIX):
            self._obey(line)
        else:
            yield line
        self._at_start, self._hiding = True, False

    @staticmethod
    def _safe_end(data: bytes, at: int) -> int:
        # The last line stays behind when it may become a command.
        last = data.rfind(b"\n", at) + 1
        return last if last and PREFIX.startswith(data[last:]) else len(data)

    def _unfinished(self, line: bytes) -> None:
        if self._hiding or len(line) > _LINE_BYTES:
            self._hiding = True
            self._refuse(NAME, f"longer than {VALUE_BYTES} bytes")
        else:
            self._line = line

    def _obey(self, line: bytes) -> None:
        value = line.removeprefix(PREFIX).removesuffix(b"\r")
        if self._hiding or len(value) > VALUE_BYTES:
            self._refuse(NAME, f"longer than {VALUE_BYTES} bytes")
            return
        self._count += 1
        if self._count > VALUES:
            self._refuse(NAME, f"more than {VALUES} values")
            return
        self._register(value, NAME)
        decoded = value.replace(b"%0D", b"\r").replace(b"%0A", b"\n").replace(b"%25", b"%")
        if decoded != value:
            self._register(decoded, NAME)
