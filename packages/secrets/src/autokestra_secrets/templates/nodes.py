"""The expression tree, which evaluates itself: names, constants, filters, choices; `operators` has the rest.

Every result is a pair: the value, and the names of the secrets that it was made from. Conditions and comparisons do
not pass names on; only what ends up in the value does. Absent names are errors. No message repeats a value: they
speak of kinds, and of what stands in the template.
"""

# ruff: noqa: D102  # `evaluate` is described once, in Node

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol, cast

from autokestra_secrets.errors import SecretNotDeclaredError, TemplateError
from autokestra_secrets.names import SecretValue
from autokestra_secrets.templates.values import (
    TOO_DEEP,
    WORK_LIMIT,
    kind,
    size,
)

Key = str | int
Traced = tuple[object, frozenset[str]]  # a value, and the secrets that it was made from

NO_SECRETS: Final[frozenset[str]] = frozenset()
_INDEX: Final = re.compile(r"[0-9]{1,9}")  # `body.0` is the first item of a list
_SHOWN: Final = 60  # characters of a name that a message repeats


class UndefinedError(TemplateError):
    """A name is not there; the only failure that `default` and `is defined` look at."""


class Scope(Protocol):
    """What expressions need of a `SecretScope`."""

    def __getitem__(self, name: str) -> SecretValue:
        """Return the value of a declared secret."""
        ...


@dataclass(slots=True, kw_only=True)
class Bindings:
    """What the names of an expression stand for, and how much work is left for all expressions of one call."""

    context: Mapping[str, object]
    scope: Scope | None
    work: int = field(default=WORK_LIMIT)

    def bounded(self, value: object) -> object:
        """Return `value` if it is plain, small enough, and made within the budget."""
        self.work -= size(value)
        if self.work < 0:
            raise TemplateError("expressions do too much work", hint="compute it in a task of its own")
        return value

    def secret(self, name: str) -> str | bytes:
        """Return the secret: text, or bytes where it is not UTF-8."""
        if self.scope is None:
            raise SecretNotDeclaredError(name)
        value = self.scope[name]
        return value.reveal() if value.is_text else value.reveal_bytes()


class Node(Protocol):
    """One node of the tree."""

    def evaluate(self, bindings: Bindings) -> Traced:
        """Return the value and its secrets; raises TemplateError or what the scope raises."""
        ...


def guarded(what: str, function: Callable[..., object], *operands: object) -> object:
    """Return `function(*operands)`; whatever fails in it becomes a TemplateError that repeats no value.

    It is raised outside the handler, so that not even its context holds the foreign exception.
    """
    hint: str | None = None
    try:
        return function(*operands)
    except TemplateError as error:
        problem, hint = error.message, error.hint
    except ZeroDivisionError:
        problem = "division by zero"
    except OverflowError:
        problem = "number is too large"
    except RecursionError:
        problem = TOO_DEEP
    except (AttributeError, LookupError, TypeError, ValueError):
        problem = f"cannot be used with {' and '.join(kind(each) for each in operands)} of this form"
    raise TemplateError(f"{what}: {problem}", hint=hint)


def member(value: object, key: object, label: str, *, shown: bool) -> object:
    """Return what `value` has under `key`; raises UndefinedError.

    `label` is how the template calls `value`; the key is repeated only if it is `shown`, that is, template text.
    """
    if isinstance(value, Mapping):
        if isinstance(key, str | int) and not isinstance(key, bool) and key in value:
            return value[key]
    elif isinstance(value, list | tuple | str | bytes):
        index = int(key) if shown and isinstance(key, str) and _INDEX.fullmatch(key) else key
        if isinstance(index, int) and not isinstance(index, bool) and -len(value) <= index < len(value):
            return value[index]
    raise UndefinedError(
        f"{label} has no {shorten(str(key))!r}" if shown else f"{label} has no such item",
        hint=_spaces(value, key) if shown else None,
    )


def _spaces(value: object, key: object) -> str | None:
    if isinstance(key, str) and isinstance(value, Mapping) and key.partition("-")[0] in value:
        return "a '-' belongs to the name; to subtract, put spaces around it"
    return None


