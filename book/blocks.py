"""What a page shows, typed: its files are saved, its commands run, and their output is compared.

A page is gone through from top to bottom in an empty folder with an empty HOME. A block with a title is a file that
the reader saves under that name; in a `console` block a line that begins with `$ ` is typed and the lines after it are
the expected output, stdout and stderr together. `…` stands for text that differs from run to run; alone on a line it
stands for any number of lines.

Blocks of other kinds are to be read. One that somebody could take for something to run says in a comment before it why
it is not run here: `<!-- not run: REASON -->`, or `<!-- run by TEST -->` where a test of its own does it.

The README of an example is gone through in a copy of its folder. A server that it starts with `&` goes on until the
page ends.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

SECONDS: Final = 60  # a command that takes longer hangs
RUNNABLE: Final = {"sh", "bash", "python", "yaml", "json", "toml"}  # beside `console`
WORD: Final = re.compile(r"from \w+ import|[\w./-]+")
FENCED: Final = re.compile(
    r"^(?:<!-- (?P<note>(?:not run: |run by )\w[^\n]+) -->\n)?"
    r'```(?P<kind>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^```$',
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """One block of code of a page; `title`, and `note` of the comment before it, are empty where there is none."""

    kind: str
    title: str
    text: str
    note: str = ""


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page in their order."""
    found = FENCED.finditer(page.read_text(encoding="utf-8"))
    return [Block(match["kind"], match["title"] or "", match["text"], match["note"] or "") for match in found]


def is_typed(page: Path) -> bool:
    """Whether there is anything to type on a page."""
    return any(block.kind == "console" for block in blocks(page))


def unused(page: Path) -> list[Block]:
    """Return the blocks that look as if they could be run, but are neither typed, nor validated, nor excused by a note.

    A file that the reader saves is used when a command, or a file of the page, names it or its folder.
    """
    found = blocks(page)
    commands = [command for block in found if block.kind == "console" for command, _ in steps(block.text)]
    text = "\n".join([*commands, *(block.text for block in found if block.title)])
    return [
        block
        for block in found
        if block.kind in RUNNABLE and not block.note and not is_workflow(block)
        if not block.title or not _names(block.title) & {*WORD.findall(text)}
    ]


def _names(title: str) -> set[str]:
    """Return what a saved file is used by: its name, its folder, or an import of it."""
    return {title, title.partition("/")[0], f"from {title.removesuffix('.py')} import"}


def is_workflow(block: Block) -> bool:
    """Whether a block that has no title is a workflow, or some of its tasks: then it has to be a valid one."""
    return (
        block.kind == "yaml" and not block.title and re.search(r"^tasks:|\A- id:", block.text, re.MULTILINE) is not None
    )


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


def type_in(
    page: Path,
    home: Path,
    environ: Mapping[str, str] | None = None,
    *,
    programs: Path | None = None,
    beside: Path | None = None,
) -> int:
    """Go through a page in `home`, and return how many commands there were.

    `home` is empty, or as the page before has left it. `environ` holds variables that the page says are set,
    `programs` is the folder of the installed command, by default that of this interpreter, and `beside` a folder that
    the reader has copied and gone into. Raises AssertionError at the first command that prints something else than
    the page shows.
    """
    folder = home / "jobs"
    if beside is None:
        folder.mkdir(exist_ok=True)
    else:
        shutil.copytree(beside, folder, ignore=shutil.ignore_patterns("__pycache__"))
    variables = {
        "PATH": f"{programs or Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        **(environ or {}),
    }
    count = 0
    left: list[int] = []
    try:
        for block in blocks(page):
            if block.title:
                file = folder / block.title
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(block.text, encoding="utf-8")
            if block.kind != "console":
                continue
            for command, expected in steps(block.text):
                text = _typed(command, folder, variables, left).replace(str(home), "~")
                shown = text if text.endswith("\n") or not text else text + "\n"
                if not pattern(expected).fullmatch(shown):
                    wanted = "\n".join(expected)
                    raise AssertionError(f"{page.name}: `{command}` printed:\n{shown}\nthe page shows:\n{wanted}")
                count += 1
    finally:
        for group in left:
            _signal(group, signal.SIGKILL)
    return count


def _typed(command: str, folder: Path, environ: dict[str, str], left: list[int]) -> str:
    """Return what a command prints; when it leaves something running, its process group is added to `left`."""
    with subprocess.Popen(
        ["bash", "-c", command],
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        process_group=0,
    ) as process:
        try:
            output, _ = process.communicate(timeout=SECONDS)
        except BaseException:
            _signal(process.pid, signal.SIGKILL)
            raise
    if _signal(process.pid, 0):
        left.append(process.pid)  # as long as somebody is in the group, no other can get its number
    return output.decode()


def _signal(group: int, number: int) -> bool:
    """Send a signal to a process group, and return whether anybody was there."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True
