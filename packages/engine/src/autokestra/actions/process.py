"""One child process of a task, from its start until nothing of it is left.

Whatever the child does (ignores SIGTERM, forks, closes its pipes, prints for ever, leaves processes behind), `run`
returns in bounded time after the end, the deadline or a cancel, in bounded memory. `spawner` and `keeper` start the
child and kill its tree, `isolation` says what stands before its program. Not here: what the output means.
"""

import errno
import fcntl
import marshal
import math
import os
import select
import signal
import socket
import threading
import time
from contextlib import ExitStack, suppress
from typing import Final, Literal

from autokestra.actions.child import Child, Ending
from autokestra.actions.isolation import POWERLESS_SIGNS
from autokestra.actions.protocol import ActionContext, ActionError, Stream
from autokestra.actions.spawner import SPAWNER

READ_BYTES: Final = 64 * 1024  # a pipe's whole default capacity in one call, pipe(7)
GRACE_SECONDS: Final = 2.0  # between SIGTERM and SIGKILL
DRAIN_SECONDS: Final = 0.5  # for those who still hold the pipes when the child has ended: a `tee`, a background job
POLL_SECONDS: Final = 0.1  # how late a cancel may be noticed
_KILL_SECONDS: Final = 10.0  # twice what the keeper allows itself, in case it is stopped or was killed

_LAST_READS: Final = 64
_MFD_NOEXEC_SEAL: Final = 0x8  # linux/memfd.h; Python 3.11 does not name it
_SEALS: Final = 0x1 | 0x2 | 0x4 | 0x8  # seal, shrink, grow, write: linux/fcntl.h; the names are missing in some builds

_Pipe = Stream | Literal["result"]


def run(child: Child, context: ActionContext) -> Ending:
    """Run `child` to its end and feed its output to the context's log. Raises ActionError if it cannot be started.

    Raises IsolationRefusedError where it would find what is hidden from it.
    """
    if context.cancelled.is_set():
        raise ActionError("cancelled before it started", reason="cancelled")
    if context.isolation.is_hidden_place(child.directory):
        raise ActionError(
            f"the working directory '{child.directory}' is hidden from tasks: keep workflows elsewhere, "
            "or write isolation: none",
            reason="bad-input",
        )
    context.isolation.refuse_moved()
    context.output.message(str(context.isolation), "warning" if context.isolation.is_less else "debug")
    with ExitStack() as stack:
        try:
            control, streams = _start(child, context, stack)
        except OSError as error:
            raise ActionError(f"cannot start a process: {error.strerror}", reason="start") from None
        # Whatever is raised from here on, a bug in the log included: the stack closes the control socket, and at
        # its end the keeper kills the whole tree.
        return _Watch(child, context, control, streams).to_the_end()


def _start(child: Child, context: ActionContext, stack: ExitStack) -> tuple[socket.socket, dict[int, _Pipe]]:
    """Have a keeper started; return our end of its control socket and of the child's pipes."""
    control, keepers = (stack.enter_context(end) for end in socket.socketpair())
    streams: dict[int, _Pipe] = {}

    def own(descriptor: int) -> int:
        stack.callback(os.close, descriptor)
        return descriptor

    with ExitStack() as handed_on:

        def give(descriptor: int) -> int:
            handed_on.callback(os.close, descriptor)
            return descriptor

        def pipe(name: _Pipe) -> int:
            reader, writer = os.pipe()
            streams[own(reader)] = name
            return give(writer)

        start = context.isolation.start(
            child.program,
            child.arguments,
            context.environ,
            child.directory,
            options_at=3 + len(child.feeds) + (child.result_limit is not None and not child.result_is_stdout),
        )
        specification = (
            os.fsencode(start.program),
            [os.fsencode(argument) for argument in start.arguments],
            {os.fsencode(name): os.fsencode(value) for name, value in start.environ.items()},
            os.fsencode(child.directory),
            dict(context.limits),
        )
        descriptors = [keepers.fileno(), give(readable(marshal.dumps(specification)))]
        descriptors.append(give(readable(child.stdin) if child.stdin else os.open(os.devnull, os.O_RDONLY)))
        descriptors += [pipe("result" if child.result_is_stdout else "stdout"), pipe("stderr")]
        descriptors += [give(readable(feed)) for feed in child.feeds]
        if child.result_limit is not None and not child.result_is_stdout:
            descriptors.append(pipe("result"))
        if start.options is not None:
            descriptors.append(give(readable(start.options)))
        SPAWNER.spawn(descriptors, enclosed=start.options is not None)
    keepers.close()
    return control, streams


