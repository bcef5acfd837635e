"""What is wrong with a workflow, all of it at once: place, key trail, message, hint."""

from collections.abc import Mapping
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from autokestra.workflow.document import read
from autokestra.workflow.problems import WorkflowInvalidError, nearest, trail_of
from autokestra.workflow.validate import PROBLEM_LIMIT, validate


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Account(Strict):
    user: str = Field(min_length=2, max_length=4)
    key: str = ""


class Example(Strict):
    """One field for each way in which a value can be wrong."""

    url: str
    method: Literal["GET", "POST"] = "GET"
    count: int = Field(default=1, ge=1, lt=10)
    ratio: float = Field(default=0.5, gt=0, le=1)
    flag: bool = False
    code: str = Field(default="a", pattern="^[a-z]+$")
    account: Account | None = None
    accounts: list[Account] = Field(default_factory=list, min_length=1, max_length=2)
    by_name: dict[str, Account] = Field(default_factory=dict, alias="byName")
    deep: dict[str, list[Annotated[Account, Field()]] | None] | str = ""
    status: int | list[int] | Literal["any"] = 200
    anything: JsonValue = None
    nothing: None = None
    even: int = 2

    @field_validator("even")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("Must be even.")
        return value

    @model_validator(mode="after")
    def _not_both(self) -> "Example":
        if self.account and self.accounts:
            raise ValueError("give either account or accounts")
        return self


class Shell(Strict):
    script: str


class Open(BaseModel):
    """An action that takes any input."""

    model_config = ConfigDict(extra="allow")


CATALOG: Mapping[str, type[BaseModel]] = {"core/example.do": Example, "core/shell.run": Shell, "core/open.do": Open}


def check(text):
    """What is declared and not used is another test's business."""
    workflow, found = validate(read(text), file="w.yaml", catalog=CATALOG)
    return workflow, tuple(each for each in found if each.rule != "unused")


def problems(text):
    """Line, column, trail and message of each problem."""
    return [(each.line, each.column, each.trail, each.message) for each in check(text)[1]]


def only(text):
    """The only problem, as (line, column, trail, message, hint)."""
    (problem,) = check(text)[1]
    return problem.line, problem.column, problem.trail, problem.message, problem.hint


def example(inputs):
    """A workflow whose only task has these inputs, in line 5."""
    return f"id: w\ntasks:\n- id: t\n  type: core/example.do\n  inputs: {inputs}\n"


VALID = """\
id: w
inputs: {day: {default: mon}, count: {type: integer}}
vars: {url: "https://x", deep: {a: [1]}}
secrets: [API_TOKEN, smtp-password]
passEnv: [HTTPS_PROXY]
timeout: 1h
tasks:
- id: a
  type: core/open.do
  inputs: {x: "{{ vars.url }}/{{ inputs.day }}", y: ["{{ env.HTTPS_PROXY }}", {z: "{{ execution.id }}{{{{"}]}
- id: b
  type: core/example.do
  needs: [a]
  env: {TOKEN: "{{ secrets.API_TOKEN }}", N: "{{ tasks.a.output.n | default(0) }}"}
  inputs: {url: "{{ tasks.a.output.url }}", count: "{{ inputs.count }}", flag: "{{ inputs.count > 1 }}"}
- id: c
  type: core/shell.run
  needs: [b]
  inputs: {script: 'echo "${#a[@]}" {{ tasks.a.output }} {{{{.Names}}'}
"""


def test_a_valid_workflow_has_no_problems():
    workflow, found = check(VALID)
    assert () == found
    assert ["a", "b", "c"] == [task.id for task in workflow.tasks]


