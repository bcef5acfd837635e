"""What a template means: each rule of the language, with one example of it."""

import subprocess
import sys

import pytest

from autokestra_secrets import (
    Reference,
    SecretMasker,
    SecretNotDeclaredError,
    SecretNotFoundError,
    SecretResolver,
    TemplateError,
    check_template,
    find_references,
    resolve_templates,
)
from autokestra_secrets.templates import ROOTS
from autokestra_secrets.testing import memory_store

VALUES = {
    "API_TOKEN": "tok-123456",
    "smtp-password": 'it\'s {{ inputs.day }} $(id) "ü"',
    "2fa-token": "654321",
    "USER": "alice",
    "PASS": "hunter2-hunter2",
    "BINARY": b"\xff\x00\xfe",
    "LONG_BINARY": b"\xff\x00\xfe\xfd\xfc\xfb\xfa\xf9\xf8",
    "JSON": '{"client": {"id": "client-1234567", "pin": 123456789, "on": true, "none": null}, "keys": ["key-12345"]}',
    "_odd-": "odd-value",
}
CONTEXT = {
    "inputs": {"day": "mon", "count": 3, "max-rows": 10, "ratio": 1.5, "yes": True, "text": "{{ secrets.API_TOKEN }}"},
    "vars": {"url": "https://x", "list": [3, 1, 2], "map": {"a": 1, "k-1": [{"n": "deep"}]}, "none": None},
    "tasks": {
        "fetch-it": {"output": {"body": [10, 20], "content-type": "json", "größe": 5, "0": "zero"}},
        "failed": {"output": None},
    },
    "env": {"HTTPS_PROXY": "http://proxy"},
    "execution": {"id": "ex-1"},
}


@pytest.fixture(scope="module")
def store():
    return memory_store(VALUES)


