"""What pydantic finds wrong, in the words of a reader of the document: where, what was expected, and what was there.

The text of a value is repeated only where it had to be one of a few; elsewhere its kind must do, since people paste
secrets into the wrong place.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from autokestra.workflow.model import ID_PATTERN, VARIABLE_PATTERN
from autokestra.workflow.problems import Steps, nearest, trail_of

_EXPECTED: Final[Mapping[str, str]] = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "float_parsing": "a number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "list_type": "a list",
    "mapping_type": "a mapping",
    "model_attributes_type": "a mapping",
    "model_type": "a mapping",
    "none_required": "nothing",
    "string_type": "text",
    "tuple_type": "a list",
}
_LIMITS: Final[Mapping[str, str]] = {
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "string_too_long": "at most {max_length} characters",
    "string_too_short": "{min_length} or more characters",
    "too_long": "at most {max_length} items",
    "too_short": "{min_length} or more items",
}
_NAMES: Final[Mapping[str, str]] = {
    ID_PATTERN: "1 to 128 of: letters A-Z a-z, digits, '_' and '-'",
    VARIABLE_PATTERN: "a variable name: letters, digits and '_', no digit first",
}
_FORMS: Final[Mapping[str, str]] = {
    **_NAMES,
    r"^[1-5](xx|[0-9]{2})$": "a status such as 200 or 2xx",
    "^[A-Z]+$": "capital letters",
    "^[^:]*$": "text without ':'",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that does not fit a model, at `path` within the value that was checked."""

    path: Steps
    message: str
    hint: str | None = None
    at_key: bool = False


@dataclass(frozen=True, slots=True)
class _Failure:
    """One of pydantic's errors: the path in the data that its location leads to, and whether it is about a key."""

    path: Steps
    kind: str
    expected: str | None
    message: str
    at_key: bool
    of_union: bool


def findings(error: ValidationError, value: object, model: type[BaseModel]) -> Iterator[Finding]:
    """Yield what is wrong with `value`, one finding for each place.

    A place that holds a template is left out, since its type shows only when it is resolved; its key does not wait.
    """
    places: dict[tuple[Steps, bool], list[_Failure]] = {}
    for each in error.errors(include_url=False):
        failure = _failure(each, value)
        found = at(value, failure.path)
        is_open = isinstance(found, str) and "{{" in found and not failure.at_key
        if is_open or (failure.of_union and has_template(found)):
            continue
        places.setdefault((failure.path, failure.at_key), []).append(failure)
    for failures in places.values():
        yield _finding(_closest(failures, value), value, model)


def described(error: ValidationError, value: object) -> str:
    """Say in one line what is wrong with inputs whose templates are resolved.

    No value is repeated, nor a part of one, since any may come from a secret.
    """
    places: dict[Steps, list[_Failure]] = {}
    for each in error.errors(include_url=False):
        failure = _failure(each, value)
        places.setdefault(failure.path, []).append(failure)
    return "; ".join(
        f"{trail_of(path) or 'inputs'}: {_described(_closest(failures, value), at(value, path))}"
        for path, failures in places.items()
    )


def _described(failures: Sequence[_Failure], found: object) -> str:
    first = failures[0]
    if first.kind == "missing":
        return f"'{first.message}' is missing"
    if first.kind == "extra_forbidden":
        return "unknown key"
    wanted = list(dict.fromkeys(each.expected for each in failures if each.expected is not None))
    if not wanted:
        return first.message[:1].lower() + first.message[1:]
    got = "other text" if isinstance(found, str) and _is_close(first, found) else kind_of(found)
    return f"expected {' or '.join(wanted)}, got {got}"


def _closest(failures: Sequence[_Failure], value: object) -> Sequence[_Failure]:
    """Of what a union would take, leave what the value is nearly: 99 is no list, it is too small for a status."""
    close = [each for each in failures if _is_close(each, at(value, each.path))]
    return close or failures


def _is_close(failure: _Failure, found: object) -> bool:
    if isinstance(found, str):
        return failure.kind == "string_pattern_mismatch" or failure.kind.startswith("string_too")
    return failure.kind in _LIMITS and not isinstance(found, bool)


def at(value: Any, path: Steps) -> Any:
    """Return what stands at `path`, which must be there."""
    for step in path:
        value = value[step]
    return value


def has_template(value: object) -> bool:
    """Whether a template stands anywhere in `value`."""
    return any("{{" in text for _, text in texts(value, ()))


def texts(value: object, path: Steps) -> Iterator[tuple[Steps, str]]:
    """Yield every text in lists and mappings with its path; keys are not values."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from texts(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from texts(item, (*path, number))


def kind_of(value: object) -> str:
    """Name the kind of a value as YAML's readers know it."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case _:
            return "a mapping"


