"""What decides about tasks besides their needs: conditions, lists, failures of others, other executions, and people."""

import signal
import sqlite3
import time

from e2e.runs import SECONDS, diary, last, saved, wait_for


def ends(workflow) -> dict[str, tuple[str, str | None]]:
    return {task["id"]: (task["state"], task["reason"]) for task in last(workflow)["tasks"]}


# --- when ---------------------------------------------------------------------------------------------------------

CONDITIONS = """\
    id: conditions
    inputs: {day: {default: monday}}
    tasks:
      - id: count
        type: core/shell.run
        inputs: {script: printf 3}
      - id: many
        type: core/shell.run
        needs: [count]
        when: "{{ tasks.count.output.stdout | int > 2 }}"
        inputs: {script: echo many >> diary}
      - id: weekend
        type: core/shell.run
        when: "{{ inputs.day in ['saturday', 'sunday'] }}"
        inputs: {script: echo weekend >> diary}
      - id: after
        type: core/shell.run
        needs: [weekend]
        inputs: {script: echo after >> diary}
      - id: never
        type: core/shell.run
        when: false
        inputs: {script: echo never >> diary}
"""


def test_a_task_whose_condition_is_false_is_skipped_and_so_is_what_needs_it(workflow) -> None:
    file = saved(workflow, CONDITIONS)
    workflow.ok("run", file)
    assert {
        "count": ("SUCCESS", None),
        "many": ("SUCCESS", None),
        "weekend": ("SKIPPED", "condition"),
        "after": ("SKIPPED", "upstream"),
        "never": ("SKIPPED", "condition"),
    } == ends(workflow)
    workflow.ok("run", file, "-i", "day=sunday")
    assert ["after", "many", "many", "weekend"] == sorted(diary(workflow))


def test_a_condition_that_is_neither_true_nor_false_fails_its_task_in_plain_words(workflow) -> None:
    file = saved(
        workflow,
        """\
        id: text
        inputs: {day: {default: monday}}
        tasks:
          - id: day
            type: core/shell.run
            when: "{{ inputs.day }}"
            inputs: {script: echo}
        """,
    )
    assert 1 == workflow("run", file).returncode
    assert {"day": ("FAILED", "bad-condition")} == ends(workflow)
    assert "'when' gives text, expected true or false" in workflow.ok("execution", "show", "latest")


# --- forEach ------------------------------------------------------------------------------------------------------

ITEMS = """\
    id: items
    tasks:
      - id: find
        type: core/python.run
        inputs: {script: "output = {'files': ['a', 'b', 'c']}"}
      - id: size
        type: core/shell.run
        needs: [find]
        forEach: "{{ tasks.find.output.files }}"
        maxParallel: 2
        env: {FILE: "{{ item }}"}
        inputs: {script: 'echo "{{ index }} $FILE" >> diary; printf "$FILE"; [ -e good ] || [ "$FILE" != b ]'}
      - id: sum
        type: core/python.run
        needs: [size]
        inputs:
          script: |
            output = [each and each["stdout"] for each in inputs["sizes"]]
          inputs: {sizes: "{{ tasks.size.output }}"}
"""


def output_of(workflow, task: str) -> object:
    found = {each["id"]: each for each in last(workflow)["tasks"]}
    return found[task]["attempts"][-1]["output"]


def test_a_task_runs_once_for_each_item_and_its_output_is_the_list_of_theirs_in_order(workflow) -> None:
    (workflow.user / "good").touch()
    workflow.ok("run", saved(workflow, ITEMS))
    assert ["0 a", "1 b", "2 c"] == sorted(diary(workflow))
    assert ["a", "b", "c"] == output_of(workflow, "sum")
    assert {"SUCCESS"} == {state for state, _ in ends(workflow).values()}
    assert ["find", "size", "size[0]", "size[1]", "size[2]", "sum"] == [task["id"] for task in last(workflow)["tasks"]]


def test_a_failed_item_fails_the_task_after_the_others_and_resume_runs_only_what_is_left(workflow) -> None:
    file = saved(workflow, ITEMS)
    done = workflow("run", file)
    assert 1 == done.returncode
    assert ["0 a", "1 b", "2 c"] == sorted(diary(workflow))
    found = ends(workflow)
    assert (("FAILED", "items"), ("FAILED", "exit-code"), ("SUCCESS", None)) == (
        found["size"],
        found["size[1]"],
        found["size[2]"],
    )
    assert ("SKIPPED", "upstream") == found["sum"]
    assert "1 of 3 items did not succeed" in workflow.ok("execution", "show", "latest")
    (workflow.user / "good").touch()
    workflow.ok("execution", "resume", "latest")
    assert ["0 a", "1 b", "1 b", "2 c"] == sorted(diary(workflow))
    assert ["a", "b", "c"] == output_of(workflow, "sum")


