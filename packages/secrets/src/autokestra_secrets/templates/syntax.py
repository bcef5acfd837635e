"""Parses one expression into `nodes`, and says what it refers to.

A plain path such as `secrets.API_TOKEN`, which is nearly all of them, is read here. Everything else goes to
`translation`, which is imported only then: Jinja2's import costs more than a whole run of a small workflow.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NoReturn

from autokestra_secrets.errors import InvalidSecretNameError, TemplateError
from autokestra_secrets.names import secret_name
from autokestra_secrets.templates.paths import Node, Path, shorten
from autokestra_secrets.templates.text import KEEP_BRACES, ROOTS

# After a dot the longest run of name characters is the name: hyphens and leading digits belong to it. Letters of
# other scripts too, so that `secrets.größe` is one bad name and not the good name `gr` with something after it.
NAME: Final = r"[\w-]+"

_PATH: Final = re.compile(rf"\s*([A-Za-z_][A-Za-z0-9_]*)((?:\.{NAME})+)\s*")
_SECRET_WITH_BLANKS: Final = re.compile(r"\s*secrets\.([\w-]+(?:[ \t]+[\w-]+)+)\s*(?:[|~)].*)?", re.DOTALL)
_WORDS: Final = frozenset(("and", "else", "if", "in", "is", "not", "or"))  # what may follow a name after a blank
_CACHED: Final = 1024  # expressions; at most 10,000 characters each


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """A parsed expression: its tree, the paths in it, every root it names, and its constant texts as bytes."""

    node: Node
    paths: tuple[Path, ...]
    roots: tuple[str, ...]
    literals: frozenset[bytes]


@lru_cache(_CACHED)
def parse(source: str) -> Expression:
    """Parse an expression without its braces. Raises TemplateError with offset 0.

    The cache holds sources, never values.
    """
    if match := _PATH.fullmatch(source):
        path = checked_path(match[1], tuple(match[2][1:].split(".")))
        return Expression(node=path, paths=(path,), roots=(path.root,), literals=frozenset())
    if source[:1] == "-" or source[-1:] == "-":
        raise TemplateError(
            "'{{-' and '-}}' are not supported", hint="text around '{{ }}' is kept as it is; leave the '-' out"
        )
    if not source.strip():
        raise TemplateError("expression is empty", hint=KEEP_BRACES)
    if (match := _SECRET_WITH_BLANKS.fullmatch(source)) and _WORDS.isdisjoint(match[1].split()):
        refuse_secret_name()
    from autokestra_secrets.templates.translation import translate  # noqa: PLC0415  # see above

    return translate(source)


def checked_path(root: str, keys: tuple[str | int, ...]) -> Path:
    """Return the path if its root exists and each name may be used. Raises TemplateError."""
    if root not in ROOTS:
        hint = _output_hint(keys) if root == "outputs" else _nearest_root(root, ROOTS)
        raise TemplateError(f"unknown name '{shorten(root)}'", hint=hint or f"a name is one of: {known(ROOTS)}")
    for key in keys[1:]:  # the first is a name that the workflow chose, looked up in a mapping and nowhere else
        if isinstance(key, str) and key.startswith("_"):
            raise TemplateError(f"'{shorten(key)}': names that begin with '_' are not allowed")
    if root == "secrets":
        check_secret(keys)
    return Path(root, keys)


def check_secret(keys: tuple[str | int, ...]) -> None:
    """Return if `secrets` is followed by exactly one valid name. Raises TemplateError."""
    if not keys:
        raise TemplateError("'secrets' needs a name", hint="write secrets.NAME, one secret at a time")
    if len(keys) > 1:
        raise TemplateError(
            "invalid secret name: it has a dot in it",
            hint="a name has no dots; a field of a JSON value is read by: (secrets.NAME | fromjson).field",
        )
    try:
        secret_name(str(keys[0]))
    except InvalidSecretNameError as error:
        message, hint = error.message, error.hint
    else:
        return
    raise TemplateError(message, hint=hint)


def refuse_secret_name() -> NoReturn:
    """Raise TemplateError for a secret name with blanks in it."""
    raise TemplateError(
        "invalid secret name: it has a space in it",
        hint="a name has 1 to 128 of: letters A-Z a-z, digits, '_' and '-'",
    )


def secret_hint(name: str) -> str:
    """Return how a secret is written, for one who wrote `secret('NAME')`."""
    try:
        secret_name(name)
    except InvalidSecretNameError:
        name = "NAME"
    return f"write secrets.{name}"


def _output_hint(keys: tuple[str | int, ...]) -> str:
    """Return how an output is written, for one who wrote `outputs.ID.KEY`, as Kestra has it."""
    task, *rest = keys or ("ID",)
    return f"write {shorten('.'.join(map(str, ('tasks', task, 'output', *rest))))}"


def refuse_root(root: str, roots: Collection[str]) -> NoReturn:
    """Raise TemplateError for a root that exists but may not be used here."""
    raise TemplateError(f"'{root}' is not available here", hint=f"a name is one of: {known(roots)}")


def known(roots: Collection[str]) -> str:
    """List roots for a message."""
    return ", ".join(sorted(roots)) or "none"


def _nearest_root(name: str, roots: Collection[str]) -> str | None:
    from difflib import get_close_matches  # noqa: PLC0415  # only a mistake pays for it

    near = get_close_matches(name, roots, n=1)
    return f"did you mean '{near[0]}'?" if near else None
