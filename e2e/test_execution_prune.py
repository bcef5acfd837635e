"""`workflow execution prune` and `delete`: what goes, what stays, and what is said about it."""

import json
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from e2e.runs import wait_for

QUICK = "id: quick\ntasks: [{id: a, type: core/console.log, inputs: {message: hello}}]\n"
FAILS = "id: fails\ntasks: [{id: a, type: core/shell.run, inputs: {script: exit 3}}]\n"
SEALED = """\
id: sealed
secrets: [TOKEN]
tasks:
  - {id: a, type: core/python.run, inputs: {inputs: {t: "{{ secrets.TOKEN }}"}, script: "output = inputs['t'] * 50"}}
"""
SLOW = """\
id: slow
tasks:
  - id: a
    type: core/shell.run
    inputs: {script: "n=0; until test -e over; do n=$((n + 1)); echo line $n; sleep 0.01; done"}
"""


def saved(workflow, text: str) -> Path:
    path = workflow.user / f"{text.split()[1]}.yaml"
    path.write_text(text)
    return path


def listed(workflow) -> list[dict]:
    return json.loads(workflow.ok("execution", "list", "--json"))


def newest(workflow) -> tuple[str, str]:
    row = listed(workflow)[0]
    return row["workflow"], row["state"]


@pytest.fixture
def ran(workflow):
    quick, fails = saved(workflow, QUICK), saved(workflow, FAILS)
    for _ in range(3):
        workflow.ok("run", quick, "-q")
    assert 1 == workflow("run", fails, "-q").returncode
    return workflow


def test_age_number_and_state_decide(ran) -> None:
    newest, *_, oldest = listed(ran)
    done = ran("execution", "prune", "--older-than", "1d")
    assert (0, "", "removed 0 executions\n") == (done.returncode, done.stdout, done.stderr)
    done = ran("execution", "prune", "--keep-last", "2", "--dry-run")
    assert oldest["id"] in done.stdout
    assert "would remove 1 execution: 1 SUCCESS\n" == done.stderr
    assert 4 == len(listed(ran))
    done = ran("execution", "prune", "--keep-last", "0", "--json")
    assert ["quick"] * 3 == [each["workflow"] for each in json.loads(done.stdout)]
    assert "removed 3 executions: 3 SUCCESS\n" in done.stderr
    assert done.stderr.endswith("1 execution that could be resumed is kept; --failed removes them too\n")
    assert [newest["id"]] == [each["id"] for each in listed(ran)]
    time.sleep(1.1)  # it is to be older than a second
    done = ran("execution", "prune", "--older-than", "1s", "--failed", "--quiet")
    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)
    assert [] == listed(ran)


def test_what_is_named_is_deleted_and_nothing_when_one_is_wrong(ran) -> None:
    first, second, *_ = listed(ran)
    assert "no execution 'zzz'" == ran.fails("execution", "delete", first["id"], "zzz", code=2)
    assert 4 == len(listed(ran))
    done = ran("execution", "delete", first["id"], second["id"])
    assert (0, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith("removed 2 executions: 1 FAILED, 1 SUCCESS\n")
    assert "state.db has " in done.stderr
    assert 2 == len(listed(ran))
    ran.fails("execution", "show", first["id"], code=2)


def test_wrong_arguments_and_a_fresh_machine(workflow, home: Path) -> None:
    assert "prune needs --older-than or --keep-last, or the settings keep_for or keep_last" == workflow.fails(
        "execution", "prune", code=2
    )
    assert "--older-than: expected a duration such as 30s, 5m, 2h or 1d" == workflow.fails(
        "execution", "prune", "--older-than", "month", code=2
    )
    assert [] == json.loads(workflow.ok("execution", "prune", "--older-than", "1d", "--json"))
    assert "there is no execution yet" == workflow.fails("execution", "delete", "latest", code=2)
    workflow.fails("execution", "prune", "--keep-last", "1", "--state", workflow.user / "none.db", code=8)
    assert not home.exists()


def test_a_sealed_output_is_in_no_file_afterwards(workflow, home: Path) -> None:
    workflow.ok("secrets", "set", "TOKEN", "-q", input="tok-canary-4f9c2e7a81b3")
    file = saved(workflow, SEALED)
    for _ in range(3):
        workflow.ok("run", file, "-q")
    rows = sqlite3.connect(home / "state.db").execute("SELECT output_sealed, shown_sealed FROM attempt").fetchall()
    sealed = [value for row in rows for value in row if value]
    assert len(sealed) >= 3

    def left() -> list[bytes]:
        files = [path.read_bytes() for path in home.iterdir() if path.name.startswith("state.db")]
        return [
            value
            for value in sealed
            if any(value[start : start + 16] in data for data in files for start in range(20, len(value) - 16, 16))
        ]

    assert sealed == left()
    workflow.ok("execution", "prune", "--keep-last", "0")
    assert [] == left()


def test_a_run_at_the_same_time_goes_on_and_is_never_removed(ran, start) -> None:
    run = start("run", saved(ran, SLOW), "--quiet")
    wait_for(lambda: ("slow", "RUNNING") == newest(ran), "nothing has started")
    running = listed(ran)[0]
    for _ in range(3):
        ran.ok("execution", "prune", "--keep-last", "0", "--failed")
        ran.ok("run", saved(ran, QUICK), "-q")
    assert f"execution '{running['id']}' is under way" == ran.fails("execution", "delete", running["id"], code=11)
    (ran.user / "over").touch()
    assert ("", "") == run.communicate(timeout=60)
    assert 0 == run.returncode
    logs = ran.ok("execution", "logs", running["id"]).splitlines()
    assert [f"[a] line {number}" for number in range(1, len(logs) + 1)] == logs
    assert len(logs) > 20


def test_one_whose_process_is_gone_goes_with_the_failed_ones(ran, start) -> None:
    run = start("run", saved(ran, SLOW), "--quiet")
    wait_for(lambda: ("slow", "RUNNING") == newest(ran), "nothing has started")
    run.send_signal(signal.SIGKILL)
    run.wait()
    done = ran("execution", "prune", "--keep-last", "0")
    assert "2 executions that could be resumed are kept; --failed removes them too\n" in done.stderr
    assert (
        "removed 2 executions: 1 FAILED, 1 RUNNING\n"
        in ran("execution", "prune", "--keep-last", "0", "--failed").stderr
    )
    assert [] == listed(ran)
