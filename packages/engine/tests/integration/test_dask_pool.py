"""DaskPool against a real scheduler and a real worker: what becomes of attempts that nobody takes."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autokestra.errors import PoolRefusedError, PoolUnavailableError
from autokestra.executions.records import AttemptState
from autokestra.executions.store import ExecutionStore
from autokestra.worker.address import PoolAddress
from autokestra.worker.dask_pool import DaskPool
from autokestra.worker.envelope import Envelope
from autokestra.worker.wire import offers
from servers.cluster import ClusterWorker, scheduler

COMMAND = [str(Path(sys.executable).with_name("workflow"))]


@pytest.fixture
def url(postgres_url, tmp_path):
    """A state database with its tables."""
    ExecutionStore.open(postgres_url).close()
    return postgres_url


@pytest.fixture
def worker(url, tmp_path):
    with scheduler(tmp_path) as started:
        env = {"PATH": os.environ["PATH"], "AUTOKESTRA_HOME": str(tmp_path / "home"), "AUTOKESTRA_STATE": url}
        process = ClusterWorker(COMMAND, "--slots", "3", pool=started.url, env=env, directory=tmp_path, name="worker")
        try:
            process.joined()
            yield started, process
        finally:
            process.stop()


def envelope(task: str) -> str:
    return Envelope(
        execution_id="e", workflow_id="w", task_id=task, attempt=1, type="core/shell.run", workdir="/", inputs={}
    ).to_json()


def test_the_rows_decide_and_an_attempt_that_nobody_can_take_fails(url, worker) -> None:
    started, process = worker
    states: dict[tuple[str, int], AttemptState] = {}
    with ExecutionStore.open(url) as store:
        wanted = offers(store=None, state=store.identity)
    pool = DaskPool(PoolAddress.parse(started.url), wanted=wanted, states=lambda _: states, patience_seconds=1)
    try:
        assert (3, True, False) == (pool.slots, pool.can_run(frozenset()), pool.can_run(frozenset({"gpu"})))
        # A worker finds no such attempt in the rows, so the pool asks them too, again and again.
        states["ended", 1] = AttemptState.SUCCESS
        done = json.loads(pool.submit(envelope("ended"), frozenset()).result(30))
        assert {"attempt": "e/ended/1", "state": "SUCCESS"} == done
        states["runs", 1] = AttemptState.RUNNING
        runs = pool.submit(envelope("runs"), frozenset())
        time.sleep(1.5)
        assert not runs.done()
        states["runs", 1] = AttemptState.FAILED
        assert "FAILED" == json.loads(runs.result(30))["state"]
        states["nobody", 1] = AttemptState.PENDING
        process.kill()
        with pytest.raises(PoolUnavailableError, match="has had no worker that could run 'e/nobody/1'"):
            pool.submit(envelope("nobody"), frozenset()).result(60)
        started.kill()
        assert not pool.can_run(frozenset())
        states["stopped", 1] = AttemptState.PENDING
        stopped = pool.submit(envelope("stopped"), frozenset())
        states["stopped", 1] = AttemptState.CANCELLED
        pool.look("e", "stopped", 1)
        assert "CANCELLED" == json.loads(stopped.result(30))["state"]
    finally:
        pool.close()


class Expired(DaskPool):
    """One whose certificates have expired since it has joined."""

    expired = False

    def _connect(self):
        if self.expired:
            raise PoolRefusedError("the certificates cannot be used")
        return super()._connect()


def test_a_pool_that_cannot_come_back_gives_its_attempts_up(url, worker) -> None:
    started, _ = worker
    states = {("a", 1): AttemptState.PENDING}
    with ExecutionStore.open(url) as store:
        wanted = offers(store=None, state=store.identity)
    pool = Expired(PoolAddress.parse(started.url), wanted=wanted, states=lambda _: states, patience_seconds=1)
    try:
        pool.expired = True
        pool._client.close()
        with pytest.raises(PoolUnavailableError, match="has had no worker"):
            pool.submit(envelope("a"), frozenset()).result(30)
    finally:
        pool.close()


def test_dask_is_loaded_for_clusters_only() -> None:
    code = "import sys, autokestra.cli.run, autokestra.app, autokestra.cli.worker; print('dask' in sys.modules)"
    assert "False\n" == subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
