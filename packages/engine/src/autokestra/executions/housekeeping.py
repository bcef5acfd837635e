"""Removing executions for good: which may go, how they go without anybody waiting, and that nothing is left of them.

What is under way is never touched. Everything is done in small transactions, so that a `run` at the same time goes on.
"""

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from autokestra.errors import ExecutionBusyError, ExecutionNotFoundError
from autokestra.executions.lease import own_lease
from autokestra.executions.reading import is_text, row_lease
from autokestra.executions.records import LATEST, ExecutionState, Lease
from autokestra.executions.sqlite import SQLiteRows
from autokestra.executions.store import ExecutionStore

LINES_AT_ONCE: Final = 2_000  # about 10 ms of the lock
ROWS_AT_ONCE: Final = 100  # attempts have outputs of up to 10 MiB
PAGES_AT_ONCE: Final = 500
PAUSE_SECONDS: Final = 0.01  # between two transactions: SQLite has no queue, a waiting writer needs a chance
CLAIM_MICROSECONDS: Final = 3_600_000_000
# A database of this size is written anew within a second or two, which a run can wait for; a larger one is only
# written anew while nothing runs.
REWRITE_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Removable:
    """An execution that may be removed; `touched_at` is when it ended, or was last heard of."""

    id: str
    workflow_id: str
    state: ExecutionState
    touched_at: int
    lease: Lease | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """Bytes of the database and its log, before and after; `is_rewritten` when no trace can be left in a page."""

    before: int
    after: int
    is_rewritten: bool


def removable(
    store: ExecutionStore, *, before: int, keep_last: int = 0, with_failed: bool = False
) -> tuple[list[Removable], list[Removable]]:
    """Return what may be removed, oldest first, and what would be too `with_failed`.

    `before` is in microseconds since 1970; the newest `keep_last` executions of each workflow stay. A SUCCESS may go;
    what `resume` could still finish (FAILED, CANCELLED, or its process is gone) may go `with_failed`.
    """
    sql, is_dead = store.rows.sql, store.leases.is_dead
    rows = store.rows.read(lambda db: list(sql.select_prunable(db, before=before, keep_last=keep_last)))
    found = [each for each in map(_removable, rows) if each.lease is None or is_dead(each.lease)]
    done = [each for each in found if with_failed or each.state is ExecutionState.SUCCESS]
    return done, [each for each in found if not with_failed and each.state is not ExecutionState.SUCCESS]


def named(store: ExecutionStore, ids: Iterable[str]) -> list[Removable]:
    """Return these executions if all of them may be removed; `latest` is the newest.

    Raises ExecutionNotFoundError, and ExecutionBusyError for one that is under way.
    """
    found = {}
    for wanted in ids:
        id_ = store.execution(wanted).id if wanted == LATEST or not is_text(wanted) else wanted
        row = store.rows.read(partial(store.rows.sql.select_for_removal, id=id_))
        if row is None:
            raise ExecutionNotFoundError(f"no execution '{id_}'", hint="list them with: workflow execution list")
        each = found[id_] = _removable(row)
        if each.lease is not None and not store.leases.is_dead(each.lease):
            raise ExecutionBusyError(
                f"execution '{id_}' is under way", hint=f"stop it first: workflow execution cancel {id_}"
            )
    return list(found.values())


def remove(store: ExecutionStore, executions: Iterable[Removable]) -> Iterator[Removable]:
    """Remove executions one by one and yield each that is gone; one that was resumed meanwhile is left alone."""
    for each in executions:
        lease = own_lease(store.leases.now, microseconds=CLAIM_MICROSECONDS)
        if _changed(
            store,
            "claim_for_removal",
            id=each.id,
            state=each.state.value,
            old_owner=each.lease.owner if each.lease else "",
            old_until=each.lease.until if each.lease else 0,
            owner=lease.owner,
            until=lease.until,
        ):
            # Parts first: when this process dies now, the row is still there for the next one to find.
            for statement, most in (
                ("delete_log_lines", LINES_AT_ONCE),
                ("delete_attempts", ROWS_AT_ONCE),
                ("delete_task_runs", LINES_AT_ONCE),
            ):
                while _changed(store, statement, id=each.id, most=most):
                    time.sleep(PAUSE_SECONDS)
            if _changed(store, "delete_execution", id=each.id, owner=lease.owner):
                yield each


def give_back(store: ExecutionStore, *, size: Callable[[], int], rewrite_bytes: int = REWRITE_BYTES) -> Space | None:
    """Give free pages back to the file system and empty the write-ahead log. `size` counts the bytes of the files.

    Pages are zeroed when they are freed, but a page in use may hold an old copy of what was once moved within it. So
    the database is written anew, which leaves none, where that keeps nobody waiting. None for a database that has a
    server: its own vacuum does that, and old rows may stay on replicas and in its log.
    """
    rows = store.rows
    if not isinstance(rows, SQLiteRows):
        return None
    before = size()
    under_way = rows.read(lambda db: list(rows.sql.select_leases(db)))
    leases = filter(None, map(row_lease, under_way))
    rewrite = before <= rewrite_bytes or all(map(store.leases.is_dead, leases))
    if rewrite:
        rows.read(_rewrite)
    while not rewrite and rows.read(_release):
        time.sleep(PAUSE_SECONDS)
    rows.read(lambda db: db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
    return Space(before=before, after=size(), is_rewritten=rewrite)


def _rewrite(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # for one that was made before this was set
    db.execute("VACUUM")


def _release(db: sqlite3.Connection) -> bool:
    """Give some free pages back; False when there are none, or when this database cannot without being rewritten."""
    free = _pragma(db, "freelist_count")
    if free == 0 or _pragma(db, "auto_vacuum") != 2:
        return False
    db.execute(f"PRAGMA incremental_vacuum({PAGES_AT_ONCE})").fetchall()
    return _pragma(db, "freelist_count") < free


def _pragma(db: sqlite3.Connection, name: str) -> int:
    return int(db.execute(f"PRAGMA {name}").fetchone()[0])


def _changed(store: ExecutionStore, statement: str, **values: object) -> bool:
    return bool(store.rows.write(partial(getattr(store.rows.sql, statement), **values)))


def _removable(row: Any) -> Removable:
    return Removable(
        id=row["id"],
        workflow_id=row["workflow_id"],
        state=ExecutionState(row["state"]),
        touched_at=row["touched_at"],
        lease=row_lease(row),
    )
