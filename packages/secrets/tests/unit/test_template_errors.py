"""What a template says when it is wrong: message, hint and place; and that nothing gets out of it."""

import sys
import time

import pytest

from autokestra_secrets import (
    SecretResolver,
    SecretsError,
    TemplateError,
    check_template,
    find_references,
    resolve_templates,
)
from autokestra_secrets.templates import ROOTS, syntax
from autokestra_secrets.testing import memory_store

BRACES = "to write '{{' itself, type '{{{{'"


@pytest.mark.parametrize(
    ("template", "message", "hint"),
    [
        ("{{ secrets.MY KEY }}", "invalid secret name: it has a space in it", "a name has 1 to 128 of"),
        ("{{ secrets.MY KEY | b64encode }}", "invalid secret name: it has a space in it", "a name has 1 to 128 of"),
        ("{{ secrets.my.key }}", "invalid secret name: it has a dot in it", "(secrets.NAME | fromjson).field"),
        ("{{ secrets.größe }}", "invalid secret name: it has a character that no name has", "a name has 1 to 128 of"),
        ("{{ secrets." + "x" * 129 + " }}", "invalid secret name: it is too long", "a name has 1 to 128 of"),
        ("{{ secrets }}", "'secrets' needs a name", "write secrets.NAME, one secret at a time"),
        ("{{ secrets['A'] }}", "'secrets' needs a name", "write secrets.NAME, one secret at a time"),
        ("{{ secrets[inputs.x] }}", "'secrets' needs a name", "write secrets.NAME, one secret at a time"),
        ("{{ secrets | tojson }}", "'secrets' needs a name", "write secrets.NAME, one secret at a time"),
        ("{{ secrets.A if 1 else secrets }}", "'secrets' needs a name", "write secrets.NAME, one secret at a time"),
        ("{{ tasks }}", "'tasks' needs the id of a task", "write tasks.ID.output, one task at a time"),
        ("{{ tasks[inputs.x] }}", "'tasks' needs the id of a task", "write tasks.ID.output, one task at a time"),
        ("{{ tasks[0] }}", "'tasks' needs the id of a task", "write tasks.ID.output, one task at a time"),
        ("{{ tasks[true] }}", "'tasks' needs the id of a task", "write tasks.ID.output, one task at a time"),
        (
            "{{ API_TOKEN }}",
            "unknown name 'API_TOKEN'",
            "a name is one of: env, execution, index, inputs, item, secrets, tasks, vars",
        ),
        ("{{ secret.API_TOKEN }}", "unknown name 'secret'", "did you mean 'secrets'?"),
        ("{{ inputs.a | uper }}", "unknown filter 'uper'", "did you mean 'upper'?"),
        ("{{ inputs.a | zzz }}", "unknown filter 'zzz'", "there are: abs, "),
        ("{{ inputs.a | a.b }}", "unknown filter 'a'", "there are: abs, "),
        ("{{ inputs.a | trim.b }}", "unknown filter 'trim'", "did you mean 'trim'?"),
        ("{{ inputs.a is strin }}", "unknown test 'strin'", "did you mean 'string'?"),
        ("{{ inputs.a is divisibleby(3) }}", "unknown test 'divisibleby'", "there are: boolean, "),
        ("{{ inputs.a is number(3) }}", "test 'number' takes no arguments", None),
        ("{{ inputs.a | join(1, 2) }}", "wrong arguments for filter 'join'", "it is written: join(separator)"),
        ("{{ inputs.a | join(sep=1) }}", "wrong arguments for filter 'join'", "it is written: join(separator)"),
        (
            "{{ inputs.a | join(1, separator=1) }}",
            "wrong arguments for filter 'join'",
            "it is written: join(separator)",
        ),
        ("{{ inputs.a | replace(1) }}", "wrong arguments for filter 'replace'", "it is written: replace(old, new)"),
        ("{{ inputs.a | replace(new=1) }}", "wrong arguments for filter 'replace'", "it is written: replace(old, new)"),
        ("{{ inputs.a | join(*[1]) }}", "wrong arguments for filter 'join'", "it is written: join(separator)"),
        ("{{ inputs.a | join(**{}) }}", "wrong arguments for filter 'join'", "it is written: join(separator)"),
        ("{{ inputs.a | default }}", "wrong arguments for filter 'default'", "it is written: default(value, boolean)"),
        ("{{ range(3) }}", "calls are not allowed", "use a filter: value | name"),
        ("{{ secret('API_TOKEN') }}", "calls are not allowed", "write secrets.API_TOKEN"),
        ("{{ secret('API=tok') }}", "calls are not allowed", "write secrets.NAME"),
        ("{{ secret() }}", "calls are not allowed", "write secrets.NAME"),
        ("{{ secret(inputs.a) }}", "calls are not allowed", "write secrets.NAME"),
        ("{{ secret(1) }}", "calls are not allowed", "write secrets.NAME"),
        ("{{ outputs.fetch.body }}", "unknown name 'outputs'", "write tasks.fetch.output.body"),
        ("{{ outputs.fetch }}", "unknown name 'outputs'", "write tasks.fetch.output"),
        ("{{ outputs | tojson }}", "unknown name 'outputs'", "write tasks.ID.output"),
        ("{{ inputs.a.upper() }}", "calls are not allowed", "use a filter: value | name"),
        ("{{ 2 ** 3 }}", "'**' is not allowed", None),
        ("{{ inputs.a[1:2, 3] }}", "slice is not allowed in an expression", None),
        ("{{ 1 if 2 }}", "'if' needs an 'else'", "write: a if condition else b"),
        ("{{ }}", "expression is empty", BRACES),
        ("{{}}", "expression is empty", BRACES),
        (
            "{{- inputs.a }}",
            "'{{-' and '-}}' are not supported",
            "text around '{{ }}' is kept as it is; leave the '-' out",
        ),
        (
            "{{ inputs.a -}}",
            "'{{-' and '-}}' are not supported",
            "text around '{{ }}' is kept as it is; leave the '-' out",
        ),
        ("{{.Names}}", "unexpected '.'", BRACES),
        ("{{ inputs. }}", "expected name or number", BRACES),
        ("{{ inputs.a b }}", "unexpected 'b'", BRACES),
        ("{{ inputs.a", "'{{' without '}}'", BRACES),
        ("{{ inputs.a }", "unexpected '}'", BRACES),
        ("{{ 'a }}", "quote ' is not closed", BRACES),
        ('{{ "a }}', 'quote " is not closed', BRACES),
        ("{{ (1 }}", "unexpected end of template, expected ')'", BRACES),
        ("{{ 1] }}", "unexpected ']'", BRACES),
        ("{{ a ? b }}", "unexpected char '?'", BRACES),
        ("{{ 1e999 }}", "number is too large or not a number", None),
        ("{{ " + "9" * 2000 + " }}", "number is too large", None),
        ("{{ " + "9" * 5000 + " }}", "number is too large", BRACES),
        ("{{ " + "x" * 10_000 + " }}", "expression is longer than 10,000 characters, or '}}' is missing", None),
        ("{{ '" + "x" * 20_000 + "' }}", "expression is longer than 10,000 characters, or '}}' is missing", None),
        ("{{ " + "(" * 300 + ")" * 300 + " }}", "nested too deeply", None),
        ("{{ " + "not " * 60 + "1 }}", "nested too deeply", None),
        ("{{ " + "+".join("1" * 60) + " }}", "nested too deeply", None),
        ("{{ [1]" + "[0]" * 60 + " }}", "nested too deeply", None),
    ],
)
def test_what_can_be_seen_without_running_is_refused(template, message, hint):
    with pytest.raises(TemplateError) as caught:
        check_template("text " + template, roots=ROOTS)
    assert message == caught.value.message
    assert hint is None or hint in caught.value.hint
    assert hint is not None or caught.value.hint is None
    assert 5 == caught.value.offset


