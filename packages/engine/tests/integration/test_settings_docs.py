"""The page of settings names every variable that the code reads, every key, and every flag."""

import re
from pathlib import Path

import autokestra
import autokestra_secrets
from autokestra.settings import SETTINGS

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs/reference/settings.md").read_text(encoding="utf-8")
FILES = [file for package in (autokestra, autokestra_secrets) for file in Path(package.__path__[0]).rglob("*.py")]
VARIABLE = re.compile(r"AUTOKESTRA_[A-Z][A-Z_]*[A-Z]")


def test_every_variable_that_the_code_names_is_on_the_page():
    named = {each.variable for each in SETTINGS}
    for file in FILES:
        named |= set(VARIABLE.findall(file.read_text(encoding="utf-8")))
    assert {"AUTOKESTRA_HOME", "AUTOKESTRA_SECRET_KEY", "AUTOKESTRA_DEBUG"} <= named
    assert [] == sorted(name for name in named if f"`{name}`" not in PAGE)


def test_every_variable_of_the_page_is_one_of_the_code():
    code = "".join(file.read_text(encoding="utf-8") for file in FILES)
    own = {each.variable for each in SETTINGS}
    assert [] == sorted(name for name in set(VARIABLE.findall(PAGE)) if name not in own and name not in code)


def test_every_key_is_on_the_page_with_its_variable():
    rows = {row[1]: row[0] for row in re.findall(r"^(\| `([a-z_]+)` .*)$", PAGE, re.MULTILINE)}
    assert {each.key for each in SETTINGS} == set(rows)
    assert [] == [each.key for each in SETTINGS if f"`{each.variable}`" not in rows[each.key]]
