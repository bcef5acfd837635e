"""Each process of a cluster is killed in turn, in the middle of twelve tasks on two workers.

Whatever dies: every task has its result, none that had finished runs again, nothing of a dead one lives on.
"""

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from servers.cluster import ClusterWorker, Scheduler, wait_until
from servers.postgresql import PostgresServer

TASKS = [f"t{number:02}" for number in range(12)]
SECONDS = 120


def twelve(pause: str = "0.7", retries: int = 0) -> str:
    """Twelve tasks without needs, each of which says when it begins and when it has done its work."""
    lines = ["id: twelve", "tasks:"]
    for task in TASKS:
        script = f"echo begun {task} >> effects; sleep {pause}; echo done {task} >> effects; echo it is {task}"
        lines.append(
            f"  - {{id: {task}, type: core/shell.run, inputs: {{script: '{script}'}}, retry: {{max: {retries}, backoffSeconds: 0}}}}"
        )
    return "\n".join(lines) + "\n"


class Run:
    """Two workers, and a coordinator that has begun with the twelve tasks."""

    def __init__(self, workflow, url: str, directory: Path, stack: ExitStack) -> None:
        self.workflow = workflow
        self.directory = directory
        self.stack = stack
        self.env = {"AUTOKESTRA_STATE": url}
        self.effects = workflow.user / "effects"
        self.effects.touch()
        self.scheduler = Scheduler(directory)
        stack.callback(self.scheduler.stop)
        self.workers = [self.worker(number) for number in range(2)]
        for worker in self.workers:
            worker.joined()

    def worker(self, number: int) -> ClusterWorker:
        worker = ClusterWorker(
            [str(self.workflow.executable)],
            "--slots",
            "1",
            pool=self.scheduler.url,
            env=self.workflow.environment(self.env),
            directory=self.directory,
            name=f"worker{number}",
        )
        self.stack.callback(worker.stop)
        return worker

    def coordinate(self, *command: str) -> "subprocess.Popen[bytes]":
        """Start a coordinator; what it prints goes to a file."""
        with (self.directory / "coordinator.log").open("ab") as log:
            process = subprocess.Popen(
                [str(self.workflow.executable), *command, "--pool", self.scheduler.url],
                env=self.workflow.environment(self.env),
                cwd=self.workflow.user,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.stack.callback(process.kill)
        return process

    def begin(self, text: str) -> "subprocess.Popen[bytes]":
        """Start the run; return when four tasks are done and two are under way."""
        (self.workflow.user / "twelve.yaml").write_text(text)
        process = self.coordinate("run", "twelve.yaml")
        wait_until(lambda: self.count("done") >= 4 and self.count("begun") > self.count("done"), self.log, SECONDS)
        return process

    def log(self) -> str:
        parts = [(self.directory / "coordinator.log").read_text(), self.scheduler.log, *(w.log for w in self.workers)]
        return "\n---\n".join(parts)

    def count(self, what: str) -> int:
        return self.effects.read_text().count(what)

    def said(self, what: str) -> Counter[str]:
        words = [line.split() for line in self.effects.read_text().splitlines()]
        return Counter(task for word, task in words if word == what)

    def row(self) -> dict:
        return json.loads(self.workflow.ok("execution", "show", "latest", "--json", env=self.env))

    def check(self, *, twice: int = 0) -> None:
        """All twelve have their result; at most `twice` of them began a second time, none finished one."""
        row = self.row()
        assert ("SUCCESS", ["SUCCESS"] * 12) == (row["state"], [task["state"] for task in row["tasks"]]), self.log()
        assert dict.fromkeys(TASKS, 1) == self.said("done"), self.log()
        begun = self.said("begun")
        assert set(TASKS) == set(begun)
        assert sum(begun.values()) - 12 <= twice, self.log()
        for task in row["tasks"]:
            assert ["SUCCESS"] == [each["state"] for each in task["attempts"] if each["state"] != "LOST"]
            assert f"it is {task['id']}\n" == task["attempts"][-1]["output"]["stdout"]
            log = self.workflow.ok("execution", "logs", "latest", "--task", task["id"], env=self.env)
            assert f"[{task['id']}] it is {task['id']}" in log

    def children(self) -> list[int]:
        """Return the processes of tasks: what sleeps in the name of a script of ours."""
        mark = f"HOME={self.workflow.user}\0".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if (path / "comm").read_text().strip() == "sleep" and mark in (path / "environ").read_bytes():
                    found.append(int(path.name))
            except OSError:
                continue
        return found


@contextmanager
def running(workflow, url: str, directory: Path) -> Iterator[Run]:
    with ExitStack() as stack:
        run = Run(workflow, url, directory, stack)
        yield run
    wait_until(lambda: not run.children(), lambda: f"orphans: {run.children()}", 15)


@pytest.fixture
def run(workflow, postgres_url, tmp_path: Path) -> Iterator[Run]:
    with running(workflow, postgres_url, tmp_path) as made:
        yield made


@pytest.mark.parametrize("whole", [False, True], ids=["process", "with its supervisor"])
def test_a_worker_is_killed(run, whole: bool) -> None:
    coordinator = run.begin(twelve(retries=1))
    victim = run.workers[0]
    if whole:
        victim.kill()
    else:
        os.kill(victim.child, signal.SIGKILL)
    assert 0 == coordinator.wait(SECONDS), run.log()
    run.check(twice=1)
    if not whole:
        victim.joined(2)
        assert "the worker was killed by signal 9: starting it again" in victim.log


def test_a_killed_workers_task_fails_where_no_retries_are_allowed(run) -> None:
    """Whether it has had its effect cannot be known, and nobody said that it may have it twice."""
    coordinator = run.begin(twelve(pause="1.5"))
    os.kill(run.workers[0].child, signal.SIGKILL)
    assert 1 == coordinator.wait(SECONDS), run.log()
    row = run.row()
    assert {"SUCCESS": 11, "FAILED": 1} == Counter(task["state"] for task in row["tasks"])
    assert ["lost"] == [task["reason"] for task in row["tasks"] if task["state"] == "FAILED"]
    assert max(run.said("begun").values()) == 1
    coordinator = run.coordinate("execution", "resume", "latest")
    assert 0 == coordinator.wait(SECONDS), run.log()
    run.check(twice=1)


def test_a_worker_that_is_asked_to_stop_ends_what_it_runs(run) -> None:
    coordinator = run.begin(twelve(pause="1.5"))
    run.workers[0].process.terminate()
    assert 0 == run.workers[0].process.wait(60), run.log()
    assert 0 == coordinator.wait(SECONDS), run.log()
    run.check()
    assert "stopping: running tasks are waited for" in run.workers[0].log


def test_the_scheduler_is_killed_and_comes_back(run) -> None:
    coordinator = run.begin(twelve())
    run.scheduler.kill()
    time.sleep(1.5)
    run.scheduler.start()
    assert 0 == coordinator.wait(SECONDS), run.log()
    run.check()


def test_the_coordinator_is_killed_and_another_goes_on(run) -> None:
    """What the workers have taken with them is waited for: no task begins twice."""
    coordinator = run.begin(twelve(pause="1.5"))
    coordinator.kill()
    coordinator.wait()
    assert 0 == run.coordinate("execution", "resume", "latest").wait(SECONDS), run.log()
    run.check()


TALK = """\
id: talk
tasks:
  - id: slow
    type: core/shell.run
    inputs: {script: 'echo begun slow >> effects; n=0; until [ -e go ]; do n=$((n+1)); echo tick $n; sleep 0.2; done; echo over'}
  - {id: trips, type: core/shell.run, inputs: {script: 'until [ -e go ]; do sleep 0.2; done; [ -e again ] || { touch again; exit 3; }'}}
  - {id: after, type: core/shell.run, needs: [slow, trips], inputs: {script: echo last}}
"""


def left_alone(run: Run) -> None:
    """Run what talks on two workers, and kill its coordinator."""
    (run.workflow.user / "talk.yaml").write_text(TALK)
    coordinator = run.coordinate("run", "talk.yaml")
    wait_until(lambda: run.count("begun") == 1, run.log)
    coordinator.kill()
    coordinator.wait()
    (run.directory / "coordinator.log").write_text("")


def test_who_follows_sees_what_workers_write_after_the_death_of_their_coordinator(run, start) -> None:
    left_alone(run)
    follower = start("execution", "logs", "latest", "--follow", env=run.env)
    first = follower.stdout.readline()
    assert first.startswith("[slow] tick"), first
    assert "the coordinator of execution" in follower.stderr.readline()
    seen = [follower.stdout.readline() for _ in range(10)]
    assert [f"[slow] tick {number}\n" for number in range(2, 12)] == seen
    shown = run.workflow.ok("execution", "show", "latest", env=run.env)
    assert "its process is gone, workers still run 2 tasks" in shown
    (run.workflow.user / "go").touch()
    rest = follower.stdout.read().splitlines()
    assert "[slow] over" in rest
    assert 0 == follower.wait(SECONDS)
    said = follower.stderr.read()
    assert "nobody is at work on execution" in said
    assert "workflow execution resume" in said
    assert "--pool" in said
    later = run.workflow("execution", "logs", "latest", "--follow", env=run.env)
    assert "--pool URL" in later.stderr, "also to who comes when all is over"
    for command in ("list", "show"):
        options = [] if command == "list" else ["latest"]
        assert "--pool URL" in run.workflow("execution", command, *options, env=run.env).stderr


def test_who_takes_over_shows_what_is_waited_for(run) -> None:
    left_alone(run)
    second = run.coordinate("execution", "resume", "latest")
    shown = run.directory / "coordinator.log"
    wait_until(lambda: shown.read_text().count("[slow] tick") >= 5, run.log)
    (run.workflow.user / "go").touch()
    assert 0 == second.wait(SECONDS), run.log()
    lines = shown.read_text().splitlines()
    told = [line for line in lines if not line.startswith("[slow] tick")]
    assert "waiting for 2 tasks that workers still run" == told[1], lines
    assert told[0].startswith("execution "), lines
    assert {"[slow] started", "[trips] started"} == set(told[2:4]), lines
    assert "[slow] over" in told
    assert [True] == [" after " in line for line in told if line.startswith("[slow] SUCCESS")]
    assert "[trips] attempt 1 failed, another one follows: exited with code 3" in told
    assert "[trips] started (attempt 2)" in told
    assert "[after] last" in told
    assert 1 == run.count("begun"), "it was waited for and not begun again"


def test_the_database_is_killed_and_comes_back(workflow, tmp_path: Path) -> None:
    server = PostgresServer.started({"fsync": "on"})
    try:
        with running(workflow, server.url(), tmp_path) as run:
            coordinator = run.begin(twelve())
            server.kill()
            time.sleep(1)
            server.start()
            assert 0 == coordinator.wait(SECONDS), run.log()
            run.check()
    finally:
        server.stop()


def test_a_worker_that_was_stopped_for_too_long_ends_its_child(run) -> None:
    coordinator = run.begin(twelve(pause="3", retries=1))
    wait_until(lambda: len(run.children()) == 2, run.log)  # one that sleeps between two attempts loses none
    sleeping = run.workers[0].child
    os.kill(sleeping, signal.SIGSTOP)
    try:
        wait_until(lambda: "LOST" in json.dumps(run.row()), run.log, 60)
    finally:
        os.kill(sleeping, signal.SIGCONT)
    assert 0 == coordinator.wait(SECONDS), run.log()
    row = run.row()
    assert "SUCCESS" == row["state"]
    lost = [each for task in row["tasks"] for each in task["attempts"] if each["state"] == "LOST"]
    assert 1 == len(lost)


@pytest.mark.parametrize("how", ["signal", "row"])
def test_a_cancel_reaches_the_children(run, how: str) -> None:
    coordinator = run.begin(twelve(pause="30").replace("sleep 30", "sleep 0.2", 4))
    wait_until(lambda: len(run.children()) == 2, run.log)
    began = time.monotonic()
    if how == "signal":
        coordinator.send_signal(signal.SIGINT)
    else:
        run.workflow.ok("execution", "cancel", "latest", env=run.env)
    assert (130 if how == "signal" else 10) == coordinator.wait(SECONDS), run.log()
    assert [] == run.children()
    assert time.monotonic() - began < 20
    assert "CANCELLED" == run.row()["state"]
    assert 4 == run.count("done")


def test_a_cancel_while_workers_are_waited_for_stops_them_and_is_told_once(run) -> None:
    left_alone(run)
    second = run.coordinate("execution", "resume", "latest")
    shown = run.directory / "coordinator.log"
    wait_until(lambda: shown.read_text().count("[slow] tick") >= 3, run.log)
    run.workflow.ok("execution", "cancel", "latest", env=run.env)
    assert 10 == second.wait(SECONDS), run.log()
    assert [] == run.children()
    lines = shown.read_text().splitlines()
    assert 1 == sum(line.startswith("[slow] CANCELLED") for line in lines), lines
    ticks = run.workflow.ok("execution", "logs", "latest", "--task", "slow", env=run.env).splitlines()
    assert ticks == [line for line in lines if line.startswith("[slow] tick")]
    assert not [line for line in lines if "(attempt 2)" in line], "nothing begins again"
    row = run.row()
    assert [1, 1, 0] == [len(task["attempts"]) for task in row["tasks"]]


def test_items_are_told_of_while_they_are_waited_for_and_when_they_are_stopped(run) -> None:
    (run.workflow.user / "items.yaml").write_text(
        "id: items\ntasks: [{id: each, type: core/shell.run, forEach: [1, 2], "
        "inputs: {script: 'echo begun >> effects; until [ -e go ]; do echo tick; sleep 0.2; done'}}]\n"
    )
    coordinator = run.coordinate("run", "items.yaml")
    wait_until(lambda: run.count("begun") == 2, run.log)
    coordinator.kill()
    coordinator.wait()
    (run.directory / "coordinator.log").write_text("")
    second = run.coordinate("execution", "resume", "latest", "--json")
    shown = run.directory / "coordinator.log"
    wait_until(lambda: shown.read_text().count('"tick"') >= 4, run.log)
    run.workflow.ok("execution", "cancel", "latest", env=run.env)
    assert 10 == second.wait(SECONDS), run.log()
    events = [json.loads(line) for line in shown.read_text().splitlines() if line.startswith("{")]
    states = [(event["task"], event["state"], event["attempt"]) for event in events if event["event"] == "task"]
    for item in ("each[0]", "each[1]"):
        assert [("RUNNING", 1), ("CANCELLED", 1)] == [state[1:] for state in states if state[0] == item]
    assert ("each", "CANCELLED", None) in states
    assert 2 == run.count("begun")