@pytest.mark.parametrize(
    ("expression", "message", "hint"),
    [
        ("inputs.dya", "inputs has no 'dya'", "did you mean 'day'?"),
        ("inputs.zzz", "inputs has no 'zzz'", None),
        ("inputs.count-1", "inputs has no 'count-1'", "a '-' belongs to the name; to subtract, put spaces around it"),
        ("inputs.__class__", "inputs has no '__class__'", None),
        ("tasks.fetch.output.bodi", "tasks.fetch.output has no 'bodi'", None),
        ("tasks.fetch.output.list.7", "tasks.fetch.output.list has no '7'", None),
        ("tasks.fetch.output.list[7]", "tasks.fetch.output.list has no '7'", None),
        ("tasks.fetch.output.list[vars.n]", "value has no such item", None),
        ("tasks.fetch.output.list[true]", "value has no 'True'", None),
        ("vars.n.x", "vars.n has no 'x'", None),
        ("vars.n." + "9" * 5000, "vars.n has no '" + "9" * 60 + "…'", None),
        ("vars[none]", "value has no 'None'", None),
        ("vars[[1]]", "value has no such item", None),
        ("vars['_' ~ 'x']", "names that begin with '_' are not allowed", None),
        ("inputs.day - 1", "'-' cannot be used with text and a number", None),
        ("inputs.day + 1", "'+' cannot be used with text and a number", "to join text with something else, use '~'"),
        ("true + 1", "'+' cannot be used with true or false and a number", "to join text with something else, use '~'"),
        ("-inputs.day", "'-' needs a number, got text", None),
        ("inputs.day < 1", "'<': cannot be used with text and a number of this form", None),
        ("1 in inputs.day", "'in': cannot be used with a number and text of this form", None),
        ("1 in 2", "'in': cannot be used with a number and a number of this form", None),
        ("[] in vars", "'in': cannot be used with a list and a mapping of this form", None),
        ("1 / 0", "'/': division by zero", None),
        ("1 % 0", "'%': division by zero", None),
        ("vars.huge * 1.0", "'*': number is too large", None),
        ("1e300 * 1e300", "number is too large or not a number", None),
        (" * ".join(["1" * 1000] * 2), "number is too large", None),
        ("inputs[1:]", "a slice needs text or a list, got a mapping", None),
        (
            "inputs.day[::0]",
            "slice: cannot be used with nothing (null) and nothing (null) and a number of this form",
            None,
        ),
        (
            "inputs.day['a':]",
            "slice: cannot be used with text and nothing (null) and nothing (null) of this form",
            None,
        ),
        ("{1: 2}", "the keys of a mapping are text", None),
    ],
)
def test_what_shows_only_when_it_runs(expression, message, hint):
    context = {
        "inputs": {"day": "mon", "count": 3},
        "vars": {"n": 5, "huge": 10**400, "_x": 1},
        "tasks": {"fetch": {"output": {"list": [1], "body": 2}}},
    }
    with pytest.raises(TemplateError) as caught:
        resolve_templates({"a": ["b {{ 1 }} {{ " + expression + " }}"]}, scope=None, context=context)
    assert message == caught.value.message
    assert hint == caught.value.hint
    assert (("a", 0), 10, 1) == (caught.value.path, caught.value.offset, caught.value.number)


