"""A workflow within a task, through all that may happen to it: lists, retries, cancels, crashes, its own limit."""

import json
import signal
import time
from pathlib import Path

from e2e.runs import SECONDS, diary, shell, wait_for

CANARY = "canary-0c6e1d9b74"


def calls(task: str, file: str = "sub.yaml", *, given: dict[str, object] | None = None, **more: object):
    return {"id": task, "type": "core/workflow.run", "inputs": {"file": file, "inputs": given or {}}, **more}


def write(workflow, name: str, *tasks: dict[str, object], **top: object) -> Path:
    path: Path = workflow.user / name
    path.write_text(json.dumps({"id": name.partition(".")[0], "tasks": tasks, **top}))
    return path


def ends(workflow, *args: str | Path, code: int = 0) -> str:
    done = workflow(*args, timeout=120)
    assert code == done.returncode, done.stdout + done.stderr
    return str(done.stdout + done.stderr)


def executions(workflow) -> list[tuple[str, str, str | None]]:
    """All executions, the oldest first."""
    rows = json.loads(workflow.ok("execution", "list", "--json"))
    return [(row["workflow"], row["state"], row["reason"]) for row in reversed(rows)]


def shown(workflow, id_: str = "latest") -> dict[str, object]:
    found: dict[str, object] = json.loads(workflow.ok("execution", "show", id_, "--json"))
    return found


# --- one for each item, and after a failure ---------------------------------------------------------------------------


def test_one_runs_for_each_item_and_the_outputs_come_in_order(workflow) -> None:
    square = {
        "id": "square",
        "type": "core/python.run",
        "inputs": {"inputs": {"n": "{{ inputs.n }}"}, "script": "import time; n = inputs['n']; time.sleep((5 - n) / 20); output = n * n"},
    }  # fmt: skip
    write(workflow, "sub.yaml", square, inputs={"n": {"type": "integer"}})
    each = calls("each", given={"n": "{{ item }}"}, forEach=[1, 2, 3, 4], maxParallel=3)
    claim = "{{ tasks.each.output[3].tasks.square.output == 16 and tasks.each.output[0].tasks.square.output == 1 }}"
    check = {"id": "check", "type": "core/assert", "needs": ["each"], "inputs": {"that": claim}}
    ends(workflow, "run", write(workflow, "flow.yaml", each, check))
    assert [("flow", "SUCCESS", None), *[("sub", "SUCCESS", None)] * 4] == executions(workflow)
    rows = json.loads(workflow.ok("execution", "list", "--json"))
    assert {f"each[{number}]" for number in range(4)} == {row["caller"]["task"] for row in rows if row["caller"]}


def test_each_item_is_held_to_the_scope_of_the_caller(workflow) -> None:
    workflow("secrets", "set", "OTHER", input=CANARY)
    write(workflow, "sub.yaml", shell("t", 'echo "$X" | rev', env={"X": "{{ secrets.OTHER }}"}), secrets=["OTHER"])
    each = calls("each", "{{ item }}", forEach=["sub.yaml", "./sub.yaml"])
    text = ends(workflow, "run", write(workflow, "flow.yaml", each), code=1)
    assert 2 == text.count("[each[0]] workflow 'sub' wants the secret 'OTHER'") + text.count(
        "[each[1]] workflow 'sub' wants the secret 'OTHER'"
    )
    assert CANARY[::-1] not in text


def test_one_runs_after_a_failure_and_what_runs_after_its_own_failure_is_held_to_the_scope_too(workflow) -> None:
    write(workflow, "sub.yaml", shell("mend", "echo mended >> diary"))
    path = write(workflow, "flow.yaml", shell("bad", "exit 3"), onFailure=[calls("after")])
    ends(workflow, "run", path, code=1)
    assert ["mended"] == diary(workflow)
    write(workflow, "sub.yaml", shell("bad", "exit 3"), onFailure=[shell("after", "id", isolation="none")])
    text = ends(workflow, "run", write(workflow, "flow.yaml", calls("call")), code=1)
    assert "wants isolation: none, which this task of 'flow' has not" in text


