"""A wall clock that jumps: nothing waits for an hour, and nothing changes its order."""

import os
import threading
import time

from autokestra.actions.registry import catalog, core_actions
from autokestra.engine import WorkflowEngine
from autokestra.executions.clock import SteadyClock
from autokestra.executions.lease import this_process
from autokestra.executions.logs import LogWriter
from autokestra.executions.store import ExecutionStore
from autokestra.worker.executor import WorkflowTaskExecutor
from autokestra.worker.heartbeat import RunningAttempts
from autokestra.worker.maskers import ExecutionMaskers
from autokestra.worker.outputs import OutputVault
from autokestra.worker.pools import LocalPool
from autokestra.workflow.loader import load_workflow
from autokestra_secrets import SecretResolver

HOUR = 3_600_000_000

FLOW = """\
id: w
tasks:
  - id: a
    type: core/shell.run
    retry: {max: 1, backoffSeconds: 0.3}
    inputs: {script: "echo one; echo two; [ -e back ] || { touch back; exit 1; }"}
  - id: b
    type: core/shell.run
    needs: [a]
    inputs: {script: "echo three"}
"""


def test_a_clock_that_is_set_back_an_hour_delays_no_retry_and_keeps_the_order(tmp_path):
    (tmp_path / "w.yaml").write_text(FLOW, encoding="utf-8")

    def wall():
        return time.time_ns() // 1000 - (HOUR if (tmp_path / "back").exists() else 0)

    clock = SteadyClock(wall)
    resolver, maskers = SecretResolver(None, environ={}), ExecutionMaskers()
    with ExecutionStore.open(tmp_path / "state.db") as store:
        writer, outputs = LogWriter(store.append_log), OutputVault(store, None)
        worker = WorkflowTaskExecutor(
            resolver,
            actions=core_actions(),
            rows=store,
            outputs=outputs,
            logs=writer,
            maskers=maskers,
            running=RunningAttempts(store, owner=this_process(os.getpid())),
            environ={"PATH": os.environ["PATH"]},
            clock=clock,
        )
        pool = LocalPool(worker.execute, max_workers=2)
        engine = WorkflowEngine(
            store=store,
            pool=pool,
            worker=worker,
            resolver=resolver,
            maskers=maskers,
            outputs=outputs,
            observer=lambda _: None,
            clock=clock,
            max_parallel=2,
            reads_secrets=True,
            environ={},
        )
        begun = time.monotonic()
        row = engine.run(load_workflow(tmp_path / "w.yaml", catalog=catalog()), {})
        pool.close()
        writer.close()
        assert "SUCCESS" == row.state
        assert 0.3 <= time.monotonic() - begun < 30
        lines = [(line.task_id, line.message) for line in store.log_lines(row.id) if line.stream == "stdout"]
        assert [("a", "one"), ("a", "two"), ("a", "one"), ("a", "two"), ("b", "three")] == lines
        times = [(attempt.created_at, attempt.claimed_at, attempt.finished_at) for attempt in store.attempts(row.id)]
        assert sorted(sum(times, ())) == list(sum(times, ()))
        assert row.created_at <= row.started_at <= row.finished_at


def test_a_steady_clock_follows_a_clock_that_is_ahead_and_none_that_is_behind():
    wall, ticks = [1_000], [0]
    clock = SteadyClock(lambda: wall[0], lambda: ticks[0])
    assert 1_000 == clock()
    wall[0], ticks[0] = 400, 10
    assert 1_010 == clock()
    wall[0], ticks[0] = 5_000, 20
    assert 5_000 == clock()
    ticks[0] = 30
    assert 5_010 == clock()


def test_a_steady_clock_never_goes_back_between_threads():
    clock, seen = SteadyClock(), []
    lock = threading.Lock()

    def look():
        for _ in range(1_000):
            with lock:
                seen.append(clock())

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == seen
