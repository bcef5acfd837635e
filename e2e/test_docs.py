"""What the pages show is what happens: every console block is typed, and its output compared (see `book.blocks`).

And no block that looks as if it could be run escapes: it is typed, or saved and used, or validated, or says why not.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from textwrap import indent

import pytest
import yaml

from autokestra_secrets import find_references
from book.blocks import Block, blocks, is_typed, is_workflow, pattern, steps, type_in, unused

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("packages/*/README.md")), *sorted(ROOT.glob("docs/**/*.md"))]

# The library's own page is typed by the library's tests, which run where nothing else is installed too.
TYPED = [page for page in PAGES if is_typed(page) and page != ROOT / "packages/secrets/README.md"]


@pytest.mark.parametrize("page", TYPED, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_shows_what_happens(page, tmp_path, request):
    environ = {}
    if page.name == "postgresql.md":  # the page says that these are set
        url = request.getfixturevalue("postgres_url")
        environ = {"AUTOKESTRA_STORE": url, "AUTOKESTRA_STATE": url}
    assert type_in(page, tmp_path, environ) > 0


IN_ONE_SHELL = [
    "recover",
    "change-the-key",
    "back-up",
]  # on these pages what one command exports decides about the next


@pytest.mark.parametrize("name", IN_ONE_SHELL)
def test_a_page_about_keys_shows_what_happens_in_a_single_shell_too(name, tmp_path):
    """Other pages are typed with a shell for each command, which forgets what was exported; a reader has one."""
    page = ROOT / f"docs/howto/{name}.md"
    for block in blocks(page):
        if block.title:
            (tmp_path / block.title).write_text(block.text, encoding="utf-8")
    typed = [step for block in blocks(page) if block.kind == "console" for step in steps(block.text)]
    done = subprocess.run(
        ["bash"],
        input="".join(f"{command}\nprintf '\\n\\036'\n" for command, _ in typed),
        cwd=tmp_path,
        env={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(tmp_path), "LANG": "C.UTF-8"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=60,
    )  # fmt: skip
    outputs = done.stdout.split("\n\036")[:-1]
    assert len(typed) == len(outputs) > 3
    for (command, expected), output in zip(typed, outputs, strict=True):
        shown = output.replace(str(tmp_path), "~")
        shown = shown if shown.endswith("\n") or not shown else shown + "\n"
        assert pattern(expected).fullmatch(shown), f"`{command}` printed:\n{shown}"


EXAMPLES = sorted(ROOT.glob("examples/**/README.md"))  # typed by test_examples_typed.py, in their folders
WITH_CODE = [*PAGES, *EXAMPLES, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]
WORKFLOWS = [(page, block) for page in PAGES for block in blocks(page) if is_workflow(block)]


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_block_that_can_be_run_is_run_or_says_why_not(page):
    assert 2 * len(blocks(page)) == len(re.findall(r"^ *```", page.read_text(encoding="utf-8"), re.MULTILINE))
    assert [] == [block.text for block in unused(page)], (
        "use the block in a `console` block of the page, or put before it: <!-- not run: REASON -->"
    )


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_block_that_is_not_run_can_be_read_by_what_would_run_it(page):
    for block in blocks(page):
        if not block.note:
            continue
        for name in re.findall(r"[\w/]+\.py", block.note):
            assert (ROOT / name).is_file(), name
        read(block)


def read(block: Block) -> None:
    """Raise an error when a block is not in the language that it says."""
    match block.kind:
        case "sh" | "bash":
            subprocess.run(["bash", "-n"], input=block.text.encode(), check=True)
        case "python":
            compile(block.text, "<block>", "exec")
        case "yaml":
            assert [] != list(yaml.safe_load_all(block.text))
        case "json":
            json.loads(block.text)
        case "toml":
            tomllib.loads(block.text)


def test_a_block_that_escapes_is_found(tmp_path):
    page = tmp_path / "page.md"
    code = "```python\nprint(1)\n```\n\n"
    page.write_text(f"{code}<!-- not run: no need -->\n{code}")
    assert [Block("python", "", "print(1)\n")] == unused(page)
    page.write_text('```yaml title="a.yaml"\nid: a\n```\n\n```console\n$ cat ba.yaml\n```\n')
    assert [Block("yaml", "a.yaml", "id: a\n")] == unused(page)
    page.write_text('```yaml title="a.yaml"\nid: a\n```\n\n```console\n$ cat a.yaml\nid: a\n```\n')
    assert [] == unused(page)


@pytest.mark.parametrize(
    ("page", "block"), WORKFLOWS, ids=[f"{page.stem}-{n}" for n, (page, _) in enumerate(WORKFLOWS)]
)
def test_a_workflow_that_is_only_shown_is_valid(workflow, page, block, tmp_path):
    text = block.text
    if text.startswith("- id:"):  # some tasks of a workflow
        names = sorted({reference.name for reference in find_references(text) if reference.root == "secrets"})
        text = f"id: shown\nsecrets: [{', '.join(names)}]\ntasks:\n{indent(text, '  ')}"
    (tmp_path / "shown.yaml").write_text(text)
    workflow.ok("validate", tmp_path / "shown.yaml")


def test_every_action_and_input_is_in_the_reference(workflow):
    page = (ROOT / "docs/reference/actions.md").read_text(encoding="utf-8")
    listed = json.loads(workflow.ok("plugin", "list", "--json"))
    assert "core/shell.run" in [item["id"] for item in listed]
    for item in listed:
        assert f"`{item['id']}`" in page
        inputs = json.loads(workflow.ok("plugin", "show", item["id"], "--json"))["inputs"]["properties"]
        assert [] == [name for name in inputs if f"`{name}`" not in page and f"`{name}:" not in page], item["id"]


LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:)(?P<target>[^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", [*PAGES, *EXAMPLES], ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page):
    for match in LINK.finditer(page.read_text(encoding="utf-8")):
        assert (page.parent / match["target"]).exists(), f"{page.name} links to {match['target']}"


def test_every_page_can_be_reached_from_the_index():
    """By links alone, as they are followed where there is no site with a navigation."""
    seen, left = set(), [ROOT / "docs/index.md"]
    while left:
        page = left.pop()
        if page in seen:
            continue
        seen.add(page)
        targets = [
            (page.parent / match["target"]).resolve() for match in LINK.finditer(page.read_text(encoding="utf-8"))
        ]
        left += [
            target for target in targets if target.suffix == ".md" and target.exists() and target != ROOT / "README.md"
        ]
    wanted = [
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("examples/**/README.md"),
        ROOT / "CONTRIBUTING.md",
        ROOT / "SECURITY.md",
    ]
    assert [] == sorted(str(page.relative_to(ROOT)) for page in wanted if page not in seen)


@pytest.mark.parametrize("page", sorted(ROOT.glob("packages/*/README.md")), ids=lambda page: page.parent.name)
def test_the_readme_of_a_wheel_has_no_link_into_the_project(page):
    """It is shown on the page of a package index, beside which nothing lies."""
    assert [] == [match["target"] for match in LINK.finditer(page.read_text(encoding="utf-8"))]
