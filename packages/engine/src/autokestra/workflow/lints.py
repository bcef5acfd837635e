"""What may stand in a workflow and yet should be looked at: warnings, each with a rule that can be waived in its place.

`# autokestra: allow RULE` stands on the line of the warning, on the line of its key, or alone on the line above.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from autokestra.workflow import credentials, places
from autokestra.workflow.document import Document
from autokestra.workflow.problems import Steps, nearest
from autokestra_secrets import Reference

UNUSED: Final = "unused"
SECRET_IN_URL: Final = "secret-in-url"  # noqa: S105  # names of rules
SECRET_IN_SCRIPT: Final = "secret-in-script"  # noqa: S105
PLAIN_CREDENTIAL: Final = "plain-credential"
DOLLAR_BRACES: Final = "dollar-braces"
UNKNOWN_RULE: Final = "unknown-rule"
RULES: Final = (UNUSED, SECRET_IN_URL, SECRET_IN_SCRIPT, PLAIN_CREDENTIAL, DOLLAR_BRACES)

# Texts, compiled where one is needed: most workflows need none of them, and each start-up would pay.
_ALLOW: Final = r"#[ \t]*autokestra:[ \t]*allow[ \t]+(?P<rules>[\w-]+(?:[ \t]*,[ \t]*[\w-]+)*)"
_ALLOW_SIGN: Final = "autokestra:"
_HTTP: Final = "core/http."  # actions whose `url` and `query` make an address
_NESTED: Final = "core/workflow.run"  # hands the secrets of its workflow on, by name


class Use(NamedTuple):
    """A text with templates, at a path of the document, and what it refers to."""

    path: Steps
    text: str
    references: tuple[Reference, ...]


class Lint(NamedTuple):
    """A warning, placed by a path, by an offset in the `text` at the path, or `at` an index of the source."""

    rule: str
    message: str
    hint: str
    path: Steps = ()
    offset: int | None = None
    text: str = ""
    at: int | None = None
    at_key: bool = False


def unused(data: Mapping[str, Any], uses: Iterable[Use]) -> Iterator[Lint]:
    """Yield the secrets, inputs and vars that are declared and named by no template."""
    uses = list(uses)
    named = {(each.root, each.name) for use in uses for each in use.references}
    texts = [use.text for use in uses]
    declared = {
        "secrets": [] if _hands_on(data) else [(("secrets", number), name) for number, name in _items(data, "secrets")],
        "inputs": [(("inputs", name), name) for name, _ in _items(data, "inputs")],
        "vars": [(("vars", name), name) for name, _ in _items(data, "vars")],
    }
    for root, names in declared.items():
        left = [(path, name) for path, name in names if isinstance(name, str) and (root, name) not in named]
        # `{{ vars | tojson }}` and `{{ vars[inputs.x] }}` use all of them.
        if left and any(re.search(rf"(?<![\w.-]){root}(?![\w.-]|\[['\"])", text) for text in texts):
            continue
        word = {"secrets": "secret", "inputs": "input", "vars": "value"}[root]
        for path, name in left:
            yield Lint(
                rule=UNUSED,
                message=f"{word} '{name}' is declared and not used",
                hint=f"remove it, or use it as {{{{ {root}.{name} }}}}",
                path=path,
                at_key=root != "secrets",
            )


def in_addresses(data: Mapping[str, Any], uses: Iterable[Use]) -> Iterator[Lint]:
    """Yield the secrets that become part of an address or its query."""
    for use in uses:
        secrets = [each for each in use.references if each.root == "secrets"]
        if not secrets or len(use.path) < 4:
            continue
        task = data[str(use.path[0])][use.path[1]]
        is_http = str(task.get("type")).startswith(_HTTP) and use.path[2] == "inputs"
        is_query = is_http and use.path[3] == "query"
        is_address = use.text.lstrip().lower().startswith(("http://", "https://")) or (is_http and use.path[3] == "url")
        # An address that is a secret as a whole, such as a webhook, has no other way to be told.
        is_whole = len(use.references) == 1 and re.fullmatch(r"\s*\{\{[^{}|~+]*\}\}\s*", use.text) is not None
        if is_query or (is_address and not is_whole):
            first = secrets[0]
            yield Lint(
                rule=SECRET_IN_URL,
                message=f"secret '{first.name}' becomes part of an address, and servers and proxies log addresses",
                hint=f'send it in a header: headers: {{Authorization: "Bearer {{{{ secrets.{first.name} }}}}"}}',
                path=use.path,
                offset=first.offset,
                text=use.text,
            )


def after_dollars(uses: Iterable[Use]) -> Iterator[Lint]:
    """Yield the secrets and variables that are written as in GitHub Actions: `${{ secrets.A }}` is `$` and the value.

    Of the names that may follow, these two make no amount of money, as `${{ inputs.price }}` does. What is written for
    GitHub, by a script, has its braces doubled or names nothing here.
    """
    for use in uses:
        for each in use.references:
            if each.root in ("secrets", "env") and use.text[: each.offset].endswith("$"):
                yield Lint(
                    rule=DOLLAR_BRACES,
                    message="the '$' before '{{' becomes part of the value",
                    hint=f"that is how GitHub Actions writes it; here: {{{{ {each.root}.{each.name} }}}}",
                    path=use.path,
                    offset=each.offset,
                    text=use.text,
                )


def in_clear(document: Document) -> Iterator[Lint]:
    """Yield what looks like a credential, once for each line."""
    seen: set[int] = set()
    for each in [*credentials.in_source(document.text), *credentials.at_keys(document.data)]:
        line = places.place_of(document, each.at)[0] if each.at is not None else document.place(each.path)[0]
        if line not in seen:
            seen.add(line)
            yield Lint(
                rule=PLAIN_CREDENTIAL,
                message=f"this looks like {each.what} in clear",
                hint=credentials.hint(each, PLAIN_CREDENTIAL),
                path=each.path if each.at is None else places.path_at(document, each.at),
                at=each.at,
            )


class Allowances:
    """The comments of a source that allow something in its place."""

    def __init__(self, source: str) -> None:
        self._rules: dict[int, set[str]] = {}
        self._unknown: list[tuple[int, str]] = []
        for match in re.finditer(_ALLOW, source) if _ALLOW_SIGN in source else ():
            line = source.count("\n", 0, match.start()) + 1
            before = source[source.rfind("\n", 0, match.start()) + 1 : match.start()]
            rules = {rule.strip() for rule in match["rules"].split(",")}
            self._rules.setdefault(line, set()).update(rules)
            if not before.strip():  # it stands alone: it is about the next line
                self._rules.setdefault(line + 1, set()).update(rules)
            self._unknown += [(match.start("rules"), rule) for rule in sorted(rules.difference(RULES))]

    def allow(self, rule: str, lines: Iterable[int]) -> bool:
        """Whether the rule is allowed on one of these lines."""
        return any(rule in self._rules.get(line, ()) for line in lines)

    def unknown(self) -> Iterator[Lint]:
        """Yield the rules that do not exist: a slip there would allow nothing and say nothing."""
        for index, rule in self._unknown:
            yield Lint(
                rule=UNKNOWN_RULE,
                message=f"there is no rule '{rule[:40]}' to allow",
                hint=nearest(rule[:40], RULES) or f"there are: {', '.join(RULES)}",
                at=index,
            )


def _hands_on(data: Mapping[str, Any]) -> bool:
    tasks = [task for key in ("tasks", "onFailure") for _, task in _items(data, key)]
    return any(isinstance(task, dict) and task.get("type") == _NESTED for task in tasks)


def _items(data: Mapping[str, Any], key: str) -> list[tuple[Any, Any]]:
    value = data.get(key)
    if isinstance(value, dict):
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, list) else []
