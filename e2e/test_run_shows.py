"""What the commands around a run show: `init`, `run --json`, `validate`, `execution list | show | logs`."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from e2e.runs import saved


def is_recent(text: str) -> bool:
    """Whether a time in JSON is in UTC and less than ten minutes ago."""
    time = datetime.fromisoformat(text)
    return time.utcoffset() == timedelta(0) and timedelta(0) <= datetime.now(UTC) - time < timedelta(minutes=10)


SECRET = "tok-4f9c2e7a81d35b60"

MIXED = """\
    id: mixed
    description: Something of everything
    inputs: {day: {type: string, default: monday}}
    secrets: [TOKEN]
    tasks:
      - id: greet
        type: core/shell.run
        env: {TOKEN: "{{ secrets.TOKEN }}"}
        inputs: {script: "echo hello $TOKEN; echo on stderr >&2"}
      - id: think
        type: core/python.run
        needs: [greet]
        inputs:
          inputs: {token: "{{ secrets.TOKEN }}"}
          script: 'output = {"answer": 42, "token": inputs["token"]}'
      - id: broken
        type: core/shell.run
        needs: [greet]
        continueOnError: true
        inputs: {script: exit 9}
"""


@pytest.fixture
def ran(workflow) -> dict[str, object]:
    """The JSON of `execution show` after a run of MIXED."""
    workflow.ok("secrets", "set", "TOKEN", input=SECRET)
    workflow.ok("run", saved(workflow, MIXED), "-i", "day=tuesday")
    return json.loads(workflow.ok("execution", "show", "latest", "--json"))


def test_init_writes_a_workflow_that_runs(workflow) -> None:
    done = workflow("init", "jobs/nightly")
    assert (0, "") == (done.returncode, done.stdout)
    assert "run it with: workflow run jobs/nightly/hello.yaml" in done.stderr.splitlines()
    lines = workflow.ok("run", "jobs/nightly/hello.yaml").splitlines()
    assert any(line.startswith("[greet] Hello from ") for line in lines)
    assert any(line.startswith("[count] The greeting has ") for line in lines)
    assert lines[-1].startswith("SUCCESS")


def test_init_never_overwrites(workflow) -> None:
    saved(workflow, "mine", "hello.yaml")
    assert "hello.yaml exists already" in workflow.fails("init", code=2)
    assert (workflow.user / "hello.yaml").read_text() == "mine"


def test_run_json_is_one_event_a_line(workflow) -> None:
    workflow.ok("secrets", "set", "TOKEN", input=SECRET)
    output = workflow.ok("run", saved(workflow, MIXED), "--json")
    events = [json.loads(line) for line in output.splitlines()]
    assert "execution.started" == events[0]["event"]
    assert ["greet", "think", "broken"] == events[0]["tasks"]
    assert "execution.ended" == events[-1]["event"]
    assert {"TOKEN": "store"} == events[-1]["secrets"]
    assert {"greet": {"TOKEN": {"plain": 1}}} == events[-1]["masked"]
    assert {"execution.started", "task", "log", "execution.ended"} == {event["event"] for event in events}
    assert 1 == len({event["execution"] for event in events})
    assert all(is_recent(event["time"]) for event in events)
    states = [(event["task"], event["state"]) for event in events if event["event"] == "task"]
    assert [("greet", "RUNNING"), ("greet", "SUCCESS")] == states[:2]
    assert {("think", "SUCCESS"), ("broken", "FAILED")} <= set(states)
    log = [(event["task"], event["stream"], event["message"]) for event in events if event["event"] == "log"]
    assert ("greet", "stdout", "hello ***SECRET***") in log
    assert ("greet", "stderr", "on stderr") in log


def test_quiet_shows_only_what_went_wrong(workflow) -> None:
    workflow.ok("init")
    assert workflow.ok("run", "hello.yaml", "--quiet") == ""
    done = workflow("run", saved(workflow, MIXED.replace("secrets: [TOKEN]", "secrets: [ABSENT]")), "--quiet")
    assert done.returncode != 0


def test_list_shows_the_newest_first(workflow) -> None:
    done = workflow("execution", "list")
    assert (0, "", "no executions yet\n") == (done.returncode, done.stdout, done.stderr)
    assert [] == json.loads(workflow.ok("execution", "list", "--json"))
    for name in ("first", "second"):
        task = {"id": "say", "type": "core/console.log", "inputs": {"message": name}}
        workflow.ok("run", saved(workflow, json.dumps({"id": name, "tasks": [task]})))
    header, *rows = workflow.ok("execution", "list").splitlines()
    assert ["ID", "WORKFLOW", "STATE", "STARTED", "TOOK"] == header.split()
    assert [["second", "SUCCESS"], ["first", "SUCCESS"]] == [row.split()[1:3] for row in rows]
    objects = json.loads(workflow.ok("execution", "list", "--json"))
    assert ["second", "first"] == [row["workflow"] for row in objects]
    assert [row.split()[0] for row in rows] == [row["id"] for row in objects]
    assert 1 == len(json.loads(workflow.ok("execution", "list", "-n", "1", "--json")))
    assert "[say] first\n" == workflow.ok("execution", "logs", objects[1]["id"])


def test_show_tells_the_whole_story_and_no_secret(workflow, ran) -> None:
    assert ("mixed", "SUCCESS", {"day": "tuesday"}) == (ran["workflow"], ran["state"], ran["inputs"])
    assert all(is_recent(ran[name]) for name in ("created_at", "started_at", "finished_at"))
    tasks = {task["id"]: task for task in ran["tasks"]}
    assert ["greet", "think", "broken"] == list(tasks), "in the order of the document"
    assert {"answer": 42, "token": "***SECRET***"} == tasks["think"]["attempts"][0]["output"]
    assert ("FAILED", 9) == (tasks["broken"]["state"], tasks["broken"]["attempts"][0]["exit_code"])
    text = workflow.ok("execution", "show", str(ran["id"]))
    assert text.startswith(f"{ran['id']}  mixed  SUCCESS\n")
    assert "exited with code 9" in text
    assert "secret TOKEN came from the store" in text.splitlines()
    assert SECRET not in text


def test_show_draws_when_each_task_ran(workflow, ran) -> None:
    lines = workflow.ok("execution", "show", str(ran["id"]), env={"COLUMNS": "70"}).splitlines()
    start = next(place for place, line in enumerate(lines) if line.lstrip().startswith("0 s "))
    greet, think, broken = lines[start + 1 : start + 4]
    assert ["greet", "think", "broken"] == [line.split()[0] for line in (greet, think, broken)]
    assert all(len(line) <= 70 for line in lines[start : start + 4])
    assert greet.index("█") < think.index("█"), "what needs another task is drawn after it"
    assert "▒" in broken, "a failure looks different"


@pytest.mark.usefixtures("ran")
def test_logs_can_be_narrowed_to_a_task(workflow) -> None:
    assert "[greet] hello ***SECRET***" in workflow.ok("execution", "logs", "latest").splitlines()
    only = workflow.ok("execution", "logs", "latest", "--task", "broken").splitlines()
    assert only
    assert all(line.startswith("[broken] ") for line in only)
    objects = json.loads(workflow.ok("execution", "logs", "latest", "--task", "greet", "--json"))
    assert {("stdout", "hello ***SECRET***"), ("stderr", "on stderr")} == {
        (line["stream"], line["message"]) for line in objects if line["level"] != "debug"
    }
    assert "has no task 'nobody'" in workflow.fails("execution", "logs", "latest", "--task", "nobody", code=2)


def test_looking_needs_no_key(workflow, ran, home: Path) -> None:
    (home / "secret.key").unlink()
    workflow.ok("execution", "list")
    workflow.ok("execution", "show", str(ran["id"]))
    workflow.ok("execution", "logs", str(ran["id"]))


def test_state_may_lie_elsewhere(workflow, home: Path, tmp_path: Path) -> None:
    workflow.ok("init")
    workflow.ok("run", "hello.yaml", "--state", tmp_path / "a.db")
    workflow.ok("run", "hello.yaml", env={"AUTOKESTRA_STATE": str(tmp_path / "b.db")})
    assert not (home / "state.db").exists()
    assert 1 == len(json.loads(workflow.ok("execution", "list", "--json", "--state", tmp_path / "a.db")))
    assert "no state database" in workflow.fails("execution", "list", "--state", tmp_path / "c.db", code=8)
    assert 0o600 == (tmp_path / "a.db").stat().st_mode & 0o777


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-i", "day"], "an input needs a name and a value"),
        (["-i", "dya=tuesday"], "unknown input"),
        (["-i", "count=many"], "count"),
        (["--max-parallel", "0"], "max-parallel"),
    ],
)
def test_inputs_that_do_not_fit_are_usage_errors(workflow, home: Path, arguments: list[str], said: str) -> None:
    file = saved(
        workflow,
        """\
        id: inputs
        inputs: {day: {type: string, default: monday}, count: {type: integer, default: 1}}
        tasks:
          - {id: say, type: core/console.log, inputs: {message: "{{ inputs.day }}"}}
        """,
    )
    assert said in workflow.fails("run", file, *arguments, code=2)
    assert not home.exists()


def test_an_input_without_default_must_be_given(workflow) -> None:
    file = saved(
        workflow,
        """\
        id: inputs
        inputs: {api: {type: string}}
        tasks:
          - {id: say, type: core/console.log, inputs: {message: "at {{ inputs.api }}"}}
        """,
    )
    assert "api" in workflow.fails("run", file, code=2)
    assert "[say] at home" in workflow.ok("run", file, "-i", "api=home").splitlines()


def edit(workflow, *statements: str) -> None:
    """Write into the state database as somebody who may write it, and means no good."""
    with closing(sqlite3.connect(workflow.home / "state.db")) as state, state:
        for statement in statements:
            state.execute(statement)


def test_nothing_that_was_written_into_the_database_moves_the_cursor(workflow) -> None:
    workflow.ok("init")
    workflow.ok("run", "hello.yaml", "--quiet")
    evil = "char(27) || '[2J'"
    edit(
        workflow,
        "PRAGMA foreign_keys = OFF",
        f"UPDATE execution SET workflow_id = {evil}, workflow_path = {evil}, workflow_sha256 = {evil}, "
        f"message = {evil}, secrets_used = json_object({evil}, {evil}), "
        f"masked = json_object({evil}, json_object({evil}, json_object({evil}, 1)))",
        *(f"UPDATE {table} SET task_id = task_id || {evil}" for table in ("task_run", "attempt", "log_line")),
    )
    for command in (["show", "latest"], ["logs", "latest"], ["logs", "latest", "--follow"], ["list"]):
        output = workflow.ok("execution", *command)
        assert "\x1b" not in output
        assert r"\x1b[2J" in output


def test_a_shown_output_that_is_damaged_is_no_bug(workflow) -> None:
    workflow.ok("init")
    workflow.ok("run", "hello.yaml", "--quiet")
    edit(workflow, "UPDATE attempt SET shown_sealed = NULL, shown_clear = 'no JSON' WHERE task_id = 'greet'")
    for more in ([], ["--json"]):
        assert "the output of task 'greet' is damaged" == workflow.fails("execution", "show", "latest", *more, code=7)
