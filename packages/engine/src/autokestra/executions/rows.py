"""What the store of executions asks of the database behind it, and the statements that both kinds share."""

from collections.abc import Callable, Sequence
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from autokestra.executions.records import Lease, LogLine

T = TypeVar("T")

LOG_COLUMNS: Final = attrgetter("execution_id", "task_id", "attempt", "sequence", "time", "stream", "level", "message")
SQL: Final = Path(__file__).parent / "sql"


class Leases(Protocol):
    """The clock that leases are measured with, and who is taken to be alive by it."""

    def now(self) -> int:
        """Return the time in microseconds, good enough to say until when a lease of ours holds."""
        ...

    def is_dead(self, lease: Lease) -> bool:
        """Whether nobody can be at work under this lease any more."""
        ...


class Rows(Protocol):
    """A state database: transactions and statements. May be used from any thread.

    Raises StateUnavailableError, StatePermissionError or StateFormatError from every method.
    """

    sql: Any  # the statements, as methods that take a connection
    claims_wait: bool  # whether a claim must survive a power cut of the database, since its worker may
    log_lines: int  # of a log, after which a batch is written
    log_seconds: float  # after which it is written even if it is small

    @property
    def leases(self) -> Leases:
        """The clock of its leases."""
        ...

    @property
    def location(self) -> str:
        """Where the rows are, for messages."""
        ...

    @property
    def identity(self) -> str:
        """What no other state database has, and who else looks at this one finds as well."""
        ...

    def read(self, work: Callable[[Any], T]) -> T:
        """Run `work`, which only reads, with a connection."""
        ...

    def write(self, work: Callable[[Any], T], *, durable: bool = True) -> T:
        """Run `work` in a transaction, and return its result when that is committed.

        `work` may run more than once, of which one is committed. Without `durable` the commit survives a kill of every
        process of ours, with it a power cut too.
        """
        ...

    def write_blind(self, work: Callable[[Any], T]) -> T:
        """Run `work` in a transaction that need not wait for the disk, and whose statements need not be waited for.

        `work` may fetch rows, but must not look at how many rows a statement has changed.
        """
        ...

    def write_one(self, work: Callable[[Any], int], confirm: Callable[[Any], bool], *, durable: bool = True) -> bool:
        """Run `work`, which is one statement that changes one row or none; return whether it has changed one.

        `confirm` tells, from the row, whether it was changed just so: asked where the answer to `work` was lost.
        """
        ...

    def one_at_a_time(self, db: Any, workflow: str) -> None:
        """Within a transaction: let nobody else ask for a place of the workflow before it ends."""
        ...

    def append(self, lines: Sequence[LogLine]) -> None:
        """Write lines of logs, all or none."""
        ...

    def close(self) -> None:
        """Let go of files and connections; harmless when done twice."""
        ...


class Table:
    """A part of the store: the methods that read and write one kind of rows. Each is one transaction."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._sql = rows.sql
        self.leases = rows.leases

    @property
    def rows(self) -> Rows:
        """The database; for the modules of this room."""
        return self._rows


@cache
def load_statements(kind: str, driver: str) -> Any:
    """Return the statements that both kinds share, and those of one kind in their place."""
    import aiosql  # noqa: PLC0415  # 55 ms: only where executions are read or written

    statements, own = aiosql.from_path(SQL / "common", driver), aiosql.from_path(SQL / kind / "statements.sql", driver)
    for name in own.available_queries:
        if not name.endswith("_cursor"):
            setattr(statements, name, getattr(own, name))
    return statements
