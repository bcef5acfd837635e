"""The rows of executions in PostgreSQL, for several coordinators and workers on any number of machines.

A server that goes away for a while, and comes back, interrupts nothing: what was under way begins anew, and of a commit
that got no answer the server is asked what became of it. A claim waits for the disk, and with it all that was written
before: one that the server forgot in a crash would be claimed again while its first worker lives.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from queue import LifoQueue
from threading import Event, Lock
from typing import Any, Final, TypeVar, cast

import psycopg
from psycopg.rows import dict_row

from autokestra.errors import StateFormatError, StatePermissionError, StateUnavailableError
from autokestra.executions.lease import boottime, is_gone
from autokestra.executions.records import Lease, LogLine
from autokestra.executions.rows import LOG_COLUMNS, SQL, load_statements
from autokestra_secrets import DamagedError, PermissionRefusedError, PostgresDatabase, SecretsError, UnknownFormatError

T = TypeVar("T")

WHAT: Final = "state database"
PATIENCE_SECONDS: Final = 30.0  # for a server that went away, as for a SQLite file that is locked
PAUSE_SECONDS: Final = 0.1
CLOCK_SECONDS: Final = 5.0  # between two looks at the server's clock; in between ours is believed to run as fast

_XID: Final = "SELECT pg_current_xact_id()::text AS xid"
_BEGIN: Final = f"BEGIN; {_XID}"  # one round trip
_BEGIN_LOOSELY: Final = f"BEGIN; SET LOCAL synchronous_commit = off; {_XID}"
_COPY: Final = "COPY log_line (execution_id, task_id, attempt, sequence, time, stream, level, message) FROM STDIN"
_FEW: Final = 100  # lines, for which one statement is faster than the round trips of a COPY
_AGAIN: Final = ("40001", "40P01")  # serialization failure, deadlock: PostgreSQL says to try again
_NUL: Final = "\N{SYMBOL FOR NULL}"  # PostgreSQL's text cannot hold the character itself
_CONNECTIONS: Final = 4  # of one process, made as they are needed, and one for logs: a server has a hundred by default


class PostgresRows:
    """A state database at a URL; with `create` its tables are made if need be, else they must be there."""

    claims_wait: bool = True
    log_lines: int = 500
    log_seconds: float = 0.05

    def __init__(self, url: str, *, create: bool, patience: float = PATIENCE_SECONDS) -> None:
        self.sql = load_statements("postgres", "psycopg")
        met = Event()
        self._links = [_Link(url, patience=patience, met=met) for _ in range(_CONNECTIONS)]
        self._free = LifoQueue[_Link]()  # the last one used first, so that few are ever connected
        for link in reversed(self._links):
            self._free.put(link)
        # Of its own, so that a flood of lines keeps no claim waiting.
        self._log = _Link(url, patience=patience, met=met, loosely=True)
        self._log_lock = Lock()
        self.leases = DatabaseLeases(self._ask_time)
        try:
            with self._turn() as link:
                _migrate(link.database, create=create)
            met.set()
        except BaseException:
            self.close()
            raise

    @property
    def location(self) -> str:
        """The URL without password and options."""
        return self._log.database.location

    @property
    def identity(self) -> str:
        """What was drawn by lot when the tables were made."""
        return str(self.read(self.sql.select_identity)["identity"])

    def read(self, work: Callable[[Any], T]) -> T:
        """Run `work`, which only reads; again if the connection was lost."""
        with self._turn() as link:
            return link.run(work)

    def write(self, work: Callable[[Any], T], *, durable: bool = True) -> T:
        """Run `work` in a transaction, and return its result when that is committed."""
        with self._turn() as link:
            return link.transact(work, durable=durable)

    def write_blind(self, work: Callable[[Any], T]) -> T:
        """Run `work` in a transaction whose statements are sent without waiting for one another."""
        with self._turn() as link:
            return link.transact(work, durable=False, blind=True)

    def write_one(self, work: Callable[[Any], int], confirm: Callable[[Any], bool], *, durable: bool = True) -> bool:  # noqa: ARG002  # all wait
        """Run `work`, which is one statement: a round trip instead of three, and threads share waits for the disk."""
        with self._turn() as link:
            return bool(link.run(work, confirm=confirm))

    def one_at_a_time(self, db: Any, workflow: str) -> None:
        """Let nobody else ask for a place of the workflow before this transaction ends."""
        list(self.sql.lock_workflow(db, workflow_id=workflow))

    def append(self, lines: Sequence[LogLine]) -> None:
        """Write lines of logs, which does not wait for the disk; what comes after it and waits, does."""
        rows = [
            row if "\0" not in row[-1] else (*row[:-1], row[-1].replace("\0", _NUL)) for row in map(LOG_COLUMNS, lines)
        ]

        def insert(db: Any) -> int:
            columns = zip(*rows, strict=True)
            names = ("executions", "tasks", "attempts", "sequences", "times", "streams", "levels", "messages")
            return int(self.sql.insert_log_lines(db, **dict(zip(names, map(list, columns), strict=True))))

        def copy(db: Any) -> None:
            with db.cursor() as cursor, cursor.copy(_COPY) as copying:
                for row in rows:
                    copying.write_row(row)

        with self._log_lock, _explained():
            if len(rows) < _FEW:
                self._log.run(insert)
            else:
                self._log.transact(copy, durable=False)

    def close(self) -> None:
        """Close the connections; harmless when done twice."""
        for link in (*self._links, self._log):
            link.database.close()

    @contextmanager
    def _turn(self) -> "Iterator[_Link]":
        link = self._free.get()
        try:
            with _explained():
                yield link
        finally:
            self._free.put(link)

    def _ask_time(self) -> int:
        # By the connection for logs: it may be asked within a transaction.
        with self._log_lock, _explained():
            return int(self._log.run(self.sql.select_now)["now"])


class DatabaseLeases:
    """Leases that several machines compare: by the clock of the server, which `ask` reads in microseconds."""

    def __init__(self, ask: Callable[[], int], *, ticks: Callable[[], int] = boottime) -> None:
        self._ask = ask
        self._ticks = ticks
        self._lock = Lock()
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
    """One connection, for one thread at a time, and what to do when it is lost.

    `met` says that the server has answered once, on whichever connection: from then on it is waited for. With
    `loosely` no commit waits for the disk.
    """

    def __init__(self, url: str, *, patience: float, met: Event, loosely: bool = False) -> None:
        with _explained():
            self.database = PostgresDatabase(url, what=WHAT)
        self._patience = patience
        self._met = met
        self._loosely = loosely

    def run(self, work: Callable[[Any], T], *, confirm: Callable[[Any], bool] | None = None) -> T:
        """Run one statement, or several that only read; again if the connection was lost.

        Of one that writes, `confirm` says whether it had been done already; without it, doing it twice does no harm.
        """
        deadline = time.monotonic() + self._patience
        lost = False
        while True:
            try:
                db = self._connection()
                if lost and confirm is not None and confirm(db):
                    return cast("T", 1)
                return work(db)
            except (psycopg.Error, SecretsError) as error:
                lost = lost or self.database.is_lost
                self._wait_or_raise(error, deadline)

    def transact(self, work: Callable[[Any], T], *, durable: bool, blind: bool = False) -> T:
        """Run `work` in a transaction, from its beginning until it is committed; `blind` where it can be in one go."""
        deadline = time.monotonic() + self._patience
        while True:
            xid = ""
            try:
                db = self._connection()
                with db.pipeline() if blind else nullcontext():
                    begun = _begin(db, durable=durable)
                    result = work(db)
                    xid = _xid_of(begun)
                    db.execute("COMMIT")  # in a pipeline it is sent with what is still on its way
            except (psycopg.Error, SecretsError) as error:
                if xid and self.database.is_lost and self._was_committed(xid, deadline):
                    return result
                self._wait_or_raise(error, deadline)
            except BaseException:
                self._undo()
                raise
            else:
                return result

    def _connection(self) -> "psycopg.Connection[Any]":
        """Return a connection whose rows are dictionaries. Raises what PostgresDatabase raises."""
        link = self.database.connection()
        if link.row_factory is not dict_row:  # it is a new one
            link.row_factory = dict_row
            if self._loosely:
                link.execute("SET synchronous_commit = off")
        self._met.set()
        return link

    def _was_committed(self, xid: str, deadline: float) -> bool:
        """Ask what became of a transaction whose end was not heard of."""
        while True:
            try:
                row = self._connection().execute("SELECT pg_xact_status(%s::xid8) AS fate", (xid,)).fetchone()
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
        if not (again or (lost and self._met.is_set())) or time.monotonic() > deadline:
            if isinstance(error, psycopg.IntegrityError):
                raise error
            raise self.database.explain(error) if isinstance(error, psycopg.Error) else error
        if lost:
            time.sleep(PAUSE_SECONDS)

    def _undo(self) -> None:
        with suppress(psycopg.Error, SecretsError):
            self.database.roll_back()


def _begin(db: "psycopg.Connection[Any]", *, durable: bool) -> "psycopg.Cursor[Any]":
    """Begin a transaction; its id is read at the end, when it has long come: in a pipeline the first look waits."""
    if db.pgconn.pipeline_status:  # where each statement is a message of its own, and none waits for the one before
        db.execute("BEGIN")
        db.execute("SET LOCAL synchronous_commit = off")
        return db.execute(_XID)
    cursor = db.execute(_BEGIN if durable else _BEGIN_LOOSELY)
    while cursor.nextset():
        pass
    return cursor


def _xid_of(begun: "psycopg.Cursor[Any]") -> str:
    row = begun.fetchone()
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
