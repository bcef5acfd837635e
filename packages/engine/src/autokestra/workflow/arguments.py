"""Inputs of a run: from the texts of a command line to the kinds that a workflow declares."""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn

from autokestra.errors import UsageError
from autokestra.workflow.model import InputSpec
from autokestra.workflow.problems import nearest

KINDS: Final[Mapping[str, str]] = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a JSON array",
    "object": "a JSON object",
}


def typed_arguments(specs: Mapping[str, InputSpec], given: Mapping[str, str]) -> dict[str, Any]:
    """Return a value for each declared input: what is given, as the declared kind, or its default.

    Raises UsageError that names every input which is missing or not of its kind. What was typed is not repeated: a
    value may have been put where a name belongs.
    """
    unknown = [name for name in given if name not in specs]
    problems: list[tuple[str, str | None]] = [("unknown input", _unknown(name, specs)[1]) for name in unknown]
    values: dict[str, Any] = {}
    for name, spec in specs.items():
        if name not in given:
            if spec.required:
                problems.append((f"input '{name}' is required", f"give it with: -i {name}=…"))
            values[name] = spec.default
            continue
        try:
            values[name] = _READERS[spec.type](given[name])
            json.dumps(values[name], ensure_ascii=False).encode()  # as it is kept
        except UnicodeEncodeError:
            problems.append((f"input '{name}' is not UTF-8 text", None))
        except (ValueError, RecursionError):
            problems.append((f"input '{name}': expected {KINDS[spec.type]}", None))
    if problems:
        hint = next((hint for _, hint in problems if hint), None)
        raise UsageError("; ".join(message for message, _ in problems), hint=hint)
    return values


def checked_arguments(specs: Mapping[str, InputSpec], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same for values that have a kind already, from another workflow. Raises UsageError likewise."""
    problems = [_unknown(name, specs)[0] for name in given if name not in specs]
    for name, spec in specs.items():
        if name in given and not fits(spec.type, given[name]):
            problems.append(f"input '{name}': expected {KINDS[spec.type]}")
        elif name not in given and spec.required:
            problems.append(f"input '{name}' is required")
    if problems:
        raise UsageError("; ".join(problems))
    return {name: given.get(name, spec.default) for name, spec in specs.items()}


def fits(kind: str, value: object) -> bool:
    """Whether a value of a document is of the kind that an input declares; null is of every kind."""
    match value:
        case None:
            return True
        case bool():
            return kind == "boolean"
        case int():
            return kind in ("integer", "number")
        case float():
            return kind == "number"
        case str():
            return kind == "string"
        case list():
            return kind == "array"
        case _:
            return kind == "object"


def _unknown(name: str, specs: Mapping[str, InputSpec]) -> tuple[str, str]:
    known = f"the workflow has: {', '.join(specs)}" if specs else "the workflow has no inputs"
    return f"unknown input '{name}'", nearest(name, specs) or known


def _integer(text: str) -> int:
    return int(text.replace("_", "x"))  # int() would take 1_000, which no other reader of a workflow does


def _number(text: str) -> float:
    try:
        return _integer(text)
    except ValueError:
        number = float(text.replace("_", "x"))
    if not math.isfinite(number):
        raise ValueError
    return number


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError
    return text.lower() == "true"


def _refuse(_text: str) -> NoReturn:
    raise ValueError


def _json(kind: type) -> Callable[[str], object]:
    def read(text: str) -> object:
        value = json.loads(text, parse_constant=_refuse)
        return value if isinstance(value, kind) else _refuse(text)

    return read


_READERS: Final[Mapping[str, Callable[[str], object]]] = {
    "string": str,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "array": _json(list),
    "object": _json(dict),
}