@pytest.fixture
def resolve(store):
    """Resolve against VALUES and CONTEXT."""

    def resolve(value, **options):
        with SecretResolver(store, environ={}).scope([*VALUES, "GONE"], workflow="nightly") as scope:
            return resolve_templates(value, scope=scope, context=CONTEXT, **options)

    return resolve


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        "${#a[@]} {# no comment #} {% if x %} }} { { } }",
        "a }} b",
        "line\r\nline\n\n",
        "#!/bin/sh\n# {%- raw -%}\n",
        "\x00 \ud800",
    ],
)
def test_text_outside_braces_stays_byte_for_byte(resolve, text):
    assert text == resolve(text)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ secrets.API_TOKEN }}", "tok-123456"),
        ("{{secrets.API_TOKEN}}", "tok-123456"),
        ("{{\n  secrets . API_TOKEN\n}}", "tok-123456"),
        ("Bearer {{ secrets.API_TOKEN }}\n", "Bearer tok-123456\n"),
        ("{{ secrets.2fa-token }}", "654321"),
        ("{{ secrets._odd- }}", "odd-value"),
        ("{{ secrets.API_TOKEN[:3] }}", "tok"),
        ("{{ secrets.API_TOKEN[0] }}", "t"),
        ("{{ inputs.day }}", "mon"),
        ("{{ inputs.max-rows }}", 10),
        ("{{ inputs['max-rows'] }}", 10),
        ("{{ inputs[vars.map | keys | first | replace('a', 'day')] }}", "mon"),
        ("{{ vars.url }}/{{ inputs.day }}", "https://x/mon"),
        ("{{ tasks.fetch-it.output.body }}", [10, 20]),
        ("{{ tasks.fetch-it.output.body.1 }}", 20),
        ("{{ tasks.fetch-it.output.body[-1] }}", 20),
        ("{{ tasks['fetch-it'].output.content-type }}", "json"),
        ("{{ tasks.fetch-it.output.größe }}", 5),
        ("{{ tasks.fetch-it.output.0 }}", "zero"),
        ("{{ vars.map.k-1.0.n }}", "deep"),
        ("{{ vars.map['k-1'][0]['n'] }}", "deep"),
        ("{{ vars.list[1:] }}", [1, 2]),
        ("{{ vars.list[::-1] }}", [2, 1, 3]),
        ("{{ inputs.day[0] }}", "m"),
        ("{{ env.HTTPS_PROXY }}", "http://proxy"),
        ("{{ execution.id }}", "ex-1"),
    ],
)
def test_names_are_looked_up(resolve, template, expected):
    assert expected == resolve(template)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ inputs.count }}", 3),
        ("{{ inputs.ratio }}", 1.5),
        ("{{ inputs.yes }}", True),
        ("{{ vars.none }}", None),
        ("{{ vars.map }}", {"a": 1, "k-1": [{"n": "deep"}]}),
        (" {{ inputs.count }}", " 3"),
        ("{{ inputs.count }}{{ inputs.ratio }}", "31.5"),
        ("{{ inputs.yes }}.", "true."),
        ("[{{ vars.none }}]", "[]"),
        ("{{ vars.list }}\n", "[3, 1, 2]\n"),
        ("{{ vars.map }}!", '{"a": 1, "k-1": [{"n": "deep"}]}!'),
    ],
)
def test_a_string_that_is_one_expression_keeps_its_type(resolve, template, expected):
    result = resolve(template)
    assert expected == result
    assert type(expected) is type(result)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ inputs.count }}", "3"),
        ("{{ inputs.yes }}", "true"),
        ("{{ vars.none }}", ""),
        ("{{ vars.list }}", "[3, 1, 2]"),
    ],
)
def test_as_text_asks_for_text_everywhere(resolve, template, expected):
    assert expected == resolve(template, as_text=True)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{{{", "{{"),
        ("{{{{ x }}", "{{ x }}"),
        ("docker ps --format '{{{{.Names}}'", "docker ps --format '{{.Names}}'"),
        ("{{{{{{{{", "{{{{"),
        ("{{{{{{ inputs.day }}", "{{mon"),
        ("a{{{{b{{ inputs.day }}c{{{{d", "a{{bmonc{{d"),
        ("{{ '{{' }}", "{{"),
        ("{{ '}}' ~ \"}}\" }}", "}}}}"),
    ],
)
def test_four_braces_write_two(resolve, template, expected):
    assert expected == resolve(template)


def test_nested_values_resolve_and_keys_do_not(resolve):
    value = {"{{ inputs.day }}": ["{{ inputs.day }}", {"x": ("{{ inputs.count }}", 7, None, True)}], 1: "a"}
    expected = {"{{ inputs.day }}": ["mon", {"x": [3, 7, None, True]}], 1: "a"}
    assert expected == resolve(value)


def test_the_given_value_and_the_context_are_not_changed(resolve):
    value = {"list": ["{{ vars.map }}"]}
    resolve(value)["list"][0]["k-1"][0]["n"] = "changed"
    assert {"list": ["{{ vars.map }}"]} == value
    assert "deep" == CONTEXT["vars"]["map"]["k-1"][0]["n"]


def test_what_a_secret_or_input_holds_is_never_a_template(resolve):
    assert VALUES["smtp-password"] == resolve("{{ secrets.smtp-password }}")
    assert "<{{ secrets.API_TOKEN }}>" == resolve("<{{ inputs.text }}>")
    assert "{{ secrets.API_TOKEN }}" == resolve("{{ inputs.text | trim }}")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("'it''s'", "its"),
        ("'a' \"b\" 'c'", "abc"),
        (r"'\'\"\\\n\r\t\0'", "'\"\\\n\r\t\0"),
        (r"'\x41\u00e9\U0001F600'", "Aé😀"),
        (r"'\d\x4\w'", r"\d\x4\w"),
        ("'line\r\nline'", "line\r\nline"),
        ("'1.a .b c.d'", "1.a .b c.d"),
        ("1_000", 1000),
        ("0x1f", 31),
        ("1.5e3", 1500.0),
        ("true", True),
        ("False", False),
        ("none", None),
        ("[1, 'a', [true]]", [1, "a", [True]]),
        ("(1, 2)", [1, 2]),
        ("{'a': 1, 'b': {'c': [2]}}", {"a": 1, "b": {"c": [2]}}),
        ("{'a': {'b': 1}}.a.b", 1),
        ("({'a-b': 5}).a-b", 5),
        ("{'a': 1}['a']", 1),
        ("[1, 2, 3][1]", 2),
        ("[[1, 2]][0][1]", 2),
        ("['x'].0", "x"),
    ],
)
def test_constants(resolve, expression, expected):
    assert expected == resolve("{{ " + expression + " }}")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("inputs.count - 1", 2),
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("7 / 2", 3.5),
        ("7 // 2", 3),
        ("7 % 4", 3),
        ("-inputs.count", -3),
        ("+inputs.count", 3),
        ("1 - -1", 2),
        ("'a' + 'b'", "ab"),
        ("[1] + [2]", [1, 2]),
        ("'n=' ~ 3 ~ none ~ true ~ [1]", "n=3true[1]"),
        ("1 < 2", True),
        ("1 < 2 < 2", False),
        ("1 <= 1 >= 1 != 2 == 2", True),
        ("2 > 1", True),
        ("'a' in 'abc'", True),
        ("3 in vars.list", True),
        ("'x' not in vars.map", True),
        ("not 1", False),
        ("1 and 0", 0),
        ("0 and 1/0", 0),
        ("0 or 'x'", "x"),
        ("'y' or 1/0", "y"),
        ("'a' if inputs.yes else 'b'", "a"),
        ("1/0 if 0 else 'b'", "b"),
        (
            "1 is number and 'a' is string and none is none and [] is sequence and {} is mapping and true is boolean",
            True,
        ),
        ("1 is string or true is number", False),
        ("inputs.day is defined", True),
        ("inputs.gone is defined", False),
        ("inputs.gone is undefined", True),
        ("inputs.gone is not defined", True),
    ],
)
def test_operators(resolve, expression, expected):
    result = resolve("{{ " + expression + " }}")
    assert expected == result
    assert type(expected) is type(result)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("inputs.gone | default('x')", "x"),
        ("inputs.gone.deeper[0] | default('x')", "x"),
        ("tasks.failed.output.body | default('x')", "x"),
        ("inputs.day | default('x')", "mon"),
        ("vars.none | default('x')", None),
        ("vars.none | default('x', true)", "x"),
        ("inputs.day | default('x', boolean=true)", "mon"),
        ("(inputs.gone | upper) | default(value='x')", "x"),
        ("inputs.gone | default(inputs.day)", "mon"),
    ],
)
def test_default_takes_the_place_of_absent_names(resolve, expression, expected):
    assert expected == resolve("{{ " + expression + " }}")


