"""From JSON schema to a pydantic model, so that a plugin's inputs are checked and explained as those of `core/*` are.

The part of JSON Schema 2020-12 that describes inputs: type, properties, required, additionalProperties, items, enum,
const, anyOf, oneOf, $ref into $defs, and limits of length and size. One difference: a key that `properties` does not
have is an error unless `additionalProperties` allows it, since it is most often a slip.
"""

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import Annotated, Any, Final, Literal, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    create_model,
)

MAX_DEPTH: Final = 20  # of schemas within schemas; deeper, and where one holds itself, any JSON value fits

_LIMITS: Final = {
    "minLength": "min_length", "maxLength": "max_length", "pattern": "pattern", "minimum": "ge", "maximum": "le",
    "exclusiveMinimum": "gt", "exclusiveMaximum": "lt", "minItems": "min_length", "maxItems": "max_length",
}  # fmt: skip
_SCALARS: Final[Mapping[str, Any]] = {
    "string": StrictStr,
    "integer": StrictInt,
    "number": StrictInt | StrictFloat,
    "boolean": StrictBool,
    "null": None,
}
KNOWN: Final = frozenset(
    {"$defs", "$ref", "$schema", "$id", "additionalProperties", "anyOf", "const", "default", "description", "enum",
     "examples", "format", "items", "oneOf", "properties", "required", "title", "type", *_LIMITS}
)  # fmt: skip


class SchemaError(ValueError):
    """A schema that this module cannot read; the text says where and why."""


def model_of(schema: Mapping[str, Any], *, strict: bool = True) -> type[BaseModel]:
    """Return a model for an object's schema. Raises SchemaError; with `strict` also for keywords that are not known."""
    if schema.get("type", "object") != "object":
        raise SchemaError("the inputs of an action are an object")
    return _Reader(schema, strict=strict).object_of(schema, 0)


def type_of(schema: Mapping[str, Any]) -> Any:
    """Return a type for any schema. Raises SchemaError."""
    return _Reader(schema, strict=True).of(schema, 0)


class _Reader:
    def __init__(self, root: Mapping[str, Any], *, strict: bool) -> None:
        self._definitions = root.get("$defs", {})
        self._strict = strict

    def of(self, schema: object, depth: int) -> Any:
        if schema is True or depth > MAX_DEPTH:
            return JsonValue
        if not isinstance(schema, Mapping):
            raise SchemaError("a schema is a mapping")
        self._refuse_unknown(schema)
        if "$ref" in schema:
            name = str(schema["$ref"]).removeprefix("#/$defs/")
            if name not in self._definitions:
                raise SchemaError(f"'{schema['$ref']}' is not in $defs")
            return self.of(self._definitions[name], depth + 1)
        if "const" in schema or "enum" in schema:
            return _literal(schema["enum"] if "enum" in schema else [schema["const"]])
        if options := schema.get("anyOf") or schema.get("oneOf"):
            return reduce(or_, [Annotated[self.of(option, depth + 1), ...] for option in options])
        kind = schema.get("type")
        if isinstance(kind, list):
            return reduce(or_, [Annotated[self.of({**schema, "type": each}, depth), ...] for each in kind])
        return self._limited(self._plain(kind, schema, depth), schema)

    def _plain(self, kind: object, schema: Mapping[str, Any], depth: int) -> Any:
        if kind is None and "properties" not in schema:
            return JsonValue
        if kind == "array":
            return list[self.of(schema.get("items", True), depth + 1)]  # type: ignore[misc]  # made at run time
        if kind in ("object", None):
            if "properties" in schema:
                return self.object_of(schema, depth + 1)
            return dict[str, self.of(schema.get("additionalProperties", True), depth + 1)]  # type: ignore[misc]  # as above
        if kind not in _SCALARS:
            raise SchemaError(f"'{kind}' is no type")
        return _SCALARS[str(kind)]

    def object_of(self, schema: Mapping[str, Any], depth: int) -> type[BaseModel]:
        self._refuse_unknown(schema)
        required = schema.get("required", [])
        properties = schema.get("properties", {})
        if not isinstance(properties, Mapping) or not isinstance(required, list):
            raise SchemaError("properties is a mapping, and required is a list")
        fields: dict[str, Any] = {}
        for number, (key, inner) in enumerate(properties.items()):
            described = inner.get("description") if isinstance(inner, Mapping) else None
            default = ... if key in required else None
            # A key may be anything; a name of Python's may not.
            fields[f"field{number}"] = (
                self.of(inner, depth + 1) if key in required else Annotated[self.of(inner, depth + 1), ...] | None,
                Field(default=default, alias=key, description=described),
            )
        extra: Any = "allow" if schema.get("additionalProperties") not in (None, False) else "forbid"
        config = ConfigDict(frozen=True, extra=extra, protected_namespaces=())
        return cast(type[BaseModel], create_model("Inputs", __config__=config, **fields))

    def _refuse_unknown(self, schema: Mapping[str, Any]) -> None:
        unknown = sorted(set(schema) - KNOWN)
        if unknown and self._strict:
            raise SchemaError(f"'{unknown[0]}' is not supported in a schema")

    @staticmethod
    def _limited(kind: Any, schema: Mapping[str, Any]) -> Any:
        limits = {ours: schema[theirs] for theirs, ours in _LIMITS.items() if theirs in schema}
        return Annotated[kind, Field(**limits)] if limits else kind


def _literal(values: object) -> Any:
    if not isinstance(values, list) or not all(isinstance(each, str | int | bool | None) for each in values):
        raise SchemaError("enum and const name texts, whole numbers, true, false or null")
    return Literal[tuple(values)] if values else JsonValue