# -- structure ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "column", "trail", "message", "hint"),
    [
        ("", 1, 1, "", "the file is empty", "a first workflow is written by: workflow init"),
        ("# only a comment\n", 1, 1, "", "the file is empty", "a first workflow is written by: workflow init"),
        ("[1]", 1, 1, "", "expected a mapping, got a list", None),
        ("0{{", 1, 1, "", "expected a mapping, got text", None),
        ("just text", 1, 1, "", "expected a mapping, got text", None),
        ("{{ x }}", 1, 1, "", "a template needs quotes", "a value that begins with '{{' needs quotes: \"{{ … }}\""),
        ("id: w", 1, 1, "", "'tasks' is missing", None),
        ("{}", 1, 1, "", "'id', 'tasks' are missing", None),
        (
            "id: w\ntasks: [{id: a, type: core/open.do, inputs: 5}]",
            2,
            45,
            "tasks[0].inputs",
            "expected a mapping, got a number",
            None,
        ),
        ("id: w\ntasks: []", 2, 8, "tasks", "expected 1 or more items, got 0", None),
        (
            "id: w\ntasks: {}",
            2,
            8,
            "tasks",
            "expected a list, got a mapping",
            "the steps stand in a list: tasks: [{id: …, type: …}]",
        ),
        ("id: w\ntasks: [5]", 2, 9, "tasks[0]", "expected a mapping, got a number", None),
        ("id: w\ntasks:\n- id: a", 3, 3, "tasks[0]", "'type' is missing", None),
        (
            "id: my id\ntasks: [{id: a, type: core/open.do}]",
            1,
            5,
            "id",
            "expected 1 to 128 of: letters A-Z a-z, digits, '_' and '-', got 'my id'",
            None,
        ),
        (
            "id: w\ntasks: [{id: 'a.b', type: core/open.do}]",
            2,
            14,
            "tasks[0].id",
            "expected 1 to 128 of: letters A-Z a-z, digits, '_' and '-', got 'a.b'",
            None,
        ),
        (
            "id: 5\ntasks: [{id: a, type: core/open.do}]",
            1,
            5,
            "id",
            "expected text, got a number",
            'put it in quotes: "5"',
        ),
        (
            "id: true\ntasks: [{id: a, type: core/open.do}]",
            1,
            5,
            "id",
            "expected text, got true or false",
            'put it in quotes: "true"',
        ),
        ("id:\ntasks: [{id: a, type: core/open.do}]", 1, 4, "id", "expected text, got nothing", None),
        (
            "apiVersion: v2\nid: w\ntasks: [{id: a, type: core/open.do}]",
            1,
            13,
            "apiVersion",
            "expected one of 'v1', got 'v2'",
            None,
        ),
        (
            "id: w\ntrigger: x\ntasks: [{id: a, type: core/open.do}]",
            2,
            1,
            "trigger",
            "unknown key 'trigger'",
            (
                "a workflow is started from outside, by cron or a systemd timer that calls: workflow run FILE "
                "('Every night' in the README)"
            ),
        ),
        (
            "id: w\ntasks: [{id: a, type: core/open.do, need: [b]}]",
            2,
            37,
            "tasks[0].need",
            "unknown key 'need'",
            "did you mean 'needs'?",
        ),
        (
            "id: w\ntasks: [{id: a, type: core/open.do, repeat: [b]}]",
            2,
            37,
            "tasks[0].repeat",
            "unknown key 'repeat'",
            "known keys: id, type, description, inputs, needs, tags, env, when, forEach, maxParallel, retry, timeout, "
            "continueOnError, isolation, maxOutput, limits",
        ),
        (
            "id: w\ntasks: [{id: a, type: core/open.do, needs: b}]",
            2,
            44,
            "tasks[0].needs",
            "expected a list, got text",
            "write it as: needs: [ID]",
        ),
        (
            "id: w\ntasks: [{id: a, type: core/open.do, retry: {max: '3'}}]",
            2,
            50,
            "tasks[0].retry.max",
            "expected a whole number, got text",
            None,
        ),
        (
            "id: w\ntasks: [{id: a, type: core/open.do, retry: {max: -1}}]",
            2,
            50,
            "tasks[0].retry.max",
            "expected at least 0, got -1",
            None,
        ),
        (
            "id: w\ntasks: [{id: a, type: core/open.do, retry: {max: 1, backofSeconds: 1}}]",
            2,
            53,
            "tasks[0].retry.backofSeconds",
            "unknown key 'backofSeconds'",
            "did you mean 'backoffSeconds'?",
        ),
        (
            "id: w\ntasks: [{id: a, type: core/open.do, timeout: 30x}]",
            2,
            46,
            "tasks[0].timeout",
            "expected a duration such as 30s, 5m, 2h or 1d",
            None,
        ),
        (
            "id: w\ntasks: [{id: a, type: core/open.do, continueOnError: yes}]",
            2,
            54,
            "tasks[0].continueOnError",
            "expected true or false, got text",
            None,
        ),
        (
            "id: w\ntasks: [{id: a, type: core/open.do, env: {N: 5}}]",
            2,
            46,
            "tasks[0].env.N",
            "expected text, got a number",
            'put it in quotes: "5"',
        ),
        (
            "id: w\ntasks: [{id: a, type: core/open.do, env: {'a b': x}}]",
            2,
            43,
            "tasks[0].env['a b']",
            "expected a variable name: letters, digits and '_', no digit first",
            None,
        ),
        (
            "id: w\npassEnv: [A-B]\ntasks: [{id: a, type: core/open.do}]",
            2,
            11,
            "passEnv[0]",
            "expected a variable name: letters, digits and '_', no digit first, got 'A-B'",
            None,
        ),
        (
            "id: w\ninputs: {a: {type: strng}}\ntasks: [{id: a, type: core/open.do}]",
            2,
            20,
            "inputs.a.type",
            "expected one of 'string', 'integer', 'number', 'boolean', 'array', 'object', got 'strng'",
            "did you mean 'string'?",
        ),
        (
            "id: w\ninputs: {n: {type: integer, default: x}}\ntasks: [{id: a, type: core/open.do}]",
            2,
            38,
            "inputs.n.default",
            "expected a whole number as default, got text",
            "its type would be: string",
        ),
        (
            "id: w\ninputs: {n: 5}\ntasks: [{id: a, type: core/open.do}]",
            2,
            13,
            "inputs.n",
            "expected a mapping, got a number",
            None,
        ),
    ],
)
def test_structure(text, line, column, trail, message, hint):
    assert (line, column, trail, message, hint) == only(text)


