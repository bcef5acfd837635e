"""What the READMEs of the examples show is what happens: each is gone through in a copy of its folder."""

import os
from pathlib import Path

import pytest

from book.blocks import is_typed, type_in

EXAMPLES = Path(__file__).parents[1] / "examples"
TYPED = [page for page in sorted(EXAMPLES.glob("*/README.md")) if is_typed(page)]


@pytest.mark.parametrize("page", TYPED, ids=lambda page: page.parent.name)
def test_a_readme_shows_what_happens(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    environ = {}
    if page.parent.name == "plugin-python":  # the page says that the package is installed
        environ["PATH"] = f"{request.getfixturevalue('plugin_environment')}:{os.environ['PATH']}"
    assert type_in(page, tmp_path, environ, beside=page.parent) > 0
