"""What the pages show is what happens: every console block is typed, and its output compared (see `book.blocks`)."""

import json
import re
from pathlib import Path

import pytest

from book.blocks import is_typed, type_in

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


def test_every_action_and_input_is_in_the_reference(workflow):
    page = (ROOT / "docs/reference/actions.md").read_text(encoding="utf-8")
    listed = json.loads(workflow.ok("plugin", "list", "--json"))
    assert "core/shell.run" in [item["id"] for item in listed]
    for item in listed:
        assert f"`{item['id']}`" in page
        inputs = json.loads(workflow.ok("plugin", "show", item["id"], "--json"))["inputs"]["properties"]
        assert [] == [name for name in inputs if f"`{name}`" not in page and f"`{name}:" not in page], item["id"]


LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:)(?P<target>[^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page):
    for match in LINK.finditer(page.read_text(encoding="utf-8")):
        assert (page.parent / match["target"]).exists(), f"{page.name} links to {match['target']}"
