"""A workflow as text and as Mermaid: what is marked, and that nothing of the document becomes syntax."""

import re

import pytest

from autokestra.workflow.drawing import MOST_CHARACTERS, mermaid, rows
from autokestra.workflow.model import Workflow


def workflow(*tasks, on_failure=()):
    return Workflow.model_validate(
        {
            "id": "w",
            "tasks": [{"type": "core/shell.run", **task} for task in tasks],
            "onFailure": [{"type": "core/shell.run", **task} for task in on_failure],
        }
    )


NIGHT = workflow(
    {"id": "send", "needs": ["clean", "count"], "when": "{{ inputs.mail }}", "continueOnError": True},
    {"id": "fetch", "retry": {"max": 2}},
    {"id": "clean", "needs": ["fetch"], "when": False},
    {"id": "count", "needs": ["fetch"], "forEach": ["a", "b", "c"], "maxParallel": 2, "retry": {"max": 1}},
    on_failure=[{"id": "alert", "forEach": "{{ inputs.to }}"}, {"id": "log", "needs": ["alert"], "forEach": [1]}],
)


def test_the_rows_are_in_the_order_of_the_steps_and_say_what_decides():
    shell = "core/shell.run"
    assert [
        ("1", "fetch", shell, "2 retries"),
        ("2", "clean", shell, "after fetch; when false"),
        ("2", "count", shell, "after fetch; for each of 3 items, 2 at once; 1 retry"),
        ("3", "send", shell, "after clean, count; when {{ inputs.mail }}; may fail"),
        ("on failure", "alert", shell, "for each of {{ inputs.to }}"),
        ("on failure", "log", shell, "after alert; for each of 1 item"),
    ] == rows(NIGHT)


def test_long_conditions_are_cut_to_one_line():
    text = "{{ inputs.a\n == '" + "x" * 100 + "' }}"
    (row,) = rows(workflow({"id": "a", "when": text}))
    condition = row[3].removeprefix("when ")
    assert MOST_CHARACTERS == len(condition)
    assert condition.startswith("{{ inputs.a == 'xx")
    assert condition.endswith("…")


def test_mermaid_has_a_node_for_each_task_and_an_edge_for_each_need():
    assert [
        "flowchart LR",
        '  subgraph tasks [" "]',
        '    t0{{"send<br>core/shell.run<br>when #123;#123; inputs.mail #125;#125;"}}',
        '    t1["fetch<br>core/shell.run"]',
        '    t2{{"clean<br>core/shell.run<br>when false"}}',
        '    t3[["count<br>core/shell.run<br>for each of 3 items"]]',
        "    t2 --> t0",
        "    t3 --> t0",
        "    t1 --> t2",
        "    t1 --> t3",
        "  end",
        '  subgraph failure ["on failure"]',
        '    t4[["alert<br>core/shell.run<br>for each of #123;#123; inputs.to #125;#125;"]]',
        '    t5[["log<br>core/shell.run<br>for each of 1 item"]]',
        "    t4 --> t5",
        "  end",
        "  tasks -.-> failure",
        "  classDef mayfail stroke-dasharray: 4 3",
        "  class t0 mayfail",
    ] == mermaid(NIGHT).splitlines()
    assert ["flowchart LR", '    t0["end<br>core/shell.run"]'] == mermaid(workflow({"id": "end"})).splitlines()


@pytest.mark.parametrize(
    "attack", ['"]; click t0 "javascript:alert(1)"', "<img src=x onerror=alert(1)>", "a`b`\n%%{init}%%"]
)
def test_no_text_of_the_document_becomes_mermaid(attack):
    text = mermaid(workflow({"id": "a", "when": "{{ " + repr(attack)[1:-1] + " }}"}))
    (label,) = re.findall(r'^    t0\{\{"(.*)"\}\}$', text, re.MULTILINE)
    assert not set('"`<>%;&') & set(re.sub(r"#\d+;|<br>", "", label))
    assert 2 == len(text.splitlines())
