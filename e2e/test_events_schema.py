"""The published schema of `--json`: every event of real runs is valid, and everything it names occurs or is documented."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft7Validator, ValidationError

from autokestra.executions.records import TaskState

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"
SCHEMA = json.loads((REFERENCE / "events.schema.json").read_text(encoding="utf-8"))
VALID = Draft7Validator(SCHEMA).validate
KINDS = {name: SCHEMA["definitions"][name] for name in ("started", "task", "log", "ended")}

FLOW = {
    "id": "all",
    "secrets": ["TOKEN"],
    "tasks": [
        {
            "id": "leak",
            "type": "core/shell.run",
            "env": {"T": "{{ secrets.TOKEN }}"},
            "inputs": {"script": "echo $T; echo err >&2; printf 'bad \\377\\n'"},
        },
        {
            "id": "each",
            "type": "core/shell.run",
            "forEach": [0, 1, 2],
            "inputs": {"script": "exit {{ item }}"},
            "continueOnError": True,
        },
        {
            "id": "flaky",
            "type": "core/shell.run",
            "retry": {"max": 1, "backoffSeconds": 0.01},
            "inputs": {"script": "test -e repaired"},
        },
        {"id": "after", "type": "core/shell.run", "needs": ["flaky"], "inputs": {"script": "true"}},
        {"id": "never", "type": "core/shell.run", "when": False, "inputs": {"script": "true"}},
        {"id": "none", "type": "core/shell.run", "forEach": [], "inputs": {"script": "true"}},
    ],
    "onFailure": [{"id": "alert", "type": "core/console.log", "inputs": {"message": "failed", "level": "warning"}}],
}


@pytest.fixture
def events(workflow):
    """Every event of a run that fails, of its resume, and of one that is refused its secrets."""
    workflow.ok("secrets", "set", "TOKEN", input="tok-4f9c2e7a81d35b60")
    (workflow.user / "flow.yaml").write_text(json.dumps(FLOW), encoding="utf-8")
    failed = workflow("run", "flow.yaml", "--json")
    assert 1 == failed.returncode
    (workflow.user / "repaired").touch()
    resumed = workflow("execution", "resume", "latest", "--json")
    assert 0 == resumed.returncode, resumed.stderr
    workflow.ok("secrets", "delete", "TOKEN", "--force")
    refused = workflow("run", "flow.yaml", "--json")
    assert 4 == refused.returncode
    return [[json.loads(line) for line in done.stdout.splitlines()] for done in (failed, resumed, refused)]


def test_every_event_of_a_real_run_is_valid(events):
    for event in [event for run in events for event in run]:
        VALID(event)


def test_everything_that_the_schema_has_occurs(events):
    every = [event for run in events for event in run]
    assert {kind["properties"]["event"]["const"] for kind in KINDS.values()} == {event["event"] for event in every}
    told = {event["state"] for event in every if event["event"] == "task"}
    assert {"WAITING", "RUNNING", "SUCCESS", "FAILED", "SKIPPED"} <= told
    assert set(KINDS["task"]["properties"]["state"]["enum"]) == {*TaskState} - {"PENDING"}
    for run in events:
        assert ("execution.started", "execution.ended") == (run[0]["event"], run[-1]["event"])
    failed, resumed, _ = events
    assert [] == failed[0]["kept"]
    assert ["leak", "each", "none"] == resumed[0]["kept"]
    assert [("each", 3, 0), ("none", 0, 0)] == [
        (event["task"], event["items"], event["items_kept"]) for event in failed if event.get("items") is not None
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"event": "unknown"},
        {"time": "yesterday"},
        {"state": "PENDING"},
        {"more": 1},
        {"execution": "X"},
        {"attempt": 0},
    ],
)
def test_what_is_no_event_is_not_valid(change):
    event = {
        "event": "task",
        "execution": "1m86sfd51atzv7h8",
        "time": "2026-03-01T02:00:00.000001Z",
        "task": "a[3]",
        "state": "RUNNING",
        "reason": None,
        "attempt": 1,
        "message": None,
        "seconds": None,
        "items": None,
        "items_kept": 0,
    }
    VALID(event)
    with pytest.raises(ValidationError):
        VALID(event | change)


def test_the_page_names_every_property():
    page = (REFERENCE / "events.md").read_text(encoding="utf-8")
    for kind in KINDS.values():
        assert kind["required"] == list(kind["properties"])
        for name in kind["required"]:
            assert f"`{name}`" in page, name
