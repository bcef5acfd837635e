"""The expression tree, which evaluates itself: constants, items, filters, choices; `operators` has the rest.

Every result is a pair: the value, and the names of the secrets that it was made from. Conditions and comparisons do
not pass names on; only what ends up in the value does. Nothing here is loaded until an expression is more than a path.
"""

# ruff: noqa: D102  # `evaluate` is described once, in Node

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from autokestra_secrets.errors import TemplateError
from autokestra_secrets.templates.paths import NO_SECRETS, Bindings, Node, Traced, UndefinedError, member
from autokestra_secrets.templates.values import TOO_DEEP, kind


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


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant of the template."""

    value: object

    def evaluate(self, bindings: Bindings) -> Traced:  # noqa: ARG002  # the same shape for every node
        return self.value, NO_SECRETS


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