def readable(data: bytes) -> int:
    """Return a descriptor from which a child reads `data`: never a file on a disk, and no one can change it.

    A file in memory where there is such a thing: a shell reads its script from a file in blocks, but from a pipe
    byte by byte, because it must not take what its children are meant to read.
    """
    if not hasattr(os, "memfd_create"):
        reader, writer = os.pipe()
        threading.Thread(target=_fill, args=(writer, data), daemon=True).start()
        return reader
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        descriptor = os.memfd_create("autokestra", flags | _MFD_NOEXEC_SEAL)
    except OSError:  # before Linux 6.3
        descriptor = os.memfd_create("autokestra", flags)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(data)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
        os.lseek(descriptor, 0, os.SEEK_SET)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _fill(writer: int, data: bytes) -> None:
    try:
        with open(writer, "wb") as file:
            file.write(data)
    except BrokenPipeError:  # the child has ended, or closed it unread
        return


class _Watch:
    """The loop over one running child: reads what it writes, and ends it when it is time."""

    def __init__(
        self,
        child: Child,
        context: ActionContext,
        control: socket.socket,
        streams: dict[int, _Pipe],
    ) -> None:
        self._child = child
        self._context = context
        self._control = control
        self._streams = streams
        self._poll = select.poll()
        for descriptor in (control.fileno(), *streams):
            self._poll.register(descriptor, select.POLLIN)
        self._heard = b""
        self._pid: int | None = None
        self._failed: tuple[int, str] | None = None
        self._ended_at: float | None = None  # by itself or by our signal; also when the keeper is gone
        self._hung_up = False
        self._left: tuple[int, int] | None = None
        self._code: int | None = None
        self._signal: int | None = None
        self._stopped: Literal["timeout", "cancelled"] | None = None
        self._stdout = bytearray()
        self._stdout_truncated = False
        self._result = bytearray()
        self._signs = POWERLESS_SIGNS if context.isolation.level != "none" else ()
        self._stderr_end = b""
        self._is_powerless = False

    def to_the_end(self) -> Ending:
        self._until_it_ends()
        self._clear_up()
        if self._failed is not None:
            raise self._start_error(*self._failed)
        if self._pid is None and self._stopped is None:
            raise ActionError("cannot start a process: its keeper was killed", reason="start")
        self._report_what_was_left()
        return Ending(
            exit_code=self._code,
            signal=self._signal,
            stopped=self._stopped,
            stdout=bytes(self._stdout),
            stdout_truncated=self._stdout_truncated,
            result=bytes(self._result),
            is_enclosed=self._context.isolation.level != "none",
            is_powerless=self._is_powerless,
        )

    def _until_it_ends(self) -> None:
        """Return when the child has ended and its pipes are empty, or when waiting longer is no use."""
        give_up = math.inf
        while True:
            now = time.monotonic()
            if self._ended_at is not None:
                give_up = min(give_up, self._ended_at + DRAIN_SECONDS)
                if not self._streams:
                    return
            elif self._stopped is None:
                self._stopped = self._reason_to_stop(now)
                if self._stopped is not None:
                    self._send(b"T")
                    give_up = now + GRACE_SECONDS
            if now >= give_up:
                return
            wait = min(POLL_SECONDS, give_up - now)
            if self._ended_at is None and self._stopped is None and self._context.deadline is not None:
                wait = min(wait, max(0.0, self._context.deadline - now))
            self._pump(wait)

    def _reason_to_stop(self, now: float) -> Literal["timeout", "cancelled"] | None:
        if self._context.cancelled.is_set():
            return "cancelled"
        if self._context.deadline is not None and now >= self._context.deadline:
            return "timeout"
        return None

    def _clear_up(self) -> None:
        """Have everything killed that is left of the child, and read what is still in the pipes."""
        self._send(b"E")
        give_up = time.monotonic() + _KILL_SECONDS
        while not self._hung_up and time.monotonic() < give_up:
            self._pump(POLL_SECONDS)
        self._kill_group_without_keeper()
        for _ in range(_LAST_READS):  # bounded, since something that cannot be killed may still write
            if not self._pump(0):
                return

    def _pump(self, seconds: float) -> bool:
        """Read once from each descriptor that has something; return whether any had."""
        ready = self._poll.poll(math.ceil(seconds * 1000))
        for descriptor, _ in ready:
            if descriptor == self._control.fileno():
                self._hear()
                continue
            data = os.read(descriptor, READ_BYTES)
            if not data:
                self._poll.unregister(descriptor)
                del self._streams[descriptor]
                continue
            name = self._streams[descriptor]
            if name == "result":
                assert self._child.result_limit is not None
                self._result += data[: self._child.result_limit + 1 - len(self._result)]
                continue
            if name == "stdout":
                room = self._child.keep_stdout - len(self._stdout)
                self._stdout += data[:room]
                self._stdout_truncated |= len(data) > room
            elif self._signs and not self._is_powerless:
                self._stderr_end += data
                self._is_powerless = any(sign in self._stderr_end for sign in self._signs)
                self._stderr_end = self._stderr_end[-max(map(len, self._signs)) :]
            self._context.output.write(name, data)
        return bool(ready)

    def _hear(self) -> None:
        try:
            data = self._control.recv(4096)
        except OSError:
            data = b""
        if not data:
            self._poll.unregister(self._control)
            self._hung_up = True
            self._ended_at = self._ended_at or time.monotonic()
            self._kill_group_without_keeper()
            return
        *lines, self._heard = (self._heard + data).split(b"\n")
        for line in lines:
            match line.decode().split():
                case ["pid", pid]:
                    self._pid = int(pid)
                case ["failed", number, stage]:
                    self._failed = (int(number), stage)
                case ["exit", code]:
                    self._code = int(code)
                    self._ended_at = time.monotonic()
                case ["signal", number]:
                    self._signal = int(number)
                    self._ended_at = time.monotonic()
                case ["left", killed, alive]:
                    self._left = (int(killed), int(alive))

    def _kill_group_without_keeper(self) -> None:
        """Do the keeper's last work if it was killed or stopped itself. The child dies with it, its group does not."""
        if self._left is None and self._pid is not None:
            with suppress(OSError):
                os.killpg(self._pid, signal.SIGKILL)

    def _send(self, command: bytes) -> None:
        with suppress(OSError):  # the keeper is gone, which the next read says too
            self._control.send(command)

    def _start_error(self, number: int, stage: str) -> ActionError:
        problem = os.strerror(number)
        if stage == "chdir":
            return ActionError(f"cannot enter '{self._child.directory}': {problem}", reason="start")
        if number == errno.E2BIG:
            problem = "its environment is too large for this system (hand large values on by files or inputs)"
        return ActionError(f"cannot start '{self._child.program}': {problem}", reason="start")

    def _report_what_was_left(self) -> None:
        killed, alive = self._left or (0, 0)
        if killed and self._stopped is None:
            self._context.output.message(f"processes left running by the task, now ended: {killed}", "warning")
        if alive:
            self._context.output.message(f"processes of the task that could not be ended: {alive}", "error")
