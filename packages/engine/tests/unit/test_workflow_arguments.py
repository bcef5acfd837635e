"""From `-i key=value` to the kinds that a workflow declares."""

import pytest

from autokestra.errors import UsageError
from autokestra.workflow.arguments import fits, typed_arguments
from autokestra.workflow.model import InputSpec


def arguments(given, **specs):
    return typed_arguments({name: InputSpec.model_validate(spec) for name, spec in specs.items()}, given)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("string", "007", "007"),
        ("string", "", ""),
        ("string", "{{ x }}", "{{ x }}"),
        ("integer", "007", 7),
        ("integer", " -12 ", -12),
        ("number", "12", 12),
        ("number", "1.5e3", 1500.0),
        ("boolean", "true", True),
        ("boolean", "FALSE", False),
        ("array", "[1, {}]", [1, {}]),
        ("object", '{"a": [1]}', {"a": [1]}),
    ],
)
def test_a_text_becomes_its_kind(kind, text, value):
    result = arguments({"x": text}, x={"type": kind})["x"]
    assert value == result
    assert type(value) is type(result)


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("integer", "1.5", "input 'x': expected a whole number"),
        ("integer", "1_000", "input 'x': expected a whole number"),
        ("integer", "9" * 5000, "input 'x': expected a whole number"),
        ("number", "much", "input 'x': expected a number"),
        ("number", "nan", "input 'x': expected a number"),
        ("number", "1e999", "input 'x': expected a number"),
        ("boolean", "yes", "input 'x': expected true or false"),
        ("array", "{}", "input 'x': expected a JSON array"),
        ("array", "[", "input 'x': expected a JSON array"),
        ("array", "[NaN]", "input 'x': expected a JSON array"),
        ("array", "[" * 100_000, "input 'x': expected a JSON array"),
        ("object", "[]", "input 'x': expected a JSON object"),
    ],
)
def test_a_text_of_another_kind_is_refused(kind, text, message):
    with pytest.raises(UsageError) as caught:
        arguments({"x": text}, x={"type": kind})
    assert message == caught.value.message


def test_defaults_fill_in():
    assert {"a": "x", "b": None, "c": [1]} == arguments({}, a={"default": "x"}, b={"default": None}, c={"default": [1]})


def test_all_mistakes_are_named_at_once():
    with pytest.raises(UsageError) as caught:
        arguments({"dya": "1", "n": "x"}, day={}, n={"type": "integer"})
    assert "unknown input; input 'day' is required; input 'n': expected a whole number" == caught.value.message
    assert "did you mean 'day'?" == caught.value.hint


@pytest.mark.parametrize(
    ("specs", "hint"), [({}, "the workflow has no inputs"), ({"zzz": {"default": 1}}, "the workflow has: zzz")]
)
def test_an_unknown_input_without_a_near_name(specs, hint):
    with pytest.raises(UsageError) as caught:
        arguments({"day": "1"}, **specs)
    assert hint == caught.value.hint


def test_a_missing_input_says_how_to_give_it():
    with pytest.raises(UsageError) as caught:
        arguments({}, day={})
    assert ("input 'day' is required", "give it with: -i day=…") == (caught.value.message, caught.value.hint)


@pytest.mark.parametrize(
    ("value", "kinds"),
    [
        (None, {"string", "integer", "number", "boolean", "array", "object"}),
        (True, {"boolean"}),
        (1, {"integer", "number"}),
        (1.5, {"number"}),
        ("x", {"string"}),
        ([], {"array"}),
        ({}, {"object"}),
    ],
)
def test_a_default_fits_its_kind(value, kinds):
    assert kinds == {
        kind for kind in ("string", "integer", "number", "boolean", "array", "object") if fits(kind, value)
    }
