"""The engine's side of the fork server: one for each process of the engine, started with the first child.

`keeper` says why children are not started from here. Nothing is waited for when the server starts: requests queue in
its socket until it is up.
"""

import os
import signal
import socket
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

KEEPER: Final = Path(__file__).with_name("keeper.py")

# -I -S: neither the user's variables nor site-packages have a say in it, and it starts in half the time.
_COMMAND: Final = (sys.executable, "-I", "-S", str(KEEPER))

# What the dynamic loader may need to find the interpreter's own libraries. Children get none of it.
_LOADER_VARIABLES: Final = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


class Spawner:
    """Starts keepers through a fork server; any thread may call it. Restarts a server that was killed.

    `command` is the server, `environ` its environment besides what the dynamic loader needs.
    """

    def __init__(self, command: Sequence[str] = _COMMAND, environ: Mapping[str, str] | None = None) -> None:
        self._command = command
        self._environ = {name: os.environ[name] for name in _LOADER_VARIABLES if name in os.environ}
        self._environ.update(environ or {})
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._server = 0
        self._owner = 0

    def prepare(self) -> None:
        """Start the server now if it does not run, so that its start-up (some 20 ms) overlaps with other work."""
        with self._lock:
            self._connect()

    def spawn(self, descriptors: Sequence[int], *, enclosed: bool = False) -> None:
        """Start a keeper and hand it the descriptors, in the order that `keeper` describes. Raises OSError.

        `enclosed` says that the program is bubblewrap with the task's program in it.
        """
        request = b"=" if enclosed else b"+"
        with self._lock:
            try:
                socket.send_fds(self._connect(), [request], descriptors)
            except (BrokenPipeError, ConnectionResetError):
                # The server is gone, by a signal or the kernel's hunger for memory. Its keepers live on without it.
                self._disconnect()
                socket.send_fds(self._connect(), [request], descriptors)

    def close(self) -> None:
        """End the server; children that still run stay with their keepers."""
        with self._lock:
            self._disconnect()

    def _connect(self) -> socket.socket:
        if self._socket is not None and self._owner != os.getpid():
            # This process is a fork of the one that started it. Sharing would work, but not outlive the other.
            self._socket.close()
            self._socket = None
        if self._socket is None:
            self._start()
        assert self._socket is not None
        return self._socket

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        try:
            self._server = os.posix_spawn(
                self._command[0],
                list(self._command),
                self._environ,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, theirs.fileno(), 0),
                    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                ],
                setsigmask=(),
                setsigdef=(signal.SIGPIPE,),
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._socket = ours
        self._owner = os.getpid()

    def _disconnect(self) -> None:
        if self._socket is None:
            return
        self._socket.close()
        self._socket = None
        if self._owner == os.getpid():
            try:
                # It would end by itself at the end of its socket, but a stopped one would not.
                os.kill(self._server, signal.SIGKILL)
                os.waitpid(self._server, 0)
            except (ChildProcessError, ProcessLookupError):  # somebody else waits for this process's children
                return


SPAWNER: Final = Spawner()
