"""What the READMEs of the examples show is what happens: each is gone through in a copy of its folder."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from book.blocks import blocks, is_typed, steps, type_in
from e2e.conftest import Workflow
from e2e.runs import is_alive, wait_for

EXAMPLES = Path(__file__).parents[1] / "examples"
TYPED = [page for page in sorted(EXAMPLES.glob("*/README.md")) if is_typed(page)]


@pytest.mark.parametrize("page", TYPED, ids=lambda page: page.parent.name)
def test_a_readme_shows_what_happens(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    # That page says that its package is installed.
    programs = request.getfixturevalue("plugin_environment") if page.parent.name == "plugin-python" else None
    assert type_in(page, tmp_path, programs=programs, beside=page.parent) > 0


@pytest.mark.parametrize("page", TYPED, ids=lambda page: page.parent.name)
def test_what_a_page_starts_it_stops(page: Path) -> None:
    lines = [command for block in blocks(page) if block.kind == "console" for command, _ in steps(block.text)]
    started = [match[1] for line in lines if (match := re.search(r" & echo \$! >>? (\S+)$", line))]
    assert len(started) == len([line for line in lines if re.search(r"[^&]& |&$", line)])
    stopped = [match[1] for line in lines if (match := re.fullmatch(r'kill "?\$\(cat (\S+)\)"?', line))]
    assert sorted(set(started)) == stopped


@pytest.mark.parametrize("there", [False, True])
def test_an_example_is_copied_as_the_list_of_them_says(tmp_path: Path, workflow: Workflow, *, there: bool) -> None:
    [text] = [block.text for block in blocks(EXAMPLES / "README.md") if block.kind == "sh"]
    if there:
        (tmp_path / "jobs").mkdir()
    path = f"{workflow.executable.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-ec", text], cwd=EXAMPLES.parent, env=workflow.environment({"HOME": str(tmp_path), "PATH": path}),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert 0 == done.returncode, done.stdout
    assert (tmp_path / "jobs/fan-out/stations.yaml").is_file()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An example of one page, which does not exist yet."""
    path = tmp_path / "example"
    path.mkdir()
    (path / "word").write_text("hello\n")
    return path


def typed(folder: Path, *lines: str) -> int:
    page = folder / "README.md"
    page.write_text("\n".join(["```console", *lines, "```", ""]))
    home = folder.parent / "home"
    home.mkdir()
    return type_in(page, home, beside=folder)


def test_a_page_that_shows_something_else_is_found(folder: Path) -> None:
    with pytest.raises(AssertionError, match="`cat word` printed:\nhello\n"):
        typed(folder, "$ cat word", "good bye")


@pytest.mark.parametrize("last", ["$ cat word", "$ exit 0; the page is wrong"])
def test_what_a_page_leaves_running_ends_with_it(folder: Path, last: str) -> None:
    page = ("$ sleep 600 > /dev/null 2>&1 & echo $! > ../pid", last, "hello")
    if "wrong" in last:
        with pytest.raises(AssertionError):
            typed(folder, *page)
    else:
        assert 2 == typed(folder, *page)
    pid = int((folder.parent / "home/pid").read_text())
    wait_for(lambda: not is_alive(pid), "it still runs", seconds=10)
