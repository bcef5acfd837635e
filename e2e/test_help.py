"""`--help` of every command prints what was looked at when it was written: e2e/help.txt, renewed by `make reference`."""

import pytest

from book.commands import commands
from book.helptexts import COLUMNS, FILE, kept, page
from e2e.conftest import Workflow

KEPT = kept()


def test_every_command_is_kept() -> None:
    assert [context.command_path.partition(" ")[2] for context in commands()] == list(KEPT)


def test_what_is_kept_is_what_the_code_says() -> None:
    assert page() == FILE.read_text(encoding="utf-8"), "look at the difference, then run: make reference"


@pytest.mark.parametrize("command", KEPT, ids=lambda command: command or "workflow")
def test_help_prints_what_is_kept(command: str, workflow: Workflow) -> None:
    printed = workflow.ok(*command.split(), "--help", env={"COLUMNS": COLUMNS})
    assert KEPT[command].rstrip("\n") + "\n" == printed
    assert printed == workflow.ok(*command.split(), "-h", env={"COLUMNS": COLUMNS})
