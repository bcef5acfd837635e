"""The process between `exec` and the program: leader of a session of its own, and the parent that shells are.

Why there is one: the program needs a session of its own, so that its terminal is the masked one, and a parent within
that session, since the kernel does not stop (Ctrl-Z) a process whose group has none. It starts the program in a group
of its own, tells what becomes of it, and makes it the terminal's foreground group when told to.

What it tells, each in one write of 5 bytes: `P` process id, `E` error number of a failed start, `S` stopped by signal,
`X` exit code, `K` killed by signal.
"""

import errno
import fcntl
import os
import signal
import struct
import sys
import termios
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, NamedTuple, NoReturn

MESSAGE: Final = struct.Struct("=cI")
TO_FOREGROUND: Final = signal.SIGUSR1  # tells the monitor to give the program the terminal, and to let it go on

_PR_SET_PDEATHSIG: Final = 1  # prctl(2), linux/prctl.h
_PARKED: Final = 10  # above every number that the program gets
_QUIET: Final = (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR2)
_MAX_DESCRIPTOR: Final = 1 << 20  # close_range(2) closes them in one call


class Program(NamedTuple):
    """What to start. `terminal` is the slave side that becomes its controlling terminal, None for none."""

    arguments: Sequence[str]
    environ: Mapping[bytes, bytes]
    descriptors: tuple[int, int, int]
    terminal: int | None
    foreground: bool


class Monitor(NamedTuple):
    """A started monitor: its process, and the descriptor from which its messages are read."""

    pid: int
    messages: int


def start(program: Program, *, mask: set[signal.Signals]) -> Monitor:
    """Start a monitor, and the program under it. Call it with all signals blocked; `mask` is the program's.

    Raises OSError when there can be no further process.
    """
    reader, writer = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _never_return(_watch, program, writer, parent, mask)
    os.close(writer)
    return Monitor(pid, reader)


def _watch(  # pragma: no cover  # a fork that ends with _exit, before anything is counted
    program: Program, writer: int, parent: int, mask: set[signal.Signals]
) -> None:
    os.setsid()
    ignored = {number for number in signal.valid_signals() if signal.getsignal(number) is signal.SIG_IGN}
    for quiet in _QUIET:
        signal.signal(quiet, signal.SIG_IGN)
    if program.terminal is not None:
        fcntl.ioctl(program.terminal, termios.TIOCSCTTY, 0)
    child = os.fork()
    if child == 0:
        _become(program, writer, ignored, mask)
    with suppress(OSError):  # it has done so itself, and may be another program by now
        os.setpgid(child, child)
    _tell(writer, b"P", child)
    # Nobody would see the end of a pipe of which a side is open here.
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    os.closerange(3, writer)
    os.closerange(writer + 1, _MAX_DESCRIPTOR)

    def hang_up(*_: object) -> None:
        for number in (signal.SIGHUP, signal.SIGCONT):
            with suppress(OSError):
                os.killpg(child, number)
        os._exit(125)

    def to_foreground(*_: object) -> None:
        with suppress(OSError):
            descriptor = os.open("/dev/tty", os.O_RDWR)
            os.tcsetpgrp(descriptor, child)
            os.close(descriptor)
        with suppress(OSError):
            os.killpg(child, signal.SIGCONT)

    signal.signal(signal.SIGHUP, hang_up)
    signal.signal(signal.SIGTERM, hang_up)
    signal.signal(TO_FOREGROUND, to_foreground)
    _die_with_parent(signal.SIGHUP)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if os.getppid() != parent:  # it died before its death could be signalled
        hang_up()
    while True:
        _, status = os.waitpid(child, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            _tell(writer, b"S", os.WSTOPSIG(status))
        elif os.WIFEXITED(status):
            return _tell(writer, b"X", os.WEXITSTATUS(status))
        else:
            return _tell(writer, b"K", os.WTERMSIG(status))


def _become(  # pragma: no cover  # exec ends the counting too
    program: Program, writer: int, ignored: set[signal.Signals], mask: set[signal.Signals]
) -> NoReturn:
    try:
        os.setpgid(0, 0)
        if program.foreground and program.terminal is not None:
            os.tcsetpgrp(program.terminal, os.getpid())  # SIGTTOU is still ignored
        # Numbers that are sources may be targets too, so all sources move out of the way first.
        writer, *sources = (
            fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, _PARKED) for number in (writer, *program.descriptors)
        )
        for target, source in enumerate(sources):
            os.dup2(source, target, inheritable=True)
        os.dup2(writer, 3, inheritable=False)
        writer = 3
        os.closerange(4, _MAX_DESCRIPTOR)
        # Python ignores these two for itself; what our caller ignores (nohup) stays ignored.
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            kept = number in ignored - {signal.SIGPIPE, signal.SIGXFSZ}
            with suppress(OSError, ValueError):
                signal.signal(number, signal.SIG_IGN if kept else signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.execvpe(program.arguments[0], list(program.arguments), dict(program.environ))  # noqa: S606
    except OSError as error:
        _tell(writer, b"E", error.errno or errno.EINVAL)
    except ValueError:  # a NUL byte that nobody refused earlier
        _tell(writer, b"E", errno.EINVAL)
    finally:
        os._exit(127)


def _die_with_parent(number: signal.Signals) -> None:  # pragma: no cover  # as above
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415  # loaded already, by `hardening`

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


def _tell(writer: int, kind: bytes, value: int) -> None:  # pragma: no cover  # as above
    with suppress(OSError):  # nobody is there any more; SIGHUP says so too
        os.write(writer, MESSAGE.pack(kind, value))


def _never_return(work: Callable[..., None], *arguments: object) -> NoReturn:  # pragma: no cover  # as above
    try:
        work(*arguments)
    finally:
        os._exit(125)
