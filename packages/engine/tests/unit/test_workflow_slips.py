"""What newcomers write out of habit gets a hint that says how it is written here, and repeats no value."""

import pytest
from pydantic import ValidationError

from autokestra.actions.inputs import HttpRequestInputs
from autokestra.actions.registry import catalog
from autokestra.workflow.document import read
from autokestra.workflow.validate import validate
from autokestra.workflow.wording import described

GO = "if that is for another program, such as docker, write its opening braces twice: '{{{{.Name}}' becomes '{{.Name}}'"
BRACES = 'put the expression in quotes and braces: when: "{{ … }}"'
SECRET = "hunter2-hunter2"


def hints(text):
    """The hint of each problem, by its trail."""
    return {each.trail: each.hint for each in validate(read(text), file="w.yaml", catalog=catalog())[1]}


def task(rest, inputs="{script: x}"):
    return f"id: w\ntasks: [{{id: a, type: core/shell.run, inputs: {inputs}, {rest}}}]"


@pytest.mark.parametrize(
    ("text", "trail", "hint"),
    [
        (task("retry: 3"), "tasks[0].retry", "write it as: retry: {max: 3}"),
        (task("retries: 3"), "tasks[0].retries", "write it as: retry: {max: 3}"),
        (task("depends_on: [b]"), "tasks[0].depends_on", "write it as: needs: [ID of another task]"),
        (task("dependsOn: b"), "tasks[0].dependsOn", "write it as: needs: [ID of another task]"),
        (task("needs: b"), "tasks[0].needs", "write it as: needs: [ID]"),
        (task("env: [A=b]"), "tasks[0].env", "write it as: env: {NAME: value}"),
        (task("when: inputs.day == 'monday'"), "tasks[0].when", BRACES),
        (task("if: x"), "tasks[0].if", 'write it as: when: "{{ … }}"'),
        (
            task("script: x", inputs="{}"),
            "tasks[0].script",
            "what an action takes stands in its inputs: inputs: {script: …}",
        ),
        (task("run: x"), "tasks[0].run", "write it as: type: core/shell.run and inputs: {script: …}"),
        (task("x: y", inputs="{script: \"docker ps --format '{{.Names}}'\"}"), "tasks[0].inputs.script", GO),
        (task("x: y", inputs="{script: '{{ range .Items }}'}"), "tasks[0].inputs.script", GO),
        (
            task("x: y", inputs="{script: '{{ inputs.'}"),
            "tasks[0].inputs.script",
            "to write '{{' itself, type '{{{{'",
        ),
        ("id: w\nsteps: []", "steps", "the steps stand in a list: tasks: [{id: …, type: …}]"),
        ("id: w\nvariables: {}", "variables", "plain data stands in vars: {NAME: value}"),
        ("id: w\nsecrets: A", "secrets", "write it as: secrets: [NAME]"),
        ("id: w\nonFailure: [{id: a, type: zzz, if: x}]", "onFailure[0].if", 'write it as: when: "{{ … }}"'),
        ("id: w\ntasks: [[{when: x}]]", "tasks[0]", None),
        ("id: w\nvars: {on: {cron: x}}\nconcurrency: {cron: x}", "concurrency.cron", "known keys: max, onBusy"),
    ],
)
def test_habits_of_other_tools_are_answered(text, trail, hint):
    assert hint == hints(text)[trail]


@pytest.mark.parametrize("key", ["schedule", "cron", "trigger", "triggers", "on"])
def test_a_schedule_is_sent_to_cron(key):
    assert "cron or a systemd timer that calls: workflow run FILE" in hints(f"id: w\n{key}: x")[key]


@pytest.mark.parametrize("key", ["retry", "needs", "secrets", "passEnv", "env", "tasks", "inputs", "when", "if"])
def test_a_hint_repeats_no_value(key):
    text = f"id: w\n{key}: {SECRET}\ntasks: [{{id: a, type: core/shell.run, {key}: {SECRET}}}]"
    found = validate(read(text), file="w.yaml", catalog=catalog())[1]
    assert not [each for each in found if SECRET in f"{each.message} {each.hint}"]


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"url": "x", "expectedStatus": 99}, "expectedStatus: expected at least 100, got a number"),
        (
            {"url": "x", "expectedStatus": "zzz"},
            "expectedStatus: expected a status such as 200 or 2xx, got other text",
        ),
        ({"url": "x", "expectedStatus": {"a": 1}}, "expectedStatus: expected a whole number or text or a list, got a mapping"),
        ({"url": "x", "expectedStatus": True}, "expectedStatus: expected at least 100 or text or a list, got true or false"),
        ({"url": "x", "method": "hunter2-get"}, "method: expected capital letters, got other text"),
        ({"url": ""}, "url: expected 1 or more characters, got other text"),
        ({}, "inputs: 'url' is missing"),
        ({"url": "x", "hunter2-key": 1}, "hunter2-key: unknown key"),
        ({"url": "x", "json": 1, "body": "x"}, "inputs: give at most one of json, form, body"),
        ("hunter2", "inputs: expected a mapping, got text"),
    ],
)  # fmt: skip
def test_resolved_inputs_that_do_not_fit_are_described_in_plain_words(inputs, said):
    """The value may be a secret by now, or hold one, so not even a part of it is repeated."""
    with pytest.raises(ValidationError) as caught:
        HttpRequestInputs.model_validate(inputs)
    assert said == described(caught.value, inputs)


@pytest.mark.parametrize(
    ("text", "trail"),
    [
        (task("x: y", inputs='{script: x, scrpt: "{{ vars.x }}"}'), "tasks[0].inputs.scrpt"),
        (task('env: {A-B: "{{ vars.x }}"}'), "tasks[0].env.A-B"),
    ],
)
def test_a_template_does_not_hide_a_wrong_key(text, trail):
    assert trail in hints(text)
