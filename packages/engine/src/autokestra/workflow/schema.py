"""The JSON schema of a workflow file, for editors: made from the models, so that it knows what they know.

Whatever `validate` accepts, the schema accepts; it refuses mistakes of structure, and leaves names, graph and templates
to `validate`. JSON Schema draft 7, which is what editors know best.
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from autokestra.workflow.model import ID_PATTERN, Workflow

DRAFT: Final = "http://json-schema.org/draft-07/schema#"
_PLACE: Final = "#/definitions/"

# A template may stand for any value of an action's inputs; its type shows when it is resolved. Where one of several
# kinds may stand, a template within it is enough for `validate` to wait.
_TEMPLATE: Final = {"$ref": f"{_PLACE}template"}
_WITH_TEMPLATE: Final = {"$ref": f"{_PLACE}withTemplate"}


def _any_case(*words: str) -> str:
    """Return an expression for any of the words, since those of JSON schema have no flags."""
    return "|".join("".join(f"[{letter}{letter.upper()}]" for letter in word) for word in words)


_LAX: Final = "lax"  # stands for the definition below of that name until `_tidy` has seen it
_DEFINITIONS: Final[Mapping[str, Any]] = {
    # What may be written for a value that is not strict, generously: the rest is the business of `validate`.
    "likeBoolean": {
        "anyOf": [
            {"enum": [0, 1]},
            {
                "type": "string",
                "pattern": f"^([01]|{_any_case('t', 'true', 'y', 'yes', 'on', 'f', 'false', 'n', 'no', 'off')})$",
            },
        ]
    },
    "likeNumber": {
        "anyOf": [
            {"type": "boolean"},
            {
                "type": "string",
                "pattern": rf"^\s*[-+]?([0-9_.]+([eE][-+]?[0-9_]+)?|{_any_case('inf', 'infinity', 'nan')})\s*$",
            },
        ]
    },
    "template": {"type": "string", "pattern": r"\{\{", "description": "A template: {{ … }}."},
    "withTemplate": {
        "anyOf": [
            _TEMPLATE,
            {"type": "array", "contains": _WITH_TEMPLATE},
            {"type": "object", "not": {"additionalProperties": {"not": _WITH_TEMPLATE}}},
        ]
    },
}
_NOTES: Final = ("description", "default")  # what stays outside when a schema becomes one of several


def workflow_schema(catalog: Mapping[str, type[BaseModel]]) -> dict[str, Any]:
    """Return the schema of a workflow whose actions are those of `catalog`, by type."""
    schema = Workflow.model_json_schema(ref_template=_PLACE + "{model}", schema_generator=_Generator)
    definitions = {**_DEFINITIONS, **{name: _tidy(inner) for name, inner in schema.pop("$defs").items()}}
    schema = _tidy(schema)
    schema["properties"]["secrets"]["items"]["pattern"] = ID_PATTERN  # which `validate` says in words of its own
    task = definitions["Task"]
    task["properties"]["type"]["enum"] = sorted(catalog)
    task["allOf"] = []
    for type_ in sorted(catalog):
        inputs, parts = _inputs(type_, catalog[type_])
        definitions |= parts
        then: dict[str, Any] = {"properties": {"inputs": {"$ref": _PLACE + _pointer(type_)}}}
        if inputs.get("required"):
            then["required"] = ["inputs"]
        task["allOf"].append(
            {"if": {"properties": {"type": {"const": type_}}, "required": ["type"]}, "then": then}
        )  # fmt: skip
    return {"$schema": DRAFT, "title": "Autokestra workflow", **schema, "definitions": definitions}


def _inputs(type_: str, model: type[BaseModel]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the schema of an action's inputs, and what has to be defined for it, itself included."""
    inputs = model.model_json_schema(ref_template=f"{_PLACE}{_pointer(type_)}.{{model}}", schema_generator=_Generator)
    inner = {f"{type_}.{name}": each for name, each in inputs.pop("$defs", {}).items()}
    inputs = _tidy(inputs)
    return inputs, {type_: _open(inputs), **{name: _open(_tidy(each)) for name, each in inner.items()}}


class _Generator(GenerateJsonSchema):
    """As pydantic's own, but true to what is accepted: conversions of text, and validators that come first."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002  # titles would only repeat the keys
        return False

    def bool_schema(self, schema: core_schema.BoolSchema) -> JsonSchemaValue:
        return _or_like("likeBoolean", super().bool_schema(schema), schema)

    def int_schema(self, schema: core_schema.IntSchema) -> JsonSchemaValue:
        return _or_like("likeNumber", super().int_schema(schema), schema)

    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        return _or_like("likeNumber", super().float_schema(schema), schema)

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        # What comes before the type decides what is accepted. One that does not say what it takes may take anything.
        if schema.get("json_schema_input_schema") is None:
            return {}
        return super().function_before_schema(schema)


def _or_like(definition: str, made: JsonSchemaValue, schema: Mapping[str, Any]) -> JsonSchemaValue:
    return made if schema.get("strict") else {"anyOf": [made, {_LAX: definition}]}


def _pointer(name: str) -> str:
    """Write a name as a step of a JSON pointer (RFC 6901, 3)."""
    return name.replace("~", "~0").replace("/", "~1")


def _tidy(schema: Any) -> Any:
    """Return a schema without titles and empty defaults, and closed where keys have a pattern."""
    if not isinstance(schema, dict):
        return schema
    if _LAX in schema:
        return {"$ref": _PLACE + schema[_LAX]}
    result = {
        key: _each(key, value, _tidy)
        for key, value in schema.items()
        if key != "title" and not (key == "default" and value in (None, "", [], {}))
    }
    if "patternProperties" in result:
        result.setdefault("additionalProperties", False)
    if {"type": "string"} in result.get("anyOf", ()):  # then texts that look like something else need no mention
        result["anyOf"] = [each for each in result["anyOf"] if "/like" not in each.get("$ref", "")]
    return result


def _open(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema in which a template may stand for any value within."""
    return {key: _each(key, value, _or_template) for key, value in schema.items()}


def _or_template(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    if "anyOf" in schema:
        kinds = [each for each in schema["anyOf"] if each != {"type": "null"} and "/like" not in each.get("$ref", "")]
        return {**schema, "anyOf": [*map(_open, schema["anyOf"]), _TEMPLATE if len(kinds) == 1 else _WITH_TEMPLATE]}
    opened = _open(schema)
    rest = {key: value for key, value in opened.items() if key not in _NOTES}
    if not rest or rest == {"type": "string"} or rest.get("$ref", "").endswith("JsonValue"):
        return opened
    notes = {key: schema[key] for key in _NOTES if key in schema}
    return {**notes, "anyOf": [rest, _TEMPLATE]}


def _each(key: str, value: Any, change: Any) -> Any:
    """Return the value of one keyword with the schemas in it changed."""
    match key:
        case "properties" | "patternProperties":
            return {name: change(inner) for name, inner in value.items()}
        case "items" | "additionalProperties":
            return change(value)
        case "anyOf" | "oneOf" | "allOf":
            return [change(inner) for inner in value]
        case _:
            return value