def test_what_was_refused_while_reading_is_no_second_problem():
    text = "id: w\ntasks:\n- {id: a, type: core/shell.run, inputs: {script: {{ secrets.X }}}}"
    assert [(3, 50, "tasks[0].inputs.script", "a template needs quotes")] == problems(text)
    text = "id: *x\ntasks: *y\nvars: {a: 1, a: 2}\nunknown: *z"
    assert [
        (1, 5, "id", "aliases are not allowed"),
        (2, 8, "tasks", "aliases are not allowed"),
        (3, 14, "vars.a", "key 'a' is repeated"),
        (4, 1, "unknown", "unknown key 'unknown'"),
        (4, 10, "unknown", "aliases are not allowed"),
    ] == problems(text)


def test_broken_yaml_is_reported_alone():
    assert [(2, 8, "", "did not find expected ',' or ']'")] == problems("id: [1, 2\nunknown: 5")


# -- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "column", "trail", "message", "hint"),
    [
        (
            "secrets: [MY KEY]",
            2,
            11,
            "secrets[0]",
            "invalid secret name: it has a space in it",
            "a name has 1 to 128 of",
        ),
        ("secrets: [a.b]", 2, 11, "secrets[0]", "invalid secret name: it has a dot in it", "a name has 1 to 128 of"),
        (
            "secrets: [A, AUTOKESTRA_SECRET_KEY]",
            2,
            14,
            "secrets[1]",
            "'AUTOKESTRA_SECRET_KEY' is no secret of a workflow",
            "names that begin with AUTOKESTRA_ belong to the engine",
        ),
        (
            "secrets: [autokestra_x]",
            2,
            11,
            "secrets[0]",
            "'autokestra_x' is no secret of a workflow",
            "belong to the engine",
        ),
        ("secrets: [5]", 2, 11, "secrets[0]", "expected text, got a number", 'put it in quotes: "5"'),
        (
            "passEnv: [AUTOKESTRA_HOME]",
            2,
            11,
            "passEnv[0]",
            "'AUTOKESTRA_HOME' is never inherited by a task",
            "the engine",
        ),
    ],
)
def test_names_at_the_top(text, line, column, trail, message, hint):
    found = only(f"id: w\n{text}\ntasks: [{{id: a, type: core/open.do}}]")
    assert (line, column, trail, message) == found[:4]
    assert hint in found[4]


def test_the_engines_variables_are_never_set_for_a_task():
    assert [(2, 43, "tasks[0].env.AUTOKESTRA_X", "'AUTOKESTRA_X' is never set for a task")] == problems(
        "id: w\ntasks: [{id: a, type: core/open.do, env: {AUTOKESTRA_X: a}}]"
    )


# -- tasks ----------------------------------------------------------------------------------------------------------


def graph(**needs):
    tasks = "\n".join(f"- {{id: {task}, type: core/open.do, needs: [{wanted}]}}" for task, wanted in needs.items())
    return f"id: w\ntasks:\n{tasks}\n"


