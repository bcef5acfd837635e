"""The page that only has to type-check leaves no public name out, so that a change of any signature is seen by mypy."""

import ast
from pathlib import Path

import pytest

import autokestra_secrets
from autokestra_secrets import testing

PAGE = Path(__file__).parents[1] / "typing" / "public_calls.py"
TREE = ast.parse(PAGE.read_text(encoding="utf-8"))
USED = {node.id for node in ast.walk(TREE) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


@pytest.mark.parametrize("name", [*autokestra_secrets.__all__, *testing.__all__])
def test_every_public_name_is_used_on_the_page(name):
    assert name in USED


def test_the_page_has_misuses_that_must_be_refused():
    text = PAGE.read_text(encoding="utf-8")
    assert text.count("# type: ignore[") > 20
    assert "# type: ignore\n" not in text