def test_the_place_of_a_broken_text_is_known():
    with pytest.raises(TemplateError) as caught:
        find_references({"a": ["x", "{{ inputs.a }} {{ 'a"]})
    assert (("a", 1), 15, 1) == (caught.value.path, caught.value.offset, caught.value.number)


def test_values_nested_too_deeply_are_refused():
    value = []
    for _ in range(2000):
        value = [value]
    with pytest.raises(TemplateError, match=r"^nested too deeply$"):
        find_references(value)
    with pytest.raises(TemplateError, match=r"^nested too deeply$"):
        resolve_templates(value, scope=None, context={})
    with pytest.raises(TemplateError, match=r"^nested too deeply$"):
        resolve_templates("{{ vars.deep }}", scope=None, context={"vars": {"deep": value}})
    with pytest.raises(TemplateError, match=r"nested too deeply$"):
        resolve_templates(
            "{{ vars.deep == vars.same }}", scope=None, context={"vars": {"deep": value, "same": copy(value)}}
        )


def copy(value):
    result = []
    while value:
        value = value[0]
        result = [result]
    return result


def test_a_caller_deep_in_a_recursion_gets_an_error_of_ours():
    """Python's recursion limit is shared with the caller: running into it is no crash, wherever it happens."""

    def dive(action, levels):
        return action() if levels == 0 else dive(action, levels - 1)

    def parse():
        return len(find_references("{{ ((((inputs.x)))) }}"))

    def evaluate():
        text = "{{ (((1 if 1 else 2) ~ (3 | string)) | upper) ~ vars.x }}"
        return resolve_templates(text, scope=None, context={"vars": {"x": "a"}})

    outcomes = set()
    for action in (parse, evaluate):
        for levels in range(sys.getrecursionlimit() - 300, sys.getrecursionlimit()):
            syntax.parse.cache_clear() if action is parse else action()
            try:
                outcomes.add(dive(action, levels))
            except TemplateError as error:
                outcomes.add(error.message.removeprefix("filter 'string': ").removeprefix("filter 'upper': "))
            except RecursionError:
                break  # no room even for the first call
    assert {1, "13a", "nested too deeply"} == outcomes


# -- attacks --------------------------------------------------------------------------------------------------------

