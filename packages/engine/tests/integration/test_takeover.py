"""Taking over an execution whose tasks still run on workers of other machines: they are waited for, and can be stopped."""

import threading
import time
from dataclasses import replace

import pytest

from autokestra.app import now
from autokestra.engine.takeover import await_workers
from autokestra.engine.tenure import Wish
from autokestra.errors import ExecutionBusyError
from autokestra.executions.lease import own_lease
from autokestra.executions.plan import Start
from autokestra.executions.records import (
    AttemptState,
    Execution,
    ExecutionState,
    Lease,
    StoredOutput,
    TaskState,
    execution_id,
)
from autokestra.executions.store import ExecutionStore

WORKER = "elsewhere/boot/7/-"  # of another machine: only time tells whether it lives


@pytest.fixture(params=["sqlite", "postgres"])
def store(request, tmp_path):
    place = tmp_path / "state.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with ExecutionStore.open(place) as opened:
        yield opened


@pytest.fixture
def taken(store):
    """An execution that we have taken over, of whose two tasks a worker runs one; and our lease."""
    lease = own_lease(store.leases.now)
    row = Execution(
        id=execution_id(1),
        workflow_id="w",
        workflow='{"id":"w"}',
        workflow_path="w.yaml",
        workflow_sha256="0" * 64,
        inputs={},
        state=ExecutionState.RUNNING,
        reason=None,
        message=None,
        created_at=1,
        started_at=1,
        finished_at=None,
        lease=lease,
    )
    store.create(row, ["a", "b"])
    store.advance(row.id, owner=lease.owner, starts=[Start(task="a", number=1)], now=2)
    far = store.leases.now() + 10**9
    assert store.claim(row.id, "a", 1, lease=Lease(owner=WORKER, until=far), now=3)
    return row


def waiting(store, row, wish):
    """Wait in a thread; return it, what it says, and what it raises."""
    said, raised = [], []
    told = threading.Event()

    def observe(event):
        said.append((event.task_id, event.state))
        told.set()

    def wait():
        try:
            await_workers(store, row.id, row.lease.owner, wish, clock=now, observer=observe)
        except ExecutionBusyError as error:
            raised.append(error)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    assert told.wait(10)
    return thread, said, raised


def test_what_a_worker_runs_is_waited_for_and_counts_as_done(store, taken):
    thread, said, raised = waiting(store, taken, Wish())
    thread.join(0.6)
    assert thread.is_alive()
    stored = StoredOutput(clear="1")
    assert store.end_attempt(taken.id, "a", 1, owner=WORKER, state=AttemptState.SUCCESS, now=4, output=stored)
    thread.join(10)
    assert not thread.is_alive()
    assert ([("a", TaskState.RUNNING), ("a", TaskState.SUCCESS)], []) == (said, raised)
    assert {"a": TaskState.SUCCESS, "b": TaskState.WAITING} == {
        run.task_id: run.state for run in store.task_runs(taken.id)
    }


def test_a_wish_to_stop_is_handed_on_to_the_worker(store, taken):
    thread, _, raised = waiting(store, taken, Wish())
    assert set() == store.cancelled_attempts(WORKER)
    store.request_cancel(taken.id, 4)
    deadline = time.monotonic() + 10
    while not store.cancelled_attempts(WORKER) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert {(taken.id, "a", 1)} == store.cancelled_attempts(WORKER)
    assert thread.is_alive()
    assert store.end_attempt(taken.id, "a", 1, owner=WORKER, state=AttemptState.CANCELLED, now=5)
    thread.join(10)
    assert (False, []) == (thread.is_alive(), raised)


def test_a_worker_that_is_not_heard_of_in_time_is_not_waited_for(store, taken):
    store.beat(Lease(owner=WORKER, until=store.leases.now() - 1))
    await_workers(store, taken.id, taken.lease.owner, Wish(), clock=now, observer=pytest.fail)
    assert AttemptState.LOST is store.attempt(taken.id, "a", 1).state


def test_one_that_is_replaced_while_it_waits_gives_up(store, taken, monkeypatch):
    monkeypatch.setattr("autokestra.engine.tenure.RENEW_SECONDS", 0.1)
    thread, _, raised = waiting(store, taken, Wish())
    other = replace(taken.lease, owner="elsewhere/boot/8/-")
    assert store.take_over(taken.id, store.execution(taken.id).lease, other, 4)
    thread.join(10)
    assert not thread.is_alive()
    assert "was taken over by another process" in str(raised[0])
