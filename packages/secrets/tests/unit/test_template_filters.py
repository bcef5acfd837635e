"""Each filter of the table, on what it takes and on what it refuses."""

import pytest

from autokestra_secrets import TemplateError, resolve_templates
from autokestra_secrets.templates.filters import FILTERS, ITEM_LIMIT, TESTS


def evaluate(expression, **variables):
    return resolve_templates("{{ " + expression + " }}", scope=None, context={"vars": variables})


CASES = [
    ("[-3] | first | abs", 3),
    ("'aGk=' | b64decode", "hi"),
    ("'aG\nk= ' | b64decode", "hi"),
    ("'/wA=' | b64decode | hex", "ff00"),
    ("'hü' | b64encode", "aMO8"),
    ("12 | b64encode", "MTI="),
    ("vars.gone | default(1)", 1),
    ("'abc' | first", "a"),
    ("[1, 2] | first", 1),
    ("'1.5' | float", 1.5),
    ("2 | float", 2.0),
    ("'{\"a\": [1]}' | fromjson", {"a": [1]}),
    ("'hi' | hex", "6869"),
    ("' 12 ' | int", 12),
    ("3.9 | int", 3),
    ("[1, 'a', true] | join(', ')", "1, a, true"),
    ("['a', 'b'] | join", "ab"),
    ("{'b': 1, 'a': 2} | keys", ["b", "a"]),
    ("[1, 2] | last", 2),
    ("'abc' | length", 3),
    ("{'a': 1} | length", 1),
    ("'a\\r\\nb\\n\\nc' | lines", ["a", "b", "", "c"]),
    ("'a\\n' | lines", ["a"]),
    ("'' | lines", []),
    ("'ÄB' | lower", "äb"),
    ("[1, 3, 2] | max", 3),
    ("['b', 'a'] | min", "a"),
    ('"it\'s" | quote', "'it'\"'\"'s'"),
    ("5 | quote", "5"),
    ("'aab' | replace('a', 'x')", "xxb"),
    ("'ab' | replace(new='y', old='b')", "ay"),
    ("'ab' | replace('', '-')", "-a-b-"),
    ("'abc' | reverse", "cba"),
    ("[1, 2] | reverse", [2, 1]),
    ("2.567 | round(2)", 2.57),
    ("2.5 | round", 2),
    ("1234 | round(-2)", 1200),
    ("'' | sha256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("[2, 1] | sort", [1, 2]),
    ("['a', 'b'] | sort(reverse=true)", ["b", "a"]),
    ("' a  b ' | split", ["a", "b"]),
    ("'a,b,,c' | split(',')", ["a", "b", "", "c"]),
    ("[1, {'a': none}] | string", '[1, {"a": null}]'),
    ("none | string", ""),
    ("true | string", "true"),
    ("[1, 2] | sum", 3),
    ("[0.1, 0.2, 0.3] | sum", 0.6),
    ("{'ü': [1, none]} | tojson", '{"ü": [1, null]}'),
    ("' a\\n' | trim", "a"),
    ("[1, 1.0, true, '1', 1, [1], [1]] | unique", [1, 1.0, True, "1", [1]]),
    ("'ß' | upper", "SS"),
    ("'a/b c?ü' | urlencode", "a%2Fb%20c%3F%C3%BC"),
    ("{'b': 1, 'a': 2} | values", [1, 2]),
]


@pytest.mark.parametrize(("expression", "expected"), CASES)
def test_filters(expression, expected):
    result = evaluate(expression)
    assert expected == result
    assert type(expected) is type(result)


def test_every_filter_has_an_example_and_a_description():
    used = {part.split("(")[0].strip() for expression, _ in CASES for part in expression.split("|")[1:]}
    assert set(FILTERS) == used
    for name, entry in FILTERS.items():
        assert name == entry.name
        assert entry.doc.endswith(".")
        assert entry.required <= len(entry.parameters)


def test_the_usage_of_a_filter_can_be_shown():
    assert ("replace(old, new)", "trim") == (FILTERS["replace"].usage, FILTERS["trim"].usage)


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ({}, {"defined", "mapping"}),
        ([], {"defined", "sequence"}),
        (True, {"boolean", "defined"}),
        (1, {"defined", "number"}),
        ("", {"defined", "string"}),
        (None, {"defined", "none"}),
    ],
)
def test_each_kind_of_value_passes_its_test(value, names):
    assert names == {name for name in TESTS if evaluate(f"vars.v is {name}", v=value)}


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("'x' | abs", "filter 'abs': expected a number, got text"),
        ("true | abs", "filter 'abs': expected a number, got true or false"),
        ("'hidden!' | b64decode", "filter 'b64decode': cannot be used with text of this form"),
        ("1 | b64decode", "filter 'b64decode': expected text, got a number"),
        ("[1] | b64encode", "filter 'b64encode': expected text or a number, got a list"),
        ("none | sha256", "filter 'sha256': expected text or a number, got nothing (null)"),
        ("'' | first", "filter 'first': there is nothing in it"),
        ("[] | last", "filter 'last': there is nothing in it"),
        ("{} | first", "filter 'first': expected a list, got a mapping"),
        ("'hidden' | int", "filter 'int': cannot be used with text of this form"),
        ("'1e999' | float", "number is too large or not a number"),
        ("'nan' | float", "number is too large or not a number"),
        ("[] | int", "filter 'int': expected text or a number, got a list"),
        ("none | float", "filter 'float': expected text or a number, got nothing (null)"),
        ("'{hidden' | fromjson", "filter 'fromjson': cannot be used with text of this form"),
        ("'NaN' | fromjson", "filter 'fromjson': cannot be used with text of this form"),
        ("[[]] | join(1)", "filter 'join': expected text, got a number"),
        ("[] | keys", "filter 'keys': expected a mapping, got a list"),
        ("1 | length", "filter 'length': expected text or a list, got a number"),
        ("[] | max", "filter 'max': there is nothing in it"),
        ("[1, 'hidden'] | max", "filter 'max': cannot be used with a list of this form"),
        ("'ab' | max", "filter 'max': expected a list, got text"),
        ("{} | quote", "filter 'quote': expected text or a number, got a mapping"),
        ("'a' | replace(1, 'b')", "filter 'replace': expected text, got a number"),
        ("1.5 | round('2')", "filter 'round': expected a whole number, got text"),
        ("5 | round(-1000000000)", "filter 'round': at most 15 digits"),
        ("[1, 'hidden'] | sort", "filter 'sort': cannot be used with a list of this form"),
        ("'a' | split('')", "filter 'split': cannot be used with text and text of this form"),
        ("['a'] | sum", "filter 'sum': expected a number, got text"),
        ("1 | upper", "filter 'upper': expected text, got a number"),
        ("vars.odd | tojson", "filter 'tojson': something that is no plain data cannot be used in an expression"),
        ("vars.odd ~ ''", "something that is no plain data cannot be used in a text"),
        ("vars.odd", "something that is no plain data cannot be used in an expression"),
        ("[vars.data] | tojson", "filter 'tojson': value cannot be written as JSON"),
        ("vars.half", "text is not valid Unicode: it holds half of a surrogate pair"),
        ("vars.half | b64encode", "filter 'b64encode': cannot be used with text of this form"),
    ],
)
def test_wrong_operands_are_named_by_kind_and_never_repeated(expression, message):
    with pytest.raises(TemplateError) as caught:
        evaluate(expression, odd=object(), data=b"\xff", half="\ud800")
    assert message == caught.value.message
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


