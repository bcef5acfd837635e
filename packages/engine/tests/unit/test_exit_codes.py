"""One table of exit codes: what the documentation says, what the code means, and what every error has."""

import importlib
import pkgutil
import re
from pathlib import Path

import autokestra
import autokestra_secrets
from autokestra.cli.codes import MEANINGS
from autokestra.errors import AutokestraError

PAGE = Path(__file__).parents[4] / "docs/reference/commands.md"
ROW = re.compile(r"^\| (\d+) \| (.+) \|$", re.MULTILINE)


def leaves(base: type[Exception]) -> list[type[Exception]]:
    return [leaf for child in base.__subclasses__() for leaf in (leaves(child) or [child])]


def test_the_documentation_has_the_table_of_the_code() -> None:
    section = PAGE.read_text(encoding="utf-8").partition("## Exit codes\n")[2].partition("\n## ")[0]
    assert {str(code): meaning for code, meaning in MEANINGS.items()} == dict(ROW.findall(section))


def test_every_error_has_a_code_of_the_table() -> None:
    for package in (autokestra, autokestra_secrets):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith(("actions.keeper", "actions.runner", "__main__")):  # programs of their own
                importlib.import_module(module.name)
    found = [*leaves(AutokestraError), *leaves(autokestra_secrets.SecretsError)]
    assert len(found) > 15
    for leaf in found:
        assert leaf.exit_code in MEANINGS, leaf  # type: ignore[attr-defined]
