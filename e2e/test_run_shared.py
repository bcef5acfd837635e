"""Executions in PostgreSQL: run here, followed and resumed there, whoever dies meanwhile."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from e2e.runs import SECONDS, wait_for

STEPS = """\
id: steps
tasks:
  - {id: first, type: core/shell.run, inputs: {script: "echo first >> effects; echo one"}}
  - {id: wait, type: core/shell.run, needs: [first], inputs: {script: "echo begun >> effects; echo two; until [ -e go ]; do sleep 0.05; done"}}
  - {id: last, type: core/shell.run, needs: [wait], inputs: {script: "echo last >> effects; echo three"}}
"""


@pytest.fixture
def shared(workflow, postgres_url, user: Path):
    """The command with AUTOKESTRA_STATE set, and a workflow to run."""
    (user / "steps.yaml").write_text(STEPS)
    return lambda *args, **options: workflow(*args, env={"AUTOKESTRA_STATE": postgres_url}, **options)


@pytest.fixture
def start(start, postgres_url):
    """Start a command with the same state without waiting for it: `start("run", "steps.yaml")`."""
    return lambda *args, url=postgres_url, **options: start(*args, env={"AUTOKESTRA_STATE": url}, **options)


def effects(user: Path) -> list[str]:
    file = user / "effects"
    return file.read_text().split() if file.exists() else []


def only_execution(shared) -> dict:
    (row,) = json.loads(shared("execution", "list", "--json").stdout)
    return row


def test_an_execution_is_kept_there_and_nowhere_else(shared, user: Path, home: Path) -> None:
    (user / "go").touch()
    done = shared("run", "steps.yaml")
    assert 0 == done.returncode, done.stderr
    assert ["first", "begun", "last"] == effects(user)
    assert not (home / "state.db").exists()
    assert "SUCCESS" == only_execution(shared)["state"]
    shown = shared("execution", "show", "latest")
    assert "SUCCESS" in shown.stdout
    lines = shared("execution", "logs", "latest").stdout.splitlines()
    assert ["[first] one", "[wait] two", "[last] three"] == lines
    assert lines == shared("execution", "logs", "latest", "--follow").stdout.splitlines()
    assert ["[wait] two"] == shared("execution", "logs", "latest", "-f", "--task", "wait").stdout.splitlines()
    checked = shared("doctor")
    assert "can be reached" in checked.stdout + checked.stderr


def test_a_log_is_followed_while_it_is_written_by_another_process(shared, start, user: Path) -> None:
    run = start("run", "steps.yaml", "--quiet")
    wait_for(lambda: "begun" in effects(user), "the workflow did not begin")
    follower = start("execution", "logs", "latest", "--follow")
    assert ["[first] one\n", "[wait] two\n"] == [follower.stdout.readline() for _ in range(2)]
    assert follower.poll() is None
    (user / "go").touch()
    assert "[last] three\n" == follower.stdout.readline()
    assert (0, "") == (follower.wait(SECONDS), follower.stdout.read())
    assert 0 == run.wait(SECONDS)
    objects = [json.loads(line) for line in shared("execution", "logs", "latest", "-f", "--json").stdout.splitlines()]
    objects = [line for line in objects if line["level"] != "debug"]
    assert [("first", "one"), ("wait", "two"), ("last", "three")] == [
        (line["task"], line["message"]) for line in objects
    ]


def test_of_two_that_take_over_from_a_dead_coordinator_one_wins(shared, start, user: Path) -> None:
    run = start("run", "steps.yaml")
    wait_for(lambda: "begun" in effects(user), "the workflow did not begin")
    busy = shared("execution", "resume", "latest")
    assert 11 == busy.returncode
    assert "is coordinated by another process" in busy.stderr
    run.send_signal(signal.SIGKILL)
    run.wait()
    stopped = shared("execution", "logs", "latest", "--follow")
    assert 0 == stopped.returncode
    assert "nobody is at work on execution" in stopped.stderr
    assert "its process is gone" in shared("execution", "list").stdout
    both = [start("execution", "resume", "latest", "--quiet") for _ in range(2)]
    wait_for(lambda: any(each.poll() is not None for each in both), "neither gave way")
    (user / "go").touch()
    assert [0, 11] == sorted(each.wait(SECONDS) for each in both)
    assert ["first", "begun", "begun", "last"] == effects(user)
    assert "SUCCESS" == only_execution(shared)["state"]


def test_another_machine_takes_over_when_the_lease_is_over_and_not_before(shared, start, user: Path) -> None:
    """Another host name stands for another machine, whose processes cannot be looked at."""
    elsewhere = ("unshare", "--uts", "sh", "-c", 'hostname elsewhere; exec "$@"', "-")
    if subprocess.run([*elsewhere, "true"], capture_output=True, check=False).returncode:
        pytest.skip("a host name of our own is not allowed")
    run = start("run", "steps.yaml", before=elsewhere)
    wait_for(lambda: "begun" in effects(user), "the workflow did not begin")
    run.send_signal(signal.SIGKILL)
    run.wait()
    refused = shared("execution", "resume", "latest")
    assert 11 == refused.returncode
    assert "by another process on elsewhere" in refused.stderr
    (user / "go").touch()
    deadline = time.monotonic() + 30
    while (done := shared("execution", "resume", "latest")).returncode == 11:
        assert time.monotonic() < deadline, "the lease does not end"
        time.sleep(0.5)
    assert 0 == done.returncode, done.stderr
    assert ["first", "begun", "begun", "last"] == effects(user)


def test_a_cancel_from_another_process_stops_it(shared, start, user: Path) -> None:
    run = start("run", "steps.yaml")
    wait_for(lambda: "begun" in effects(user), "the workflow did not begin")
    assert 0 == shared("execution", "cancel", "latest").returncode
    assert 10 == run.wait(SECONDS)
    assert ["first", "begun"] == effects(user)
    assert "CANCELLED" == only_execution(shared)["state"]


def test_a_server_that_is_killed_and_comes_back_interrupts_nothing(workflow, start, user: Path) -> None:
    from servers.postgresql import PostgresServer

    tasks = "".join(
        f'  - {{id: t{n}, type: core/shell.run, inputs: {{script: "echo t{n} >> effects; sleep 0.3; echo said {n}"}}}}\n'
        for n in range(12)
    )
    (user / "many.yaml").write_text(f"id: many\ntasks:\n{tasks}")
    server = PostgresServer.started()
    try:
        run = start("run", "many.yaml", "--max-parallel", "3", "--quiet", url=server.url())
        for _ in range(2):
            before = len(effects(user))
            goal = min(before + 3, 12)
            wait_for(lambda goal=goal: len(effects(user)) >= goal, "the workflow does not go on")
            server.kill()
            time.sleep(0.5)
            server.start()
        assert 0 == run.wait(SECONDS), run.stderr.read()
        assert sorted(f"t{n}" for n in range(12)) == sorted(effects(user))
        env = {"AUTOKESTRA_STATE": server.url()}
        shown = json.loads(workflow.ok("execution", "show", "latest", "--json", env=env))
        assert {("SUCCESS", 1)} == {(task["state"], len(task["attempts"])) for task in shown["tasks"]}
        lines = workflow.ok("execution", "logs", "latest", env=env).splitlines()
        assert sorted(f"[t{n}] said {n}" for n in range(12)) == sorted(lines)
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("url", "code", "says"),
    [
        (
            "postgresql://u:hunter2word@127.0.0.1:9/db",
            8,
            "cannot reach the state database postgresql://u@127.0.0.1:9/db",
        ),
        ("postgresql://u:hunter2@word@127.0.0.1/db", 8, "the PostgreSQL URL is malformed"),
        ("mysql://h/db", 8, "no backend for this kind of address of a state database"),
    ],
)
def test_what_is_wrong_with_a_place_is_said_without_its_password(workflow, user: Path, url, code, says) -> None:
    (user / "steps.yaml").write_text(STEPS)
    for args in (("execution", "list"), ("run", "steps.yaml")):
        done = workflow(*args, env={"AUTOKESTRA_STATE": url})
        assert code == done.returncode
        assert says in done.stderr
        assert "hunter2" not in done.stdout + done.stderr


def test_a_database_without_executions_is_said_so(shared) -> None:
    done = shared("execution", "list")
    assert 8 == done.returncode
    assert "no state database at postgresql://" in done.stderr
    assert "workflow run FILE" in done.stderr
