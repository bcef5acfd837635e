"""The drawn rooms are the rooms that exist, in the order that import-linter enforces; each says what it promises."""

import ast
import configparser
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/explanation/architecture.md").read_text(encoding="utf-8")
SOURCES = {
    "autokestra": ROOT / "packages/engine/src/autokestra",
    "autokestra_secrets": ROOT / "packages/secrets/src/autokestra_secrets",
}
MODULES = [(folder, path) for folder in SOURCES.values() for path in sorted(folder.rglob("*.py"))]


def rooms(folder: Path) -> set[str]:
    """Return the folders and files at the first level of a package."""
    return {path.stem for path in folder.iterdir() if path.suffix in {"", ".py"} and not path.name.startswith("__")}


def contract(name: str) -> configparser.SectionProxy:
    parser = configparser.ConfigParser()
    parser.read(ROOT / ".importlinter")
    return parser[f"importlinter:contract:{name}"]


def floors(name: str) -> list[list[str]]:
    """Return the floors of a contract, from the top."""
    return [sorted(re.split(r" [|:] ", line)) for line in contract(name)["layers"].split("\n") if line]


def drawn(title: str) -> list[list[str]]:
    """Return the floors of a drawing, from the top: what stands first in each cell, known rooms only."""
    drawing = PAGE.partition(f"## {title}\n")[2].partition("```text\n")[2].partition("```")[0]
    found = []
    for line in drawing.splitlines():
        cells = [cell.strip() for cell in line.split("│")[1:-1]] if line.startswith("│") else []
        names = [re.match(r"[a-z]+(?:, [a-z]+)*(?=  |$)", cell) for cell in cells]
        if cells and all(names):
            found.append(sorted(name for match in names for name in match[0].split(", ")))
    return found


def test_the_rooms_of_the_engine_are_drawn_as_they_are():
    assert floors("layers") == drawn("The rooms of the engine")
    beside = contract("layers")["exhaustive_ignores"].split()
    assert rooms(SOURCES["autokestra"]) == {*beside, *(name for floor in floors("layers") for name in floor)}
    assert [] == [name for name in beside if f"`{name}`" not in PAGE]


def test_the_rooms_of_the_library_are_drawn_as_they_are():
    assert floors("floors") == drawn("The rooms of the library")
    assert rooms(SOURCES["autokestra_secrets"]) == {name for floor in floors("floors") for name in floor}


def test_the_journeys_pass_through_rooms_that_exist():
    journeys = re.findall(r"^## \w+ journey: .*?(?=^## )", PAGE, re.MULTILINE | re.DOTALL)
    assert 3 == len(journeys)
    for journey in journeys:
        stations = re.findall(r"[a-z_]+(?:/[a-z_]+)?\.py\b", journey)
        assert len(stations) > 4
        assert [] == [name for name in stations if not any((folder / name).is_file() for folder in SOURCES.values())]


@pytest.mark.parametrize(
    "path", [path for _, path in MODULES], ids=[str(path.relative_to(folder.parent)) for folder, path in MODULES]
)
def test_a_module_says_what_it_promises(path):
    promise = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    assert len(promise) > 20, "say in the first lines what this module promises, and what is not there"
    assert promise.partition("\n\n")[0].rstrip().endswith((".", ":")), promise
