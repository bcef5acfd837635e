"""Laws of reading and checking a workflow, for any text and any graph."""

import json

from hypothesis import example, given, settings
from hypothesis import strategies as st

from autokestra.actions.registry import catalog
from autokestra.workflow.document import read
from autokestra.workflow.graph import Ancestry, cycles, order, upstream
from autokestra.workflow.model import Workflow
from autokestra.workflow.validate import validate

LAW = settings(deadline=None)  # a machine under load is no failure

WORDS = [*":-?[]{},#&*!|>'%@`", '"', "{{", "}}", "&a", "*a", "!!x", "!x", "a", "b", "1", "true", ".inf", "---", "..."]
WORDS += [
    "\n",
    "\n ",
    "\n  ",
    "\t",
    "\ufeff",
    "id: w",
    "tasks:",
    "- id: a",
    "type: core/shell.run",
    "needs: [a]",
    "é",
    " ",
]
WORDS += ["inputs: {script: '{{ secrets.A }}'}", "env: {X: '{{ tasks.a.output }}'}", "secrets: [A]", "vars: {a: 1}"]
TEXTS = st.one_of(st.text(), st.lists(st.sampled_from(WORDS), max_size=30).map("".join))

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)
KEYS = ["apiVersion", "id", "description", "inputs", "vars", "secrets", "passEnv", "timeout", "tasks", "typo"]
TASK_KEYS = ["id", "type", "inputs", "needs", "env", "retry", "timeout", "continueOnError", "typo"]
VALUES = st.one_of(
    JSON,
    st.sampled_from(
        [
            "v1",
            "a",
            "core/shell.run",
            "core/http.get",
            "{{ secrets.A }}",
            "{{ tasks.a.output }}",
            "{{ x",
            "30s",
            "AUTOKESTRA_X",
        ]
    ),
    st.just(["a", "b", "A"]),
    st.just({"script": "x {{ secrets.A }}", "url": "{{ inputs.a }}", "max": 1}),
)
TASKS = st.lists(st.dictionaries(st.sampled_from(TASK_KEYS), VALUES, max_size=6), max_size=3)
WORKFLOWS = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=8).flatmap(
    lambda head: st.one_of(st.just(head), TASKS.map(lambda tasks: {**head, "id": "w", "tasks": tasks}))
)
GRAPHS = st.dictionaries(st.sampled_from("abcdefg"), st.lists(st.sampled_from("abcdefgh"), max_size=3), max_size=7)


@LAW
@given(text=TEXTS)
@example(text="\ufeffa: 1")
def test_any_text_is_read_or_refused_with_places_inside_it(text):
    document = read(text)
    assert document.complete or document.faults
    lines = text.count("\n") + text.count("\r") + sum(text.count(each) for each in "\x85\u2028\u2029") + 1
    for fault in document.faults:
        assert 1 <= fault.line <= lines
        assert 1 <= fault.column <= len(text) + 1


@LAW
@given(text=TEXTS)
@example(text="0{{")
@example(text="id: w\ntasks: [{type: [a], inputs: {x: '{{ y }}'}}]")
def test_any_text_is_a_workflow_or_has_problems(text):
    workflow, problems = validate(read(text), file="w", catalog=catalog())
    assert (workflow is None) == any(each.severity == "error" for each in problems)


@LAW
@given(value=WORKFLOWS)
def test_any_data_is_a_workflow_or_has_problems(value):
    workflow, problems = validate(read(json.dumps(value)), file="w", catalog=catalog())
    assert (workflow is None) == any(each.severity == "error" for each in problems)
    if workflow is not None:
        assert workflow == Workflow.model_validate_json(workflow.model_dump_json(by_alias=True, exclude_unset=True))


@LAW
@given(value=st.dictionaries(st.text(min_size=1, max_size=5), JSON, max_size=4))
def test_json_reads_as_what_it_says(value):
    """What JSON can say and YAML allows comes back with its types, except that long numbers are refused."""
    text = json.dumps(value)  # ASCII: every character is allowed
    document = read(text)
    if not document.faults:
        assert value == document.data


@LAW
@given(needs=GRAPHS)
def test_order_and_circles_divide_the_tasks(needs):
    ordered = order(needs)
    for number, task in enumerate(ordered):
        assert set(needs[task]) & set(needs) <= set(ordered[:number])
    on_circles = {task for task in needs if task in upstream(needs, task)}
    assert set(needs) - set(ordered) == {
        task for task in needs if task in on_circles or upstream(needs, task) & on_circles
    }
    shown = cycles(needs)
    assert bool(shown) == bool(on_circles)
    for cycle in shown:
        for task, need in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
            assert need in needs[task]


@LAW
@given(needs=GRAPHS)
def test_ancestry_agrees_with_a_walk(needs):
    ancestry = Ancestry(needs)
    for task in needs:
        if ancestry.known(task):
            assert upstream(needs, task) == {other for other in needs if ancestry.is_upstream(other, task)}
