"""Faults to survive, with real processes. A few rounds here; with AUTOKESTRA_SOAK=1 (`make soak`) many.

After each of them: no orphan process, no lost line older than a second, a clear state, and `resume` goes on.
"""

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from e2e.runs import last, processes_of, rows, saved, shell, wait_for

SECONDS = 120
SOAK = os.environ.get("AUTOKESTRA_SOAK") == "1"


@pytest.fixture
def nothing_is_left(workflow) -> Iterator[None]:
    """When the test is over, no process of its tasks is there any more."""
    yield
    wait_for(lambda: not processes_of(workflow), lambda: f"orphans: {processes_of(workflow)}", seconds=15)


# --- kill -9 of the engine, at any moment ---------------------------------------------------------------------------


def chain_of_forty() -> str:
    """Eight rows of five tasks; each writes its id and its own number, and says so on its way."""
    tasks = []
    for row in range(8):
        for column in range(5):
            needs = [f"t{row - 1}_{(column + shift) % 5}" for shift in (0, 1)] if row else []
            script = f'echo "t{row}_{column} $$" >> diary; echo said; sleep 0.0{(row + column) % 4}'
            tasks.append(
                {"id": f"t{row}_{column}", "type": "core/shell.run", "needs": needs, "inputs": {"script": script}}
            )
    return json.dumps({"id": "forty", "tasks": tasks})


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize("seed", range(30 if SOAK else 2))
def test_after_kill_9_at_random_moments_every_task_has_run_and_none_that_had_finished_runs_again(
    workflow, start, seed: int
) -> None:
    chance = random.Random(seed if SOAK else None)
    run = start("run", saved(workflow, chain_of_forty()), "--max-parallel", "4", "--quiet")
    wait_for(lambda: (workflow.user / "diary").exists() or run.poll() is not None, "nothing has started")
    finished: set[str] = set()
    for _ in range(6 if SOAK else 3):
        time.sleep(chance.uniform(0.0, 0.9))
        run.kill()
        run.wait()
        now = {task for (task,) in rows(workflow, "SELECT task_id FROM attempt WHERE state = 'SUCCESS'")}
        assert finished <= now
        finished = now
        if rows(workflow, "SELECT 1 FROM execution WHERE state = 'SUCCESS'"):
            break
        run = start("execution", "resume", "latest", "--max-parallel", "4", "--quiet")
    run.kill()
    run.wait()
    workflow.ok("execution", "resume", "latest", "--quiet", timeout=SECONDS)

    tasks = {task["id"]: task for task in last(workflow)["tasks"]}
    assert {"SUCCESS"} == {task["state"] for task in tasks.values()}
    diary = Counter(line.split()[0] for line in (workflow.user / "diary").read_text().splitlines())
    assert set(tasks) == set(diary)
    for name, task in tasks.items():
        states = [attempt["state"] for attempt in task["attempts"]]
        # One success, the last; every other attempt was lost. None was claimed twice: it would have written twice.
        assert ["LOST"] * (len(states) - 1) + ["SUCCESS"] == states
        assert 1 <= diary[name] <= len(states)
        if len(states) == 1:
            assert 1 == diary[name]
    said = Counter(task for (task,) in rows(workflow, "SELECT DISTINCT task_id FROM log_line WHERE message = 'said'"))
    assert set(tasks) == set(said)


@pytest.mark.usefixtures("nothing_is_left")
def test_a_line_that_is_a_second_old_survives_kill_9(workflow, start) -> None:
    script = 'n=0; while true; do n=$((n+1)); echo "line $n"; echo $n > now; mv now last; sleep 0.01; done'
    run = start("run", saved(workflow, json.dumps({"id": "w", "tasks": [shell("lines", script)]})), "--quiet")
    wait_for((workflow.user / "last").exists, "nothing has started")
    time.sleep(2)
    sure = int((workflow.user / "last").read_text())
    time.sleep(1)
    run.kill()
    run.wait()
    lines = [
        message
        for (message,) in rows(workflow, "SELECT message FROM log_line WHERE stream = 'stdout' ORDER BY sequence")
    ]
    assert [f"line {number}" for number in range(1, sure + 1)] == lines[:sure]


