"""The operators of the expression tree: `~`, `and`, `or`, `not`, comparisons and arithmetic.

Text and numbers do not mix, except in `~`; `*` is for numbers only, so nothing grows faster than what is written.
"""

# ruff: noqa: D102  # `evaluate` is described once, in Node

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from autokestra_secrets.errors import TemplateError
from autokestra_secrets.templates.nodes import evaluated, guarded
from autokestra_secrets.templates.paths import NO_SECRETS, Bindings, Node, Traced
from autokestra_secrets.templates.values import RESULT_LIMIT, TOO_LARGE, is_number, kind, text_of


@dataclass(frozen=True, slots=True)
class Join:
    """`a ~ b`: both as text."""

    parts: tuple[Node, ...]

    def evaluate(self, bindings: Bindings) -> Traced:
        values, names = evaluated(self.parts, bindings)
        texts = [text_of(value) for value in values]
        if sum(map(len, texts)) > RESULT_LIMIT:  # before they are joined: each may be large
            raise TemplateError(TOO_LARGE)
        return bindings.bounded("".join(texts)), names


@dataclass(frozen=True, slots=True)
class Either:
    """`a or b`, and `a and b` when `stop` is false: the left one if it decides, else the right one."""

    left: Node
    right: Node
    stop: bool

    def evaluate(self, bindings: Bindings) -> Traced:
        result = self.left.evaluate(bindings)
        return result if bool(result[0]) is self.stop else self.right.evaluate(bindings)


@dataclass(frozen=True, slots=True)
class Not:
    """`not value`."""

    value: Node

    def evaluate(self, bindings: Bindings) -> Traced:
        return not self.value.evaluate(bindings)[0], NO_SECRETS


def _contains(left: object, right: object) -> bool:
    if isinstance(right, str) and not isinstance(left, str):
        raise TypeError
    return left in right  # type: ignore[operator]  # a wrong right side raises TypeError


COMPARISONS: Final[Mapping[str, tuple[str, Callable[..., object]]]] = {
    "eq": ("==", operator.eq),
    "ne": ("!=", operator.ne),
    "lt": ("<", operator.lt),
    "lteq": ("<=", operator.le),
    "gt": (">", operator.gt),
    "gteq": (">=", operator.ge),
    "in": ("in", _contains),
    "notin": ("not in", lambda left, right: not _contains(left, right)),
}


@dataclass(frozen=True, slots=True)
class Compare:
    """`a < b`, and chains such as `a < b <= c`; `steps` pairs a key of COMPARISONS with the next operand."""

    first: Node
    steps: tuple[tuple[str, Node], ...]

    def evaluate(self, bindings: Bindings) -> Traced:
        left, _ = self.first.evaluate(bindings)
        for key, node in self.steps:
            right, _ = node.evaluate(bindings)
            sign, function = COMPARISONS[key]
            if not guarded(f"'{sign}'", function, left, right):
                return False, NO_SECRETS
            left = right
        return True, NO_SECRETS


ARITHMETIC: Final[Mapping[str, Callable[..., object]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
}


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`a + b` and its kin on numbers; `+` also joins two texts or two lists."""

    sign: str
    left: Node
    right: Node

    def evaluate(self, bindings: Bindings) -> Traced:
        (left, right), names = evaluated((self.left, self.right), bindings)
        joins = any(isinstance(left, each) and isinstance(right, each) for each in (str, list))
        if not (is_number(left) and is_number(right)) and not (self.sign == "+" and joins):
            hint = "to join text with something else, use '~'" if self.sign == "+" else None
            raise TemplateError(f"'{self.sign}' cannot be used with {kind(left)} and {kind(right)}", hint=hint)
        return bindings.bounded(guarded(f"'{self.sign}'", ARITHMETIC[self.sign], left, right)), names


@dataclass(frozen=True, slots=True)
class Sign:
    """`-value` or `+value`."""

    value: Node
    negative: bool

    def evaluate(self, bindings: Bindings) -> Traced:
        value, names = self.value.evaluate(bindings)
        if not is_number(value):
            raise TemplateError(f"'-' needs a number, got {kind(value)}")
        return (-value if self.negative else value), names  # type: ignore[operator]  # checked above
