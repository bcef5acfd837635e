"""Attempts on workers of other processes: one that dies, one that is stopped for too long, one that is told to stop."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from textwrap import dedent

import pytest

from autokestra.actions.registry import catalog, core_actions
from autokestra.app import now
from autokestra.engine import WorkflowEngine
from autokestra.executions.cancel import cancel
from autokestra.executions.store import ExecutionStore
from autokestra.worker.executor import WorkflowTaskExecutor
from autokestra.worker.heartbeat import RunningAttempts
from autokestra.worker.maskers import ExecutionMaskers
from autokestra.worker.outputs import OutputVault
from autokestra.workflow.loader import load_workflow
from autokestra_secrets import SecretResolver

SECONDS = 30

WORKER = """
import sys
sys.path.insert(0, sys.argv[1])
from test_engine_workers import work
work(sys.argv[2])
"""


def work(state):
    """Run the attempt on stdin, in a process of its own that is heard of ten times a second."""
    with ExecutionStore.open(state) as store:
        writer = store.log_writer()
        running = RunningAttempts(
            store,
            ticks=store.leases.now,
            owner=f"{os.uname().nodename}/{boot_id()}/{os.getpid()}/-",
            beat_seconds=0.1,
            poll_seconds=0.05,
            lease_microseconds=700_000,
        )
        executor = WorkflowTaskExecutor(
            SecretResolver(None, environ={}),
            actions=core_actions(),
            rows=store,
            outputs=OutputVault(store, None),
            logs=writer,
            maskers=ExecutionMaskers(),
            running=running,
            environ={"PATH": os.environ["PATH"]},
            clock=now,
        )
        print(executor.execute(sys.stdin.read()))
        writer.close()


def boot_id():
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class Processes:
    """A pool of one process for each attempt. The future of one that was killed never answers, as over a network."""

    def __init__(self, state):
        self.state = state
        self.processes = []

    def submit(self, envelope, tags):
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER, os.path.dirname(__file__), str(self.state)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        future = Future()

        def answer():
            result = process.communicate(envelope)[0]
            if process.returncode == 0:
                future.set_result(result)

        threading.Thread(target=answer, daemon=True).start()
        return future

    def can_run(self, tags):
        return True

    def close(self):
        for process in self.processes:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()


class FarAway:
    """The workers are not in this process: a cancel reaches them by the row only."""

    def cancel(self, execution, task, number):
        pass

    def forget(self, execution):
        pass


@pytest.fixture(params=["sqlite", "postgres"])
def state(request, tmp_path):
    return tmp_path / "state.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")


@pytest.fixture
def store(state):
    with ExecutionStore.open(state) as opened:
        yield opened


@pytest.fixture
def pool(state):
    processes = Processes(state)
    yield processes
    processes.close()


@pytest.fixture
def run(tmp_path, store, pool):
    """Start a workflow in a thread: `run(text)` returns a function that waits for the execution's row."""

    def start(text):
        path = tmp_path / "flow.yaml"
        path.write_text(dedent(text), encoding="utf-8")
        engine = WorkflowEngine(
            store=store,
            pool=pool,
            worker=FarAway(),
            resolver=SecretResolver(None, environ={}),
            maskers=ExecutionMaskers(),
            outputs=OutputVault(store, None),
            observer=lambda _: None,
            clock=now,
            max_parallel=4,
            reads_secrets=False,
            environ={},
        )
        done = []
        thread = threading.Thread(
            target=lambda: done.append(engine.run(load_workflow(path, catalog=catalog()), {})), daemon=True
        )
        thread.start()

        def ended():
            thread.join(SECONDS)
            return done[0]

        return ended

    return start


def wait_for(what, why):
    deadline = time.monotonic() + SECONDS
    while not (found := what()):
        assert time.monotonic() < deadline, why
        time.sleep(0.02)
    return found


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def pids(folder, count):
    file = folder / "pids"
    wait_for(lambda: file.exists() and file.read_text().count("\n") >= count, "the task did not start")
    return [int(line) for line in file.read_text().split()]


def attempts(store):
    return [(each.number, each.state.value, each.reason) for each in store.attempts(store.execution("latest").id)]


WAITS = """\
    id: waits
    tasks:
      - id: wait
        type: core/shell.run
        retry: {max: RETRIES, backoffSeconds: 0}
        inputs: {script: "echo $$ >> pids; until [ -e go ]; do sleep 0.02; done"}
"""


def test_an_attempt_whose_worker_was_killed_is_lost_and_tried_again(tmp_path, store, pool, run):
    ended = run(WAITS.replace("RETRIES", "1"))
    (child,) = pids(tmp_path, 1)
    pool.processes[0].kill()
    wait_for(lambda: not is_alive(child), "the child has outlived its worker")
    pids(tmp_path, 2)
    (tmp_path / "go").touch()
    assert "SUCCESS" == ended().state
    assert [(1, "LOST", "lost"), (2, "SUCCESS", None)] == attempts(store)


def test_without_a_retry_left_a_lost_attempt_fails_its_task(tmp_path, store, pool, run):
    ended = run(WAITS.replace("RETRIES", "0"))
    pids(tmp_path, 1)
    pool.processes[0].kill()
    row = ended()
    assert ("FAILED", "task:wait") == (row.state, row.reason)
    (task,) = store.task_runs(row.id)
    assert ("FAILED", "lost") == (task.state, task.reason)


def test_a_worker_that_was_stopped_for_too_long_kills_its_child_when_it_wakes(tmp_path, store, pool, run):
    ended = run(WAITS.replace("RETRIES", "1"))
    (first,) = pids(tmp_path, 1)
    pool.processes[0].send_signal(signal.SIGSTOP)
    first, second = pids(tmp_path, 2)  # after its lease, the next attempt
    assert is_alive(first)
    pool.processes[0].send_signal(signal.SIGCONT)
    wait_for(lambda: not is_alive(first), "the child of a worker that was given up goes on")
    assert 0 == pool.processes[0].wait(SECONDS)
    assert is_alive(second)
    assert [(1, "LOST", "lost"), (2, "RUNNING", None)] == attempts(store)
    (tmp_path / "go").touch()
    assert "SUCCESS" == ended().state
    lines = [line.message for line in store.log_lines(store.execution("latest").id) if line.level == "error"]
    assert ["this worker was not heard of in time, and the attempt was given up"] == lines


def test_a_cancel_reaches_a_worker_of_another_process_within_a_second(tmp_path, store, pool, run):
    ended = run(WAITS.replace("RETRIES", "1"))
    (child,) = pids(tmp_path, 1)
    begun = time.monotonic()
    cancel(store, store.execution("latest").id, now=now())
    wait_for(lambda: not is_alive(child), "the child goes on")
    assert time.monotonic() - begun < 1.0
    row = ended()
    assert ("CANCELLED", "cancelled") == (row.state, row.reason)
    assert [(1, "CANCELLED", "cancelled")] == attempts(store)
