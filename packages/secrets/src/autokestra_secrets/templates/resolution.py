"""Walks a value, resolves the expressions in its strings, and says what they refer to.

Strings in lists and mappings are walked, keys are not. What comes out of an expression is never looked at again, so
a value that contains `{{` stays text.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from autokestra_secrets.errors import TemplateError
from autokestra_secrets.resolver import MaskerPort
from autokestra_secrets.templates.paths import Bindings, Path, Scope, Traced
from autokestra_secrets.templates.syntax import Expression, parse, refuse_root
from autokestra_secrets.templates.text import ROOTS, Span, split
from autokestra_secrets.templates.values import (
    DEPTH_LIMIT,
    RESULT_LIMIT,
    TOO_DEEP,
    TOO_LARGE,
    copied,
    size,
    text_of,
)

DERIVED_BYTES: Final = 8  # shorter texts made from a secret are too common to mask

Steps = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One `root.name` in an expression, such as `secrets.API_TOKEN` or `tasks.fetch`.

    `keys` are the constant names after it (`output`, `body`); `path` leads to the string within the value, `offset` is
    the index of the `{{` in that string, and `number` counts the expressions of the string from 0.
    """

    root: str
    name: str
    path: Steps = ()
    offset: int = 0
    number: int = 0
    keys: Steps = ()


def find_references(value: object) -> list[Reference]:
    """Return every `root.name` that the strings in `value` refer to, in order.

    A root without a constant name (`inputs | tojson`) is not in the list; `secrets` and `tasks` always have one.
    Raises TemplateError, with `path`, for the first expression that is wrong in itself.
    """
    return [reference for path, text in _strings(value, ()) for reference in _references(text, path, ROOTS)]


def check_template(text: str, *, roots: Collection[str]) -> list[Reference]:
    """Return the references of one string whose expressions may name only these roots.

    Raises TemplateError, with offset and number, for bad syntax, what the language does not have, and other roots.
    """
    return _references(text, (), roots)


def resolve_templates(
    value: object,
    *,
    scope: Scope | None,
    context: Mapping[str, object],
    masker: MaskerPort | None = None,
    as_text: bool = False,
) -> Any:
    """Return a copy of `value` in which every expression is replaced by what it stands for.

    A string that is one expression keeps the type of its result, unless `as_text` asks for text everywhere (null is
    empty; true, false, lists and mappings are JSON). `context` holds plain data for each root but `secrets`, which come
    from `scope`; None declares no secrets. Secrets that an expression names, and texts of at least 8 bytes that it
    makes from them, are added to `masker`; `SecretScope.register` adds the rest. All results together have at most
    10 MiB.

    Raises TemplateError with path, offset and number, and what the scope raises: SecretNotDeclaredError,
    SecretNotFoundError, and errors of its store. No message repeats a value.
    """
    return _Resolution(Bindings(context=context, scope=scope), masker, as_text=as_text).value(value, ())


def _strings(value: object, path: Steps) -> Iterator[tuple[Steps, str]]:
    if isinstance(value, str):
        if "{{" in value:
            yield path, value
        return
    for step, item in _children(value, path):
        yield from _strings(item, (*path, step))


def _children(value: object, path: Steps) -> list[tuple[str | int, object]]:
    if isinstance(value, Mapping):
        children = list(value.items())
    elif isinstance(value, list | tuple):
        children = list(enumerate(value))
    else:
        return []
    if len(path) >= DEPTH_LIMIT:
        raise TemplateError(TOO_DEEP, path=path)
    return children


@contextmanager
def _located(path: Steps, span: Span | None = None) -> Iterator[None]:
    """Give errors from inside the place of the string, and of the expression when that is known."""
    try:
        yield
    except TemplateError as error:
        error.path = path
        if span is not None:
            error.offset, error.number = span.offset, span.number
        raise


def _references(text: str, path: Steps, roots: Collection[str]) -> list[Reference]:
    found: list[Reference] = []
    with _located(path):
        parts = split(text)
    for part in parts:
        if isinstance(part, Span):
            with _located(path, part):
                expression = parse(part.source)
                for root in expression.roots:
                    if root not in roots:
                        refuse_root(root, roots)
            found += [_reference(each, path, part) for each in expression.paths if each.keys]
    return found


def _reference(target: Path, path: Steps, span: Span) -> Reference:
    name, *keys = target.keys
    return Reference(
        root=target.root, name=str(name), path=path, offset=span.offset, number=span.number, keys=tuple(keys)
    )


class _Resolution:
    """One call of `resolve_templates`: its bindings, and the room that is left for results."""

    def __init__(self, bindings: Bindings, masker: MaskerPort | None, *, as_text: bool) -> None:
        self._bindings = bindings
        self._masker = masker
        self._as_text = as_text
        self._room = RESULT_LIMIT

    def value(self, value: object, path: Steps) -> object:
        """Return `value` resolved."""
        if isinstance(value, str):
            return self._text(value, path) if "{{" in value else value
        children = _children(value, path)
        if isinstance(value, Mapping):
            return {step: self.value(item, (*path, step)) for step, item in children}
        if isinstance(value, list | tuple):
            return [self.value(item, (*path, step)) for step, item in children]
        return value

    def _text(self, text: str, path: Steps) -> object:
        with _located(path):
            parts = split(text)
        results: list[object] = []
        for part in parts:
            if isinstance(part, str):
                results.append(part)
                continue
            with _located(path, part):
                result = self._result(part)
                results.append(result if len(parts) == 1 and not self._as_text else text_of(result))
        with _located(path):
            result = results[0] if len(results) == 1 else "".join(map(str, results))
            self._spend(result)
            return copied(result)

    def _result(self, span: Span) -> object:
        expression = parse(span.source)
        value, names = self._evaluated(expression)
        size(value)
        if names and self._masker is not None:
            self._register(expression, value, names)
        return value

    def _evaluated(self, expression: Expression) -> Traced:
        try:
            return expression.node.evaluate(self._bindings)
        except RecursionError:
            pass
        raise TemplateError(TOO_DEEP)

    def _spend(self, result: object) -> None:
        self._room -= size(result)
        if self._room < 0:
            raise TemplateError(TOO_LARGE)

    def _register(self, expression: Expression, value: object, names: frozenset[str]) -> None:
        assert self._masker is not None
        name = "+".join(sorted(names))
        plain = isinstance(expression.node, Path)
        for leaf in _leaves(value):
            if plain or (len(leaf) >= DERIVED_BYTES and leaf not in expression.literals):
                self._masker.add(leaf, name)


def _leaves(value: object) -> Iterator[bytes]:
    """Yield every text, number and key in `value` as the bytes in which it may be printed."""
    match value:
        case bytes():
            yield value
        case None | bool():
            return
        case list() | tuple():
            for item in value:
                yield from _leaves(item)
        case Mapping():
            for key, item in value.items():
                yield from _leaves(key)
                yield from _leaves(item)
        case _:
            yield text_of(value).encode()
