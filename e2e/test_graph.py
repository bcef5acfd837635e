"""`workflow graph`: the steps as text, as JSON, and as Mermaid; exit codes as those of `validate`."""

import json
from textwrap import dedent

import pytest

FLOW = """\
    id: night
    inputs: {mail: {type: boolean, default: false}}
    tasks:
      - {id: fetch, type: core/shell.run, inputs: {script: "true"}}
      - {id: send, type: core/shell.run, needs: [fetch], when: "{{ inputs.mail }}", inputs: {script: "true"}}
    onFailure:
      - {id: alert, type: core/shell.run, inputs: {script: "true"}}
"""


@pytest.fixture
def file(workflow):
    path = workflow.user / "night.yaml"
    path.write_text(dedent(FLOW), encoding="utf-8")
    return path


def test_steps_are_a_table(workflow, file, home):
    assert [
        "STEP        TASK   ACTION          HOW",
        "1           fetch  core/shell.run",
        "2           send   core/shell.run  after fetch; when {{ inputs.mail }}",
        "on failure  alert  core/shell.run",
    ] == workflow.ok("graph", file).splitlines()
    assert not home.exists(), "looking at a file leaves nothing behind"


def test_mermaid_and_json(workflow, file):
    mermaid = workflow.ok("graph", file, "--mermaid")
    assert mermaid == workflow.ok("graph", file, "--format", "mermaid")
    assert mermaid.startswith("flowchart LR\n")
    assert "    t0 --> t1\n" in mermaid
    tasks = json.loads(workflow.ok("graph", file, "--json"))
    assert [("fetch", 1, [], False), ("send", 2, ["fetch"], False), ("alert", None, [], True)] == [
        (task["id"], task["step"], task["needs"], task["onFailure"]) for task in tasks
    ]
    assert "{{ inputs.mail }}" == tasks[1]["when"]


def test_an_invalid_workflow_is_told_as_validate_tells_it(workflow, file):
    file.write_text(file.read_text().replace("[fetch]", "[fetsh]"), encoding="utf-8")
    told = workflow("graph", file)
    assert (3, "") == (told.returncode, told.stdout)
    assert workflow("validate", file).stderr == told.stderr
    assert "fetsh" in told.stderr
    assert "no such file" in workflow.fails("graph", "absent.yaml", code=3)


def test_a_chain_of_thousands_is_no_problem(workflow, file):
    tasks = [
        {"id": f"t{n}", "type": "core/shell.run", "needs": [f"t{n - 1}"] if n else [], "inputs": {"script": "true"}}
        for n in range(3_000)
    ]
    file.write_text(json.dumps({"id": "chain", "tasks": tasks}), encoding="utf-8")
    assert 3_001 == len(workflow.ok("graph", file).splitlines())
