"""The workflow as a value: fields, defaults, durations, and the copy that an execution keeps."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from autokestra.workflow.durations import parse_duration
from autokestra.workflow.model import InputSpec, Retry, Task, Workflow

DOCUMENT = {
    "apiVersion": "v1",
    "id": "nightly-report",
    "description": "Fetch, summarise, send",
    "inputs": {"day": {"type": "string", "default": "yesterday"}, "count": {"type": "integer"}},
    "vars": {"url": "https://api.example.com/v2", "deep": [{"a": None}, 1.5]},
    "secrets": ["API_TOKEN", "smtp-password"],
    "passEnv": ["HTTPS_PROXY"],
    "timeout": "2h",
    "tasks": [
        {"id": "fetch", "type": "core/http.get", "inputs": {"url": "{{ vars.url }}"}, "timeout": "30s"},
        {
            "id": "send",
            "type": "core/shell.run",
            "needs": ["fetch"],
            "env": {"TOKEN": "{{ secrets.API_TOKEN }}"},
            "inputs": {"script": "./send.sh"},
            "retry": {"max": 3, "backoffSeconds": 2},
            "continueOnError": True,
        },
    ],
}


def test_a_document_becomes_values():
    workflow = Workflow.model_validate(DOCUMENT)
    fetch, send = workflow.tasks
    assert ("v1", "nightly-report", 7200.0) == (workflow.api_version, workflow.id, workflow.timeout)
    assert (("API_TOKEN", "smtp-password"), ("HTTPS_PROXY",)) == (workflow.secrets, workflow.pass_env)
    assert (30.0, (), None, False) == (fetch.timeout, fetch.needs, fetch.retry, fetch.continue_on_error)
    assert Retry.model_validate({"max": 3, "backoffSeconds": 2.0, "maxBackoffSeconds": 3600.0}).model_dump() == (
        send.retry.model_dump()
    )
    assert (("fetch",), {"TOKEN": "{{ secrets.API_TOKEN }}"}, True) == (send.needs, send.env, send.continue_on_error)
    assert (False, True) == (workflow.inputs["day"].required, workflow.inputs["count"].required)


def test_the_smallest_workflow():
    workflow = Workflow.model_validate({"id": "w", "tasks": [{"id": "t", "type": "core/console.log"}]})
    assert ("v1", {}, {}, (), (), None) == (
        workflow.api_version,
        workflow.inputs,
        workflow.vars,
        workflow.secrets,
        workflow.pass_env,
        workflow.timeout,
    )


def test_the_kept_copy_reads_back_without_yaml():
    workflow = Workflow.model_validate(DOCUMENT)
    for options in ({"exclude_unset": True}, {}):
        copy = Workflow.model_validate_json(workflow.model_dump_json(by_alias=True, **options))
        assert workflow == copy
        assert workflow.tasks[1].inputs == copy.tasks[1].inputs
    copy = Workflow.model_validate_json(workflow.model_dump_json(by_alias=True, exclude_unset=True))
    assert copy.inputs["count"].required
    assert not copy.inputs["day"].required


def test_an_input_with_null_as_default_is_not_required():
    assert not InputSpec.model_validate({"default": None}).required


def test_a_name_that_is_listed_twice_counts_once():
    workflow = Workflow.model_validate(
        {
            "id": "w",
            "secrets": ["B", "A", "B"],
            "passEnv": ["X", "X"],
            "tasks": [{"id": "t", "type": "x", "needs": ["a", "a"]}],
        }
    )
    assert (("B", "A"), ("X",), ("a",)) == (workflow.secrets, workflow.pass_env, workflow.tasks[0].needs)


def test_values_cannot_be_changed():
    task = Task.model_validate({"id": "t", "type": "x"})
    with pytest.raises(ValidationError, match=r"frozen"):
        task.id = "other"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30.0),
        ("5m", 300.0),
        ("2h", 7200.0),
        ("1d", 86400.0),
        ("1.5h", 5400.0),
        (" 1s ", 1.0),
        (90, 90.0),
        (0.5, 0.5),
    ],
)
def test_durations(text, seconds):
    assert seconds == parse_duration(text)


@pytest.mark.parametrize(
    "text", ["", "s", "30", "30x", "1h30m", "-1s", "1 s", "1e3s", "９s", "9" * 20 + "s", None, True, [], {}]
)
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match=r"^expected a duration such as 30s, 5m, 2h or 1d$"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["0s", 0, -1, "3651d", 10**400, 1e300, float("inf"), float("nan")])
def test_durations_that_nobody_can_wait_for(text):
    with pytest.raises(ValueError, match=r"more than 0 and at most 3650d$"):
        parse_duration(text)


@pytest.mark.parametrize("room", ["model", "graph"])
def test_the_pure_rooms_ask_nothing_of_the_machine(room):
    """What they import themselves; what pydantic imports is its own business."""
    code = (
        "import ast, importlib.util, sys\n"
        f"tree = ast.parse(open(importlib.util.find_spec('autokestra.workflow.{room}').origin).read())\n"
        "names = {a.name.split('.')[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}\n"
        "names |= {n.module.split('.')[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}\n"
        "sys.exit(bool(names & {'os', 'pathlib', 'sqlite3', 'subprocess', 'time', 'logging'}))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
