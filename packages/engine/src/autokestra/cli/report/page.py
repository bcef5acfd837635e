"""The page as a whole: one file that loads nothing, in which only our own script and style count.

The Content-Security-Policy names both by their hash and forbids everything else, so that markup which would slip
through the escaping could neither run nor load anything. Outputs of tasks are not on the page: they are sealed, and a
page is made to be handed on.
"""

import base64
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from autokestra.cli.progress import masked_lines
from autokestra.cli.report.graph import graph
from autokestra.cli.report.log import log
from autokestra.cli.report.material import Material
from autokestra.cli.report.tasks import badge, details, table
from autokestra.cli.report.text import escaped, lines, value
from autokestra.cli.times import duration, utc_time

_HERE: Final = Path(__file__).parent


def page(material: Material, *, version: str) -> str:
    """Return the page as HTML; every character of it that is not ours has been escaped."""
    style, script = (_HERE / name for name in ("page.css", "page.js"))
    style_text, script_text = style.read_text(encoding="utf-8"), script.read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; style-src '{_hash(style_text)}'; script-src '{_hash(script_text)}'; base-uri 'none'; "
        "form-action 'none'"
    )
    execution = material.execution
    title = f"{escaped(execution.workflow_id)} {escaped(execution.id)} {execution.state.value}"
    sections = [
        ("Graph", f'<div class="wide" tabindex="0" role="region" aria-label="Graph">{graph(material)}</div>'),
        ("Timeline", table(material)),
        ("Inputs and secrets", _inputs(material)),
        ("Tasks", details(material)),
        ("Log", log(material)),
    ]
    body = "".join(f'<section><h2 id="{_anchor(name)}">{name}</h2>{text}</section>' for name, text in sections)
    links = "".join(f'<a href="#{_anchor(name)}">{name}</a>' for name, _ in sections)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n<meta name="color-scheme" content="light dark">\n'
        f"<title>{title}</title>\n<style>{style_text}</style>\n</head>\n<body>\n{_header(material)}"
        f"<nav>{links}</nav><main>{body}</main>{_footer(material, version)}\n<script>{script_text}</script>\n"
        "</body>\n</html>\n"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _anchor(name: str) -> str:
    return name.lower().replace(" ", "-")


def _header(material: Material) -> str:
    execution, workflow = material.execution, material.workflow
    took = ""
    if execution.started_at is not None:
        so_far = "" if execution.state.ended else " so far"
        took = f", took {duration((material.until - execution.started_at) / 1e6)}{so_far}"
    facts = (
        f"execution <code>{escaped(execution.id)}</code>, created {utc_time(execution.created_at)}{took}, "
        f"from {escaped(Path(execution.workflow_path).name)} (sha256 {escaped(execution.workflow_sha256[:12])})"
    )
    parts = [
        f"<header><h1>{escaped(workflow.id)} {badge(execution.state.value)}</h1>",
        f"<p>{lines(workflow.description)}</p>" if workflow.description else "",
        f'<p class="facts">{facts}</p>',
        f'<p class="why">{lines(execution.message)}</p>' if execution.message else "",
    ]
    return "".join(parts) + "</header>"


def _inputs(material: Material) -> str:
    execution, workflow = material.execution, material.workflow
    parts = []
    if execution.inputs:
        parts.append(_pairs("Inputs of this run", execution.inputs.items()))
    if workflow.vars:
        parts.append(_pairs("Variables", workflow.vars.items()))
    if workflow.secrets:
        used = execution.secrets_used
        names = "".join(
            f'<li><b class="secret">{escaped(name)}</b> '
            f"{'from the ' + escaped(used[name]) if name in used else 'not used'}</li>"
            for name in workflow.secrets
        )
        parts.append(f"<h3>Secrets</h3><ul>{names}</ul>")
        parts += [f"<p>{escaped(line)}</p>" for line in masked_lines(execution.masked)]
    return "".join(parts) or "<p>None.</p>"


def _pairs(title: str, pairs: Iterable[tuple[str, object]]) -> str:
    rows = "".join(f"<dt>{escaped(name)}</dt><dd><pre>{value(item)}</pre></dd>" for name, item in pairs)
    return f"<h3>{title}</h3><dl>{rows}</dl>"


def _footer(material: Material, version: str) -> str:
    return (
        f"<footer><p>Made by autokestra {escaped(version)} from masked rows, as of {utc_time(material.until)}. "
        "Values of secrets and outputs of tasks are not on this page; outputs are shown by "
        f"<kbd>workflow execution show {escaped(material.execution.id)}</kbd> where the key is.</p></footer>"
    )
