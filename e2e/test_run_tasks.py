"""`workflow run`: which task runs when, and what a task that goes wrong does to the others."""

import json
import os
import time

from e2e.runs import is_alive, saved


def states(workflow) -> dict[str, str]:
    row = json.loads(workflow.ok("execution", "show", "latest", "--json"))
    return {task["id"]: task["state"] for task in row["tasks"]}


# --- at the same time, and one after the other --------------------------------------------------------------------


def test_independent_tasks_run_at_the_same_time(workflow) -> None:
    """Each waits for the other, which only ends well when both run."""
    file = saved(
        workflow,
        """\
        id: meet
        tasks:
          - id: left
            type: core/shell.run
            timeout: 60s
            inputs: {script: "touch left; until [ -e right ]; do sleep 0.02; done"}
          - id: right
            type: core/python.run
            timeout: 60s
            inputs:
              script: |
                import pathlib, time
                pathlib.Path("right").touch()
                while not pathlib.Path("left").exists():
                    time.sleep(0.02)
        """,
    )
    workflow.ok("run", file, "--max-parallel", "2")


def test_max_parallel_1_runs_one_task_at_a_time(workflow) -> None:
    tasks = "".join(
        f"""
  - id: t{number}
    type: core/shell.run
    inputs: {{script: "echo begin {number} >> diary; sleep 0.05; echo end {number} >> diary"}}"""
        for number in range(4)
    )
    workflow.ok("run", saved(workflow, f"id: single\ntasks:{tasks}\n"), "--max-parallel", "1")
    expected = "".join(f"begin {number}\nend {number}\n" for number in range(4))
    assert (workflow.user / "diary").read_text() == expected


def test_a_task_gets_what_the_tasks_before_it_made(workflow) -> None:
    file = saved(
        workflow,
        """\
        id: chain
        inputs: {day: {type: string, default: monday}}
        vars: {greeting: good morning}
        tasks:
          - id: last
            type: core/shell.run
            needs: [middle]
            env: {TEXT: "{{ tasks.middle.output.words | length }} {{ tasks.middle.output.words[1] }}"}
            inputs: {script: 'printf "%s" "$TEXT" > result'}
          - id: first
            type: core/shell.run
            env: {TEXT: "{{ vars.greeting }} {{ inputs.day }}"}
            inputs: {script: 'printf "%s" "$TEXT"'}
          - id: middle
            type: core/python.run
            needs: [first]
            inputs:
              inputs: {text: "{{ tasks.first.output.stdout }}"}
              script: 'output = {"words": inputs["text"].split()}'
        """,
    )
    workflow.ok("run", file, "-i", "day=tuesday")
    assert (workflow.user / "result").read_text() == "3 morning"


# --- failures -----------------------------------------------------------------------------------------------------

FAILS = """\
    id: fails
    tasks:
      - id: broken
        type: core/shell.run
        inputs: {script: "echo about to fail; exit 7"}
        LINE
      - id: child
        type: core/shell.run
        needs: [broken]
        env: {OUTPUT: "{{ tasks.broken.output }}"}
        inputs: {script: 'printf "%s" "[$OUTPUT]" > child'}
      - id: grandchild
        type: core/shell.run
        needs: [child]
        inputs: {script: touch grandchild}
      - id: other
        type: core/shell.run
        inputs: {script: touch other}
"""


def test_a_failed_task_skips_its_dependents_and_the_others_go_on(workflow) -> None:
    done = workflow("run", saved(workflow, FAILS.replace("LINE", "")))
    assert done.returncode == 1
    assert {"broken": "FAILED", "child": "SKIPPED", "grandchild": "SKIPPED", "other": "SUCCESS"} == states(workflow)
    assert ["other"] == [name for name in ("child", "grandchild", "other") if (workflow.user / name).exists()]
    assert "[broken] exited with code 7" in done.stdout.splitlines()
    assert done.stdout.splitlines()[-2].startswith("FAILED")
    assert "broken" in done.stdout.splitlines()[-2]


def test_continue_on_error_leaves_the_task_failed_and_the_execution_a_success(workflow) -> None:
    done = workflow("run", saved(workflow, FAILS.replace("LINE", "continueOnError: true")))
    assert done.returncode == 0, done.stdout
    assert {"broken": "FAILED", "child": "SUCCESS", "grandchild": "SUCCESS", "other": "SUCCESS"} == states(workflow)
    assert (workflow.user / "child").read_text() == "[]", "the output of a task that failed is null"


def test_a_retry_succeeds_at_the_second_attempt(workflow) -> None:
    file = saved(
        workflow,
        """\
        id: again
        tasks:
          - id: flaky
            type: core/shell.run
            retry: {max: 2, backoffSeconds: 0.1}
            inputs: {script: "echo try >> tries; [ $(wc -l < tries) -ge 2 ]"}
        """,
    )
    workflow.ok("run", file)
    assert (workflow.user / "tries").read_text() == "try\ntry\n"
    (task,) = json.loads(workflow.ok("execution", "show", "latest", "--json"))["tasks"]
    assert [("FAILED", 1), ("SUCCESS", 0)] == [(item["state"], item["exit_code"] or 0) for item in task["attempts"]]