def test_default_does_not_hide_a_missing_secret(resolve):
    with pytest.raises(SecretNotFoundError, match=r"^secret 'GONE' not found$"):
        resolve("{{ secrets.GONE | default('x') }}")


def test_an_undeclared_secret_names_the_workflow(resolve):
    with pytest.raises(SecretNotDeclaredError) as caught:
        resolve("{{ secrets.API_TOKN }}")
    assert "secret 'API_TOKN' is not declared in workflow 'nightly'" == str(caught.value)
    assert "did you mean 'API_TOKEN'" in caught.value.hint


def test_without_a_scope_no_secret_is_declared():
    with pytest.raises(SecretNotDeclaredError, match=r"^secret 'A' is not declared$"):
        resolve_templates("{{ secrets.A }}", scope=None, context={})


# -- secrets and the masker -----------------------------------------------------------------------------------------


def masked_after(resolve, template, text):
    masker = SecretMasker()
    resolve(template, masker=masker)
    return masker.mask(text)


@pytest.mark.parametrize(
    ("template", "text", "expected"),
    [
        ('{{ (secrets.USER ~ ":" ~ secrets.PASS) | sha256 }}', None, "***SECRET***"),
        ("x {{ secrets.API_TOKEN | reverse }} y", "x 654321-kot y", "x ***SECRET*** y"),
        ("{{ (secrets.JSON | fromjson).client.id }}", "client-1234567", "***SECRET***"),
        ("{{ (secrets.JSON | fromjson).client.pin + 1 }}", "123456790", "***SECRET***"),
        ("{{ secrets.JSON | fromjson }}", "key-12345 client-1234567", "***SECRET*** ***SECRET***"),
        ("{{ {secrets.API_TOKEN | reverse: 1} }}", "654321-kot", "***SECRET***"),
        ("{{ [inputs.gone | default(secrets.PASS | upper)] }}", "HUNTER2-HUNTER2", "***SECRET***"),
        ("{{ secrets.PASS }}", "hunter2-hunter2", "***SECRET***"),
        ("{{ secrets.USER | upper }}", "ALICE", "ALICE"),  # shorter than 8 bytes
        ("{{ secrets.PASS | replace(secrets.PASS, 'unrelated') }}", "unrelated", "unrelated"),  # a literal
        ("{{ 'first-text' if secrets.PASS else 'other-text' }}", "first-text", "first-text"),
        (
            "{{ (vars.url ~ '/first') if secrets.PASS == 'x' else (vars.url ~ '/last') }}",
            "https://x/last",
            "https://x/last",
        ),
        ("{{ secrets.PASS | length }} {{ vars.url }}/path", "https://x/path", "https://x/path"),
    ],
)
def test_what_is_made_from_a_secret_is_masked(resolve, template, text, expected):
    assert expected == masked_after(resolve, template, text or resolve(template))