def test_what_a_task_of_it_minted_is_masked_for_the_caller_too(workflow) -> None:
    script = "print('::add-mask::minted-90210'); output = {'token': 'minted-90210'}"
    mint = {"id": "mint", "type": "core/python.run", "inputs": {"script": script}}
    write(workflow, "sub.yaml", mint)
    uses = shell(
        "use", '[ "$T" = minted-90210 ]', needs=["call"], env={"T": "{{ tasks.call.output.tasks.mint.output.token }}"}
    )
    ends(workflow, "run", write(workflow, "flow.yaml", calls("call"), uses))
    flow = json.loads(workflow.ok("execution", "list", "--json"))[-1]["id"]
    text = json.dumps(shown(workflow, flow)) + workflow.ok("execution", "logs", flow)
    assert "minted-90210" not in text
    assert "***SECRET***" in text


# --- stopped ----------------------------------------------------------------------------------------------------------


def test_a_cancel_from_another_terminal_reaches_its_child_within_a_second(workflow, start) -> None:
    write(workflow, "sub.yaml", shell("sleep", "echo $$ > pid; exec sleep 300"))
    run = start("run", write(workflow, "flow.yaml", calls("call"), isolation="none"))
    pid = workflow.user / "pid"
    wait_for(lambda: pid.exists() and pid.read_text().strip(), "nothing has started")
    proc = Path("/proc", pid.read_text().strip())
    flow = json.loads(workflow.ok("execution", "list", "--json"))[-1]["id"]
    begun = time.monotonic()
    cancel = start("execution", "cancel", flow)
    wait_for(lambda: not proc.exists(), "the child goes on")
    assert time.monotonic() - begun < 2.0  # a second, and the start of the command
    assert 0 == cancel.wait(SECONDS)
    assert 10 == run.wait(SECONDS)
    assert [("flow", "CANCELLED", "cancelled"), ("sub", "CANCELLED", "stopped")] == executions(workflow)


def test_one_that_is_cancelled_itself_fails_its_task(workflow, start) -> None:
    write(workflow, "sub.yaml", shell("sleep", "touch begun; exec sleep 300"))
    run = start("run", write(workflow, "flow.yaml", calls("call")))
    wait_for((workflow.user / "begun").exists, "nothing has started")
    newest = json.loads(workflow.ok("execution", "list", "--json"))[0]
    assert "sub" == newest["workflow"]
    ends(workflow, "execution", "cancel", newest["id"])
    assert 1 == run.wait(SECONDS)
    assert [("flow", "FAILED", "task:call"), ("sub", "CANCELLED", "cancelled")] == executions(workflow)


def test_latest_is_what_a_person_has_started_and_not_what_it_calls(workflow, start) -> None:
    write(workflow, "sub.yaml", shell("sleep", "touch begun; exec sleep 300"))
    run = start("run", write(workflow, "flow.yaml", calls("call")))
    wait_for((workflow.user / "begun").exists, "nothing has started")
    ends(workflow, "execution", "cancel", "latest")
    assert 10 == run.wait(SECONDS)
    assert ["CANCELLED", "CANCELLED"] == [state for _, state, _ in executions(workflow)]


def test_ctrl_c_ends_both(workflow, start) -> None:
    write(workflow, "sub.yaml", shell("sleep", "touch begun; exec sleep 300"))
    run = start("run", write(workflow, "flow.yaml", calls("call")))
    wait_for((workflow.user / "begun").exists, "nothing has started")
    run.send_signal(signal.SIGINT)
    assert 130 == run.wait(SECONDS)
    assert [("flow", "CANCELLED", "interrupted"), ("sub", "CANCELLED", "stopped")] == executions(workflow)


# --- taken up again ---------------------------------------------------------------------------------------------------

STEPS = (
    shell("one", "echo one >> diary"),
    shell("two", "echo two >> diary; until [ -e go ]; do sleep 0.05; done", needs=["one"]),
    shell("three", "echo three >> diary", needs=["two"]),
)