def test_retries_run_out(workflow) -> None:
    file = saved(
        workflow,
        """\
        id: again
        tasks:
          - id: broken
            type: core/shell.run
            retry: {max: 2, backoffSeconds: 0}
            inputs: {script: "echo try >> tries; exit 3"}
        """,
    )
    assert workflow("run", file).returncode == 1
    assert (workflow.user / "tries").read_text() == "try\n" * 3


def test_a_timeout_kills_a_task_with_everything_that_it_started(workflow) -> None:
    """A shell that ignores SIGTERM, a child, and one that has left the session."""
    file = saved(
        workflow,
        """\
        id: slow
        isolation: none  # under it process ids would not be those of this machine
        tasks:
          - id: stuck
            type: core/shell.run
            timeout: 2s
            inputs:
              script: |
                trap '' TERM
                sleep 300 & echo $! >> pids
                setsid sh -c 'sleep 300 & echo $! >> pids'
                echo $$ >> pids
                while true; do sleep 0.1; done
          - id: after
            type: core/shell.run
            needs: [stuck]
            inputs: {script: touch after}
        """,
    )
    started = time.monotonic()
    done = workflow("run", file)
    assert done.returncode == 1
    assert time.monotonic() - started < 50
    assert {"stuck": "FAILED", "after": "SKIPPED"} == states(workflow)
    assert any(line.startswith("[stuck] FAILED") and "(timeout)" in line for line in done.stdout.splitlines())
    pids = [int(line) for line in (workflow.user / "pids").read_text().split()]
    assert 3 == len(pids)
    assert [] == [pid for pid in pids if is_alive(pid)]


def test_the_workflows_own_timeout_ends_it_as_failed(workflow) -> None:
    file = saved(
        workflow,
        """\
        id: slow
        isolation: none  # under it process ids would not be those of this machine
        timeout: 1s
        tasks:
          - id: stuck
            type: core/shell.run
            inputs: {script: sleep 300}
          - id: after
            type: core/shell.run
            needs: [stuck]
            inputs: {script: touch after}
        """,
    )
    done = workflow("run", file)
    assert done.returncode == 1, done.stdout
    assert {"stuck": "CANCELLED", "after": "CANCELLED"} == states(workflow)
    assert "timeout" in done.stdout.splitlines()[-2]


def test_scripts_that_go_wrong_fail_their_tasks_in_plain_words(workflow) -> None:
    wrong = {
        "output = {1, 2}": "set, which is no JSON value",
        "output = float('nan')": "nan, which JSON cannot hold",
        "raise ValueError('it broke')": "ValueError: it broke",
        "import os; os.kill(os.getpid(), 9)": "killed by SIGKILL",
        "import os; os._exit(0)": "without handing over its output",
        "import sys; sys.exit(5)": "exited with code 5",
        "output = 'x' * 11_000_000": "more than 10,485,760",
        "def f(:": "SyntaxError",
    }
    tasks = [
        {"id": f"t{number}", "type": "core/python.run", "inputs": {"script": script}}
        for number, script in enumerate(wrong)
    ]
    other = {"id": "other", "type": "core/console.log", "inputs": {"message": "all is well"}}
    done = workflow("run", saved(workflow, json.dumps({"id": "wrong", "tasks": [*tasks, other]})))
    assert (1, "") == (done.returncode, done.stderr)
    assert {**{task["id"]: "FAILED" for task in tasks}, "other": "SUCCESS"} == states(workflow)
    shown = json.loads(workflow.ok("execution", "show", "latest", "--json"))["tasks"]
    for task, (script, said) in zip(shown, wrong.items(), strict=False):
        message = task["attempts"][0]["message"]
        assert said in message, script
        assert len(message.splitlines()) == 1, message


def test_garbage_and_a_hundred_megabytes_of_output_fail_nothing_else(workflow) -> None:
    file = saved(
        workflow,
        """\
        id: loud
        tasks:
          - id: loud
            type: core/shell.run
            inputs: {script: "head -c 100000000 /dev/zero | tr '\\\\0' 'x'"}
          - id: garbage
            type: core/shell.run
            inputs: {script: "head -c 100000 /dev/urandom; printf '\\\\377\\\\376 end'"}
          - id: other
            type: core/console.log
            inputs: {message: all is well}
        """,
    )
    done = workflow("run", file, "--quiet")
    assert done.returncode == 0, done.stdout[-2000:]
    log = workflow.ok("execution", "logs", "latest", "--task", "loud").splitlines()
    assert "bytes of output were not kept" in log[-1]
    assert sum(map(len, log)) < 70_000_000
    assert workflow.ok("execution", "logs", "latest", "--task", "garbage").rstrip().endswith(" end")
    assert os.path.getsize(workflow.home / "state.db") < 100_000_000


# --- text that only looks like something --------------------------------------------------------------------------


def test_bash_and_go_templates_reach_the_script_as_they_were_written(workflow) -> None:
    file = saved(
        workflow,
        """\
        id: bash
        tasks:
          - id: bash
            type: core/shell.run
            inputs:
              script: |
                a=(one two three)
                echo "${#a[@]} of ${a[*]} {% not jinja %} {# not a comment #}"
                printf '%s\\n' '{{{{.Names}}'
        """,
    )
    lines = workflow.ok("run", file).splitlines()
    assert "[bash] 3 of one two three {% not jinja %} {# not a comment #}" in lines
    assert "[bash] {{.Names}}" in lines
