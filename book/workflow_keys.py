"""Every key of the workflow file, out of the schema that `workflow schema` prints: one table for each mapping.

The hand-written page explains; this one leaves nothing out. Inputs of actions are tables too, by type of action.
"""

from collections.abc import Mapping
from typing import Any, Final

from autokestra.actions.registry import catalog
from autokestra.workflow.schema import workflow_schema

OPENING: Final = """# Every key of the workflow file

Out of the schema that `workflow schema` prints for editors. [The workflow file](workflow-file.md) says what the keys
do, with examples; [the actions](actions.md) what the inputs are for. Where a type is a number or true/false, a text
that reads as one is taken too, and in the inputs of an action a template may stand for any value.
"""
HELPERS: Final = {"likeBoolean", "likeNumber", "template", "withTemplate", "JsonValue"}
WORDS: Final[Mapping[object, str]] = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
}
PLACE: Final = "#/definitions/"


def page() -> str:
    """Return the page."""
    schema = workflow_schema(catalog())
    definitions = {_unescaped(name): each for name, each in schema["definitions"].items()}
    parts = [OPENING, _section("The workflow", schema)]
    names = sorted(set(definitions) - HELPERS, key=lambda name: ("/" in name, name))
    parts += [
        _section(f"Inputs of `{name}`" if "/" in name else f"`{name}`", definitions[name])
        for name in names
        if definitions[name].get("properties")
    ]
    return "\n".join(parts)


def _section(title: str, schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    lines = [f"## {title}", "", "| key | type | default | meaning |", "|---|---|---|---|"]
    for key, each in schema["properties"].items():
        default = "required" if key in required else _default(each)
        lines.append(f"| `{key}` | {_kind(each)} | {default} | {_cell(each.get('description', ''))} |")
    return "\n".join(lines) + "\n"


def _default(schema: Mapping[str, Any]) -> str:
    value = schema.get("default")
    return "" if value in (None, "", [], {}) else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _kind(schema: Mapping[str, Any]) -> str:
    """Return what may be written there, in a few words."""
    if "enum" in schema:
        if len(schema["enum"]) > 8:
            return "one of the actions"
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "$ref" in schema:
        name = _unescaped(schema["$ref"].removeprefix(PLACE))
        return "" if name in HELPERS - {"JsonValue"} else "any value" if name == "JsonValue" else f"`{name}`"
    if "anyOf" in schema:
        kinds = [_kind(each) for each in schema["anyOf"] if each != {"type": "null"}]
        return " or ".join(dict.fromkeys(kind for kind in kinds if kind))
    match schema.get("type"):
        case "array":
            return f"list of {_kind(schema['items']) or 'anything'}" if schema.get("items") else "list"
        case "object":
            inner = next(iter(schema.get("patternProperties", {}).values()), schema.get("additionalProperties"))
            kind = _kind(inner) if isinstance(inner, dict) else ""
            return f"mapping of {kind}" if kind else "mapping"
        case None:
            return "any value"
        case kind:
            return WORDS[kind]


def _unescaped(name: str) -> str:
    return name.replace("~1", "/").replace("~0", "~")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("{{", "`{{`").replace("<", "&lt;")