# --- the others -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("nothing_is_left")
def test_kill_9_of_a_child_fails_its_task_and_may_be_tried_again(workflow) -> None:
    script = "[ -e again ] && exit 0; touch again; kill -9 $$"
    tasks = [shell("retried", script, retry={"max": 1, "backoffSeconds": 0}), shell("once", "kill -9 $$")]
    done = workflow("run", saved(workflow, json.dumps({"id": "w", "tasks": tasks})))
    assert 1 == done.returncode
    found = {
        task["id"]: [(attempt["state"], attempt["reason"]) for attempt in task["attempts"]]
        for task in last(workflow)["tasks"]
    }
    assert {"retried": [("FAILED", "signal"), ("SUCCESS", None)], "once": [("FAILED", "signal")]} == found


@pytest.mark.usefixtures("nothing_is_left")
def test_two_resumes_at_once_have_one_winner(workflow, start) -> None:
    run = start("run", saved(workflow, json.dumps({"id": "w", "tasks": [shell("wait", WAIT)]})))
    wait_for((workflow.user / "diary").exists, "nothing has started")
    run.kill()
    run.wait()
    for _ in range(10 if SOAK else 2):
        both = [start("execution", "resume", "latest") for _ in range(2)]
        wait_for(lambda both=both: any(each.poll() is not None for each in both), "nobody has lost")
        loser = next(each for each in both if each.poll() is not None)
        (winner,) = [each for each in both if each is not loser]
        assert 11 == loser.returncode, loser.communicate()
        assert "coordinated by another process" in loser.communicate()[1]
        time.sleep(0.3)
        winner.kill()
        winner.wait()
    (workflow.user / "go").touch()
    workflow.ok("execution", "resume", "latest")


WAIT = "echo begin >> diary; until [ -e go ]; do sleep 0.02; done; echo end >> diary"


@pytest.mark.skipif(not SOAK, reason="waits for a lease of 15 s: make soak")
@pytest.mark.usefixtures("nothing_is_left")
def test_an_engine_that_was_stopped_beyond_its_lease_gives_up_when_it_wakes(workflow, start) -> None:
    run = start("run", saved(workflow, json.dumps({"id": "w", "tasks": [shell("wait", WAIT)]})))
    wait_for((workflow.user / "diary").exists, "nothing has started")
    run.send_signal(signal.SIGSTOP)
    time.sleep(17)
    other = start("execution", "resume", "latest")
    wait_for(lambda: (workflow.user / "diary").read_text() == "begin\nbegin\n", "the other did not start")
    run.send_signal(signal.SIGCONT)
    errors = run.communicate(timeout=SECONDS)[1]
    assert 11 == run.returncode
    assert "was taken over by another process" in errors
    (workflow.user / "go").touch()
    assert 0 == other.wait(SECONDS), other.communicate()
    assert "begin\nbegin\nend\n" == (workflow.user / "diary").read_text()
    assert "SUCCESS" == last(workflow)["state"]


@pytest.mark.usefixtures("nothing_is_left")
def test_a_state_database_that_is_locked_for_a_while_delays_and_loses_nothing(workflow, start) -> None:
    tasks = [shell(f"t{number}", f"echo {number} >> diary; echo said {number}") for number in range(8)]
    run = start("run", saved(workflow, json.dumps({"id": "w", "tasks": tasks})), "--max-parallel", "2")
    wait_for((workflow.user / "diary").exists, "nothing has started")
    db = sqlite3.connect(workflow.home / "state.db", timeout=30, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    time.sleep(20 if SOAK else 3)
    assert run.poll() is None
    db.execute("ROLLBACK")
    db.close()
    assert 0 == run.wait(SECONDS), run.communicate()
    assert 8 == len((workflow.user / "diary").read_text().split())
    assert 8 == len(rows(workflow, "SELECT 1 FROM log_line WHERE message LIKE 'said%'"))
    assert {1} == {len(task["attempts"]) for task in last(workflow)["tasks"]}


def can_mount() -> bool:
    if sys.platform != "linux" or not shutil.which("unshare"):
        return False
    return subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_mount(), reason="no user namespaces here")
