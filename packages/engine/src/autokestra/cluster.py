"""Builds the two ends of a cluster: an engine whose attempts run elsewhere, and a worker that runs them.

Both look at the same rows in PostgreSQL and the same secrets store, each with a key of its own; a coordinator that only
plans needs none.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

from autokestra.app import App, cipher_at_hand, now, past_values
from autokestra.engine import WorkflowEngine
from autokestra.errors import StateUnavailableError
from autokestra.executions.events import Observer
from autokestra.executions.store import ExecutionStore
from autokestra.executions.tail import LogTail
from autokestra.worker.address import PoolAddress
from autokestra.worker.dask_pool import DaskPool
from autokestra.worker.executor import WorkflowTaskExecutor
from autokestra.worker.outputs import OutputVault
from autokestra.worker.remote import RemoteMaskers, RemoteWorkers
from autokestra.worker.wire import offers, tag_offers

MOST_PARALLEL: Final = 1024


@contextmanager
def cluster_engine(
    app: App, address: PoolAddress, *, max_parallel: int | None, observer: Observer
) -> Iterator[WorkflowEngine]:
    """Build an engine whose attempts run on the workers of a cluster; by default as many at once as these have slots.

    Raises StateUnavailableError for a state database that workers cannot share, and what DaskPool raises.
    """
    with ExitStack() as stack:
        secrets = stack.enter_context(app.secrets())
        executions = stack.enter_context(_shared_state(app, address))
        cipher = cipher_at_hand(secrets)  # without one the workers do all that needs it
        outputs = OutputVault(executions, cipher, workers_open=True)
        maskers = RemoteMaskers(app.make_masker, executions.accounts)
        tail = LogTail(observer, executions.lines_of)
        stack.callback(tail.close)
        pool = DaskPool(
            address,
            wanted=offers(store=secrets.identity(), state=executions.identity),
            states=executions.attempt_states,
        )
        stack.callback(pool.close)
        yield WorkflowEngine(
            store=executions,
            pool=pool,
            worker=RemoteWorkers(executions, maskers=maskers, outputs=outputs, clock=now, look=pool.look),
            resolver=app.resolver(secrets, fallback=False),
            maskers=maskers,
            outputs=outputs,
            observer=tail,
            clock=now,
            max_parallel=max_parallel or min(pool.slots, MOST_PARALLEL),
            reads_secrets=cipher is not None,
            past_values=lambda names: past_values(secrets, names) if cipher else iter(()),
            environ=dict(app.environ),
            notify=app.notify,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A worker that is ready: what runs attempts, and what it offers to coordinators."""

    runner: WorkflowTaskExecutor
    offers: frozenset[str]


@contextmanager
def cluster_worker(app: App, address: PoolAddress, *, slots: int, tags: Sequence[str]) -> Iterator[Serving]:
    """Build a worker. Raises StateUnavailableError; KeyMissingError or WrongKeyError where its key opens no store."""
    with ExitStack() as stack:
        secrets = stack.enter_context(app.secrets())
        cipher = secrets.output_cipher()  # not only when a task wants a secret: one that cannot read any must not join
        executions = stack.enter_context(_shared_state(app, address))
        runner = stack.enter_context(app.worker(secrets, executions, cipher, max_parallel=slots))
        yield Serving(
            runner=runner,
            offers=offers(store=secrets.identity(), state=executions.identity) | tag_offers(tags),
        )


def _shared_state(app: App, address: PoolAddress) -> ExecutionStore:
    """Open the state. A file is refused even on one machine: who is behind a scheduler cannot be seen from here."""
    if app.state_path is not None:
        raise StateUnavailableError(
            f"the state database is the file {app.state_path}, which the workers of {address.url} may not share",
            hint="keep it in PostgreSQL: --state postgresql://USER@HOST/DATABASE (or AUTOKESTRA_STATE)",
        )
    return app.executions(create=True)