def test_mappings_of_other_types_are_written_as_json():
    from types import MappingProxyType

    assert '{"a": {"b": 1}}' == evaluate("vars.m | tojson", m=MappingProxyType({"a": MappingProxyType({"b": 1})}))


@pytest.mark.parametrize(
    "expression",
    [
        "vars.commas | split(',')",
        "vars.commas | replace(',', '\\n') | lines",
    ],
)
def test_text_is_not_cut_into_millions_of_parts(expression):
    with pytest.raises(TemplateError, match=r": more than 1,000,000 parts$"):
        evaluate(expression, commas="," * (ITEM_LIMIT + 1))


@pytest.mark.parametrize(
    "expression",
    [
        "vars.big | replace('x', vars.big)",
        "[1, 2, 3] | join(vars.big)",
        "[vars.big, vars.big, vars.big] | tojson",
        "vars.big ~ vars.big ~ vars.big",
        "vars.big + vars.big + vars.big",
        "[vars.big, vars.big, vars.big]",
        "{'a': vars.big, 'b': [vars.big, vars.big]}",
        "vars.big | hex | hex",
    ],
)
def test_results_have_at_most_ten_mebibytes(expression):
    with pytest.raises(TemplateError, match=r"result is larger than 10 MiB$"):
        evaluate(expression, big="x" * (4 << 20))


def test_the_results_of_one_call_together_have_at_most_ten_mebibytes():
    with pytest.raises(TemplateError, match=r"^result is larger than 10 MiB$") as caught:
        resolve_templates(["{{ vars.big }}"] * 3, scope=None, context={"vars": {"big": "x" * (4 << 20)}})
    assert (2,) == caught.value.path


def test_the_work_of_one_call_is_bounded():
    text = "{{ [" + ", ".join(["vars.big | upper | length"] * 300) + "] }}"
    with pytest.raises(TemplateError, match=r"^expressions do too much work$"):
        resolve_templates(text, scope=None, context={"vars": {"big": "x" * (4 << 20)}})