def test_after_kill_9_what_had_finished_in_it_stays_finished(workflow, start) -> None:
    write(workflow, "sub.yaml", *STEPS)
    run = start("run", write(workflow, "flow.yaml", calls("call")))
    wait_for(lambda: "two" in diary(workflow), "the second task does not start")
    run.kill()
    run.wait()
    (workflow.user / "go").touch()
    listed = workflow("execution", "list")
    assert 1 == listed.stderr.count("go on with it: workflow execution resume")  # the caller, and not the other too
    flow = json.loads(workflow.ok("execution", "list", "--json"))[-1]["id"]
    ends(workflow, "execution", "resume", flow)
    assert ["one", "two", "two", "three"] == diary(workflow)
    assert [("flow", "SUCCESS", None), ("sub", "SUCCESS", None)] == executions(workflow)


def test_a_further_attempt_goes_on_where_the_one_before_has_failed(workflow) -> None:
    flaky = shell("flaky", "echo flaky >> diary; [ $(grep -c flaky diary) -gt 1 ]", needs=["one"])
    write(workflow, "sub.yaml", STEPS[0], flaky)
    again = calls("call", retry={"max": 1, "backoffSeconds": 0})
    ends(workflow, "run", write(workflow, "flow.yaml", again))
    assert ["one", "flaky", "flaky"] == diary(workflow)
    assert [("flow", "SUCCESS", None), ("sub", "SUCCESS", None)] == executions(workflow)


def test_one_whose_file_has_changed_begins_anew(workflow) -> None:
    write(workflow, "sub.yaml", STEPS[0], shell("bad", "exit 3", needs=["one"]))
    ends(workflow, "run", write(workflow, "flow.yaml", calls("call")), code=1)
    write(workflow, "sub.yaml", STEPS[0], shell("bad", "exit 0", needs=["one"]))
    ends(workflow, "execution", "resume", json.loads(workflow.ok("execution", "list", "--json"))[-1]["id"])
    assert ["one", "one"] == diary(workflow)
    assert ["FAILED", "SUCCESS"] == [state for name, state, _ in executions(workflow) if name == "sub"]


def test_from_a_task_on_means_all_of_it(workflow) -> None:
    write(workflow, "sub.yaml", STEPS[0])
    path = write(workflow, "flow.yaml", calls("call"))
    ends(workflow, "run", path)
    flow = json.loads(workflow.ok("execution", "list", "--json"))[-1]["id"]
    ends(workflow, "execution", "resume", flow, "--from", "call")
    assert ["one", "one"] == diary(workflow)


# --- its own limit of executions at once ------------------------------------------------------------------------------


def test_those_of_a_list_wait_for_each_other(workflow) -> None:
    script = "echo in >> diary; sleep 0.2; echo out >> diary"
    write(workflow, "sub.yaml", shell("t", script), concurrency=1)
    ends(workflow, "run", write(workflow, "flow.yaml", calls("each", forEach=[1, 2, 3])))
    assert ["in", "out"] * 3 == diary(workflow)


def test_one_that_may_not_wait_fails_its_task(workflow) -> None:
    write(workflow, "sub.yaml", shell("t", "sleep 1"), concurrency={"max": 1, "onBusy": "fail"})
    tasks = [calls("a"), shell("pause", "sleep 0.4"), calls("b", needs=["pause"])]
    text = ends(workflow, "run", write(workflow, "flow.yaml", *tasks), code=1)
    assert "of workflow 'sub' is under way, and one may run at once" in text


def test_one_that_would_wait_for_itself_is_refused(workflow) -> None:
    write(workflow, "flow.yaml", calls("again", "flow.yaml"), concurrency=1)
    text = ends(workflow, "run", "flow.yaml", code=1)
    assert "workflow 'flow' runs within itself, and of it only 1 may run at once: it would wait for ever" in text


def test_one_that_waits_can_be_cancelled(workflow, start) -> None:
    write(workflow, "sub.yaml", shell("t", "touch begun; exec sleep 300"), concurrency=1)
    first = start("run", workflow.user / "sub.yaml")
    wait_for((workflow.user / "begun").exists, "nothing has started")
    second = start("run", write(workflow, "flow.yaml", calls("call")))
    wait_for(lambda: 3 == len(executions(workflow)), "the second one does not begin")
    flow = next(row for row in json.loads(workflow.ok("execution", "list", "--json")) if row["workflow"] == "flow")
    ends(workflow, "execution", "cancel", flow["id"])
    assert 10 == second.wait(SECONDS)
    assert first.poll() is None
