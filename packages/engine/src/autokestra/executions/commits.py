"""Group commit: threads that write at the same time share one transaction, and so one wait for the disk.

What a transaction is, and which commits have to wait for the disk at all, is the matter of the database behind it.
"""

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")
Connection = TypeVar("Connection")
Work = Callable[[Connection], Any]


class GroupCommit(Generic[Connection]):
    """Runs the work of many threads on one connection; `turn` gives the connection to one thread at a time.

    `transact` runs several works in one transaction and returns their results when it is committed; the last argument
    says whether that must survive a power cut. `conflict` is what it raises for a broken constraint.
    """

    def __init__(
        self,
        turn: Callable[[], AbstractContextManager[Connection]],
        transact: Callable[[Connection, Sequence[Work[Connection]], bool], list[Any]],
        *,
        conflict: type[Exception],
    ) -> None:
        self._turn = turn
        self._transact = transact
        self._conflict = conflict
        self._requests: deque[_Request] = deque()

    def run(self, work: Callable[[Connection], T], *, durable: bool = True) -> T:
        """Run `work` in a transaction, and return its result when that is committed.

        With `durable` it survives a power cut from then on, otherwise a kill of every process.

        Whoever waits for its turn has left its work in the queue; the one whose turn it is does all that is there and
        commits once. Work that breaks a constraint spoils only itself. Raises what the work or the database raises.
        """
        request = _Request(work, durable=durable)
        self._requests.append(request)
        with self._turn() as db:
            if not request.done:
                self._together(db, [self._requests.popleft() for _ in range(len(self._requests))])
            if request.error is not None:
                raise request.error
        return cast("T", request.result)

    def _together(self, db: Connection, batch: "Sequence[_Request]") -> None:
        try:
            results = self._transact(db, [request.work for request in batch], any(each.durable for each in batch))
        except self._conflict as error:
            if len(batch) > 1:
                for request in batch:
                    self._together(db, [request])
            else:
                _fail(batch, error)
        except Exception as error:  # noqa: BLE001  # a locked or full database is so for all; each thread raises it
            _fail(batch, error)
        else:
            for request, result in zip(batch, results, strict=True):
                request.result, request.done = result, True


class _Request:
    """One thread's part."""

    def __init__(self, work: Work[Any], *, durable: bool) -> None:
        self.work = work
        self.durable = durable
        self.result: object = None
        self.error: Exception | None = None
        self.done = False


def _fail(batch: Sequence[_Request], error: Exception) -> None:
    for request in batch:
        request.error, request.done = error, True
