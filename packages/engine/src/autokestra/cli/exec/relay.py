"""What stands between a program and the world: keys and signals go in, masked output comes out.

The program runs under a `monitor`. Where it cannot be told who wants the keyboard (one of 0 to 2 is no terminal, as in
`exec -- git log | less`), the program starts in the background of its terminal, and gets ours when it wants to
read from it or to change its modes: the kernel stops it for that.
"""

import os
import select
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Final

from autokestra.cli.exec import monitor
from autokestra.cli.exec.output import OutputMasker
from autokestra.cli.exec.wiring import Wiring, connect
from autokestra.errors import AutokestraError

if TYPE_CHECKING:
    from types import FrameType

DRAIN_SECONDS: Final = 0.1  # of silence after the end, while others still hold the program's output
STOP_SECONDS: Final = 0.03  # of silence after a stop: what the program wrote last is still on its way
DRAIN_BYTES: Final = 1 << 20  # the largest pipe holds no more, pipe(7); what comes later is not the program's own
KEYS_BYTES: Final = 1 << 16  # typed and not yet taken

# Sent to the program's whole group, as a terminal would, so that no process with a secret is left behind.
_TO_GROUP: Final = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP)
_TO_PROGRAM: Final = (signal.SIGUSR1, signal.SIGUSR2)
_ENDING: Final = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP)


class StartError(Exception):
    """The program could not be started; `number` is the error of the system."""

    def __init__(self, number: int) -> None:
        super().__init__(os.strerror(number))
        self.number = number


def run(masker: OutputMasker, arguments: Sequence[str], environ: Mapping[bytes, bytes], *, strict: bool) -> int:
    """Run a program to its end and return its exit code, 128 + n when signal n ended it.

    With `strict`, not even the first bytes of what may become a value are shown early. Raises StartError, or
    OSError when there are no descriptors or processes left.
    """
    with ExitStack() as stack:
        handed_on = stack.enter_context(ExitStack())
        wiring = connect(masker, strict=strict, stack=stack, handed_on=handed_on)
        relay = _Relay(wiring)
        is_foreground = wiring.is_interactive and relay.is_foreground()
        program = monitor.Program(arguments, environ, wiring.descriptors, wiring.controlling, is_foreground)
        wake = stack.enter_context(relay.started(program))
        handed_on.close()
        return relay.to_the_end(wake)


