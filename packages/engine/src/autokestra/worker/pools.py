"""Where attempts run. The engine sees a `Pool`: an envelope in, a future of ids and states out.

Here are the port and the threads of this process; `dask_pool` is the cluster. A pool delivers: it decides nothing, and
its futures are hints, since the rows say what happened.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol


class Pool(Protocol):
    """A place where attempts run. The answer of a future is attempt id and state as JSON, nothing else."""

    def submit(self, envelope: str, tags: frozenset[str]) -> Future[str]:
        """Start an attempt; it may wait for a free worker."""
        ...

    def can_run(self, tags: frozenset[str]) -> bool:
        """Whether a worker with all these tags exists."""
        ...

    def close(self) -> None:
        """Wait for what runs and give up the workers."""
        ...


class LocalPool:
    """Threads of this process: the default pool. It has no tags."""

    def __init__(self, execute: Callable[[str], str], *, max_workers: int) -> None:
        self._execute = execute
        self._threads = ThreadPoolExecutor(max_workers=max_workers, thread_name_prefix="attempt")

    def submit(self, envelope: str, tags: frozenset[str] = frozenset()) -> Future[str]:
        """Start an attempt on the next free thread. Raises ValueError for a tag, since no thread has one."""
        if not self.can_run(tags):
            raise ValueError(f"the local pool has no worker with tags {sorted(tags)}")
        return self._threads.submit(self._execute, envelope)

    def can_run(self, tags: frozenset[str]) -> bool:
        """Whether `tags` is empty."""
        return not tags

    def close(self) -> None:
        """Wait for the attempts that run."""
        self._threads.shutdown(wait=True)
