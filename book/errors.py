"""Every error of both packages: its exit code, when it is raised, what it says, and what to do then.

Messages and hints are read from the places that raise them; `…` stands for what differs.
"""

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Final, NamedTuple

import autokestra
import autokestra_secrets
from autokestra.cli.codes import MEANINGS
from autokestra.errors import AutokestraError
from autokestra_secrets import SecretsError

OPENING: Final = """# Errors

Whatever goes wrong is one line, `error: …`, and where there is something to do, another one, `hint: …`, both on stderr.
None holds a value, a key or a resolved template. The [exit code](commands.md#exit-codes) tells a script of
which kind it was.

In Python each is an exception with `message`, `hint` (or None) and `exit_code`. `…` stands for what differs.
"""

# What to do about those that are raised without a hint.
REMEDIES: Final = {
    "DecisionError": "Correct the `when` or `forEach` that is named; the execution goes on without that task.",
    "EndOfInputError": "Answer the question, or give the option that makes it unnecessary.",
    "EnvelopeError": "Install the same version on both sides.",
    "ExecutionBusyError": "Wait for the other process, or stop it.",
    "ExecutionNotFoundError": "See which there are: `workflow execution list`.",
    "OutputError": "Give a JSON value of at most 10 MiB; put larger data into a file and give its path.",
    "StateFormatError": "Install the version that wrote it, or give another file with `--state`.",
    "StatePermissionError": "Make the file and its directory yours: `chmod`, `chown`, or another place with `--state`.",
    "StateUnavailableError": "See what the message says of the disk or the file: `workflow doctor` checks both.",
    "UsageError": "Add `--help` to the command.",
    "WorkflowInvalidError": "Correct what is named; `workflow validate FILE` lists all of it, each with its hint.",
    "WorkflowPermissionError": "Make the file readable for the user who runs it.",
}
PROGRAMS: Final = ("actions.keeper", "actions.runner", "__main__")  # run when imported


class Site(NamedTuple):
    """One place that raises an error: what it says, and the hint, empty where there is none."""

    message: str
    hint: str


def page() -> str:
    """Return the page."""
    load(autokestra)
    load(autokestra_secrets)
    sites = found_sites()
    parts = [OPENING]
    for title, base in (("Secrets", SecretsError), ("Workflows and executions", AutokestraError)):
        parts.append(f"\n## {title}\n\n{_paragraph(base)}\n")
        parts += [_section(error, sites.get(error.__name__, [])) for error in below(base)]
    return "".join(parts)


def load(package: ModuleType) -> None:
    """Import every module of a package, so that all of its errors are known."""
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not module.name.endswith(PROGRAMS):
            importlib.import_module(module.name)


def below(base: type[Exception]) -> list[type[Exception]]:
    """Return all errors under `base`, by exit code and name."""
    found: dict[str, type[Exception]] = {}

    def walk(error: type[Exception]) -> None:
        for child in error.__subclasses__():
            if child.__module__.startswith(("autokestra.", "autokestra_secrets.")):
                found[child.__name__] = child
                walk(child)

    walk(base)
    return sorted(found.values(), key=lambda error: (error.exit_code, error.__name__))  # type: ignore[attr-defined]


def remedy(name: str, sites: list[Site]) -> str | None:
    """Return what to do about an error that is raised without a hint somewhere, None where hints say it all."""
    if name in REMEDIES:
        return REMEDIES[name]
    if not any(site.hint for site in sites):
        raise LookupError(f"say in book/errors.py what to do about {name}, or raise it with a hint")
    return None


def found_sites() -> dict[str, list[Site]]:
    """Return for each name of an error the places that raise it, each text once."""
    found: dict[str, dict[Site, None]] = {}
    for package in (autokestra, autokestra_secrets):
        for path in sorted(Path(package.__path__[0]).rglob("*.py")):
            for name, site in _sites(ast.parse(path.read_text(encoding="utf-8"))):
                found.setdefault(name, {})[site] = None
    return {name: sorted(sites) for name, sites in found.items()}


def _sites(tree: ast.AST) -> Iterator[tuple[str, Site]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name.endswith("Error"):
            for call in ast.walk(node):
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "super().__init__":
                    yield from ((node.name, site) for site in _said(call))
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func).rpartition(".")[2]
            if name.endswith("Error") and not name.startswith("_"):
                yield from ((name, site) for site in _said(node))


def _said(call: ast.Call) -> Iterator[Site]:
    message = _text(call.args[0]) if call.args else ""
    if any(letter.isalpha() for letter in message):
        hint = next((_text(keyword.value) for keyword in call.keywords if keyword.arg == "hint"), "")
        yield Site(message, hint)


def _text(node: ast.expr) -> str:
    """Return a text as the code writes it, `…` for each part that is made at run time."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(value) if isinstance(value, ast.Constant) else "…" for value in node.values)
    if isinstance(node, ast.BoolOp):  # hint or "the usual one"
        return _text(node.values[-1])
    if isinstance(node, ast.IfExp):
        return _text(node.body) or _text(node.orelse)
    return "…"


def _section(error: type[Exception], sites: list[Site]) -> str:
    code: int = error.exit_code  # type: ignore[attr-defined]
    lines = [f"\n### `{error.__name__}`\n", f"Exit code {code}: {MEANINGS[code]}.\n", _paragraph(error) + "\n"]
    said = remedy(error.__name__, sites)
    if said:
        lines.append(f"What to do: {said}\n")
    rows = [site for site in sites if site.message]
    if rows:
        lines += ["| message | hint |", "|---|---|"]
        lines += [f"| {_code(site.message)} | {_code(site.hint)} |" for site in rows]
        lines.append("")
    return "\n".join(lines)


def _paragraph(error: type[Exception]) -> str:
    return " ".join((error.__doc__ or "").split())


def _code(text: str) -> str:
    """Return a text as code within a table, nothing for no text."""
    shown = " ".join(text.split()).replace("|", "\\|")
    if not shown or shown == "…":
        return shown
    return f"`` {shown} ``" if "`" in shown else f"`{shown}`"
