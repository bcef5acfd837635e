"""A worker comes back by itself: whatever it needs may be gone just when its supervisor starts its process anew."""

import json
import os
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from servers.cluster import ClusterWorker, Scheduler, wait_until
from servers.postgresql import PostgresServer

WAITS = ": waiting for it"
PASSWORD = "canary-" + secrets.token_urlsafe(12)


class Site:
    """A database of its own that holds secrets and state, a scheduler, and one worker after another."""

    def __init__(self, workflow, directory: Path, stack: ExitStack) -> None:
        self.workflow = workflow
        self.directory = directory
        self.stack = stack
        self.database = PostgresServer.started()
        stack.callback(self.database.stop)
        url = self.database.url()
        self.env = {"AUTOKESTRA_STATE": url, "AUTOKESTRA_STORE": url}
        workflow.ok("secrets", "key", "create", env=self.env)
        workflow.ok("secrets", "set", "API_TOKEN", "-q", input="tok-value-of-this-test", env=self.env)
        self.scheduler = Scheduler(directory)
        stack.callback(self.scheduler.stop)

    def worker(self, *options: str) -> ClusterWorker:
        """Start a worker; `joined()` waits for it."""
        started = ClusterWorker(
            [str(self.workflow.executable)],
            "--slots",
            "1",
            *options,
            pool=self.scheduler.url,
            env=self.workflow.environment(self.env),
            directory=self.directory,
            name="worker",
        )
        self.stack.callback(started.stop)
        return started

    def another_key(self) -> bytes:
        """Return the key file of another store."""
        home = self.directory / "another"
        url = self.database.url(self.database.create_database())
        self.workflow.ok("secrets", "key", "create", env={"AUTOKESTRA_HOME": str(home), "AUTOKESTRA_STORE": url})
        return (home / "secret.key").read_bytes()

    @property
    def left(self) -> list[str]:
        """The directories that workers have made and not removed."""
        return sorted(path.name for path in (self.directory / "worker.temporary").glob("autokestra-worker-*"))


