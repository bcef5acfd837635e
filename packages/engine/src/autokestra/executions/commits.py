"""Group commit: threads that write at the same time share one transaction, and so one wait for the disk.

Not every commit has to wait. In WAL mode, with `synchronous = NORMAL`, a commit survives a kill of all processes but
perhaps not a power cut, and what a power cut leaves is always a beginning of what was committed. So it is enough that
the commits that matter wait: the end of an attempt makes everything durable that was committed before it, and if a
claim or a start is forgotten after a power cut, that attempt was lost anyway.
"""

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
        self._waits = True  # what the connection was opened with

    def run(self, work: Callable[[sqlite3.Connection], T], *, durable: bool = True) -> T:
        """Run `work` in a transaction, and return its result when that is committed.

        With `durable` it survives a power cut from then on, otherwise a kill of every process.

        Whoever waits for its turn has left its work in the queue; the one whose turn it is does all that is there and
        commits once. Work that breaks a constraint spoils only itself. Raises what the work or SQLite raises.
        """
        request = _Request(work, durable=durable)
        self._requests.append(request)
        with self._turn() as db:
            if not request.done:
                batch = [self._requests.popleft() for _ in range(len(self._requests))]
                self.wait_for_the_disk(db, any(each.durable for each in batch))
                _together(db, batch)
            if request.error is not None:
                raise request.error
        return cast("T", request.result)

    def wait_for_the_disk(self, db: sqlite3.Connection, wanted: bool) -> None:  # noqa: FBT001  # reads as a sentence
        """Set whether the next commits on `db` wait; not within a transaction."""
        if wanted != self._waits:
            db.execute(f"PRAGMA synchronous = {'FULL' if wanted else 'NORMAL'}")
            self._waits = wanted


class _Request:
    """One thread's part."""

    def __init__(self, work: Callable[[sqlite3.Connection], object], *, durable: bool) -> None:
        self.work = work
        self.durable = durable
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