@pytest.mark.parametrize(
    ("text", "line", "column", "trail", "message", "hint"),
    [
        (
            graph(fetch="", send="fecth"),
            4,
            42,
            "tasks[1].needs[0]",
            "unknown task 'fecth'",
            "did you mean 'fetch'?",
        ),
        (graph(a="", b="zzz"), 4, 39, "tasks[1].needs[0]", "unknown task 'zzz'", None),
        (graph(a="a"), 3, 39, "tasks[0].needs[0]", "task 'a' needs itself", "remove one of these needs"),
        (
            graph(x="", a="x, c", b="a", c="b"),
            4,
            42,
            "tasks[1].needs[1]",
            "tasks need each other in a circle: a -> c -> b -> a",
            "remove one of these needs",
        ),
        (
            "id: w\ntasks:\n- {id: a, type: core/open.do}\n- {id: a, type: core/open.do}",
            4,
            8,
            "tasks[1].id",
            "task id 'a' is repeated",
            "it stands in line 3 already",
        ),
        (
            "id: w\ntasks:\n- {id: a, type: core/shel.run}",
            3,
            17,
            "tasks[0].type",
            "unknown action 'core/shel.run'",
            "did you mean 'core/shell.run'?",
        ),
        (
            "id: w\ntasks:\n- {id: a, type: zzz}",
            3,
            17,
            "tasks[0].type",
            "unknown action 'zzz'",
            "there are: core/example.do, core/open.do, core/shell.run",
        ),
        (
            "id: w\ntasks:\n- {id: a, type: cor/shell.run}",
            3,
            17,
            "tasks[0].type",
            "unknown action 'cor/shell.run'",
            "did you mean 'core/shell.run'?",
        ),
        (
            "id: w\ntasks:\n- {id: a, type: acme/shell.run}",
            3,
            17,
            "tasks[0].type",
            "unknown action 'acme/shell.run'",
            "no plugin offers it; name the folder of one with --plugins DIR, and see: workflow plugin list",
        ),
    ],
)
def test_tasks(text, line, column, trail, message, hint):
    assert (line, column, trail, message, hint) == only(text)


def test_a_long_circle_is_cut():
    needs = {f"t{i}": f"t{(i + 1) % 30}" for i in range(30)}
    assert (
        "tasks need each other in a circle: t0 -> t1 -> t2 -> t3 -> t4 -> t5 -> t6 -> t7 -> … -> t29 -> t0 (30 tasks)"
        == only(graph(**needs))[3]
    )


def test_a_repeated_id_does_not_confuse_the_circles():
    assert ["tasks need each other in a circle: a -> b -> a", "task id 'a' is repeated"] == [
        message
        for _, _, _, message in problems(
            "id: w\ntasks:\n- {id: a, type: core/open.do, needs: [b]}\n- {id: b, type: core/open.do, needs: [a]}\n"
            "- {id: a, type: core/open.do}"
        )
    ]


# -- inputs of actions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "column", "trail", "message", "hint"),
    [
        ("{}", 11, "", "'url' is missing", None),
        ("{url: x, mehtod: GET}", 20, ".mehtod", "unknown key 'mehtod'", "did you mean 'method'?"),
        ("{url: 5}", 17, ".url", "expected text, got a number", 'put it in quotes: "5"'),
        ("{url: 1.50}", 17, ".url", "expected text, got a number", 'put it in quotes: "1.5"'),
        ("{url: [x]}", 17, ".url", "expected text, got a list", None),
        ("{url: x, method: PSOT}", 28, ".method", "expected one of 'GET', 'POST', got 'PSOT'", "did you mean 'POST'?"),
        ("{url: x, method: 1}", 28, ".method", "expected one of 'GET', 'POST', got a number", None),
        ("{url: x, count: soon}", 27, ".count", "expected a whole number, got text", None),
        ("{url: x, count: 1.5}", 27, ".count", "expected a whole number, got a number", None),
        ("{url: x, count: 0}", 27, ".count", "expected at least 1, got 0", None),
        ("{url: x, count: 10}", 27, ".count", "expected less than 10, got 10", None),
        ("{url: x, ratio: 0}", 27, ".ratio", "expected more than 0.0, got 0", None),
        ("{url: x, ratio: 1.5}", 27, ".ratio", "expected at most 1.0, got 1.5", None),
        ("{url: x, ratio: {}}", 27, ".ratio", "expected a number, got a mapping", None),
        ("{url: x, flag: maybe}", 26, ".flag", "expected true or false, got text", None),
        ("{url: x, code: A1}", 26, ".code", "expected text of the form ^[a-z]+$, got other text", None),
        ("{url: x, even: 3}", 26, ".even", "must be even", None),
        ("{url: x, nothing: 3}", 29, ".nothing", "expected nothing, got a number", None),
        ("{url: x, account: 5}", 29, ".account", "expected a mapping, got a number", None),
        ("{url: x, account: {usr: ab, user: ab}}", 30, ".account.usr", "unknown key 'usr'", "did you mean 'user'?"),
        ("{url: x, account: {user: a}}", 36, ".account.user", "expected 2 or more characters, got 1", None),
        ("{url: x, account: {user: abcde}}", 36, ".account.user", "expected at most 4 characters, got 5", None),
        ("{url: x, accounts: []}", 30, ".accounts", "expected 1 or more items, got 0", None),
        (
            "{url: x, accounts: [{user: ab}, {user: ab}, {user: ab}]}",
            30,
            ".accounts",
            "expected at most 2 items, got 3",
            None,
        ),
        ("{url: x, accounts: [{user: ab, k: 1}]}", 42, ".accounts[0].k", "unknown key 'k'", "known keys: user, key"),
        ("{url: x, byName: {a: {usr: 1, user: ab}}}", 33, ".byName.a.usr", "unknown key 'usr'", "did you mean 'user'?"),
        (
            "{url: x, deep: {a: [{usr: 1, user: ab}]}}",
            32,
            ".deep.a[0].usr",
            "unknown key 'usr'",
            "did you mean 'user'?",
        ),
        ("{url: x, byName: 5}", 28, ".byName", "expected a mapping, got a number", None),
        (
            "{url: x, status: some}",
            28,
            ".status",
            "expected a whole number or a list or one of 'any', got text",
            None,
        ),
        ("{url: x, status: [1, a]}", 32, ".status[1]", "expected a whole number, got text", None),
        (
            "{url: x, account: {user: ab}, accounts: [{user: ab}]}",
            11,
            "",
            "give either account or accounts",
            None,
        ),
    ],
)
def test_inputs_that_do_not_fit_their_action(inputs, column, trail, message, hint):
    found = [each for each in check(example(inputs))[1] if each.trail == f"tasks[0].inputs{trail}"]
    assert [(5, column, message, hint)] == [(each.line, each.column, each.message, each.hint) for each in found]


