"""Waiting for a lock of a SQLite file among other processes that want it too."""

import os
import sqlite3
import time
from typing import Any, Final

from autokestra_secrets.backends.sqlite_errors import explain, kept_busy, locked

_TURNS: Final = 6  # times as long is waited while other writers commit, one after the other


def take_write_lock(connection: sqlite3.Connection, *, path: str, timeout: float) -> None:
    """Begin a transaction that writes; wait `timeout` seconds for one who holds the lock, longer for many by turns.

    Not with SQLite's own waiting, which looks ten times a second: with eight busy writers one of them may find the
    lock taken a hundred times in a row, and give up. This looks several hundred times a second; and while others
    commit, nothing is stuck: on a machine under load a writer can miss its chance for more than ten seconds.

    Raises StoreUnavailableError when one process holds the lock for `timeout` seconds, or others write for six times
    as long without letting us in; and what other errors of SQLite mean.
    """
    _wait_for("BEGIN IMMEDIATE", connection, path, timeout)


def enter_wal_mode(connection: sqlite3.Connection, *, path: str, timeout: float) -> None:
    """Have the file keep a write-ahead log, waiting as for the write lock.

    SQLite does not wait here at all when another process is about to do the same in a file that both have just made:
    one of the two would be told at once that the database is locked.

    Raises what `take_write_lock` raises.
    """
    _wait_for("PRAGMA journal_mode = WAL", connection, path, timeout)


def _wait_for(statement: str, connection: sqlite3.Connection, path: str, timeout: float) -> None:
    try:
        try:
            connection.execute("PRAGMA busy_timeout = 0").close()
            _try_until(statement, connection, path, timeout)
        finally:
            connection.execute(f"PRAGMA busy_timeout = {int(timeout * 1000)}").close()
    except sqlite3.Error as error:
        raise explain(error, path=path, timeout=timeout) from None


def _try_until(statement: str, connection: sqlite3.Connection, path: str, timeout: float) -> None:
    started = time.monotonic()
    deadline, commits = started + timeout, _unless_busy("PRAGMA data_version", connection)
    while _unless_busy(statement, connection) is None:
        now = time.monotonic()
        if now > deadline:
            # The number changes when another connection commits.
            before, commits = commits, _unless_busy("PRAGMA data_version", connection)
            if commits == before:
                raise locked(path, timeout)
            if now > started + _TURNS * timeout:
                raise kept_busy(path, now - started)
            deadline = now + timeout
        time.sleep(0.001 + os.urandom(1)[0] / 64_000)  # 1 to 5 ms, so that the waiting do not march in step


def _unless_busy(statement: str, connection: sqlite3.Connection) -> list[tuple[Any, ...]] | None:
    """Return the rows of a statement, or None when a lock is in its way: even reading may need one."""
    try:
        return connection.execute(statement).fetchall()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return None
