"""Writes what comes out of the code: pages of docs/reference, and the help texts that the tests compare.

`python -m book.reference` writes; with `--check` nothing is written, and a page that differs is an error. Runs where
both packages are installed.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from book import commands, errors, helptexts, library, schema

FOLDER: Final = Path(__file__).parents[1] / "docs" / "reference"
NOTE: Final = "<!-- Written by `make reference` out of the code: change it there. -->\n"  # last: a title comes first
PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "options.md": commands.page,
    "errors.md": errors.page,
    "database.md": schema.page,
    "library.md": library.page,
}


def written(name: str) -> str:
    """Return a page as the code of this moment has it."""
    return PAGES[name]().rstrip("\n") + "\n\n" + NOTE


def main() -> int:
    """Write the pages, or compare them, and return the exit code."""
    checking = "--check" in sys.argv[1:]
    different = []
    files = {FOLDER / name: written(name) for name in PAGES} | {helptexts.FILE: helptexts.page()}
    for path, text in files.items():
        name = str(path.relative_to(FOLDER.parents[1]))
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        if checking:
            different.append(name)
        else:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {name}")
    for name in different:
        print(f"error: {name} is not what the code says\nhint: make reference", file=sys.stderr)
    return bool(different)


if __name__ == "__main__":
    sys.exit(main())