def test_with_continue_on_error_a_failed_item_leaves_a_gap_in_the_list(workflow) -> None:
    text = ITEMS.replace("maxParallel: 2", "continueOnError: true")
    workflow.ok("run", saved(workflow, text))
    assert ["a", None, "c"] == output_of(workflow, "sum")
    assert ("FAILED", "items") == ends(workflow)["size"]


def test_no_more_items_than_allowed_run_at_once(workflow) -> None:
    file = saved(
        workflow,
        """\
        id: narrow
        tasks:
          - id: t
            type: core/shell.run
            forEach: [1, 2, 3, 4, 5]
            maxParallel: 1
            inputs: {script: "echo begin {{ item }} >> diary; sleep 0.05; echo end {{ item }} >> diary"}
          - id: nothing
            type: core/shell.run
            forEach: []
            inputs: {script: touch never}
        """,
    )
    workflow.ok("run", file, "--max-parallel", "4")
    assert [f"{word} {number}" for number in range(1, 6) for word in ("begin", "end")] == diary(workflow)
    assert ("SUCCESS", None) == ends(workflow)["nothing"]


def test_a_secret_in_an_item_is_masked_and_kept_sealed(workflow) -> None:
    workflow.ok("secrets", "set", "TOKEN", input="tok-7d1f5a93")
    file = saved(
        workflow,
        """\
        id: sealed
        secrets: [TOKEN]
        tasks:
          - id: make
            type: core/python.run
            inputs: {script: "output = [inputs['token'] + '-x', 'other']", inputs: {token: "{{ secrets.TOKEN }}"}}
          - id: use
            type: core/shell.run
            needs: [make]
            forEach: "{{ tasks.make.output }}"
            env: {ITEM: "{{ item }}"}
            inputs: {script: 'echo "got $ITEM"; echo "$ITEM" >> diary'}
        """,
    )
    said = workflow.ok("run", file)
    assert ["other", "tok-7d1f5a93-x"] == sorted(diary(workflow))
    assert "[use[0]] got ***SECRET***-x" in said
    for path in (found for found in workflow.home.rglob("*") if found.is_file()):
        assert b"tok-7d1f5a93" not in path.read_bytes(), path


# --- onFailure ----------------------------------------------------------------------------------------------------

ALERT = """\
    id: alert
    TIMEOUT
    tasks:
      - id: bad
        type: core/shell.run
        inputs: {script: "echo bad >> diary; BAD"}
      - id: slow
        type: core/shell.run
        inputs: {script: "sleep 0.2; echo slow >> diary"}
      - id: after
        type: core/shell.run
        needs: [bad]
        inputs: {script: echo after >> diary}
    onFailure:
      - id: tell
        type: core/shell.run
        env: {FAILED: "{{ execution.failed | join(' ') }}", OUT: "{{ tasks.slow.output.stdout | default('-') }}"}
        inputs: {script: 'echo "tell $FAILED" >> diary'}
      - id: more
        type: core/shell.run
        needs: [tell]
        inputs: {script: "echo more >> diary; exit 1"}
"""


def test_after_a_failure_and_after_all_others_on_failure_runs_and_changes_no_result(workflow) -> None:
    done = workflow("run", saved(workflow, ALERT.replace("TIMEOUT", "").replace("BAD", "exit 3")))
    assert 1 == done.returncode
    assert ["bad", "slow", "tell bad", "more"] == diary(workflow)
    assert "task:bad" == last(workflow)["reason"]
    assert ("FAILED", "exit-code") == ends(workflow)["more"]


def test_without_a_failure_on_failure_is_skipped(workflow) -> None:
    workflow.ok("run", saved(workflow, ALERT.replace("TIMEOUT", "").replace("BAD", "true")))
    assert ["after", "bad", "slow"] == sorted(diary(workflow))
    assert {"tell": ("SKIPPED", "no-failure"), "more": ("SKIPPED", "no-failure")} == {
        task: end for task, end in ends(workflow).items() if task in ("tell", "more")
    }