def shorten(text: str) -> str:
    """Return template text cut to what a message may repeat."""
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant of the template."""

    value: object

    def evaluate(self, bindings: Bindings) -> Traced:  # noqa: ARG002  # the same shape for every node
        return self.value, NO_SECRETS


@dataclass(frozen=True, slots=True)
class Path:
    """A root and constant names after it: `tasks.fetch.output`; `secrets` has exactly one."""

    root: str
    keys: tuple[Key, ...]

    def evaluate(self, bindings: Bindings) -> Traced:
        if self.root == "secrets":
            name = str(self.keys[0])
            return bindings.secret(name), frozenset((name,))
        if self.root not in bindings.context:
            raise TemplateError(f"'{self.root}' is not available here")
        value = bindings.context[self.root]
        label = self.root
        for depth, key in enumerate(self.keys):
            try:
                value = member(value, key, label, shown=True)
            except UndefinedError as error:
                if depth == 0 and error.hint is None:  # names of the workflow itself; deeper keys are data
                    error.hint = _nearest(value, key)
                raise
            label = shorten(f"{label}.{key}")
        return value, NO_SECRETS


def _nearest(value: object, key: Key) -> str | None:
    from difflib import get_close_matches  # noqa: PLC0415  # only a mistake pays for it

    names = [name for name in value if isinstance(name, str)] if isinstance(value, Mapping) else []
    near = get_close_matches(str(key), names, n=1)
    return f"did you mean '{near[0]}'?" if near else None


@dataclass(frozen=True, slots=True)
class Item:
    """`value[key]` with a computed key, or any member of something that is no path."""

    value: Node
    key: Node

    def evaluate(self, bindings: Bindings) -> Traced:
        value, names = self.value.evaluate(bindings)
        key, _ = self.key.evaluate(bindings)
        if isinstance(key, str) and key.startswith("_"):
            raise TemplateError("names that begin with '_' are not allowed")
        return member(value, key, "value", shown=isinstance(self.key, Literal)), names


@dataclass(frozen=True, slots=True)
class Slice:
    """`value[start:stop:step]`."""

    value: Node
    bounds: tuple[Node, Node, Node]

    def evaluate(self, bindings: Bindings) -> Traced:
        value, names = self.value.evaluate(bindings)
        bounds = [bound.evaluate(bindings)[0] for bound in self.bounds]
        if not isinstance(value, str | bytes | list | tuple):
            raise TemplateError(f"a slice needs text or a list, got {kind(value)}")
        return bindings.bounded(guarded("slice", lambda *_: value[slice(*cast("list[int]", bounds))], *bounds)), names


@dataclass(frozen=True, slots=True)
class Apply:
    """A filter with its operand and arguments, absent ones left out from the end."""

    name: str
    function: Callable[..., object]
    operands: tuple[Node, ...]

    def evaluate(self, bindings: Bindings) -> Traced:
        values, names = evaluated(self.operands, bindings)
        return bindings.bounded(guarded(f"filter '{self.name}'", self.function, *values)), names


@dataclass(frozen=True, slots=True)
class Default:
    """`value | default(other)`: the other where a name is absent, and with `empty` where the value is falsy."""

    value: Node
    other: Node
    empty: Node

    def evaluate(self, bindings: Bindings) -> Traced:
        try:
            result = self.value.evaluate(bindings)
        except UndefinedError:
            return self.other.evaluate(bindings)
        return result if result[0] or not self.empty.evaluate(bindings)[0] else self.other.evaluate(bindings)


@dataclass(frozen=True, slots=True)
class Defined:
    """`value is defined`, or `is undefined` when `wanted` is false."""

    value: Node
    wanted: bool

    def evaluate(self, bindings: Bindings) -> Traced:
        try:
            self.value.evaluate(bindings)
        except UndefinedError:
            return not self.wanted, NO_SECRETS
        return self.wanted, NO_SECRETS


@dataclass(frozen=True, slots=True)
class Test:
    """`value is string` and other tests of its kind."""

    function: Callable[[object], bool]
    value: Node

    def evaluate(self, bindings: Bindings) -> Traced:
        return self.function(self.value.evaluate(bindings)[0]), NO_SECRETS


@dataclass(frozen=True, slots=True)
class Choice:
    """`a if condition else b`."""

    condition: Node
    yes: Node
    no: Node

    def evaluate(self, bindings: Bindings) -> Traced:
        return (self.yes if self.condition.evaluate(bindings)[0] else self.no).evaluate(bindings)


@dataclass(frozen=True, slots=True)
class ListOf:
    """`[a, b]`, and `(a, b)` too."""

    items: tuple[Node, ...]

    def evaluate(self, bindings: Bindings) -> Traced:
        values, names = evaluated(self.items, bindings)
        return bindings.bounded(values), names


@dataclass(frozen=True, slots=True)
class DictOf:
    """`{"a": b}`; keys are text, as in JSON."""

    keys: tuple[Node, ...]
    values: tuple[Node, ...]

    def evaluate(self, bindings: Bindings) -> Traced:
        keys, key_names = evaluated(self.keys, bindings)
        values, value_names = evaluated(self.values, bindings)
        if not all(isinstance(key, str) for key in keys):
            raise TemplateError("the keys of a mapping are text")
        return bindings.bounded(dict(zip(keys, values, strict=True))), key_names | value_names


def evaluated(nodes: tuple[Node, ...], bindings: Bindings) -> tuple[list[object], frozenset[str]]:
    """Return the values of several nodes, and the secrets of all of them."""
    values: list[object] = []
    names = NO_SECRETS
    for node in nodes:
        value, made_from = node.evaluate(bindings)
        values.append(value)
        names |= made_from
    return values, names