class _Relay:
    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._channels = wiring.channels
        self._terminal = wiring.twin.terminal if wiring.twin else None
        self._keyboard = wiring.keyboard
        self._keys = b""
        self._wants_keyboard = wiring.is_interactive
        self._is_in_front = False  # the program is in the foreground of its terminal
        self._program: int | None = None
        self._waiting: list[int] = []  # signals that came before there was a program
        self._told_to_stop = False
        self._resumed = False
        self._code: int | None = None
        self._monitor = monitor.Monitor(0, -1)

    def is_foreground(self) -> bool:
        """Whether we have a terminal, and it is ours to read from now."""
        return self._terminal is not None and self._terminal.is_ours()

    def to_the_end(self, wake: int) -> int:
        """Pass everything on until the program has ended and nothing more comes; return its code."""
        try:
            self._take_keyboard()
            while self._code is None:
                self._step(self._poll(wake), wake)
            for channel in self._channels:
                channel.end()
            self._drain(DRAIN_SECONDS)
            for channel in self._channels:
                channel.close()
        finally:
            if self._terminal is not None:
                self._terminal.restore()
        os.waitpid(self._monitor.pid, 0)
        return self._code

    # --- signals ------------------------------------------------------------------------------------------------

    @contextmanager
    def started(self, program: monitor.Program) -> Iterator[int]:
        """Start the program and pass signals on to it; yield what becomes readable when one came.

        Signals wait from before the start until they are handled, so that none is lost and none kills us alone.
        """
        handlers: dict[signal.Signals, Callable[[int, FrameType | None], None]] = {
            **dict.fromkeys((*_TO_GROUP, *_TO_PROGRAM), self._pass_on),
            signal.SIGWINCH: self._resize,
            signal.SIGCONT: self._resume,
        }
        before = {number: signal.getsignal(number) for number in handlers}
        wake, waker = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(waker, False)
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._monitor = monitor.start(program, mask=mask)  # type: ignore[arg-type]  # unknown numbers stay numbers
            self._is_in_front = program.foreground
            for number, handler in handlers.items():
                if before[number] is not signal.SIG_IGN:  # nohup, and background jobs of scripts
                    signal.signal(number, handler)
            signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        try:
            yield wake
        finally:
            signal.set_wakeup_fd(-1)
            for number, earlier in before.items():
                signal.signal(number, earlier)
            for descriptor in (wake, waker, self._monitor.messages):
                os.close(descriptor)

    def _pass_on(self, number: int, _: "FrameType | None") -> None:
        # In the handler and not in the loop, which may be waiting for somebody to read our output.
        self._told_to_stop |= number == signal.SIGTSTP
        if self._program is None:
            self._waiting.append(number)
            return
        with suppress(OSError):  # it is gone, or it is no longer a process of our user
            if number in _TO_PROGRAM:
                os.kill(self._program, number)
            else:
                os.killpg(self._program, number)
                if number in _ENDING:
                    os.killpg(self._program, signal.SIGCONT)  # a stopped program would get the first only later

    def _resize(self, *_: object) -> None:
        for terminal, ours in self._wiring.twins:
            with suppress(OSError):
                terminal.copy_size(ours)
        if not self._is_in_front and self._program is not None:  # the kernel tells only who is
            with suppress(OSError):
                os.killpg(self._program, signal.SIGWINCH)

    def _resume(self, *_: object) -> None:
        self._resumed = True

    # --- the keyboard -------------------------------------------------------------------------------------------

    def _take_keyboard(self) -> None:
        """Make our terminal the program's, if it wants it and it is ours to give."""
        if self._terminal is None or not self._wants_keyboard or not self.is_foreground():
            return
        self._terminal.make_raw(is_shared=not os.isatty(1))
        self._resize()
        if not self._is_in_front:
            self._is_in_front = True
            os.kill(self._monitor.pid, monitor.TO_FOREGROUND)

    def _read_keys(self, keyboard: int) -> None:
        try:
            typed = os.read(keyboard, KEYS_BYTES)
        except OSError:  # it hung up
            typed = b""
        if not typed:
            self._keyboard = None
        self._keys += typed

    def _send_keys(self) -> None:
        assert self._wiring.twin is not None
        try:
            self._keys = self._keys[os.write(self._wiring.twin.ours, self._keys) :]
        except BlockingIOError:
            return
        except OSError:  # nobody will read them
            self._keys = b""

    # --- stop and go on -----------------------------------------------------------------------------------------

    def _hear_stop(self, number: int) -> None:
        if number in {signal.SIGTTIN, signal.SIGTTOU} and self._keyboard is not None:
            # It wants the keyboard. Where we are in the background ourselves, our shell has to give it to us first.
            self._wants_keyboard, self._is_in_front = True, False
            if not self.is_foreground():
                self._suspend(signal.SIGTTIN)
            self._take_keyboard()
            if self._is_in_front:
                return  # the monitor lets it go on
        elif self._terminal is not None or self._told_to_stop:
            self._suspend(signal.SIGTSTP)
            self._take_keyboard()
        else:  # somebody stopped it, and will let it go on
            return
        if self._program is not None:
            with suppress(OSError):
                os.killpg(self._program, signal.SIGCONT)

    def _suspend(self, number: signal.Signals) -> None:
        """Stop as the program has stopped, so that the shell sees it; return when somebody lets us go on.

        Where there is no shell (an orphaned group), the kernel ignores the signal, and nothing waits for ever.
        """
        self._drain(STOP_SECONDS)
        if self._terminal is not None:
            self._terminal.restore()
        before = signal.signal(number, signal.SIG_DFL)
        # With a terminal the whole job: the others in a pipeline did not see the key either.
        os.kill(os.getpid() if self._terminal is None else 0, number)
        signal.signal(number, before)
        self._told_to_stop = False

    # --- the loop -----------------------------------------------------------------------------------------------

    def _poll(self, wake: int) -> set[int]:
        events = {channel.source: select.POLLIN for channel in self._channels if channel.source is not None}
        events |= {wake: select.POLLIN, self._monitor.messages: select.POLLIN}
        if self._terminal is not None and self._terminal.is_raw:
            if self._keyboard is not None and len(self._keys) < KEYS_BYTES:
                events[self._keyboard] = select.POLLIN
            if self._keys and self._wiring.twin is not None and self._wiring.twin.ours in events:
                events[self._wiring.twin.ours] |= select.POLLOUT
        poll = select.poll()
        for number, event in events.items():
            poll.register(number, event)
        patience = [seconds for channel in self._channels if (seconds := channel.patience()) is not None]
        return {number for number, _ in poll.poll(int(min(patience) * 1000) + 1 if patience else None)}

    def _step(self, ready: set[int], wake: int) -> None:
        if wake in ready:
            with suppress(BlockingIOError):
                os.read(wake, 4096)
        if self._resumed:
            self._resumed = False
            self._take_keyboard()
        for channel in self._channels:
            if channel.source in ready:
                channel.pump()
            channel.show_early()
        if self._keyboard is not None and self._keyboard in ready:
            self._read_keys(self._keyboard)
        if self._keys:
            self._send_keys()
        if self._monitor.messages in ready:
            self._hear()

    def _drain(self, silence: float) -> None:
        """Pass on what still comes, until nothing came for `silence` seconds."""
        left = DRAIN_BYTES
        while left > 0:
            channels = {channel.source: channel for channel in self._channels if channel.source is not None}
            if not channels:
                return
            ready, _, _ = select.select(list(channels), [], [], silence)
            if not ready:
                return
            left -= sum(channels[source].pump() for source in ready)

    def _hear(self) -> None:
        """Take one message of the monitor."""
        message = os.read(self._monitor.messages, monitor.MESSAGE.size)
        if len(message) < monitor.MESSAGE.size:
            self._pass_on(signal.SIGKILL, None)
            raise AutokestraError("the process that watches the program was killed, and the program with it")
        kind, value = monitor.MESSAGE.unpack(message)
        if kind == b"P":
            self._program = value
            waiting, self._waiting = self._waiting, []
            for number in waiting:
                self._pass_on(number, None)
        elif kind == b"S":
            self._hear_stop(value)
        elif kind == b"E":
            raise StartError(value)
        else:
            self._code = value if kind == b"X" else 128 + value
