"""What `--help` prints, of every command, on a terminal of 80 columns: kept beside the tests, to see each change."""

import os
from pathlib import Path
from typing import Final

from book.commands import commands

FILE: Final = Path(__file__).parents[1] / "e2e" / "help.txt"
COLUMNS: Final = "80"


def page() -> str:
    """Return all help texts, each under the command that prints it."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = COLUMNS  # click asks for the width with every text
    try:
        return "\n".join(f"$ {context.command_path} --help\n{context.get_help()}\n" for context in commands())
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


def kept() -> dict[str, str]:
    """Return the kept text of each command by what is typed after its program, `secrets get`."""
    parts = FILE.read_text(encoding="utf-8").split("$ workflow")[1:]
    return {
        command.removesuffix(" --help").strip(): text for command, _, text in (part.partition("\n") for part in parts)
    }
