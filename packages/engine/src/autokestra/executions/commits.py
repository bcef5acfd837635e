"""Group commit: threads that write at the same time share one transaction, and so one wait for the disk."""

import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar, cast

T = TypeVar("T")


class GroupCommit:
    """Runs the work of many threads on one connection; `turn` gives the connection to one thread at a time."""

    def __init__(self, turn: Callable[[], AbstractContextManager[sqlite3.Connection]]) -> None:
        self._turn = turn
        self._requests: deque[_Request] = deque()

    def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in a transaction, and return its result when that is committed.

        Whoever waits for its turn has left its work in the queue; the one whose turn it is does all that is there and
        commits once. Work that breaks a constraint spoils only itself. Raises what the work or SQLite raises.
        """
        request = _Request(work)
        self._requests.append(request)
        with self._turn() as db:
            if not request.done:
                _together(db, [self._requests.popleft() for _ in range(len(self._requests))])
            if request.error is not None:
                raise request.error
        return cast("T", request.result)


class _Request:
    """One thread's part."""

    def __init__(self, work: Callable[[sqlite3.Connection], object]) -> None:
        self.work = work
        self.result: object = None
        self.error: Exception | None = None
        self.done = False


def _together(db: sqlite3.Connection, batch: Sequence[_Request]) -> None:
    try:
        _commit(db, batch)
    except sqlite3.IntegrityError as error:
        if len(batch) > 1:
            for request in batch:
                _together(db, [request])
        else:
            _fail(batch, error)
    except Exception as error:  # noqa: BLE001  # a locked or full database is so for all; each thread raises it
        _fail(batch, error)


def _commit(db: sqlite3.Connection, batch: Sequence[_Request]) -> None:
    db.execute("BEGIN IMMEDIATE")
    try:
        results = [request.work(db) for request in batch]
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    for request, result in zip(batch, results, strict=True):
        request.result, request.done = result, True


def _fail(batch: Sequence[_Request], error: Exception) -> None:
    for request in batch:
        request.error, request.done = error, True
