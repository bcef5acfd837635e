"""What is left when a run is interrupted, terminated or killed, and how `execution resume` goes on from there."""

import signal

import pytest

from e2e.runs import SECONDS, is_alive, last, pids, saved, wait_for

# One process in the task's own session, one that left it, and a task that waits for its turn.
SLEEPERS = """\
    id: sleepers
    isolation: none  # under it process ids would not be those of this machine
    tasks:
      - id: sleep
        type: core/shell.run
        inputs:
          script: |
            setsid sh -c 'sleep 300 & echo $! >> pids'
            echo $$ >> pids
            exec sleep 300
      - id: python
        type: core/python.run
        inputs:
          script: |
            import os, time
            with open("pids", "a") as file:
                print(os.getpid(), file=file)
            time.sleep(300)
      - id: after
        type: core/shell.run
        needs: [sleep]
        inputs: {script: touch after}
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_stops_the_run_and_leaves_no_process(workflow, start, number: signal.Signals, code: int) -> None:
    run = start("run", saved(workflow, SLEEPERS))
    children = pids(workflow, 3)
    assert all(map(is_alive, children))
    run.send_signal(number)
    output, errors = run.communicate(timeout=SECONDS)
    assert code == run.returncode, output + errors
    assert [] == [pid for pid in children if is_alive(pid)]
    assert "Traceback" not in output + errors
    assert {"CANCELLED"} == {task["state"] for task in last(workflow)["tasks"]}
    assert "CANCELLED" == last(workflow)["state"]
    assert not (workflow.user / "after").exists()


def test_a_second_ctrl_c_leaves_at_once(workflow, start) -> None:
    """Even when a task holds on to its last two seconds."""
    file = saved(
        workflow,
        """\
        id: stubborn
        isolation: none  # under it process ids would not be those of this machine
        tasks:
          - id: stubborn
            type: core/shell.run
            inputs: {script: "trap '' TERM; echo $$ >> pids; while true; do sleep 0.05; done"}
        """,
    )
    run = start("run", file)
    (child,) = pids(workflow, 1)
    run.send_signal(signal.SIGINT)
    assert run.stderr.readline().startswith("stopping: ")
    run.send_signal(signal.SIGINT)
    assert 130 == run.wait(timeout=SECONDS)
    wait_for(lambda: not is_alive(child), "the task has outlived the engine")


# `one` is done; `two` and `three` run when the engine is killed, and wait for a file that is there at the second try.
DIARY = """\
    id: diary
    isolation: none  # under it process ids would not be those of this machine
    SECRETS
    tasks:
      - id: one
        type: core/shell.run
        inputs: {script: "echo one >> diary; printf made-by-one"}
      - id: two
        type: core/shell.run
        needs: [one]
        retry: {max: 1, backoffSeconds: 0}
        env: {TEXT: "{{ tasks.one.output.stdout }}"}
        inputs:
          script: |
            echo "two got $TEXT" >> diary
            echo $$ >> pids
            until [ -e go ]; do sleep 0.02; done
      - id: three
        type: core/shell.run
        needs: [one]
        inputs: {script: "echo three >> diary; echo $$ >> pids; until [ -e go ]; do sleep 0.02; done"}
      - id: four
        type: core/shell.run
        needs: [two, three]
        inputs: {script: echo four >> diary}
