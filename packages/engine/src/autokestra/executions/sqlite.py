"""The rows of executions in SQLite: one file, WAL, one connection, one writer at a time.

Not every commit has to wait for the disk. In WAL mode, with `synchronous = NORMAL`, a commit survives a kill of all
processes but perhaps not a power cut, and what a power cut leaves is always a beginning of what was committed. So it is
enough that the commits that matter wait: the end of an attempt makes everything durable that was committed before it,
and if a claim or a start is forgotten after a power cut, that attempt was lost anyway.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from autokestra.executions.commits import GroupCommit
from autokestra.executions.database import explain, open_database
from autokestra.executions.lease import LocalLeases
from autokestra.executions.logs import BATCH_LINES, WAIT_SECONDS
from autokestra.executions.records import LogLine
from autokestra.executions.rows import LOG_COLUMNS, load_statements

T = TypeVar("T")


class SQLiteRows:
    """One open state database in a file."""

    claims_wait: bool = False
    log_lines: int = BATCH_LINES
    log_seconds: float = WAIT_SECONDS

    def __init__(self, path: Path, *, create: bool) -> None:
        self.path = path
        self.connection = open_database(path, create=create)
        self.leases = LocalLeases()
        self.sql = load_statements("sqlite", "sqlite3")
        self._lock = threading.Lock()
        self._commits = GroupCommit(self._turn, self._transact, conflict=sqlite3.IntegrityError)
        self._waits = True  # what the connection was opened with

    @property
    def location(self) -> str:
        """The path of the file."""
        return str(self.path)

    @property
    def identity(self) -> str:
        """The file, which only processes of this machine can share."""
        return str(self.path.resolve())

    def read(self, work: Callable[[Any], T]) -> T:
        """Run `work`, which only reads."""
        with self._turn() as db:
            return work(db)

    def write(self, work: Callable[[Any], T], *, durable: bool = True) -> T:
        """Run `work` in a transaction, and return its result when that is committed."""
        return self._commits.run(work, durable=durable)

    def write_blind(self, work: Callable[[Any], T]) -> T:
        """Run `work` in a transaction that survives a kill of every process."""
        return self.write(work, durable=False)

    def write_one(self, work: Callable[[Any], int], confirm: Callable[[Any], bool], *, durable: bool = True) -> bool:  # noqa: ARG002  # no answer is lost here
        """Run `work`, which is one statement, together with those of other threads."""
        return bool(self.write(work, durable=durable))

    def one_at_a_time(self, db: Any, workflow: str) -> None:
        """Let nobody else ask for a place of the workflow within this transaction: SQLite has one writer anyway."""

    def append(self, lines: Sequence[LogLine]) -> None:
        """Write lines of logs in one transaction."""
        rows = list(map(LOG_COLUMNS, lines))
        self.write(lambda db: self.sql.insert_log_line(db, rows), durable=False)

    def close(self) -> None:
        """Close the file; harmless when done twice."""
        with self._lock:
            self.connection.close()

    @contextmanager
    def _turn(self) -> Iterator[sqlite3.Connection]:
        # One connection, one lock: SQLite has one writer anyway, and a thread that waits here waits without polling.
        with self._lock, explain(self.path):
            yield self.connection

    def _transact(self, db: sqlite3.Connection, works: Sequence[Callable[[Any], Any]], durable: bool) -> list[Any]:  # noqa: FBT001
        if durable != self._waits:
            db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._waits = durable
        db.execute("BEGIN IMMEDIATE")
        try:
            results = [work(db) for work in works]
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        return results
