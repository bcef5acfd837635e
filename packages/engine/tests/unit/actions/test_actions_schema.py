"""From JSON schema to a model: what fits one fits the other."""

import pytest
from pydantic import TypeAdapter, ValidationError

from autokestra.actions.schema import SchemaError, model_of, type_of

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "description": "who"},
        "schema": {"type": ["integer", "null"]},
        "_size": {"enum": ["s", "m", 1, None]},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 2},
        "home": {"$ref": "#/$defs/Place"},
        "more": {"type": "object"},
        "mixed": {"anyOf": [{"type": "boolean"}, {"type": "number", "minimum": 0}]},
        "any": {},
        "kind": {"const": "person"},
        "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
        "nested": {"properties": {"a": {"type": "number"}}, "additionalProperties": True},
    },
    "required": ["name"],
    "$defs": {"Place": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Place"}}}},
}


@pytest.mark.parametrize(
    "value",
    [
        {"name": "a"},
        {"name": "a", "schema": 5, "_size": None, "tags": ["x"], "home": {"next": {"next": {}}}, "more": {"x": [1]}},
        {"name": "a", "mixed": 1.5, "any": {"x": 1}, "kind": "person", "counts": {"a": 1}, "nested": {"a": 1, "b": 2}},
        {"name": "a", "mixed": False, "schema": None},
    ],
)
def test_what_fits_comes_back_as_it_was(value):
    model = model_of(PERSON).model_validate(value)
    assert value == model.model_dump(mode="json", by_alias=True, exclude_unset=True)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"name": ""},
        {"name": 1},
        {"name": "a", "unknown": 1},
        {"name": "a", "schema": "5"},
        {"name": "a", "schema": 5.5},
        {"name": "a", "_size": "l"},
        {"name": "a", "tags": ["x", "y", "z"]},
        {"name": "a", "tags": "x"},
        {"name": "a", "home": {"there": 1}},
        {"name": "a", "mixed": -1},
        {"name": "a", "mixed": "x"},
        {"name": "a", "kind": "dog"},
        {"name": "a", "counts": {"a": "x"}},
        {"name": "a", "nested": {"a": "x"}},
    ],
)
def test_what_does_not_fit_is_refused(value):
    with pytest.raises(ValidationError):
        model_of(PERSON).model_validate(value)


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "array"}, "the inputs of an action are an object"),
        ({"patternProperties": {}}, "'patternProperties' is not supported in a schema"),
        ({"properties": {"a": {"not": {}}}}, "'not' is not supported in a schema"),
        ({"properties": {"a": {"type": "text"}}}, "'text' is no type"),
        ({"properties": {"a": 5}}, "a schema is a mapping"),
        ({"properties": []}, "properties is a mapping, and required is a list"),
        ({"properties": {"a": {"$ref": "#/$defs/No"}}}, "'#/$defs/No' is not in $defs"),
        ({"properties": {"a": {"enum": [1.5]}}}, "enum and const name texts, whole numbers, true, false or null"),
    ],
)
def test_a_schema_that_cannot_be_read_is_refused(schema, message):
    with pytest.raises(SchemaError) as raised:
        model_of(schema)
    assert message == str(raised.value)


def test_of_a_python_plugins_schema_the_unknown_is_left_to_the_plugin():
    model = model_of({"properties": {"a": {"type": "string", "contentEncoding": "base64"}}}, strict=False)
    assert {"a": "x"} == model.model_validate({"a": "x"}).model_dump(by_alias=True)


def test_outputs_may_be_anything():
    assert [1] == TypeAdapter(type_of({"type": "array", "items": {"type": "integer"}})).validate_python([1])
    assert {"a": 1} == TypeAdapter(type_of({})).validate_python({"a": 1})
    assert "x" == TypeAdapter(type_of({"enum": []})).validate_python("x")