ATTACKS = [
    "''.__class__",
    "''.__class__.__mro__[1].__subclasses__()",
    "inputs.__class__",
    "inputs.__init__.__globals__",
    "inputs['__class__']",
    "inputs['__cl' ~ 'ass__']",
    "inputs.day['__class__']",
    "inputs.day.format",
    "inputs.day.format('x')",
    "inputs.day.upper",
    "inputs.keys",
    "inputs.items()",
    "inputs | attr('__class__')",
    "'{0.__class__}' | format(1)",
    "'{0.__class__}'.format(1)",
    "'%s' % inputs",
    "'%999999999d' % 1",
    "'a' * 1000000000",
    "[1] * 1000000000",
    "1000000000 * 'a'",
    "2 ** 10000000",
    "10 ** 10 ** 10",
    "lipsum(n=100000)",
    "lipsum.__globals__['os'].popen('id').read()",
    "cycler.__init__.__globals__",
    "joiner('x')",
    "namespace(a=1)",
    "range(1000000000)",
    "dict(a=1)",
    "self",
    "self.__dict__",
    "config",
    "request.application.__globals__",
    "get_flashed_messages.__globals__",
    "(lambda: 1)()",
    "[x for x in inputs]",
    "inputs.day.center(1000000000)",
    "inputs.day | center(1000000000)",
    "inputs.day | indent(1000000000)",
    "inputs | map(attribute='__class__')",
    "inputs | xmlattr",
    "'x' | pprint",
    "1 | filesizeformat",
    "inputs.day | safe",
    "inputs is callable",
    "inputs is sameas inputs",
    "caller()",
    "super()",
    "loop.index",
    "varargs",
    "1 == 1 == (1).__class__",
    "secrets.__class__",
    "secrets.A.__class__",
    "secrets['A']",
    "secrets | list",
    "secrets | tojson",
    "secrets ~ ''",
    "secrets == secrets",
    "[secrets]",
    "execution.__class__.__base__",
    "'a'.join(['b'] * 100000000)",
    "'%0' ~ 999999999 ~ 'd' % 1",
    "vars.big | replace('', vars.big)",
    "vars.big | split('') | length",
    "[" + ",".join(["vars.big"] * 400) + "] | tojson | length",
    " ~ ".join(["vars.big"] * 400),
    "{{ 1 }}",
    "{% include '/etc/passwd' %}",
    "{# #}",
    "import os",
    "1; 2",
    "a = 1",
    "inputs.day = 'x'",
    "@inputs",
    "`id`",
    "$(id)",
    "\\",
    "((((((((((",
    "'" + "\\'" * 4000,
    '"' + "\\\"'" * 3000,
    "{" * 4000,
    "[" * 4000,
    "-" * 4000 + "1",
    "not " * 2000 + "1",
    "1" + "|trim" * 1500,
    "inputs" + ".a" * 4000,
    "1 if 1 else " * 500 + "1",
]


@pytest.fixture(scope="module")
def scope():
    return SecretResolver(memory_store({"A": "canary-1234"}), environ={}).scope(["A"])


@pytest.mark.parametrize("expression", ATTACKS, ids=lambda text: text[:40])
def test_nothing_gets_out_of_an_expression(scope, expression):
    """Refused with an error of ours, in bounded time, without a value in it."""
    started = time.perf_counter()
    with pytest.raises(SecretsError) as caught:
        resolve_templates(
            "{{ " + expression + " }}",
            scope=scope,
            context={"inputs": {"day": "mon"}, "vars": {"big": "x" * 1_000_000}, "execution": {"id": "1"}},
        )
    assert time.perf_counter() - started < 5
    shown = f"{caught.value!r} {caught.value.hint} {caught.value.__cause__!r} {caught.value.__context__!r}"
    assert "canary" not in shown
    assert len(shown) < 1000


@pytest.mark.parametrize(
    "expression",
    [
        "secrets.A | int",
        "secrets.A | float",
        "secrets.A | fromjson",
        "secrets.A | b64decode",
        "vars[secrets.A]",
        "vars.map[secrets.A]",
        "vars.map[secrets.A].x",
        "(secrets.A | keys)",
        "[1, secrets.A] | sort",
        "[secrets.A, 1] | max",
        "secrets.A + 1",
        "secrets.A - 1",
        "-secrets.A",
        "secrets.A < 1",
        "1 in secrets.A",
        "secrets.A in 1",
        "secrets.A[secrets.A:]",
        "secrets.A | split(1)",
        "vars.list | join(1) ~ secrets.A",
        "{secrets.A: 1}[secrets.A ~ 'x']",
        "{secrets.A: 1}.nope",
        "[secrets.A].5",
        "secrets.A | round",
        "[secrets.A] | sum",
        "secrets.A | round(secrets.A)",
        "{'a': {1: secrets.A}}",
    ],
)
def test_no_error_repeats_a_value(scope, expression):
    with pytest.raises(TemplateError) as caught:
        resolve_templates("{{ " + expression + " }}", scope=scope, context={"vars": {"map": {"k": 1}, "list": [1]}})
    error = caught.value
    while error is not None:
        assert "canary" not in f"{error!r} {error} {getattr(error, 'hint', '')}"
        error = error.__cause__ or error.__context__
