"""Text on its way into the page. Nothing reaches the page that has not been through here.

A page can be attacked by what a task prints: tags, entities, quotes, NUL, characters that turn the direction of text
around. Tags and quotes become entities; what cannot be seen becomes an escape such as `\u202e`. Nothing is filled in
afterwards, so text that looks like a placeholder stays text.
"""

import html
import json
import re
from typing import Final

from autokestra.cli.console import visible

MOST_CHARACTERS: Final = 20_000  # of one value; a script that is longer is not read on a page
SHORT_CHARACTERS: Final = 80  # a value that fits into one line stands in one

_COLOUR: Final = re.compile(r"\x1b\[[0-9;:]*m")
_EXPRESSION: Final = re.compile(r"(?<!\{)\{\{(?!\{).*?\}\}", re.DOTALL)  # `{{{{` writes two braces
_SECRET: Final = re.compile(r"(?<![\w.-])secrets\.([A-Za-z0-9_-]{1,128})")


def escaped(text: str) -> str:
    """Return one line of text as HTML, for content and for attributes in quotes; colours of terminals are dropped."""
    return html.escape(visible(_COLOUR.sub("", text).expandtabs(8)))


def lines(text: str) -> str:
    """Return text of several lines as HTML, for an element that keeps line breaks."""
    shown = text[:MOST_CHARACTERS]
    more = len(text) - len(shown)
    body = "\n".join(escaped(line) for line in shown.split("\n"))
    return f"{body}\n{left_out(f'{more:,} more characters')}" if more else body


def value(item: object) -> str:
    """Return a JSON value as HTML, text as it is and everything else as JSON."""
    return lines(_json(item))


def template(item: object) -> str:
    """Return a value of the document as HTML, with expressions marked and secrets in them shown by their names."""
    # Marked in what is escaped already: no character of an expression is HTML, and neither is a name.
    return _EXPRESSION.sub(lambda found: f"<code>{_SECRET.sub(_named, found[0])}</code>", lines(_json(item)))


def left_out(what: str) -> str:
    """Return a note that something is missing here."""
    return f'<span class="gap">[{escaped(what)}]</span>'


def _json(item: object) -> str:
    if isinstance(item, str):
        return item
    short = json.dumps(item, ensure_ascii=False)
    return short if len(short) <= SHORT_CHARACTERS else json.dumps(item, indent=2, ensure_ascii=False)


def _named(found: re.Match[str]) -> str:
    return f'<b class="secret">secrets.{found[1]}</b>'
