"""One place that a program's output goes to, from our side of its pipe or terminal to our stdout or stderr."""

import os
import select
import time
from typing import Final

from autokestra.cli.exec.output import MaskedOutput

READ_BYTES: Final = 1 << 16
EARLY_SECONDS: Final = 0.25  # how long a key may stay unseen before its echo is shown all the same


class Channel:
    """Takes from `source`, masks, writes to `sink`; without a sink, what comes is dropped.

    `theirs` is the program's side of a terminal, kept open while it runs: it may close all it has, and open
    `/dev/tty` again later. `source` is ours to close.
    """

    def __init__(self, source: int, sink: int | None, output: MaskedOutput, *, theirs: int | None = None) -> None:
        self.source: int | None = source
        self._sink = sink
        self._output = output
        self._theirs = theirs
        self._due: float | None = None

    def pump(self) -> int:
        """Take what is there and pass it on; return how many bytes came."""
        if self.source is None:
            return 0
        try:
            data = os.read(self.source, READ_BYTES)
        except BlockingIOError:
            return 0
        except OSError:  # EIO: nobody has the other side of a terminal open any more
            data = b""
        if not data:
            self.close()
            return 0
        self._write(self._output.feed(data))
        self._due = time.monotonic() + EARLY_SECONDS if self._output.is_waiting else None
        return len(data)

    def patience(self) -> float | None:
        """Return in how many seconds there may be something to show though nothing comes; None for never."""
        return None if self._due is None else max(0.0, self._due - time.monotonic())

    def show_early(self) -> None:
        """Show what is held, where it is little and has been held for long."""
        if self._due is not None and self._due <= time.monotonic():
            self._due = None
            self._write(self._output.idle())

    def end(self) -> None:
        """Let the end of the output be seen: from now on only those that the program left behind hold it open."""
        if self._theirs is not None:
            os.close(self._theirs)
            self._theirs = None

    def close(self) -> None:
        """Write what was held, and let go of everything."""
        self.end()
        if self.source is not None:
            os.close(self.source)
            self.source = None
            self._write(self._output.flush())

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view and self._sink is not None:
            try:
                view = view[os.write(self._sink, view) :]
            except BlockingIOError:  # somebody else set it so, and we share it
                select.select([], [self._sink], [])
            except OSError:
                # Nobody reads any more. A pipe's program learns of it as it would without us; a terminal's has a
                # terminal that is to be read from until its end.
                self._sink = None
                if self.source is not None and self._theirs is None:
                    self.close()