def test_inputs_may_be_left_out_only_if_none_is_needed():
    assert [] == problems("id: w\ntasks: [{id: a, type: core/open.do}]")
    assert [(2, 9, "tasks[0].inputs", "'script' is missing")] == problems(
        "id: w\ntasks: [{id: a, type: core/shell.run}]"
    )


@pytest.mark.parametrize(
    "inputs",
    [
        '{url: "{{ vars.x }}", count: "{{ vars.x }}", ratio: "x{{ vars.x }}", flag: "{{ vars.x }}"}',
        '{url: x, method: "{{ vars.x }}", code: "{{ vars.x }}", even: "{{ vars.x }}"}',
        '{url: x, account: "{{ vars.x }}", accounts: "{{ vars.x }}", byName: "{{ vars.x }}"}',
        '{url: x, account: {user: "{{ vars.x }}"}, byName: {a: {user: "{{ vars.x }}"}}}',
        '{url: x, status: "{{ vars.x }}"}',
        '{url: x, status: [200, "{{ vars.x }}"]}',
        '{url: x, anything: {a: ["{{ vars.x }}"]}}',
    ],
)
def test_a_template_is_not_checked_for_its_type_before_it_is_resolved(inputs):
    assert [] == problems("vars: {x: 1}\n" + example(inputs))


def test_a_template_does_not_hide_what_is_wrong_beside_it():
    text = example('{url: "{{ inputs.x }}", accounts: ["{{ inputs.x }}", 5], counts: 1}')
    assert [
        (5, 18, "tasks[0].inputs.url", "unknown input 'x'"),
        (5, 47, "tasks[0].inputs.accounts[0]", "unknown input 'x'"),
        (5, 64, "tasks[0].inputs.accounts[1]", "expected a mapping, got a number"),
        (5, 68, "tasks[0].inputs.counts", "unknown key 'counts'"),
    ] == problems(text)


# -- templates ------------------------------------------------------------------------------------------------------


HEAD = "id: w\ninputs: {day: {}}\nvars: {url: x}\nsecrets: [API_TOKEN]\npassEnv: [PROXY]\ntasks:\n- {id: a, type: core/open.do}\n"


@pytest.mark.parametrize(
    ("expression", "message", "hint"),
    [
        (
            "secrets.API_TOKN",
            "secret 'API_TOKN' is not declared in workflow 'w'",
            "did you mean 'API_TOKEN'? if not, add it to the workflow: secrets: [API_TOKN]",
        ),
        ("secrets.ZZZ", "secret 'ZZZ' is not declared in workflow 'w'", "add it to the workflow: secrets: [ZZZ]"),
        (
            "secrets.MY KEY",
            "invalid secret name: it has a space in it",
            "a name has 1 to 128 of: letters A-Z a-z, digits, '_' and '-'",
        ),
        ("secrets", "'secrets' needs a name", "write secrets.NAME, one secret at a time"),
        ("inputs.dya", "unknown input 'dya'", "did you mean 'day'? if not, declare it: inputs: {dya: {type: string}}"),
        (
            "inputs.dya | default(1)",
            "unknown input 'dya'",
            "did you mean 'day'? if not, declare it: inputs: {dya: {type: string}}",
        ),
        ("vars.zz", "unknown name 'zz' in vars", "add it: vars: {zz: …}"),
        ("env.HOME", "variable 'HOME' is not in passEnv", "add it: passEnv: [HOME]"),
        ("execution.idd", "execution has no 'idd'", "did you mean 'id'? if not, it has: id"),
        ("tasks.aa.output", "unknown task 'aa'", "did you mean 'a'?"),
        ("tasks.b.output", "task 'b' refers to its own output", "a task can use what the tasks in its needs have made"),
        ("tasks.c.output", "task 'c' may not have ended when 'b' starts", "add it to this task: needs: [a, c]"),
        ("tasks.a.outputs", "task 'a' has no 'outputs'", "did you mean 'output'? if not, it has: output"),
        ("tasks", "'tasks' needs the id of a task", "write tasks.ID.output, one task at a time"),
        (
            "foo.bar",
            "unknown name 'foo'",
            "a name is one of: env, execution, index, inputs, item, secrets, tasks, vars",
        ),
        ("inputs.day | uper", "unknown filter 'uper'", "did you mean 'upper'?"),
        ("inputs.day()", "calls are not allowed", "use a filter: value | name"),
        ("inputs.day | ", "unexpected end of template, expected 'name'", "to write '{{' itself, type '{{{{'"),
    ],
)
def test_expressions(expression, message, hint):
    text = HEAD + (
        f"- id: b\n  type: core/open.do\n  needs: [a]\n  inputs:\n    x: |\n      one\n      two {{{{ {expression} }}}}\n"
        "- {id: c, type: core/open.do, needs: [b]}\n"
    )
    assert (14, 11, "tasks[1].inputs.x", message, hint) == only(text)


