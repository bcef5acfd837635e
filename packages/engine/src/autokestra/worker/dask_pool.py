"""Attempts on the workers of a cluster, delivered by `dask.distributed`.

What Dask says is a hint. A future of ours is done when the rows say that its attempt has ended: a scheduler that dies
makes Dask's futures `cancelled` while tasks run on, and a worker that dies has Dask run the task again elsewhere, where
the claim refuses it. So delivery may happen any number of times, and running happens once.
"""

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, Final

from autokestra.errors import AutokestraError, PoolUnavailableError
from autokestra.executions.records import AttemptKey, AttemptState, attempt_id
from autokestra.worker.address import PoolAddress
from autokestra.worker.dask_link import (
    CONNECT_SECONDS,
    distributed,
    refuse_other_versions,
    security,
    unreachable,
)
from autokestra.worker.envelope import SAME_VERSION
from autokestra.worker.wire import RefusedError, objection, run_attempt, tag_offers

LOOK_SECONDS: Final = 0.5  # between two looks at the rows of attempts of which Dask knows nothing any more
AGAIN_SECONDS: Final = 30.0  # after which an attempt that nobody has claimed is delivered again; doubled each time
PATIENCE_SECONDS: Final = 60.0  # for a cluster that has no scheduler, or no worker that could take an attempt

States = Callable[[str], Mapping[tuple[str, int], AttemptState]]
ENDED: Final = "ENDED"  # the state in the answer when only the rows know which
_UNDER_WAY: Final = (AttemptState.PENDING, AttemptState.RUNNING)
_NUMBERS: Final = count()


@dataclass(slots=True, eq=False, kw_only=True)
class _Parcel:
    """An attempt on its way: `hint` is Dask's future, `doubtful` says that only the rows know more."""

    key: AttemptKey
    envelope: str
    wanted: frozenset[str]
    answer: Future[str] = field(default_factory=Future)
    hint: Any = None
    sent_at: float = 0.0
    patience: float = AGAIN_SECONDS
    doubtful: bool = False
    stranded_at: float | None = None