def test_derived_texts_are_counted_under_the_names_of_their_secrets(resolve):
    masker = SecretMasker()
    derived = resolve('{{ (secrets.USER ~ ":" ~ secrets.PASS) | reverse }}', masker=masker)
    masker.mask(derived)
    assert ["PASS+USER"] == list(masker.counts)


def test_bytes_go_through_filters_that_take_them(resolve):
    assert "/wD+" == resolve("{{ secrets.BINARY | b64encode }}")
    assert "ff00fe" == resolve("{{ secrets.BINARY | hex }}")
    assert "%FF%00%FE" == resolve("{{ secrets.BINARY | urlencode }}")
    assert 3 == resolve("{{ secrets.BINARY | length }}")
    assert 255 == resolve("{{ secrets.BINARY[0] }}")
    assert "ff00" == resolve("{{ secrets.BINARY[:2] | hex }}")


@pytest.mark.parametrize(
    "template",
    [
        "{{ secrets.BINARY }}",
        "x{{ secrets.BINARY }}",
        "{{ [secrets.BINARY] }}",
        "{{ {'a': secrets.LONG_BINARY[0:8]} }}",
    ],
)
def test_bytes_are_no_text(resolve, template):
    with pytest.raises(TemplateError) as caught:
        resolve(template, masker=SecretMasker())
    assert "value is bytes, not UTF-8 text" == caught.value.message
    assert "b64encode" in caught.value.hint


def test_a_filter_for_text_says_that_it_got_bytes(resolve):
    with pytest.raises(TemplateError, match=r"^filter 'upper': expected text, got bytes$"):
        resolve("{{ secrets.BINARY | upper }}")


# -- references -----------------------------------------------------------------------------------------------------


def test_references_say_where_they_stand():
    value = {"url": "{{ vars.url }}/{{ tasks.fetch.output.id }}", "body": [{"t": "x{{ secrets.a-b | b64encode }}"}, 7]}
    expected = [
        Reference(root="vars", name="url", path=("url",), offset=0, number=0),
        Reference(root="tasks", name="fetch", path=("url",), offset=15, number=1, keys=("output", "id")),
        Reference(root="secrets", name="a-b", path=("body", 0, "t"), offset=1, number=0),
    ]
    assert expected == find_references(value)


def test_references_are_found_everywhere_in_an_expression():
    text = (
        "{{ [inputs.a, {'k': vars['b'].c}] if env.D is defined else (tasks.e.output[inputs.f] | default(secrets.G)) }}"
    )
    names = [(each.root, each.name) for each in find_references(text)]
    assert {("inputs", "a"), ("vars", "b"), ("env", "D"), ("tasks", "e"), ("inputs", "f"), ("secrets", "G")} == set(
        names
    )


def test_a_whole_root_is_no_reference():
    assert [] == find_references("{{ inputs | tojson }} {{{{ secrets.X }} plain")


def test_a_template_may_be_checked_for_its_roots():
    assert [("inputs", "a")] == [(each.root, each.name) for each in check_template("{{ inputs.a }}", roots=["inputs"])]
    with pytest.raises(TemplateError) as caught:
        check_template("x {{ inputs.a }} {{ secrets.B }}", roots=["vars", "inputs"])
    assert "'secrets' is not available here" == caught.value.message
    assert "a name is one of: inputs, vars" == caught.value.hint
    assert (17, 1) == (caught.value.offset, caught.value.number)


def test_a_root_outside_the_context_is_an_error():
    with pytest.raises(TemplateError, match=r"^'tasks' is not available here$"):
        resolve_templates("{{ tasks.a.output | default(1) }}", scope=None, context={"inputs": {}})


def test_the_roots_are_named():
    assert ("secrets", "inputs", "vars", "tasks", "env", "execution", "item", "index") == ROOTS


def test_values_without_templates_never_load_jinja():
    """Jinja2's import costs more than the whole run of a small workflow; plain names do without it too."""
    code = (
        "import sys; from autokestra_secrets import find_references, resolve_templates\n"
        "resolve_templates({'a': 'plain ${#a[@]}', 'b': '{{ inputs.x }}'}, scope=None, context={'inputs': {'x': 1}})\n"
        "find_references('{{ secrets.X }}')\n"
        "assert 'jinja2' not in sys.modules\n"
        "find_references('{{ secrets.X | upper }}')\n"
        "assert 'jinja2' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