def test_a_task_that_is_upstream_through_others_may_be_used():
    text = HEAD + (
        "- {id: b, type: core/open.do, needs: [a]}\n"
        "- {id: c, type: core/open.do, needs: [b], env: {X: '{{ tasks.a.output }}'}}\n"
    )
    assert [] == problems(text)


def test_on_a_circle_it_is_the_circle_that_is_reported():
    text = (
        "id: w\ntasks:\n- {id: a, type: core/open.do, needs: [b], env: {X: '{{ tasks.b.output }}'}}\n"
        "- {id: b, type: core/open.do, needs: [a]}\n"
    )
    assert ["tasks need each other in a circle: a -> b -> a"] == [each[3] for each in problems(text)]


def test_a_task_without_a_usable_id_is_checked_as_far_as_possible():
    text = HEAD + "- {id: 5, type: core/open.do, env: {X: '{{ tasks.a.output }} {{ vars.zz }}'}}\n"
    assert ["expected text, got a number", "unknown name 'zz' in vars"] == [each[3] for each in problems(text)]


def test_every_wrong_expression_of_a_text_is_reported():
    text = (
        HEAD
        + "- {id: b, type: core/open.do, inputs: {x: '{{ foo }} {{ vars.a }} {{ 1 + }} {{ vars.url }} {{ inputs.b }}'}}\n"
    )
    assert [
        (8, 44, "unknown name 'foo'"),
        (8, 54, "unknown name 'a' in vars"),
        (8, 67, "unexpected 'end of template'"),
        (8, 92, "unknown input 'b'"),
    ] == [(line, column, message) for line, column, _, message in problems(text)]


def test_a_text_full_of_broken_expressions_is_given_up():
    text = HEAD + "- {id: b, type: core/open.do, inputs: {x: '" + "{{ foo }}" * 50 + "'}}\n"
    assert 20 == len(problems(text))


@pytest.mark.parametrize(
    ("text", "line", "column", "trail"),
    [
        ("description: 'x {{ vars.url }}'", 2, 17, "description"),
        ("vars: {a: [{b: 'x{{ inputs.day }}'}]}", 2, 18, "vars.a[0].b"),
        ("secrets: ['{{ x }}']", 2, 12, "secrets[0]"),
        ("passEnv: ['{{ x }}']", 2, 12, "passEnv[0]"),
        ("timeout: '{{ x }}'", 2, 11, "timeout"),
        ("inputs: {a: {default: '{{ x }}'}}", 2, 24, "inputs.a.default"),
        ("inputs: {a: {type: '{{ x }}'}}", 2, 21, "inputs.a.type"),
    ],
)
def test_templates_stand_in_the_inputs_and_the_env_of_tasks_only(text, line, column, trail):
    found = only(f"id: w\n{text}\ntasks: [{{id: a, type: core/open.do}}]")
    hint = "templates stand in the inputs, the env, the when and the forEach of a task"
    assert (line, column, trail, "a template is not allowed here", hint) == found


@pytest.mark.parametrize("field", ["id", "type", "needs", "timeout", "description", "retry"])
def test_other_keys_of_a_task_take_no_templates(field):
    value = "['{{ x }}']" if field == "needs" else "'{{ x }}'"
    task = {"id": "a", "type": "core/open.do"} | {field: value}
    body = ", ".join(f"{key}: {text}" for key, text in task.items())
    assert ["a template is not allowed here"] == [each[3] for each in problems(f"id: w\ntasks: [{{{body}}}]")]