class DaskPool:
    """The workers of a cluster that have the same state database and secrets store as this process.

    `wanted` is what they must offer, see `wire.offers`; `states` gives the states of an execution's attempts.
    `patience_seconds` is shorter in tests only. Raises PoolUnavailableError when there is no scheduler, no such worker,
    or one of another version; PoolRefusedError for certificates that cannot be used.
    """

    def __init__(
        self,
        address: PoolAddress,
        *,
        wanted: frozenset[str],
        states: States,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._address = address
        self._wanted = wanted
        self._states = states
        self._patience_seconds = patience_seconds
        self._changed = threading.Condition()
        self._parcels: set[_Parcel] = set()
        self._closed = False
        self._client = self._connect()
        self._thread = threading.Thread(target=self._watch, name="pool", daemon=True)
        try:
            self._check()
        except BaseException:
            self._client.close()
            raise
        self._thread.start()

    def submit(self, envelope: str, tags: frozenset[str]) -> Future[str]:
        """Have an attempt delivered to a worker with these tags; the future is done when its row says so."""
        document = json.loads(envelope)
        parcel = _Parcel(
            key=(document["execution_id"], document["task_id"], document["attempt"]),
            envelope=envelope,
            wanted=self._wanted | tag_offers(tags),
        )
        with self._changed:
            self._parcels.add(parcel)
            self._changed.notify_all()
        self._send(parcel)
        return parcel.answer

    def can_run(self, tags: frozenset[str]) -> bool:
        """Whether a worker with all these tags is there now."""
        return self._fits(self._wanted | tag_offers(tags), self._workers())

    @property
    def slots(self) -> int:
        """How many attempts the workers run at once, all together."""
        fitting = [each for each in self._workers().values() if self._wanted <= set(each["resources"])]
        return max(1, sum(int(each["nthreads"]) for each in fitting))

    def look(self, execution: str, task: str, number: int) -> None:
        """Ask the rows about an attempt soon: it may have ended without a worker."""
        with self._changed:
            for parcel in self._parcels:
                if parcel.key == (execution, task, number):
                    parcel.doubtful = True

    def close(self) -> None:
        """Leave the cluster. What still runs there goes on or stops as the rows say."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()
        with suppress(Exception):  # whatever Dask has to say about a scheduler that is gone
            self._client.close(timeout=2)

    # --- the cluster

    def _connect(self) -> Any:
        module, papers = distributed(), security(self._address)
        try:
            return module.Client(
                self._address.contact,
                security=papers,
                timeout=CONNECT_SECONDS,
                set_as_default=False,
                direct_to_workers=False,
            )
        except (OSError, TimeoutError):
            raise unreachable(self._address) from None

    def _workers(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the workers that have joined; none while there is no scheduler."""
        try:
            found: Mapping[str, Mapping[str, Any]] = self._client.scheduler_info(n_workers=-1)["workers"]
        except Exception:  # noqa: BLE001  # lost connections have many names there
            return {}
        return found

    def _check(self) -> None:
        workers = self._workers()
        refuse_other_versions(workers)
        if self._fits(self._wanted, workers):
            return
        objections = {objection(self._wanted, frozenset(each["resources"])) for each in workers.values()} - {None}
        if objections:
            raise PoolUnavailableError(
                f"the workers of {self._address.url} {' or '.join(sorted(map(str, objections)))} than this command",
                hint="give the same --store and --state to all of them, and start workers again after a restore",
            )
        raise PoolUnavailableError(
            f"no worker has joined {self._address.url}",
            hint=f"start one with: workflow worker --pool {self._address.url}",
        )

    @staticmethod
    def _fits(wanted: frozenset[str], workers: Mapping[str, Mapping[str, Any]]) -> bool:
        return any(wanted <= set(each["resources"]) for each in workers.values())

    # --- delivery

    def _send(self, parcel: _Parcel) -> None:
        parcel.sent_at, parcel.doubtful = time.monotonic(), False
        try:
            hint = self._client.submit(
                run_attempt,
                parcel.envelope,
                key=f"{attempt_id(*parcel.key)}#{next(_NUMBERS)}",
                resources=dict.fromkeys(sorted(parcel.wanted), 1),
                retries=0,
                pure=False,
            )
            parcel.hint = hint
            hint.add_done_callback(partial(self._heard, parcel))
        except Exception:  # noqa: BLE001  # the client has lost its scheduler: the next look goes on from there
            parcel.doubtful = True

    def _heard(self, parcel: _Parcel, hint: Any) -> None:
        """Take what Dask says of a delivery; called by a thread of Dask's."""
        if hint is not parcel.hint:
            return
        if hint.status == "finished":  # what it has answered stands in the rows too, and need not be fetched
            self._answer(parcel, ENDED)
        elif hint.status == "error" and isinstance(hint.exception(), RefusedError):
            self._fail(
                parcel, PoolUnavailableError("a worker does not know this version of envelopes", hint=SAME_VERSION)
            )
        else:
            parcel.doubtful = True

    def _watch(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._parcels or self._closed)
                self._changed.wait_for(lambda: self._closed, timeout=LOOK_SECONDS)
                if self._closed:
                    return
                now = time.monotonic()
                due = [each for each in self._parcels if each.doubtful or now > each.sent_at + each.patience]
            if due:
                self._look_at(due)

    def _look_at(self, parcels: Iterable[_Parcel]) -> None:
        states: dict[str, Mapping[tuple[str, int], AttemptState]] = {}
        waiting = []
        for parcel in parcels:
            execution, task, number = parcel.key
            if execution not in states:
                try:
                    states[execution] = self._states(execution)
                except AutokestraError:  # the coordinator will find that too, and has more to say
                    return
            state = states[execution].get((task, number))
            if state not in _UNDER_WAY:
                self._answer(parcel, state.value if state else ENDED)
            elif state is AttemptState.PENDING:
                waiting.append(parcel)
            elif not parcel.doubtful:
                parcel.sent_at = time.monotonic()  # it runs; what is known of it is still to be trusted
        if waiting:
            self._deliver_again(waiting)

    def _deliver_again(self, parcels: Iterable[_Parcel]) -> None:
        if self._client.status == "closed":
            with suppress(AutokestraError):  # no scheduler, or certificates that are being exchanged: both may pass
                self._client = self._connect()
        workers = self._workers()
        now = time.monotonic()
        for parcel in parcels:
            if self._fits(parcel.wanted, workers):
                parcel.stranded_at = None
                parcel.patience *= 2
                self._send(parcel)
            elif parcel.stranded_at is None:
                parcel.stranded_at = now
            elif now > parcel.stranded_at + self._patience_seconds:
                self._fail(
                    parcel,
                    PoolUnavailableError(
                        f"for {self._patience_seconds:g} s {self._address.url} has had no worker that could run "
                        f"'{attempt_id(*parcel.key)}'",
                        hint=f"when there is one again: workflow execution resume {parcel.key[0]} --pool "
                        f"{self._address.url}",
                    ),
                )

    def _answer(self, parcel: _Parcel, state: str) -> None:
        self._drop(parcel)
        with suppress(InvalidStateError):  # two have found out at once
            parcel.answer.set_result(json.dumps({"attempt": attempt_id(*parcel.key), "state": state}))

    def _fail(self, parcel: _Parcel, error: AutokestraError) -> None:
        self._drop(parcel)
        with suppress(InvalidStateError):
            parcel.answer.set_exception(error)

    def _drop(self, parcel: _Parcel) -> None:
        with self._changed:
            self._parcels.discard(parcel)
        parcel.hint = None  # Dask forgets what nobody holds
