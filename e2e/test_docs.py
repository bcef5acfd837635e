"""What the pages show is what happens: every console block is typed, and its output compared (see `book.blocks`)."""

import re
from pathlib import Path

import pytest

from book.blocks import is_typed, type_in

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("packages/*/README.md")), *sorted(ROOT.glob("docs/**/*.md"))]

# The library's own page is typed by the library's tests, which run where nothing else is installed too.
TYPED = [page for page in PAGES if is_typed(page) and page != ROOT / "packages/secrets/README.md"]


@pytest.mark.parametrize("page", TYPED, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_shows_what_happens(page, tmp_path):
    assert type_in(page, tmp_path) > 0


LINK = re.compile(r"\[[^\]]*\]\((?!https?:|mailto:)(?P<target>[^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page):
    for match in LINK.finditer(page.read_text(encoding="utf-8")):
        assert (page.parent / match["target"]).exists(), f"{page.name} links to {match['target']}"
