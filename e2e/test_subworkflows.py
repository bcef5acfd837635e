"""A workflow as a task of another: its own execution, and never more than the caller has."""

import json
import textwrap

import pytest

CANARY = "canary-5d18f7a3c2"


def write(workflow, name, document):
    path = workflow.user / name
    path.write_text(json.dumps(document) if isinstance(document, dict) else textwrap.dedent(document))
    return path


def call(workflow, sub, *, code=0, task=None, inputs=None, **top):
    """Run a workflow with one task that runs `sub`; return its events."""
    write(workflow, "sub.yaml", sub)
    one = {
        "id": "t",
        "type": "core/workflow.run",
        "inputs": {"file": "sub.yaml", "inputs": inputs or {}},
        **(task or {}),
    }
    path = write(workflow, "flow.yaml", {"id": "caller", "tasks": [one], **top})
    done = workflow("run", path, "--json")
    assert code == done.returncode, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def message(events):
    return [event["message"] for event in events if event["event"] == "task"][-1]


def shell(script, **more):
    return {"id": "inner", "type": "core/shell.run", "inputs": {"script": script}, **more}


def test_its_tasks_run_and_their_outputs_come_back(workflow):
    write(workflow, "sub.yaml", """\
        id: sub
        inputs: {n: {type: integer}, word: {default: x}}
        tasks:
          - id: double
            type: core/python.run
            inputs: {inputs: {n: "{{ inputs.n }}"}, script: "print('doubling'); output = inputs['n'] * 2"}
        """)  # fmt: skip
    path = write(workflow, "flow.yaml", """\
        id: caller
        tasks:
          - id: call
            type: core/workflow.run
            inputs: {file: sub.yaml, inputs: {n: 21}}
          - id: check
            type: core/assert
            needs: [call]
            inputs: {that: "{{ tasks.call.output.tasks.double.output == 42 }}"}
        """)  # fmt: skip
    shown = workflow.ok("run", path)
    assert "[call] [double] doubling" in shown
    rows = json.loads(workflow.ok("execution", "list", "--json"))
    assert [("sub", "SUCCESS"), ("caller", "SUCCESS")] == [(row["workflow"], row["state"]) for row in rows]


def everything(folder):
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_its_failure_is_the_tasks(workflow):
    events = call(workflow, {"id": "sub", "tasks": [shell("exit 3")]}, code=1)
    assert "did not succeed: task 'inner' did not succeed" in message(events)


def test_it_is_stopped_with_its_task(workflow):
    events = call(workflow, {"id": "sub", "tasks": [shell("sleep 60")]}, task={"timeout": "1s"}, code=1)
    assert "stopped, because its timeout has passed" == message(events)
    rows = json.loads(workflow.ok("execution", "list", "--json"))
    assert "CANCELLED" == rows[0]["state"]


@pytest.mark.parametrize(
    ("sub", "inputs", "said"),
    [
        ({"id": "sub", "tasks": [{"id": "a", "type": "core/no.such"}]}, {}, "unknown action 'core/no.such'"),
        ({"id": "sub", "tasks": [shell(":")]}, {"x": 1}, "unknown input 'x'"),
        ({"id": "sub", "inputs": {"x": {}}, "tasks": [shell(":")]}, {}, "input 'x' is required"),
        ({"id": "sub", "inputs": {"x": {}}, "tasks": [shell(":")]}, {"x": 1}, "input 'x': expected text"),
    ],
)
def test_what_is_wrong_with_it_is_said(workflow, sub, inputs, said):
    assert said in message(call(workflow, sub, inputs=inputs, code=1))


def test_one_that_calls_itself_ends(workflow):
    sub = {"id": "sub", "tasks": [{"id": "again", "type": "core/workflow.run", "inputs": {"file": "sub.yaml"}}]}
    shown = json.dumps(call(workflow, sub, code=1))
    assert "more than 8 workflows run within each other" in shown


# --- it never has more than its caller ----------------------------------------------------------------------------------


def test_a_secret_of_both_is_resolved_and_masked_in_all_that_is_shown(workflow):
    workflow("secrets", "set", "TOKEN", input=CANARY)
    env = {"T": "{{ secrets.TOKEN }}", "B": "{{ (secrets.TOKEN ~ ':x') | sha256 }}"}
    sub = {"id": "sub", "secrets": ["TOKEN"], "tasks": [shell("echo $T; echo $B; echo $T | rev", env=env)]}
    text = json.dumps(call(workflow, sub, secrets=["TOKEN"]))
    shown = workflow.ok("execution", "show", "latest", "--json") + text
    assert "***SECRET***" in text
    assert CANARY not in shown
    import hashlib

    assert hashlib.sha256(f"{CANARY}:x".encode()).hexdigest() not in shown
    assert CANARY.encode() not in everything(workflow.home)


