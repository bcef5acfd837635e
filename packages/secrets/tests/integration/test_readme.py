"""The library's own page shows what happens, also where nothing but the library is installed."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from book.blocks import type_in

README = Path(__file__).parents[2] / "README.md"


@pytest.mark.parametrize("needed", ["starlette", "structlog", "httpx"])
def test_what_the_snippets_are_tried_with_is_here(needed):
    assert find_spec(needed) is not None


def test_the_page_shows_what_happens(tmp_path):
    assert type_in(README, tmp_path) > 10
