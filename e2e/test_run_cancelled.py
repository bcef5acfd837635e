"""`workflow execution cancel`: from another terminal, of what has ended, and of what nobody runs any more."""

import json
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

SECONDS = 60


def saved(workflow, text: str, name: str = "flow.yaml") -> Path:
    path = workflow.user / name
    path.write_text(dedent(text), encoding="utf-8")
    return path


def wait_for(what: Callable[[], object], why: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not what():
        assert time.monotonic() < deadline, why
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def pids(workflow, count: int) -> list[int]:
    file = workflow.user / "pids"
    wait_for(lambda: file.exists() and file.read_text().count("\n") >= count, "the tasks did not start")
    return [int(line) for line in file.read_text().split()]


def last(workflow) -> dict[str, object]:
    return json.loads(workflow.ok("execution", "show", "latest", "--json"))


@pytest.fixture
def start(workflow) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    running = []

    def begin(*arguments: str | Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [workflow.executable, *arguments],
            env=workflow.environment(),
            cwd=workflow.user,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        with process:
            process.kill()


SLEEPER = """\
    id: sleeper
    tasks:
      - id: sleep
        type: core/shell.run
        retry: {max: 3}
        inputs: {script: "echo $$ >> pids; exec sleep 300"}
      - id: after
        type: core/shell.run
        needs: [sleep]
        inputs: {script: touch after}
"""


def test_a_cancel_from_another_terminal_stops_children_within_a_second(workflow, start) -> None:
    run = start("run", saved(workflow, SLEEPER))
    (child,) = pids(workflow, 1)
    cancel = start("execution", "cancel", "latest")
    asked = sqlite3.connect(workflow.home / "state.db")
    wait_for(lambda: asked.execute("SELECT 1 FROM cancel").fetchone(), "nobody has asked")
    begun = time.monotonic()
    wait_for(lambda: not is_alive(child), "the child goes on")
    assert time.monotonic() - begun < 1.0
    asked.close()
    said = cancel.communicate(timeout=SECONDS)[1]
    row = last(workflow)
    assert (0, f"execution {row['id']} is CANCELLED\n") == (cancel.returncode, said)
    output, errors = run.communicate(timeout=SECONDS)
    assert (10, "") == (run.returncode, errors)
    assert output.splitlines()[-2].endswith(": cancelled by: workflow execution cancel")
    assert ("CANCELLED", "cancelled") == (row["state"], row["reason"])
    assert {"sleep": "CANCELLED", "after": "CANCELLED"} == {task["id"]: task["state"] for task in row["tasks"]}
    assert not (workflow.user / "after").exists()


def test_what_has_ended_stays_as_it_is_and_that_is_said(workflow) -> None:
    workflow.ok("init")
    workflow.ok("run", "hello.yaml", "--quiet")
    done = workflow("execution", "cancel", "latest")
    assert (0, "") == (done.returncode, done.stdout)
    assert f"execution {last(workflow)['id']} has ended already: SUCCESS\n" == done.stderr
    assert "SUCCESS" == last(workflow)["state"]


def test_an_execution_whose_process_is_gone_becomes_cancelled_and_can_be_resumed(workflow, start) -> None:
    run = start("run", saved(workflow, SLEEPER.replace("exec sleep 300", "[ -e go ] || exec sleep 300")))
    (child,) = pids(workflow, 1)
    run.send_signal(signal.SIGKILL)
    run.wait()
    wait_for(lambda: not is_alive(child), "the task has outlived the engine")
    workflow.ok("execution", "cancel", "latest", "--quiet")
    row = last(workflow)
    assert ("CANCELLED", "cancelled") == (row["state"], row["reason"])
    assert {"CANCELLED"} == {task["state"] for task in row["tasks"]}
    assert ["LOST"] == [attempt["state"] for attempt in row["tasks"][0]["attempts"]]
    (workflow.user / "go").touch()
    workflow.ok("execution", "resume", "latest")
    assert (workflow.user / "after").exists()


def test_a_cancel_of_nothing_is_a_clear_error(workflow) -> None:
    assert "there is no execution yet" == workflow.fails("execution", "cancel", "latest", code=2)
