"""Names in an expression: what they stand for, and how a value is reached through them.

The part of the expression tree that nearly every template gets along with; `nodes` and `operators` have the rest.
Absent names are errors. No message repeats a value: they speak of kinds, and of what stands in the template.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from autokestra_secrets.errors import SecretNotDeclaredError, TemplateError
from autokestra_secrets.names import SecretValue
from autokestra_secrets.templates.values import WORK_LIMIT, size

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
class Path:
    """A root and constant names after it: `tasks.fetch.output`; `secrets` has exactly one."""

    root: str
    keys: tuple[Key, ...]

    def evaluate(self, bindings: Bindings) -> Traced:
        """Look the path up in the context, or ask the scope for the secret."""
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