"""


def test_show_tells_what_is_under_way_from_what_was_left(workflow, start) -> None:
    run = start("run", saved(workflow, DIARY.replace("SECRETS", "")))
    pids(workflow, 2)
    assert ", running for " in workflow.ok("execution", "show", "latest").splitlines()[1]
    run.kill()
    run.wait()
    left = workflow.ok("execution", "show", "latest").splitlines()
    assert left[0].endswith("RUNNING, its process is gone")
    assert ", ran for " in left[1]
    assert left[1].endswith(" or longer")


@pytest.mark.parametrize("secrets", ["", "secrets: [TOKEN]"], ids=["without-secrets", "with-a-store"])
def test_after_kill_9_resume_runs_only_what_had_not_finished(workflow, start, secrets: str) -> None:
    if secrets:  # then outputs are sealed, and must open again
        workflow.ok("secrets", "set", "TOKEN", input="tok-7d1f5a")
    file = saved(workflow, DIARY.replace("SECRETS", secrets))
    run = start("run", file)
    children = pids(workflow, 2)
    run.kill()
    run.wait()
    for child in children:
        wait_for(lambda child=child: not is_alive(child), "a task has outlived the engine")

    row = last(workflow)
    assert "RUNNING" == row["state"]
    assert f"go on with it: workflow execution resume {row['id']}\n" == workflow("execution", "list").stderr
    (workflow.user / "go").touch()
    file.write_text("what the file says now does not matter")
    lines = workflow.ok("execution", "resume", row["id"]).splitlines()
    assert any(line.startswith("SUCCESS") for line in lines)

    diary = (workflow.user / "diary").read_text().splitlines()
    assert ["one", "four"] == [diary[0], diary[-1]]
    assert sorted(["two got made-by-one", "three"] * 2) == sorted(diary[1:-1])
    row = last(workflow)
    assert "SUCCESS" == row["state"]
    assert {"one": ["SUCCESS"], "two": ["LOST", "SUCCESS"], "three": ["LOST", "SUCCESS"], "four": ["SUCCESS"]} == {
        task["id"]: [attempt["state"] for attempt in task["attempts"]] for task in row["tasks"]
    }


def test_resume_after_a_failure_runs_the_failed_task_again_and_what_was_skipped(workflow) -> None:
    file = saved(
        workflow,
        """\
        id: diary
        isolation: none  # under it process ids would not be those of this machine
        tasks:
          - id: one
            type: core/shell.run
            inputs: {script: echo one >> diary}
          - id: two
            type: core/shell.run
            needs: [one]
            inputs: {script: "echo two >> diary; [ -e go ]"}
          - id: three
            type: core/shell.run
            needs: [two]
            inputs: {script: echo three >> diary}
        """,
    )
    assert 1 == workflow("run", file).returncode
    (workflow.user / "go").touch()
    workflow.ok("execution", "resume", "latest")
    assert "one\ntwo\ntwo\nthree\n" == (workflow.user / "diary").read_text()
    again = workflow("execution", "resume", "latest")
    assert (0, "one\ntwo\ntwo\nthree\n") == (again.returncode, (workflow.user / "diary").read_text())


def test_outputs_kept_in_memory_only_are_made_again(workflow, start) -> None:
    """With a secret from the environment and no store there is no key that could seal the output of `one`."""
    file = saved(workflow, DIARY.replace("SECRETS", "secrets: [TOKEN]"))
    run = start("run", file, env={"TOKEN": "tok-7d1f5a"})
    pids(workflow, 2)
    run.kill()
    run.wait()
    (workflow.user / "go").touch()
    workflow.ok("execution", "resume", "latest", env={"TOKEN": "tok-7d1f5a"})
    diary = (workflow.user / "diary").read_text().splitlines()
    assert ["one", "one"] == [line for line in diary if line == "one"]
    assert 2 == diary.count("two got made-by-one")


def test_an_execution_that_somebody_else_runs_is_not_resumed(workflow, start) -> None:
    run = start("run", saved(workflow, SLEEPERS))
    pids(workflow, 3)
    said = workflow.fails("execution", "resume", "latest", code=11)
    assert "is coordinated by another process" in said
    assert run.poll() is None
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=SECONDS)


def test_resume_of_nothing_is_a_clear_error(workflow) -> None:
    assert "there is no execution yet" == workflow.fails("execution", "resume", "latest", code=2)
    workflow.ok("init")
    workflow.ok("run", "hello.yaml", "--quiet")
    assert "nothing-like-it" in workflow.fails("execution", "resume", "nothing-like-it", code=2)
