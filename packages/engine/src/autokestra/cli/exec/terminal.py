"""The real terminal: its modes, its size, and whose turn it is. Whatever happens, `restore` gives it back as it was."""

import fcntl
import os
import struct
import termios
import tty
from contextlib import suppress
from typing import Final

_SIZE: Final = struct.Struct("HHHH")  # rows, columns, and two in pixels: struct winsize of ioctl_tty(2)


class Terminal:
    """One terminal of ours, by an open descriptor."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._saved: list[int | list[bytes | int]] | None = None

    @property
    def is_raw(self) -> bool:
        """Whether keys go to the program, and only there."""
        return self._saved is not None

    def is_ours(self) -> bool:
        """Whether we are in its foreground. One that controls nothing has no foreground, and is ours."""
        try:
            return os.tcgetpgrp(self.descriptor) == os.getpgrp()
        except OSError:
            return True

    def make_raw(self, *, is_shared: bool) -> None:
        """Let every key, Ctrl-C too, come to us as a byte. The program's own terminal makes of it what it wants.

        With `is_shared`, line ends are still completed, for others of a pipeline that write to it themselves.
        """
        if self._saved is None:
            with suppress(termios.error):  # it hung up
                self._saved = termios.tcgetattr(self.descriptor)
                # TCSADRAIN, not TCSAFLUSH: what was typed ahead is for the program.
                tty.setraw(self.descriptor, termios.TCSADRAIN)
                if is_shared:
                    modes = termios.tcgetattr(self.descriptor)
                    modes[tty.OFLAG] = self._saved[tty.OFLAG]
                    termios.tcsetattr(self.descriptor, termios.TCSADRAIN, modes)

    def restore(self) -> None:
        """Give it back as it was before `make_raw`."""
        if self._saved is not None:
            with suppress(termios.error):
                termios.tcsetattr(self.descriptor, termios.TCSADRAIN, self._saved)
            self._saved = None

    def open_twin(self) -> tuple[int, int]:
        """Return both sides (ours, the program's) of a new terminal with the modes and the size of this one."""
        ours, theirs = os.openpty()
        termios.tcsetattr(theirs, termios.TCSANOW, termios.tcgetattr(self.descriptor))
        self.copy_size(ours)
        os.set_blocking(ours, False)
        return ours, theirs

    def copy_size(self, twin: int) -> None:
        """Give `twin` the size of this one; the kernel tells the program in its foreground."""
        with suppress(OSError):
            fcntl.ioctl(twin, termios.TIOCSWINSZ, fcntl.ioctl(self.descriptor, termios.TIOCGWINSZ, bytes(_SIZE.size)))
