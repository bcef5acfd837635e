"""The rows of executions in PostgreSQL, for several coordinators and workers on any number of machines.

A server that goes away for a while, and comes back, interrupts nothing: what was under way begins anew, and of a commit
that got no answer the server is asked what became of it. Every commit waits for the disk but those of log lines: a
claim that the server forgot in a crash would be claimed again while its first worker lives.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

import psycopg
from psycopg.rows import dict_row

from autokestra.errors import StateFormatError, StatePermissionError, StateUnavailableError
from autokestra.executions.commits import GroupCommit
from autokestra.executions.lease import boottime, is_gone
from autokestra.executions.records import Lease, LogLine
from autokestra.executions.rows import LOG_COLUMNS, SQL, load_statements
from autokestra_secrets import DamagedError, PermissionRefusedError, PostgresDatabase, SecretsError, UnknownFormatError

T = TypeVar("T")

WHAT: Final = "state database"
PATIENCE_SECONDS: Final = 30.0  # for a server that went away, as for a SQLite file that is locked
PAUSE_SECONDS: Final = 0.1
CLOCK_SECONDS: Final = 5.0  # between two looks at the server's clock; in between ours is believed to run as fast

_BEGIN: Final = "BEGIN; SELECT pg_current_xact_id()::text AS xid"  # one round trip
_BEGIN_LOOSELY: Final = "BEGIN; SET LOCAL synchronous_commit = off; SELECT pg_current_xact_id()::text AS xid"
_COPY: Final = "COPY log_line (execution_id, task_id, attempt, sequence, time, stream, level, message) FROM STDIN"
_AGAIN: Final = ("40001", "40P01")  # serialization failure, deadlock: PostgreSQL says to try again
_NUL: Final = "\N{SYMBOL FOR NULL}"  # PostgreSQL's text cannot hold the character itself


class PostgresRows:
    """A state database at a URL; with `create` its tables are made if need be, else they must be there."""

    log_lines: int = 500
    log_seconds: float = 0.05

    def __init__(self, url: str, *, create: bool, patience: float = PATIENCE_SECONDS) -> None:
        self.sql = load_statements("postgres", "psycopg")
        self._main = _Link(url, patience=patience)
        self._log = _Link(url, patience=patience)  # so that a flood of lines keeps no claim waiting
        self._commits = GroupCommit(self._main.turn, self._main.transact, conflict=psycopg.IntegrityError)
        self.leases = DatabaseLeases(self._ask_time)
        try:
            with self._main.turn() as link:
                _migrate(link.database, create=create)
        except BaseException:
            self.close()
            raise

    def _ask_time(self) -> int:
        # By the other connection: it may be asked within a transaction.
        with self._log.turn() as link:
            return int(link.read(self.sql.select_now)["now"])

    @property
    def location(self) -> str:
        """The URL without password and options."""
        return self._main.database.location

    @property
    def identity(self) -> str:
        """What was drawn by lot when the tables were made."""
        return str(self.read(self.sql.select_identity)["identity"])

    def read(self, work: Callable[[Any], T]) -> T:
        """Run `work`, which only reads; again if the connection was lost."""
        with self._main.turn() as link:
            return link.read(work)

    def write(self, work: Callable[[Any], T], *, durable: bool = True) -> T:
        """Run `work` in a transaction, and return its result when that is committed."""
        return self._commits.run(work, durable=durable)

    def one_at_a_time(self, db: Any, workflow: str) -> None:
        """Let nobody else ask for a place of the workflow before this transaction ends."""
        list(self.sql.lock_workflow(db, workflow_id=workflow))

    def append(self, lines: Sequence[LogLine]) -> None:
        """Write lines of logs in one COPY, which does not wait for the disk; what comes after it and waits, does."""

        def copy(db: Any) -> None:
            with db.cursor() as cursor, cursor.copy(_COPY) as copying:
                for line in lines:
                    row = LOG_COLUMNS(line)
                    copying.write_row(row if "\0" not in row[-1] else (*row[:-1], row[-1].replace("\0", _NUL)))

        with self._log.turn() as link:
            link.transact(link, [copy], False)

    def close(self) -> None:
        """Close the connections; harmless when done twice."""
        self._main.close()
        self._log.close()


class DatabaseLeases:
    """Leases that several machines compare: by the clock of the server, which `ask` reads in microseconds."""

    def __init__(self, ask: Callable[[], int], *, ticks: Callable[[], int] = boottime) -> None:
        self._ask = ask
        self._ticks = ticks
        self._lock = threading.Lock()
        self._ahead = 0
        self._asked_at: int | None = None

    def now(self) -> int:
        """Return the server's time, not older than five seconds and carried on by a clock of ours that never jumps."""
        with self._lock:
            ticks = self._ticks()
            if self._asked_at is None or ticks - self._asked_at > CLOCK_SECONDS * 1e6:
                self._ahead = self._ask() - self._ticks()
                self._asked_at = ticks
            return self._ticks() + self._ahead

    def is_dead(self, lease: Lease) -> bool:
        """Whether its time is over for the server, or its process was one of this machine and is gone."""
        return is_gone(lease.owner, shared=True) or lease.until < self._ask()


