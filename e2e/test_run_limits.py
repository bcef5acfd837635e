"""What a task may use: as much as it likes of most things, and of none without end."""

import json
import sys

import pytest


def run(workflow, script, *, kind="core/shell.run", code=0, **more):
    path = workflow.user / "flow.yaml"
    path.write_text(json.dumps({"id": "a", "tasks": [{"id": "t", "type": kind, "inputs": {"script": script}, **more}]}))
    done = workflow("run", path, "--json")
    assert code == done.returncode, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def message(events):
    return [event["message"] for event in events if event["event"] == "task"][-1]


def log(events, stream):
    return [event["message"] for event in events if event["event"] == "log" and event["stream"] == stream]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts private memory")
def test_memory_beyond_the_limit_is_refused(workflow):
    script = "inputs.get('x'); bytearray(900 << 20)"
    assert "SUCCESS" == run(workflow, script, kind="core/python.run")[-1]["state"]
    events = run(workflow, script, kind="core/python.run", code=1, limits={"memory": "512MiB"})
    assert "the script raised MemoryError" == message(events)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts private memory")
@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("rows = []\nwhile True: rows.append(str(len(rows)))", "the script raised MemoryError"),
        ("output = 'x' * (30 << 20)", "writing output as JSON took more memory than there is"),
    ],
)
def test_memory_that_is_used_up_shows_nothing_of_the_engine(workflow, script, said):
    events = run(workflow, script, kind="core/python.run", code=1, limits={"memory": "64MiB"})
    assert said == message(events)
    assert "runner.py" not in str(events)


def test_processor_time_beyond_the_limit_ends_the_task(workflow):
    events = run(workflow, "while :; do :; done", code=1, limits={"cpu": "1s"}, timeout="30s")
    assert "killed by SIGXCPU: its processor time (limits.cpu) is used up" == message(events)


def test_a_limit_that_cannot_be_is_an_error_with_its_place(workflow):
    path = workflow.user / "flow.yaml"
    path.write_text(
        "id: a\ntasks:\n- id: t\n  type: core/shell.run\n  inputs: {script: ':'}\n  limits: {memory: 1MiB}\n"
    )
    done = workflow("validate", path)
    assert 3 == done.returncode
    assert ":6:20: expected at least 16777216" in done.stderr


def test_output_beyond_its_limit_is_counted_and_not_kept(workflow):
    events = run(workflow, "seq 100000", maxOutput="64KiB")
    kept = sum(len(line) + 1 for line in log(events, "stdout"))
    assert kept <= 2 * (64 << 10)  # what one read brings is not cut
    assert "more than 65,536 bytes of output: the rest is not kept" in log(events, "system")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has prctl")
def test_children_write_no_core_files(workflow):
    assert ["0"] == log(run(workflow, "ulimit -c"), "stdout")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_engine_fork_server_and_keepers_are_not_dumpable(unprivileged):
    """The kernel gives the files of a process that is not dumpable to root; so here it must be somebody else."""
    script = r"""
for pid in $(ps -U $(id -u) -o pid= -o args= | grep -e '[k]eeper.py' -e '[b]in/workflow run' | sed 's/^ *\([0-9]*\).*/\1/'); do
  stat -c '%u' /proc/$pid/environ 2>/dev/null
done | sort | uniq -c"""
    owners = log(run(unprivileged, script, isolation="none"), "stdout")
    assert owners
    assert all(line.split()[1] == "0" for line in owners)
