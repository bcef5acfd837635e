"""What the pages show is what happens: every console block is typed, and its output compared.

A page is run from top to bottom in an empty folder with an empty HOME. A block with a title is a file that the
reader saves under that name; in a `console` block a line that begins with `$ ` is typed and the lines after it are
the expected output, stdout and stderr together. `…` stands for text that differs from run to run; alone on a line it
stands for any number of lines. Blocks of other kinds are to be read, not run.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("packages/*/README.md")), *sorted(ROOT.glob("docs/**/*.md"))]

BLOCK = re.compile(r'^```(?P<kind>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^```$', re.MULTILINE | re.DOTALL)


def blocks(page):
    return [match.groupdict() for match in BLOCK.finditer(page.read_text(encoding="utf-8"))]


def steps(text):
    """Yield (command, expected output) of a console block."""
    command, expected = None, []
    for line in text.splitlines():
        if line.startswith("$ "):
            if command is not None:
                yield command, expected
            command, expected = line[2:], []
        elif line.startswith("> ") and not expected and command is not None:
            command += "\n" + line[2:]
        else:
            expected.append(line)
    if command is not None:
        yield command, expected


def pattern(expected):
    parts = []
    for line in expected:
        if line.strip() == "…":
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append(".*".join(re.escape(part) for part in line.rstrip().split("…")) + r"[ ]*\n")
    return re.compile("".join(parts))


RUNNABLE = [page for page in PAGES if any(block["kind"] == "console" for block in blocks(page))]


@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_shows_what_happens(page, tmp_path, request):
    folder = tmp_path / "work"
    folder.mkdir()
    environ = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
    }
    if page.name == "postgresql.md":  # the page says that these are set
        url = request.getfixturevalue("postgres_url")
        environ |= {"AUTOKESTRA_STORE": url, "AUTOKESTRA_STATE": url}
    ran = 0
    for block in blocks(page):
        if block["title"]:
            file = folder / block["title"]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block["text"], encoding="utf-8")
        if block["kind"] != "console":
            continue
        for command, expected in steps(block["text"]):
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=60,
                check=False,
            )
            shown = done.stdout.decode().replace(str(tmp_path), "~")
            text = shown if shown.endswith("\n") or not shown else shown + "\n"
            assert pattern(expected).fullmatch(text), (
                f"{page.name}: `{command}` printed:\n{text}\nthe page shows:\n" + "\n".join(expected)
            )
            ran += 1
    assert ran


def test_every_action_and_input_is_in_the_reference(workflow):
    page = (ROOT / "docs/reference/actions.md").read_text(encoding="utf-8")
    for item in json.loads(workflow.ok("plugin", "list", "--json")):
        assert f"`{item['id']}`" in page
        inputs = json.loads(workflow.ok("plugin", "show", item["id"], "--json"))["inputs"]["properties"]
        assert [] == [name for name in inputs if f"`{name}`" not in page and f"`{name}:" not in page], item["id"]


LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:)(?P<target>[^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page):
    for match in LINK.finditer(page.read_text(encoding="utf-8")):
        assert (page.parent / match["target"]).exists(), f"{page.name} links to {match['target']}"