@pytest.mark.parametrize(
    ("sub", "said"),
    [
        ({"secrets": ["TOKEN"]}, "wants the secret 'TOKEN', which 'caller' has not"),
        ({"passEnv": ["API_TOKEN"]}, "wants the variable 'API_TOKEN', which 'caller' has not"),
        ({"isolation": "none"}, "wants isolation: none, which this task of 'caller' has not"),
    ],
)
def test_it_cannot_have_what_its_caller_has_not(workflow, sub, said):
    workflow("secrets", "set", "TOKEN", input=CANARY)
    events = call(workflow, {"id": "sub", "tasks": [shell("env")], **sub}, code=1)
    assert said in message(events)
    assert CANARY not in json.dumps(events)
    assert 1 == len(json.loads(workflow.ok("execution", "list", "--json")))


def test_a_single_task_of_it_cannot_leave_isolation_either(workflow):
    sub = {"id": "sub", "tasks": [shell(":", isolation="none")]}
    assert "wants isolation: none" in message(call(workflow, sub, code=1))
    call(workflow, sub, task={"isolation": "none"})


def test_a_workflow_that_a_task_wrote_gains_nothing(workflow):
    """The attack that the rule is for: a hostile script leaves a workflow where the next task runs one."""
    workflow("secrets", "set", "OTHER", input=CANARY)
    evil = json.dumps(
        {"id": "sub", "secrets": ["OTHER"], "tasks": [shell("echo $X | rev", env={"X": "{{ secrets.OTHER }}"})]}
    )
    tasks = [
        {"id": "write", "type": "core/shell.run", "inputs": {"script": 'echo "$EVIL" > sub.yaml'}, "env": {"EVIL": "{{ vars.evil }}"}},
        {"id": "call", "type": "core/workflow.run", "needs": ["write"], "inputs": {"file": "sub.yaml"}},
    ]  # fmt: skip
    path = write(workflow, "flow.yaml", {"id": "caller", "vars": {"evil": evil.replace("{{", "{{")}, "tasks": tasks})
    if workflow("validate", path).returncode:  # templates may not stand in vars: so the script brings its own braces
        tasks[0]["env"] = {"EVIL": evil.replace("{{", "{{{{")}
        path = write(workflow, "flow.yaml", {"id": "caller", "tasks": tasks})
    done = workflow("run", path)
    assert 1 == done.returncode
    assert "wants the secret 'OTHER'" in done.stdout
    assert CANARY[::-1] not in done.stdout


def test_a_secret_is_no_input_since_inputs_are_stored(workflow):
    workflow("secrets", "set", "TOKEN", input=CANARY)
    sub = {"id": "sub", "inputs": {"x": {}}, "tasks": [shell(":")]}
    events = call(workflow, sub, inputs={"x": "Bearer {{ secrets.TOKEN }}"}, secrets=["TOKEN"], code=1)
    assert "an input of the workflow holds a secret, and inputs are stored as they are" in message(events)
    assert CANARY.encode() not in everything(workflow.home)


@pytest.mark.parametrize(
    "template",
    [
        "{{ secrets.OTHER }}", "{{ secrets['OTHER'] }}", "{{ secrets }}", "{{ tasks.__class__ }}", "{{ ''.__class__ }}",
        "{{ cycler }}", "{{ lipsum }}", "{{ inputs | attr('__class__') }}", "{{ '%s' | format(secrets) }}",
        "{{ vars[secrets] }}", "{{ env.AUTOKESTRA_SECRET_KEY }}", "{{ self }}", "{{ execution.__dict__ }}",
        "{{ ['OTHER'] | map('secrets') }}", "{{ inputs.get('x') }}", "{{ range(9) }}",
    ],
)  # fmt: skip
def test_no_template_reaches_what_is_not_declared(workflow, template):
    workflow("secrets", "set", "OTHER", input=CANARY)
    path = write(workflow, "flow.yaml", {"id": "a", "tasks": [shell(":", env={"X": template})]})
    done = workflow("run", path)
    assert 3 == done.returncode, done.stdout + done.stderr
    assert CANARY not in done.stdout + done.stderr


def test_what_a_task_hands_on_is_data_and_no_template(workflow):
    workflow("secrets", "set", "OTHER", input=CANARY)
    tasks = [
        shell("printf '{%s' '{ secrets.OTHER }}'"),
        {"id": "show", "type": "core/shell.run", "needs": ["inner"], "env": {"X": "{{ tasks.inner.output.stdout }}"},
         "inputs": {"script": 'echo "$X" | rev'}},
    ]  # fmt: skip
    done = workflow("run", write(workflow, "flow.yaml", {"id": "a", "tasks": tasks}))
    assert "[show] }} REHTO.sterces {{" in done.stdout
