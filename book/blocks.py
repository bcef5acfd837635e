"""What a page shows, typed: its files are saved, its commands run, and their output is compared.

A page is gone through from top to bottom in an empty folder with an empty HOME. A block with a title is a file that
the reader saves under that name; in a `console` block a line that begins with `$ ` is typed and the lines after it are
the expected output, stdout and stderr together. `…` stands for text that differs from run to run; alone on a line it
stands for any number of lines. Blocks of other kinds are to be read, not run.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

SECONDS: Final = 60  # a command that takes longer hangs
FENCED: Final = re.compile(
    r'^```(?P<kind>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^```$', re.MULTILINE | re.DOTALL
)


class Block(NamedTuple):
    """One block of code of a page; `title` is empty where it has none."""

    kind: str
    title: str
    text: str


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page in their order."""
    found = FENCED.finditer(page.read_text(encoding="utf-8"))
    return [Block(match["kind"], match["title"] or "", match["text"]) for match in found]


def is_typed(page: Path) -> bool:
    """Whether there is anything to type on a page."""
    return any(block.kind == "console" for block in blocks(page))


def steps(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield command and expected lines of a `console` block."""
    command: str | None = None
    expected: list[str] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            if command is not None:
                yield command, expected
            command, expected = line[2:], []
        elif line.startswith("> ") and not expected and command is not None:
            command += "\n" + line[2:]
        else:
            expected.append(line)
    if command is not None:
        yield command, expected


def pattern(expected: list[str]) -> re.Pattern[str]:
    """Return what the output must match as a whole."""
    parts = []
    for line in expected:
        if line.strip() == "…":
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append(".*".join(re.escape(part) for part in line.rstrip().split("…")) + r"[ ]*\n")
    return re.compile("".join(parts))


def type_in(page: Path, home: Path, environ: Mapping[str, str] | None = None, *, programs: Path | None = None) -> int:
    """Go through a page in `home`, and return how many commands there were.

    `home` is empty, or as the page before has left it. `environ` holds variables that the page says are set,
    `programs` is the folder of the installed command, by default that of this interpreter. Raises AssertionError at
    the first command that prints something else than the page shows.
    """
    folder = home / "work"
    folder.mkdir(exist_ok=True)
    variables = {
        "PATH": f"{programs or Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        **(environ or {}),
    }
    count = 0
    for block in blocks(page):
        if block.title:
            file = folder / block.title
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text, encoding="utf-8")
        if block.kind != "console":
            continue
        for command, expected in steps(block.text):
            text = _typed(command, folder, variables).replace(str(home), "~")
            shown = text if text.endswith("\n") or not text else text + "\n"
            if not pattern(expected).fullmatch(shown):
                wanted = "\n".join(expected)
                raise AssertionError(f"{page.name}: `{command}` printed:\n{shown}\nthe page shows:\n{wanted}")
            count += 1
    return count


def _typed(command: str, folder: Path, environ: dict[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=SECONDS,
        check=False,
    )
    return done.stdout.decode()
