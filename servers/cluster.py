"""A cluster of one's own on loopback: a scheduler of Dask, and workers of ours. Each ends with who has started it."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Self

from servers.postgresql import end_with_parent, free_port, processes

SECONDS: Final = 60.0  # for a process to be there, on a machine that does a lot else


class Scheduler:
    """`dask scheduler` at a port of its own; with `certificates` (a directory) it speaks TLS only."""

    def __init__(self, directory: Path, *, certificates: Path | None = None) -> None:
        self.port = free_port()
        self._log = directory / "scheduler.log"
        self._certificates = certificates
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        """What is given to `--pool`."""
        return f"{'tls' if self._certificates else 'dask'}://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, again at the same port if it ran before; return when it listens."""
        kind = "tls" if self._certificates else "tcp"
        command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--no-dashboard", "--protocol", kind]
        command += ["--host", f"{kind}://127.0.0.1:{self.port}", "--dashboard-address", "127.0.0.1:0"]
        if papers := self._certificates:
            command += ["--tls-ca-file", str(papers / "ca.crt"), "--tls-cert", str(papers / "server.crt")]
            command += ["--tls-key", str(papers / "server.key")]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={
                    "PATH": os.environ.get("PATH", os.defpath),
                    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0",
                    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "30s",
                },
                preexec_fn=end_with_parent,  # noqa: PLW1509
                start_new_session=True,
            )
        wait_until(lambda: _listens(self.port), lambda: f"no scheduler:\n{self.log}")

    @property
    def log(self) -> str:
        """What it has said so far."""
        return self._log.read_text(errors="replace")

    @property
    def pid(self) -> int:
        """The process id of the scheduler."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """End it with SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    stop = kill


class ClusterWorker:
    """`workflow worker` and what it has said; `options` are further ones of its command line."""

    def __init__(
        self, command: Sequence[str], *options: str, pool: str, env: Mapping[str, str], directory: Path, name: str
    ) -> None:
        self._log = directory / f"{name}.log"
        temporary = directory / f"{name}.temporary"  # what a worker that is killed leaves, goes with the directory
        temporary.mkdir(exist_ok=True)
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "worker", "--pool", pool, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"TMPDIR": str(temporary), **env},
                cwd=directory,
                preexec_fn=end_with_parent,  # noqa: PLW1509
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        """What it has said so far."""
        return self._log.read_text(errors="replace")

    def joined(self, times: int = 1) -> Self:
        """Return when it has joined a cluster so many times."""
        wait_until(
            lambda: self.log.count("joined ") >= times or self.process.poll() is not None,
            lambda: f"no worker:\n{self.log}",
        )
        if self.process.poll() is not None:
            raise RuntimeError(f"the worker has ended with {self.process.returncode}:\n{self.log}")
        return self

    @property
    def child(self) -> int:
        """The process id of the worker itself, below its supervisor; 0 while there is none."""
        return next((pid for pid, parent in processes() if parent == self.process.pid), 0)

    def kill(self) -> None:
        """End supervisor and worker with SIGKILL."""
        child = self.child
        self.process.kill()
        self.process.wait()
        if child:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

    stop = kill


class Recorder:
    """A way to a server on loopback that keeps all bytes that go by, in `seen`; clients use `port` in its place."""

    def __init__(self, port: int) -> None:
        self._log: list[bytes] = []
        self._threads: list[threading.Thread] = []
        self._ends: list[socket.socket] = []
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)

    @property
    def seen(self) -> bytes:
        """All bytes so far, those of one direction of one connection together."""
        return b"\n".join(self._log)

    def close(self) -> None:
        """Take no more connections, and end those that there are."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # which wakes who waits for connections
        self._listener.close()
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

    def _start(self, run: Callable[..., None], *args: object) -> None:
        self._threads.append(threading.Thread(target=run, args=args, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    client.close()
                    continue
                self._ends += [client, server]
                for source, target in ((client, server), (server, client)):
                    self._log.append(b"")
                    self._start(self._copy, source, target, len(self._log) - 1)

    def _copy(self, source: socket.socket, target: socket.socket, number: int) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                self._log[number] += data
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        source.close()  # the other direction closes the other one


@contextmanager
def scheduler(directory: Path, *, certificates: Path | None = None) -> Iterator[Scheduler]:
    """Run a scheduler for the length of a block."""
    started = Scheduler(directory, certificates=certificates)
    try:
        yield started
    finally:
        started.stop()


def wait_until(what: Callable[[], object], why: Callable[[], str], seconds: float = SECONDS) -> None:
    """Wait until `what()` is true. Raises TimeoutError with the words of `why()`."""
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            raise TimeoutError(why())
        time.sleep(0.02)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