@pytest.mark.usefixtures("nothing_is_left")
def test_a_full_disk_in_the_middle_of_a_log_ends_the_run_in_plain_words_and_can_be_resumed(workflow) -> None:
    """The state is on a disk of 2 MB of its own, which is there for the run only and copied away after it."""
    workflow.home.mkdir()
    small = workflow.user / "small"
    small.mkdir()
    script = "echo begin >> diary; [ -e go ] && exit; while true; do head -c 1000 /dev/zero | tr '\\\\0' x; echo; done"
    file = saved(workflow, json.dumps({"id": "w", "tasks": [shell("ok", "printf fine"), shell("loud", script)]}))
    within = f"""
        mount -t tmpfs -o size=2m tmpfs '{small}' &&
        '{workflow.executable}' run '{file}' --quiet --state '{small}/state.db'
        code=$?
        cp '{small}'/state.db* '{workflow.home}'
        exit $code
    """
    run = subprocess.Popen(
        ["unshare", "-rm", "sh", "-c", within],
        env=workflow.environment(),
        cwd=workflow.user,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    errors = run.communicate(timeout=SECONDS)[1]
    assert 8 == run.returncode, errors
    assert "no space left for the state database" in errors
    assert "Traceback" not in errors
    row = last(workflow)
    assert "RUNNING" == row["state"]
    assert "its process is gone" in workflow.ok("execution", "show", "latest")
    (workflow.user / "go").touch()
    workflow.ok("execution", "resume", "latest")
    assert "SUCCESS" == last(workflow)["state"]


# --- tasks that will not behave -------------------------------------------------------------------------------------

SIZE = 1_000_000_000 if SOAK else 20_000_000
LINES = 2_000_000 if SOAK else 100_000
BAD_MANNERS = {
    "ignores-sigterm": ("trap '' TERM; while true; do sleep 0.05; done", "timeout"),
    "forks": ("for n in $(seq 500); do (trap '' TERM; setsid sleep 300) & done; exec sleep 300", "timeout"),
    "closes-its-pipes": ("exec >&- 2>&-; sleep 300", "timeout"),
}


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize("name", BAD_MANNERS)
def test_what_will_not_end_is_ended_with_all_it_has_started(workflow, name: str) -> None:
    script, reason = BAD_MANNERS[name]
    tasks = [shell("bad", script, timeout="2s"), shell("other", "echo fine")]
    begun = time.monotonic()
    assert 1 == workflow("run", saved(workflow, json.dumps({"id": "w", "tasks": tasks})), timeout=SECONDS).returncode
    assert time.monotonic() - begun < 60
    found = {task["id"]: (task["state"], task["reason"]) for task in last(workflow)["tasks"]}
    assert {"bad": ("FAILED", reason), "other": ("SUCCESS", None)} == found


@pytest.mark.usefixtures("nothing_is_left")
def test_a_gigabyte_without_a_line_end_nuls_and_millions_of_lines_are_logged_in_bounds(workflow) -> None:
    tasks = [
        shell("endless", f"head -c {SIZE} /dev/zero | tr '\\0' x"),
        shell("nuls", "printf 'a\\0b\\377\\376c\\n\\0\\n'"),
        shell("lines", f"seq {LINES}"),
    ]
    workflow.ok("run", saved(workflow, json.dumps({"id": "w", "tasks": tasks})), "--quiet", timeout=SECONDS * 3)
    assert [("a\0b��c",), ("\0",)] == rows(
        workflow, "SELECT message FROM log_line WHERE task_id = 'nuls' AND stream = 'stdout' ORDER BY sequence"
    )
    (kept,) = rows(
        workflow, "SELECT sum(length(message)), max(length(message)) FROM log_line WHERE task_id = 'endless'"
    )
    assert kept[0] <= 68_000_000
    assert kept[1] <= 65_536
    counted = rows(
        workflow,
        "SELECT message FROM log_line WHERE task_id = 'lines' AND stream = 'stdout' ORDER BY sequence LIMIT 100000",
    )
    assert [str(number) for number in range(1, 100_001)] == [message for (message,) in counted]
