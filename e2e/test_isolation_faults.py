"""Tasks that will not behave, under `hidden`: where the kernel ends what they have started, whatever it did to escape."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from e2e.runs import processes_of, rows, running, shell, wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can isolate")

SOAK = os.environ.get("AUTOKESTRA_SOAK") == "1"
SIZE = 1_000_000_000 if SOAK else 20_000_000  # bytes without a line end
LINES = 2_000_000 if SOAK else 100_000


def run(
    workflow, *tasks: dict[str, object], code: int = 0, **top: object
) -> dict[str, tuple[str, str | None, str | None]]:
    """Run the tasks under `hidden`; return state, reason and message of each."""
    path = workflow.user / "flow.yaml"
    path.write_text(json.dumps({"id": "flow", "isolation": "hidden", "tasks": tasks, **top}))
    done = workflow("run", path, "--quiet", timeout=300)
    assert code == done.returncode, done.stdout + done.stderr
    found = json.loads(workflow.ok("execution", "show", "latest", "--json"))["tasks"]
    return {
        task["id"]: (task["state"], task["reason"], (task["attempts"] or [{"message": None}])[-1]["message"])
        for task in found
    }


def log(workflow, task: str, stream: str = "stdout", *, of: str = "latest") -> list[str]:
    lines = json.loads(workflow.ok("execution", "logs", of, "--task", task, "--json"))
    return [line["message"] for line in lines if line["stream"] == stream]


@pytest.fixture
def enclosed(hidden) -> Iterator:
    """The command where `hidden` works; in the end nothing of its tasks is left."""
    yield hidden
    wait_for(lambda: not processes_of(hidden), lambda: f"orphans: {processes_of(hidden)}")


@pytest.fixture
def started(enclosed) -> Iterator:
    """Start the command and go on, deaf to what it says; what still runs in the end is killed."""
    with running(enclosed) as begin:
        yield partial(begin, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


BAD_MANNERS = {
    "ignores SIGTERM": "trap '' TERM; while true; do sleep 0.05; done",
    "forks": "for n in $(seq 500); do (trap '' TERM; setsid sleep 300) & done; exec sleep 300",
    "closes its pipes": "exec >&- 2>&-; sleep 300",
    "stops itself": "kill -STOP $$; sleep 300",
    "stops all that it sees": "trap '' TERM; kill -STOP -1; sleep 300",
}


@pytest.mark.parametrize("name", BAD_MANNERS)
def test_what_will_not_end_is_ended_with_all_it_has_started(enclosed, name: str) -> None:
    begun = time.monotonic()
    found = run(enclosed, shell("bad", BAD_MANNERS[name], timeout="2s"), shell("other", "echo fine"), code=1)
    assert time.monotonic() - begun < 60
    assert ("FAILED", "timeout") == found["bad"][:2]
    assert "SUCCESS" == found["other"][0]


def test_what_it_leaves_running_ends_with_it(enclosed) -> None:
    script = "setsid sh -c 'setsid sleep 300 & setsid sleep 300 &' >/dev/null 2>&1 & echo done"
    begun = time.monotonic()
    assert "SUCCESS" == run(enclosed, shell("t", script))["t"][0]
    assert time.monotonic() - begun < 20
    assert ["done"] == log(enclosed, "t")


def test_a_program_that_is_killed_is_a_failure_and_may_be_tried_again(enclosed) -> None:
    script = "[ -e again ] && exit 0; touch again; setsid sleep 300 & kill -9 $$"
    assert "SUCCESS" == run(enclosed, shell("t", script, retry={"max": 1, "backoffSeconds": 0}))["t"][0]
    (first, _) = json.loads(enclosed.ok("execution", "show", "latest", "--json"))["tasks"][0]["attempts"]
    assert ("FAILED", "signal", 137) == (first["state"], first["reason"], first["exit_code"])


def test_one_that_kills_all_that_it_sees_hits_nobody_else(enclosed) -> None:
    tasks = shell("t", "kill -9 1; kill -9 -1; sleep 10"), shell("other", "sleep 1; echo fine")
    found = run(enclosed, *tasks, code=1)
    assert ("FAILED", "signal") == found["t"][:2]
    assert ["fine"] == log(enclosed, "other")


def test_kill_9_of_bubblewrap_itself_ends_its_task_with_all_of_it(enclosed, started) -> None:
    path = enclosed.user / "flow.yaml"
    path.write_text(json.dumps({"id": "flow", "tasks": [shell("t", "setsid sleep 300 & touch begun; sleep 300")]}))
    engine = started("run", path)
    wait_for((enclosed.user / "begun").exists, "nothing has started")
    (owner,) = {(Path("/proc") / str(pid)).stat().st_uid for pid in processes_of(enclosed) if pid != engine.pid}
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if path.stat().st_uid == owner and (path / "comm").read_text() == "bwrap\n":
                os.kill(int(path.name), signal.SIGKILL)
    assert 1 == engine.wait(30)
    (task,) = json.loads(enclosed.ok("execution", "show", "latest", "--json"))["tasks"]
    assert ("FAILED", "signal") == (task["state"], task["reason"])


def test_a_gigabyte_without_a_line_end_nuls_and_millions_of_lines_are_logged_in_bounds(enclosed) -> None:
    tasks = [
        shell("endless", f"head -c {SIZE} /dev/zero | tr '\\0' x"),
        shell("nuls", "printf 'a\\0b\\377\\376c\\n\\0\\n'"),
        shell("lines", f"seq {LINES}"),
        shell("short", f"head -c {SIZE} /dev/zero | tr '\\0' x", maxOutput="1MiB"),
    ]
    run(enclosed, *tasks)
    assert ["a\0b��c", "\0"] == log(enclosed, "nuls")
    text = "SELECT sum(length(message)), max(length(message)) FROM log_line WHERE stream = 'stdout' AND task_id = "
    (kept,) = rows(enclosed, f"{text} 'endless'")
    assert kept[0] <= 68_000_000
    assert kept[1] <= 65_536
    (kept,) = rows(enclosed, f"{text} 'short'")
    assert kept[0] <= 3 << 20
    counted = rows(
        enclosed, "SELECT message FROM log_line WHERE task_id = 'lines' AND stream = 'stdout' ORDER BY sequence"
    )
    assert [str(number) for number in range(1, 100_001)] == [message for (message,) in counted[:100_000]]
    notices = [line for line in log(enclosed, "short", "system") if "output" in line]
    assert "more than 1,048,576 bytes of output: the rest is not kept" == notices[0]
    assert notices[1].endswith(" bytes of output were not kept")
    assert 2 == len(notices)


# --- lists, failures and workflows within a task ----------------------------------------------------------------------


def test_items_and_what_runs_after_a_failure_are_isolated_and_limited_each(enclosed) -> None:
    look = "ls -A $AT; cat /proc/[0-9]*/cmdline | tr '\\0' ' '; echo; ulimit -t; ulimit -d"
    env = {"AT": str(enclosed.home)}
    limits = {"cpu": "7s", "memory": "64MiB"}
    each = shell("each", look, forEach=[1, 2, 3], env=env, limits=limits)
    after = shell("after", look, env=env, limits=limits)
    run(enclosed, each, shell("bad", "exit 3", needs=["each"]), onFailure=[after], code=1)
    for task in ("each[0]", "each[1]", "each[2]", "after"):
        assert ["isolation: hidden"] == log(enclosed, task, "system"), task
        seen, seconds, memory = log(enclosed, task)
        assert "/workflow" not in seen
        assert "keeper.py" not in seen
        assert ("7", "65536") == (seconds, memory)


def test_an_item_beyond_its_limit_fails_alone(enclosed) -> None:
    each = shell("each", '[ "$N" = 2 ] && while :; do :; done; exit 0', forEach=[1, 2, 3], env={"N": "{{ item }}"})
    found = run(enclosed, {**each, "limits": {"cpu": "1s"}, "timeout": "60s"}, code=1)
    assert ["SUCCESS", "FAILED", "SUCCESS"] == [found[f"each[{number}]"][0] for number in range(3)]
    assert "killed by SIGXCPU: its processor time (limits.cpu) is used up" == found["each[1]"][2]


def test_required_isolation_looks_at_what_runs_after_a_failure_too(enclosed) -> None:
    path = enclosed.user / "flow.yaml"
    tasks = {"tasks": [shell("a", ":")], "onFailure": [shell("b", ":", isolation="none")]}
    path.write_text(json.dumps({"id": "flow", **tasks}))
    error = enclosed.fails("run", path, "--require-isolation", code=9)
    assert "isolation is required, but 'isolation: none' is written" == error


def test_a_workflow_within_a_task_is_isolated_as_its_caller(enclosed) -> None:
    inner = enclosed.user / "sub.yaml"
    inner.write_text(json.dumps({"id": "sub", "tasks": [shell("look", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")]}))
    run(enclosed, {"id": "call", "type": "core/workflow.run", "inputs": {"file": "sub.yaml"}})
    (sub,) = (row["id"] for row in json.loads(enclosed.ok("execution", "list", "--json")) if row["workflow"] == "sub")
    assert ["isolation: hidden"] == log(enclosed, "look", "system", of=sub)
    assert "/workflow" not in "".join(log(enclosed, "look", of=sub))


@pytest.mark.parametrize("signals", [(signal.SIGTERM,), (signal.SIGKILL,)])
def test_a_list_that_is_interrupted_leaves_nothing(enclosed, started, signals: tuple[signal.Signals, ...]) -> None:

    path = enclosed.user / "flow.yaml"
    each = shell(
        "each", "touch $N; setsid sleep 300 & trap '' TERM; sleep 300", forEach=[1, 2, 3], env={"N": "{{ item }}"}
    )
    path.write_text(json.dumps({"id": "flow", "tasks": [each]}))
    engine = started("run", path)
    wait_for(lambda: all((enclosed.user / str(number)).exists() for number in (1, 2, 3)), "the items do not start")
    for number in signals:
        engine.send_signal(number)
    engine.wait(30)
    wait_for(lambda: not processes_of(enclosed), lambda: f"orphans: {processes_of(enclosed)}")


def test_doctor_says_what_holds(enclosed, workflow) -> None:
    said = {check["name"]: check for check in json.loads(enclosed("doctor", "--json").stdout)}["isolation"]
    assert ("ok", None) == (said["status"], said["fix"])
    assert said["message"].startswith("tasks see neither home and keys nor other processes (")
    if os.geteuid() == 0:
        said = {check["name"]: check for check in json.loads(workflow("doctor", "--json").stdout)}["isolation"]
        assert ("warn", "run workflows as another user") == (said["status"], said["fix"])