@pytest.fixture
def site(workflow, tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(workflow, tmp_path, stack)


def says(worker: ClusterWorker, words: str, seconds: float = 60) -> None:
    """Return when the worker has said `words`; an end of it is an error."""
    wait_until(lambda: words in worker.log or worker.process.poll() is not None, lambda: worker.log, seconds)
    assert worker.process.poll() is None, worker.log
    assert words in worker.log


def stops(worker: ClusterWorker, number: int = signal.SIGTERM) -> None:
    """Have the worker stop as a terminal or systemd does, all its processes; see that it does so at once."""
    began = time.monotonic()
    os.killpg(worker.process.pid, number)
    assert 0 == worker.process.wait(60), worker.log
    assert time.monotonic() - began < 5, worker.log


def without_database(site: Site) -> ClusterWorker:
    """Return a worker whose process was killed while there was no database."""
    worker = site.worker().joined()
    child = worker.child
    site.database.kill()
    os.kill(child, signal.SIGKILL)
    says(worker, WAITS)
    return worker


def test_a_worker_that_is_killed_without_a_database_waits_for_it(site) -> None:
    worker = without_database(site)
    time.sleep(4)  # it tries again after 1, 2 and 4 seconds
    assert worker.process.poll() is None, worker.log
    site.database.start()
    worker.joined(2)
    assert 1 == worker.log.count(WAITS), worker.log
    assert "cannot reach the secret store postgresql://" in worker.log
    assert "no scheduler" not in worker.log
    os.kill(worker.child, signal.SIGKILL)
    worker.joined(3)
    stops(worker)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_waits_for_a_database_can_be_stopped(site, number: int) -> None:
    worker = without_database(site)
    stops(worker, number)
    assert "error:" not in worker.log
    assert [] == site.left


def test_a_worker_is_back_after_a_long_outage_in_the_middle_of_a_task(site, start) -> None:
    """More than the 30 seconds for which a database that does not answer is bridged."""
    script = "touch begun; until [ -e go ]; do sleep 0.2; done; echo over"
    task = f"{{id: a, type: core/shell.run, inputs: {{script: '{script}'}}, retry: {{max: 1, backoffSeconds: 0}}}}"
    (site.workflow.user / "slow.yaml").write_text(f"id: slow\ntasks: [{task}]\n")
    worker = site.worker().joined()
    pool = ("--pool", site.scheduler.url)
    coordinator = start("run", "slow.yaml", *pool, env=site.env)
    wait_until((site.workflow.user / "begun").exists, lambda: worker.log)
    site.database.kill()
    (site.workflow.user / "go").touch()
    says(worker, "error: ", 90)
    assert 8 == coordinator.wait(90), worker.log
    says(worker, WAITS)
    assert "no scheduler" not in worker.log
    site.database.start()
    worker.joined(2)
    site.workflow.ok("execution", "resume", "latest", *pool, env=site.env)
    row = json.loads(site.workflow.ok("execution", "show", "latest", "--json", env=site.env))
    assert ("SUCCESS", "over\n") == (row["state"], row["tasks"][0]["attempts"][-1]["output"]["stdout"])
    assert "no scheduler" not in worker.log
    stops(worker)


def test_the_first_start_does_not_wait_for_a_database(site) -> None:
    site.database.kill()
    worker = site.worker()
    assert 8 == worker.process.wait(60), worker.log
    assert "error: cannot reach the secret store" in worker.log
    assert WAITS not in worker.log
    assert [] == site.left


@pytest.mark.parametrize("code", [5, 6], ids=["missing", "wrong"])
def test_a_key_that_is_gone_or_another_at_a_new_start_is_final(site, code: int) -> None:
    worker = site.worker().joined()
    key = site.workflow.home / "secret.key"
    if code == 5:
        key.unlink()
    else:
        key.write_bytes(site.another_key())
    os.kill(worker.child, signal.SIGKILL)
    assert code == worker.process.wait(60), worker.log
    assert "joined" in worker.log
    assert WAITS not in worker.log
    assert [] == site.left


def test_a_scheduler_that_is_gone_is_told_once_and_waited_for(site) -> None:
    worker = site.worker().joined()
    site.scheduler.kill()
    says(worker, f"no scheduler at {site.scheduler.url}{WAITS}")
    site.scheduler.start()
    worker.joined(2)
    assert 1 == worker.log.count("no scheduler"), worker.log
    assert "cannot reach" not in worker.log


def test_a_worker_that_waits_for_a_scheduler_can_be_stopped(site) -> None:
    site.scheduler.kill()
    worker = site.worker()
    says(worker, f"no scheduler at {site.scheduler.url}{WAITS}")
    time.sleep(3)  # it is looking for one again, for 10 seconds
    stops(worker)
    assert [] == site.left


def test_ctrl_c_on_a_terminal_waits_for_what_runs(site, start) -> None:
    """There it reaches all processes of the command at once, and is still the first one."""
    script = "touch begun; sleep 4; echo over"
    (site.workflow.user / "slow.yaml").write_text(
        f"id: slow\ntasks: [{{id: a, type: core/shell.run, inputs: {{script: '{script}'}}}}]\n"
    )
    worker = site.worker().joined()
    coordinator = start("run", "slow.yaml", "--pool", site.scheduler.url, env=site.env)
    wait_until((site.workflow.user / "begun").exists, lambda: worker.log)
    os.killpg(worker.process.pid, signal.SIGINT)
    assert 0 == worker.process.wait(60), worker.log
    assert 0 == coordinator.wait(60), worker.log
    assert 1 == worker.log.count("stopping"), worker.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_does_not_wait(site, start, number: int) -> None:
    (site.workflow.user / "slow.yaml").write_text(
        "id: slow\ntasks: [{id: a, type: core/shell.run, inputs: {script: 'touch begun; sleep 60'}}]\n"
    )
    worker = site.worker().joined()
    start("run", "slow.yaml", "--pool", site.scheduler.url, env=site.env)
    wait_until((site.workflow.user / "begun").exists, lambda: worker.log)
    os.killpg(worker.process.pid, number)
    says(worker, "stopping")
    time.sleep(1)
    os.killpg(worker.process.pid, number)
    assert 128 + number == worker.process.wait(10), worker.log
    assert [] == site.left


def test_a_killed_worker_leaves_no_directory(site) -> None:
    worker = site.worker().joined()
    first = site.left
    for times in (2, 3):
        os.kill(worker.child, signal.SIGKILL)
        worker.joined(times)
    assert 1 == len(first) == len(site.left), site.left
    stops(worker)
    assert [] == site.left


@pytest.mark.parametrize(
    "url",
    [f"dask://user:{PASSWORD}@127.0.0.1:1", f"dask://:{PASSWORD}@cluster.example:1"],
    ids=["with a user", "without one"],
)
def test_a_password_in_the_address_of_a_pool_is_not_repeated(workflow, user: Path, url: str) -> None:
    (user / "flow.yaml").write_text("id: f\ntasks: [{id: a, type: core/console.log, inputs: {message: hello}}]\n")
    for command in (["worker"], ["run", "flow.yaml"]):
        done = workflow(*command, "--pool", url)
        assert (2, "") == (done.returncode, done.stdout), done.stderr
        assert PASSWORD not in done.stderr
        assert "user" not in done.stderr
        assert url.rpartition("@")[2] in done.stderr
