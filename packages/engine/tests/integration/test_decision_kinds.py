"""What `when` and `forEach` give is checked by its kind, and named in words that a writer of YAML knows."""

import json

import pytest

from autokestra.actions.registry import catalog
from autokestra.engine.decisions import MAX_ITEMS, DecisionError, Decisions
from autokestra.engine.ports import Job
from autokestra.executions.records import Lease
from autokestra.executions.store import ExecutionStore
from autokestra.worker.outputs import OutputVault
from autokestra.workflow.loader import load_workflow


@pytest.fixture
def decide(tmp_path):
    """Return the decisions and the task of a workflow whose input `it` is given: `decide(value)`."""
    path = tmp_path / "flow.yaml"
    task = {
        "id": "t",
        "type": "core/shell.run",
        "when": "{{ inputs.it }}",
        "forEach": "{{ inputs.it }}",
        "inputs": {"script": "true"},
    }
    path.write_text(json.dumps({"id": "w", "inputs": {"it": {"type": "array"}}, "tasks": [task]}), encoding="utf-8")
    workflow = load_workflow(path, catalog=catalog()).workflow
    with ExecutionStore.open(tmp_path / "state.db") as store:

        def made(value):
            job = Job(
                id="e",
                workflow=workflow,
                path=path,
                arguments={"it": value},
                lease=Lease(owner="h/b/1/2", until=1),
                tasks={each.id: each for each in workflow.all_tasks},
            )
            return Decisions(job, OutputVault(store, None), {}), job.tasks["t"]

        yield made


@pytest.mark.parametrize(
    ("value", "kind"),
    [(None, "nothing"), (1, "a number"), (0.5, "a number"), ("true", "text"), ({}, "a mapping"), ([True], "a list")],
)
def test_a_condition_is_true_or_false_and_nothing_that_counts_as_such(decide, value, kind):
    decisions, task = decide(value)
    with pytest.raises(DecisionError, match=f"'when' gives {kind}, expected true or false") as caught:
        decisions.holds(task, ())
    assert "bad-condition" == caught.value.reason


@pytest.mark.parametrize("value", [True, False])
def test_a_condition_holds_as_it_says(decide, value):
    decisions, task = decide(value)
    assert value is decisions.holds(task, ())


@pytest.mark.parametrize(
    ("value", "kind"), [(None, "nothing"), (True, "true or false"), (3, "a number"), ("abc", "text"), ({}, "a mapping")]
)
def test_what_is_run_over_is_a_list_and_no_text_is_taken_apart(decide, value, kind):
    decisions, task = decide(value)
    with pytest.raises(DecisionError, match=f"'forEach' gives {kind}, expected a list") as caught:
        decisions.items(task, ())
    assert "bad-items" == caught.value.reason


def test_a_list_has_a_limit(decide):
    decisions, task = decide([0] * MAX_ITEMS)
    assert ([0] * MAX_ITEMS, []) == decisions.items(task, ())
    decisions, task = decide([0] * (MAX_ITEMS + 1))
    with pytest.raises(DecisionError, match="'forEach' gives 100,001 items, at most 100,000 are run"):
        decisions.items(task, ())
