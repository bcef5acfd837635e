"""The one function that crosses the wire to a worker, and what workers say that they offer.

An envelope goes in, an id and a state come out. Values stay where they are: the worker resolves secrets with its own
key and writes output and log into the rows. The only exceptions that travel are the two below, which say nothing.
"""

import json
import os
import sys
import threading
from collections import Counter
from collections.abc import Iterable
from typing import Final, NoReturn, Protocol

from autokestra.errors import AutokestraError
from autokestra.worker.envelope import VERSION, Envelope, EnvelopeError
from autokestra.worker.executor import ELSEWHERE

AGAIN: Final = 75  # EX_TEMPFAIL of sysexits.h: the exit code of a worker process that is to be started anew

_ENVELOPE: Final = "autokestra-envelope:"
_STORE: Final = "autokestra-store:"
_STATE: Final = "autokestra-state:"
_TAG: Final = "autokestra-tag:"


class ElsewhereError(Exception):
    """The attempt is not, or no longer, this worker's: only the rows say what becomes of it.

    An exception, since Dask tells of one by itself, while a result has to be fetched.
    """


class RefusedError(Exception):
    """This process does not know this version of envelopes, or nobody made it a worker of ours."""


class Runner(Protocol):
    """What runs attempts in this process."""

    def execute(self, envelope: str) -> str:
        """Run one attempt; return its id and state as JSON."""
        ...

    def forget(self, execution: str) -> None:
        """Drop what is kept in memory for an execution."""
        ...


class _Serving:
    """The runner of this process. Values of an execution are dropped when the last of its attempts here has ended."""

    def __init__(self) -> None:
        self.runner: Runner | None = None
        self._lock = threading.Lock()
        self._running: Counter[str] = Counter()

    def run(self, runner: Runner, execution: str, envelope: str) -> str:
        with self._lock:
            self._running[execution] += 1
        try:
            return runner.execute(envelope)
        finally:
            with self._lock:
                self._running[execution] -= 1
                if not self._running[execution]:
                    del self._running[execution]
                    runner.forget(execution)


_SERVING: Final = _Serving()


def serve_with(runner: Runner) -> None:
    """Let `runner` run the attempts that come to this process."""
    _SERVING.runner = runner


def run_attempt(envelope: str) -> str:
    """Run one attempt on the worker that this is called on; return its id and state as JSON.

    Raises ElsewhereError and RefusedError, which say nothing more. When the rows cannot be written the process ends:
    what it has begun must not count as alive, and the rows say the rest once its leases are over.
    """
    runner = _SERVING.runner
    if runner is None:  # a worker of Dask that `workflow worker` has not started
        raise RefusedError
    try:
        job = Envelope.from_json(envelope)
    except EnvelopeError:
        raise RefusedError from None
    try:
        answer = _SERVING.run(runner, job.execution_id, envelope)
    except AutokestraError as error:
        _leave(job.id, error.message)
    except Exception as error:  # noqa: BLE001  # its message may hold a value, so it travels nowhere
        _leave(job.id, f"this is a bug in autokestra: {type(error).__name__}")
    if json.loads(answer)["state"] == ELSEWHERE:
        raise ElsewhereError
    return answer


def _leave(attempt: str, why: str) -> NoReturn:
    sys.stderr.write(f"error: {attempt}: {why}\n")
    sys.stderr.flush()
    os._exit(AGAIN)


def offers(*, store: str | None, state: str, version: int = VERSION) -> frozenset[str]:
    """Return what a worker offers, and an attempt demands: the names of resources, as Dask calls them."""
    return frozenset((f"{_ENVELOPE}{version}", f"{_STORE}{store or 'none'}", f"{_STATE}{state}"))


def tag_offers(tags: Iterable[str]) -> frozenset[str]:
    """Return tags as what a worker offers."""
    return frozenset(f"{_TAG}{tag}" for tag in tags)


def versions(offered: Iterable[str]) -> frozenset[str]:
    """Return the versions of envelopes among what one worker offers; empty for a worker of somebody else."""
    return frozenset(name.removeprefix(_ENVELOPE) for name in offered if name.startswith(_ENVELOPE))


def objection(wanted: frozenset[str], offered: frozenset[str]) -> str | None:
    """Say in words why a worker that offers this cannot run what wants that; None when it can, or is not ours."""
    lacks = wanted - offered
    for prefix, words in ((_STATE, "use another state database"), (_STORE, "use another secrets store")):
        if any(name.startswith(prefix) for name in lacks):
            return words
    return None