def _failure(error: Any, value: Any) -> _Failure:
    """Translate one error; steps of its location that are no keys of the data are names of union members."""
    kind, context = error["type"], error.get("ctx", {})
    path: list[str | int] = []
    location = list(error["loc"])
    at_key = bool(location) and location[-1] == "[key]"
    of_union = False
    if kind == "missing":
        location.pop()
    for step in location:
        inside = (isinstance(value, dict) and step in value) or (
            isinstance(value, list) and isinstance(step, int) and step < len(value)
        )
        if inside:
            path.append(step)
            value = value[step]
        elif step != "[key]":
            of_union = True
    expected = _EXPECTED.get(kind)
    if kind == "literal_error":
        expected = f"one of {context['expected'].replace(' or ', ', ')}"
    elif kind == "string_pattern_mismatch":
        expected = _FORMS.get(context["pattern"], f"text of the form {context['pattern']}")
    elif kind in _LIMITS:
        expected = _LIMITS[kind].format(**context)
    message = error["msg"].removeprefix("Value error, ").rstrip(".")
    if kind == "missing":
        message = str(error["loc"][-1])
    return _Failure(tuple(path), kind, expected, message, at_key or kind == "extra_forbidden", of_union)


def _finding(failures: Sequence[_Failure], value: object, model: type[BaseModel]) -> Finding:
    first = failures[0]
    found = at(value, first.path)
    if first.kind == "missing":
        names = list(dict.fromkeys(each.message for each in failures if each.kind == "missing"))
        quoted = ", ".join(f"'{name}'" for name in names)
        return Finding(path=first.path, message=f"{quoted} {'is' if len(names) == 1 else 'are'} missing")
    if first.kind == "extra_forbidden":
        key = str(first.path[-1])
        known = _keys(model, first.path[:-1])
        hint = nearest(key, known) or (f"known keys: {', '.join(known)}" if known else None)
        return Finding(path=first.path, message=f"unknown key '{_shown(key)}'", hint=hint, at_key=True)
    wanted = list(dict.fromkeys(each.expected for each in failures if each.expected is not None))
    if not wanted:
        return Finding(path=first.path, message=first.message[:1].lower() + first.message[1:], at_key=first.at_key)
    if first.at_key:
        return Finding(path=first.path, message=f"expected {' or '.join(wanted)}", at_key=True)
    return Finding(
        path=first.path, message=f"expected {' or '.join(wanted)}, got {_got(first, found)}", hint=_hint(wanted, found)
    )


def _got(failure: _Failure, found: object) -> str:
    if isinstance(found, str) and (failure.kind == "literal_error" or failure.expected in _NAMES.values()):
        return repr(_shown(found))
    if failure.kind == "string_pattern_mismatch":
        return "other text"
    if failure.kind in ("too_short", "too_long") and isinstance(found, list):
        return str(len(found))
    if failure.kind.startswith("string_too") and isinstance(found, str):
        return str(len(found))
    if isinstance(found, int | float) and not isinstance(found, bool) and failure.kind in _LIMITS:
        return str(found)
    return kind_of(found)


def _hint(wanted: Sequence[str], found: object) -> str | None:
    if wanted == ["text"] and isinstance(found, int | float):
        written = str(found).lower() if isinstance(found, bool) else str(found)
        return f'put it in quotes: "{_shown(written)}"'
    if wanted[0].startswith("one of ") and isinstance(found, str):
        return nearest(found, [choice.strip("'") for choice in wanted[0].removeprefix("one of ").split(", ")])
    return None


def _shown(text: str) -> str:
    return text if len(text) <= 40 else text[:40] + "…"


def _keys(model: type[BaseModel], path: Steps) -> list[str]:
    """Return the keys that the model knows at `path`."""
    kinds: list[Any] = [model]
    for step in path:
        kinds = [inner for kind in kinds for inner in _inside(kind, step)]
    return [key for kind in kinds if _is_model(kind) for key in known_keys(kind)]


def known_keys(model: type[BaseModel]) -> dict[str, Any]:
    """Return the keys that a model takes, each with its type."""
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _inside(kind: Any, step: str | int) -> list[Any]:
    """Return the types that may stand at `step` of a value of type `kind`, unions taken apart."""
    if _is_model(kind):
        return _members(known_keys(kind).get(str(step)))
    if get_origin(kind) in (list, tuple, dict):
        return [member for argument in get_args(kind) for member in _members(argument)]
    return []


def _members(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [member for argument in get_args(annotation) for member in _members(argument)]
    return [annotation]
