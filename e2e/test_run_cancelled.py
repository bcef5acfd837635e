"""`workflow execution cancel`: from another terminal, of what has ended, and of what nobody runs any more."""

import signal
import sqlite3
import time

from e2e.runs import SECONDS, is_alive, last, pids, saved, wait_for

SLEEPER = """\
    id: sleeper
    isolation: none  # under it process ids would not be those of this machine
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