def test_keys_are_not_resolved():
    text = 'id: w\ntasks: [{id: a, type: core/open.do, inputs: {x: [{"{{ a }}": 1}]}}]'
    assert [(2, 51, "tasks[0].inputs.x[0]['{{ a }}']", "templates are not allowed in keys")] == problems(text)


# -- the lint of scripts --------------------------------------------------------------------------------------------


def script(text, kind="core/shell.run"):
    return f"id: w\nsecrets: [API_TOKEN, smtp-password, 2fa]\ntasks:\n- id: a\n  type: {kind}\n  inputs:\n    script: |\n      {text}\n"


@pytest.mark.parametrize(
    ("secret", "variable"), [("API_TOKEN", "API_TOKEN"), ("smtp-password", "SMTP_PASSWORD"), ("2fa", "_2FA")]
)
def test_a_secret_in_a_script_is_a_warning_with_the_line_to_paste(secret, variable):
    workflow, (problem,) = check(script(f'curl -H "X: {{{{ secrets.{secret} }}}}"'))
    assert workflow is not None
    assert ("warning", 8, 19, "tasks[0].inputs.script") == (
        problem.severity,
        problem.line,
        problem.column,
        problem.trail,
    )
    assert f"secret '{secret}' becomes part of the script, where a quote or '$(' in it would run" == problem.message
    assert (
        f'give it to the task as a variable: env: {{{variable}: "{{{{ secrets.{secret} }}}}"}} '
        f'and write "${variable}" in the script'
    ) == problem.hint


def test_each_secret_of_a_script_is_warned_of_once():
    text = script("{{ secrets.API_TOKEN }} {{ secrets.smtp-password | quote }} {{ secrets.API_TOKEN }}")
    assert [(8, 7), (8, 31)] == [(each.line, each.column) for each in check(text)[1]]


def test_only_shell_scripts_are_linted():
    assert [] == problems(script("{{ secrets.API_TOKEN }}", kind="core/open.do"))
    assert [] == problems(script("echo $API_TOKEN {{ execution.id }}"))


def test_a_broken_script_has_errors_and_no_warnings():
    _, found = check(script("{{ secrets.API_TOKEN }} {{ nope }}"))
    assert ["unknown name 'nope'"] == [each.message for each in found]


# -- all of it ------------------------------------------------------------------------------------------------------


def test_problems_come_in_the_order_of_the_file():
    text = (
        "id: w\nsecrets: [A B]\nunknown: 1\ntasks:\n- {id: a, type: zzz, inputs: {x: '{{ secrets.Q }}'}}\n"
        "- {id: a, type: core/shell.run, needs: [q]}\ndescription: [\n]\n"
    )
    found = problems(text)
    assert sorted(found, key=lambda each: each[:2]) == found
    assert 8 == len(found)


def test_a_thousand_mistakes_are_cut_to_what_can_be_read():
    text = "id: w\ntasks:\n" + "- {id: a, type: core/open.do, env: {X: '{{ vars.q }}'}}\n" * 1000
    workflow, found = check(text)
    assert workflow is None
    assert PROBLEM_LIMIT + 1 == len(found)
    assert f"these are {PROBLEM_LIMIT} problems, and there may be more" == found[-1].message


def test_a_thousand_warnings_do_not_make_a_workflow_invalid():
    tasks = "".join(
        f"- {{id: a{i}, type: core/shell.run, inputs: {{script: 'x {{{{ secrets.A }}}}'}}}}\n" for i in range(300)
    )
    workflow, found = check(f"id: w\nsecrets: [A]\ntasks:\n{tasks}")
    assert (300, True) == (len(found), workflow is not None)


def test_the_error_names_the_first_problem_and_counts_the_rest():
    warning, error, other = check(
        script("{{ secrets.API_TOKEN }}")
        + "- {id: b, type: core/shell.run, need: x, inputs: {script: a}}\n- {id: b, type: zz}\n"
    )[1][:3]
    assert "warning" == warning.severity
    assert "w.yaml:9:33: unknown key 'need' (tasks[1].need)" == str(WorkflowInvalidError([warning, error]))
    both = WorkflowInvalidError([warning, error, other])
    assert "w.yaml:9:33: unknown key 'need' (tasks[1].need), and 1 more" == both.message
    assert ("did you mean 'needs'?", 3) == (both.hint, both.exit_code)


def test_trails_are_written_as_a_reader_would():
    assert "tasks[1].inputs['a b'].x-y[0]" == trail_of(("tasks", 1, "inputs", "a b", "x-y", 0))
    assert "" == trail_of(())


def test_among_very_many_names_only_the_same_in_other_letters_is_found():
    names = [f"task-{number}" for number in range(5000)]
    assert "did you mean 'task-7'?" == nearest("Task_7", names)
    assert nearest("tsk-7", names) is None


