"""Finds the expressions in a string; everything outside them is kept byte for byte.

`{{{{` stands for `{{` itself. `{%`, `{#` and `}}` outside an expression are text. What an expression means is the
business of `syntax`.
"""

import re
from dataclasses import dataclass
from typing import Final

from autokestra_secrets.errors import TemplateError

ROOTS: Final = ("secrets", "inputs", "vars", "tasks", "env", "execution", "item", "index")

EXPRESSION_LENGTH: Final = 10_000  # characters

KEEP_BRACES: Final = "to write '{{' itself, type '{{{{'"

# A string (its closing quote may be missing) or a brace. Possessive, so an unclosed quote costs one pass and no more.
_QUOTE_OR_BRACE: Final = re.compile(r"""'(?:[^'\\]|\\.)*+'?|"(?:[^"\\]|\\.)*+"?|[{}]""", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One expression: its source without the braces, the index of its `{{`, and its number in the string."""

    source: str
    offset: int
    number: int


def split(text: str) -> list[str | Span]:
    """Cut `text` into literal texts and expressions, in order. Raises TemplateError with offset and number."""
    parts: list[str | Span] = []
    position = number = 0
    while (start := text.find("{{", position)) >= 0:
        if text.startswith("{{", start + 2):
            parts.append(text[position:start] + "{{")
            position = start + 4
            continue
        if start > position:
            parts.append(text[position:start])
        end = _end(text, start, number)
        parts.append(Span(source=text[start + 2 : end], offset=start, number=number))
        number += 1
        position = end + 2
    if position < len(text) or not parts:
        parts.append(text[position:])
    return parts


def _end(text: str, start: int, number: int) -> int:
    """Return the index of the `}}` that ends the expression begun at `start`."""
    depth = 0
    limit = start + 2 + EXPRESSION_LENGTH + 2
    for match in _QUOTE_OR_BRACE.finditer(text, start + 2, limit):
        found = match[0]
        if found == "{":
            depth += 1
        elif found == "}":
            if depth:
                depth -= 1
            elif text.startswith("}}", match.start()):
                return match.start()
            else:
                raise TemplateError("unexpected '}'", offset=start, number=number, hint=KEEP_BRACES)
        elif (len(found) < 2 or found[-1] != found[0]) and match.end() < limit:
            raise TemplateError(f"quote {found[0]} is not closed", offset=start, number=number, hint=KEEP_BRACES)
    if len(text) >= limit:
        raise TemplateError(
            f"expression is longer than {EXPRESSION_LENGTH:,} characters, or '}}}}' is missing",
            offset=start,
            number=number,
        )
    raise TemplateError("'{{' without '}}'", offset=start, number=number, hint=KEEP_BRACES)