def test_a_timeout_of_the_workflow_is_a_failure_too(workflow) -> None:
    text = ALERT.replace("TIMEOUT", "timeout: 1s").replace("BAD", "exec sleep 60").replace("| default('-')", "")
    text = text.replace(', OUT: "{{ tasks.slow.output.stdout }}"', "")
    begun = time.monotonic()
    assert 1 == workflow("run", saved(workflow, text)).returncode
    assert time.monotonic() - begun < 20
    assert ["tell bad after", "more"] == diary(workflow)[-2:]
    assert "timeout" == last(workflow)["reason"]


# --- concurrency --------------------------------------------------------------------------------------------------

ALONE = """\
    id: alone
    concurrency: CONCURRENCY
    tasks:
      - id: t
        type: core/shell.run
        inputs: {script: "echo begin >> diary; until [ -e go ]; do sleep 0.02; done; echo end >> diary"}
"""


def row_states(workflow) -> list[tuple[str, str | None]]:
    with sqlite3.connect(workflow.home / "state.db") as db:
        rows = db.execute("SELECT state, reason FROM execution ORDER BY created_at").fetchall()
    db.close()
    return rows


def test_a_second_execution_waits_for_its_turn(workflow, start) -> None:
    file = saved(workflow, ALONE.replace("CONCURRENCY", "1"))
    first = start("run", file)
    wait_for(lambda: diary(workflow), "the first did not start")
    second = start("run", file)
    assert second.stderr.readline().startswith("waiting: execution ")
    assert [("RUNNING", None), ("PENDING", "concurrency")] == row_states(workflow)
    assert {"t": ("WAITING", "concurrency")} == ends(workflow)
    (workflow.user / "go").touch()
    assert (0, 0) == (first.wait(SECONDS), second.wait(SECONDS))
    assert ["begin", "end", "begin", "end"] == diary(workflow)


def test_one_that_is_not_to_wait_fails_with_a_conflict(workflow, start) -> None:
    file = saved(workflow, ALONE.replace("CONCURRENCY", "{max: 1, onBusy: fail}"))
    first = start("run", file)
    wait_for(lambda: diary(workflow), "the first did not start")
    done = workflow("run", file)
    assert 11 == done.returncode
    assert "is under way, and one may run at once" in done.stderr
    assert ("FAILED", "concurrency") == (last(workflow)["state"], last(workflow)["reason"])
    (workflow.user / "go").touch()
    assert 0 == first.wait(SECONDS)


def test_one_that_waits_can_be_cancelled_and_nobody_waits_for_the_dead(workflow, start) -> None:
    file = saved(workflow, ALONE.replace("CONCURRENCY", "1"))
    first = start("run", file)
    wait_for(lambda: diary(workflow), "the first did not start")
    second = start("run", file)
    second.stderr.readline()
    workflow.ok("execution", "cancel", "latest")
    assert 10 == second.wait(SECONDS)
    first.send_signal(signal.SIGKILL)
    first.wait()
    (workflow.user / "go").touch()
    workflow.ok("run", file)


# --- resume --from ------------------------------------------------------------------------------------------------


def test_resume_from_a_task_runs_it_and_all_that_needs_it_again(workflow) -> None:
    tasks = "".join(
        f"""
  - id: {task}
    type: core/shell.run
    needs: [{needs}]
    inputs: {{script: "echo {task} >> diary"}}"""
        for task, needs in (("a", ""), ("b", "a"), ("c", "b"), ("d", "a"))
    )
    workflow.ok("run", saved(workflow, f"id: again\ntasks:{tasks}\n"))
    workflow.ok("execution", "resume", "latest", "--from", "b")
    assert ["a", "b", "c", "d"] == sorted(diary(workflow)[:4])
    assert ["b", "c"] == diary(workflow)[4:]
    said = workflow.fails("execution", "resume", "latest", "--from", "e", code=2)
    assert "the workflow has no task 'e'" == said
    assert "SUCCESS" == last(workflow)["state"]


def test_resume_from_a_task_with_items_looks_at_its_list_again(workflow) -> None:
    (workflow.user / "good").touch()
    workflow.ok("run", saved(workflow, ITEMS))
    workflow.ok("execution", "resume", "latest", "--from", "size")
    assert ["0 a", "0 a", "1 b", "1 b", "2 c", "2 c"] == sorted(diary(workflow))
    assert ["a", "b", "c"] == output_of(workflow, "sum")