# -- conditions, lists, failures, concurrency --------------------------------------------------------------------


DECIDED = """\
id: w
secrets: [TOKEN]
inputs: {day: {default: mon}}
concurrency: CONCURRENCY
tasks:
- {id: a, type: core/open.do, retry: {max: 1, jitter: JITTER}}
- id: b
  type: core/open.do
  needs: [a]
  when: WHEN
  forEach: EACH
  maxParallel: 2
  inputs: {x: "{{ item.name }} {{ index }} {{ secrets.TOKEN }}"}
onFailure:
- {id: tell, type: core/open.do, inputs: {x: "{{ tasks.b.output }} {{ execution.failed | length }}"}}
- {id: more, type: core/open.do, needs: [tell]}
"""


def decided(concurrency="1", jitter="true", when='"{{ inputs.day == 1 }}"', each='"{{ tasks.a.output }}"', extra=""):
    text = DECIDED.replace("CONCURRENCY", concurrency).replace("JITTER", jitter)
    return text.replace("WHEN", when).replace("EACH", each) + extra


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"concurrency": "{max: 2, onBusy: fail}", "jitter": "0.5", "when": "false", "each": "[1, '{{ inputs.day }}']"},
        {"when": '" {{ not (inputs.day == 1) }} "', "each": "[]", "jitter": "false"},
    ],
)
def test_what_decides_about_tasks_is_valid_in_all_its_forms(changes):
    workflow, found = check(decided(**changes))
    assert () == found
    assert ["a", "b", "tell", "more"] == [task.id for task in workflow.all_tasks]
    copy = type(workflow).model_validate_json(workflow.model_dump_json(by_alias=True, exclude_unset=True))
    assert workflow == copy


@pytest.mark.parametrize(
    ("changes", "trail", "message"),
    [
        (
            {"when": "'{{ inputs.day }} == mon'"},
            "tasks[1].when",
            "expected one expression and nothing beside it",
        ),
        ({"each": "'{{ vars.x }} and'"}, "tasks[1].forEach", "expected one expression and nothing beside it"),
        ({"when": "mon"}, "tasks[1].when", None),
        ({"when": "3"}, "tasks[1].when", None),
        ({"when": '"{{ secrets.TOKEN }}"'}, "tasks[1].when", "'secrets' is not available here"),
        ({"when": '"{{ item }}"'}, "tasks[1].when", "'item' is not available here"),
        ({"each": '"{{ secrets.TOKEN }}"'}, "tasks[1].forEach", "'secrets' is not available here"),
        ({"each": "[x, '{{ secrets.TOKEN }}']"}, "tasks[1].forEach[1]", "'secrets' is not available here"),
        ({"each": "a"}, "tasks[1].forEach", None),
        ({"each": "{a: 1}"}, "tasks[1].forEach", None),
        ({"jitter": "1.5"}, "tasks[0].retry.jitter", None),
        ({"jitter": "much"}, "tasks[0].retry.jitter", None),
        ({"concurrency": "0"}, "concurrency", "expected at least 1, got 0"),
        ({"concurrency": "many"}, "concurrency", None),
        ({"extra": "- {id: x, type: core/open.do, needs: [a]}"}, "onFailure[2].needs[0]", None),
        ({"extra": "- {id: a, type: core/open.do}"}, "onFailure[2].id", "task id 'a' is repeated"),
        ({"extra": "- {id: x, type: core/open.do, maxParallel: 2}"}, "onFailure[2].maxParallel", None),
        ({"extra": "- {id: x, type: core/open.do, needs: [x]}"}, "onFailure[2].needs[0]", "task 'x' needs itself"),
        ({"extra": "- {id: x, type: core/none.do}"}, "onFailure[2].type", "unknown action 'core/none.do'"),
    ],
)
def test_what_decides_about_tasks_is_refused_where_it_can_mean_nothing(changes, trail, message):
    found = problems(decided(**changes))
    assert trail in [each[2] for each in found], found
    if message is not None:
        assert message in [each[3] for each in found]


def test_items_and_failures_are_named_only_where_there_are_some():
    text = """\
id: w
tasks:
- {id: a, type: core/open.do, inputs: {x: "{{ item }}"}}
- {id: b, type: core/open.do, needs: [tell], inputs: {x: "{{ execution.failed }}", y: "{{ tasks.tell.output }}"}}
onFailure: [{id: tell, type: core/open.do}]
"""
    assert [
        ("tasks[0].inputs.x", "'item' is not available here"),
        ("tasks[1].needs[0]", "task 'tell' is in onFailure, which runs after all others"),
        ("tasks[1].inputs.x", "execution has no 'failed'"),
    ] == [each[2:] for each in problems(text)]