class _Link:
    """One connection, its lock, and what to do when it is lost."""

    def __init__(self, url: str, *, patience: float) -> None:
        with _explained():
            self.database = PostgresDatabase(url, what=WHAT)
        self._patience = patience
        self._lock = threading.Lock()
        self._met = False

    @contextmanager
    def turn(self) -> "Iterator[_Link]":
        """Give the connection to one thread at a time."""
        with self._lock, _explained():
            yield self

    def connection(self) -> "psycopg.Connection[Any]":
        """Return a connection whose rows are dictionaries. Raises what PostgresDatabase raises."""
        link = self.database.connection()
        link.row_factory = dict_row
        self._met = True
        return link

    def read(self, work: Callable[[Any], T]) -> T:
        """Run `work`, again if the connection was lost."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                link = self.connection()
                return work(link)
            except (psycopg.Error, SecretsError) as error:
                self._wait_or_raise(error, deadline)

    def transact(self, link: "_Link", works: Sequence[Callable[[Any], Any]], durable: bool) -> list[Any]:  # noqa: ARG002, FBT001
        """Run `works` in a transaction until it is committed; see `GroupCommit`."""
        deadline = time.monotonic() + self._patience
        while True:
            xid = ""
            results: list[Any] | None = None
            try:
                db = self.connection()
                xid = _begin(db, durable=durable)
                results = [work(db) for work in works]
                db.execute("COMMIT")
            except (psycopg.Error, SecretsError) as error:
                if results is not None and self.database.is_lost and self._was_committed(xid, deadline):
                    return results
                self._wait_or_raise(error, deadline)
            except BaseException:
                self._undo()
                raise
            else:
                return results

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self.database.close()

    def _was_committed(self, xid: str, deadline: float) -> bool:
        """Ask what became of a transaction whose end was not heard of."""
        while True:
            try:
                row = self.connection().execute("SELECT pg_xact_status(%s::xid8) AS fate", (xid,)).fetchone()
            except (psycopg.Error, SecretsError) as error:
                self._wait_or_raise(error, deadline)
            else:
                if row["fate"] != "in progress":  # type: ignore[index]  # one row always
                    return bool(row["fate"] == "committed")  # type: ignore[index]
                time.sleep(PAUSE_SECONDS)

    def _wait_or_raise(self, error: "psycopg.Error | SecretsError", deadline: float) -> None:
        """Return when it is worth another try; undo what was begun."""
        lost = isinstance(error, SecretsError) or self.database.is_lost
        again = isinstance(error, psycopg.Error) and error.sqlstate in _AGAIN
        self._undo()
        if isinstance(error, (PermissionRefusedError, UnknownFormatError, DamagedError)):
            raise error
        if not (again or (lost and self._met)) or time.monotonic() > deadline:
            if isinstance(error, psycopg.IntegrityError):
                raise error
            raise self.database.explain(error) if isinstance(error, psycopg.Error) else error
        if lost:
            time.sleep(PAUSE_SECONDS)

    def _undo(self) -> None:
        with suppress(psycopg.Error, SecretsError):
            self.database.roll_back()


def _begin(db: "psycopg.Connection[Any]", *, durable: bool) -> str:
    cursor = db.execute(_BEGIN if durable else _BEGIN_LOOSELY)
    while cursor.nextset():
        pass
    row = cursor.fetchone()
    assert row is not None
    return str(row["xid"])


def _migrate(database: PostgresDatabase, *, create: bool) -> None:
    files = sorted((SQL / "postgres").glob("[0-9]*.sql"))
    found = _version(database)
    if found > len(files):
        raise StateFormatError(
            f"the {WHAT} {database.location} has format {found}, this version knows up to {len(files)}",
            hint="upgrade with: pipx upgrade autokestra",
        )
    if found == len(files):
        return
    if not found and not create:
        raise StateUnavailableError(
            f"no {WHAT} at {database.location}", hint="it is created by the first: workflow run FILE"
        )
    with database.transaction():
        database.lock_migrations()
        found = _version(database)
        if not found:
            database.make_schema()
        for file in files[found:]:
            database.execute(file.read_text(encoding="utf-8"))
        database.execute("UPDATE state_version SET version = %s", (len(files),))


def _version(database: PostgresDatabase) -> int:
    schema = database.address.schema
    there = database.execute(
        "SELECT 1 FROM pg_tables WHERE schemaname = %s AND tablename = 'state_version'", (schema,)
    ).fetchone()
    # With its schema: one that we may not use is left out of the search path without a word.
    row = database.execute(f"SELECT version FROM {schema}.state_version").fetchone() if there else None  # noqa: S608  # small letters only
    return 0 if row is None else int(row[0] if isinstance(row, tuple) else row["version"])


@contextmanager
def _explained() -> Iterator[None]:
    """Turn what the library says into errors of the engine, with the same words."""
    try:
        yield
    except PermissionRefusedError as error:
        raise StatePermissionError(error.message, hint=error.hint) from None
    except (DamagedError, UnknownFormatError) as error:
        raise StateFormatError(error.message, hint=error.hint) from None
    except SecretsError as error:
        raise StateUnavailableError(error.message, hint=error.hint) from None
