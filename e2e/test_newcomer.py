"""A newcomer's first half hour: the wheels in a fresh environment, a fresh home, then the README and the tutorial.

Nothing of the checkout's own environment takes part: what pip installs are the two wheels and the pinned requirements,
and what is typed is the `workflow` that this gives. The pages come one after the other in one home, as they are read,
so each must hold in what the one before has left.
"""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from book.blocks import is_typed, type_in

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs/tutorial").glob("*.md"))]
WHEELS = ("packages/secrets", "packages/engine")


def pip(python: Path, *args: str | Path, home: Path) -> None:
    """Run pip of an environment, with the index that pip is set up for on this machine and nothing else of ours."""
    settings = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))}
    done = subprocess.run(
        [python, "-I", "-m", "pip", "--disable-pip-version-check", "--no-cache-dir", *args],
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", str(home)), "LANG": "C.UTF-8", **settings},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert done.returncode == 0, done.stdout.decode()


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """The folder of the installed command, in an environment that has what a user's has and no more."""
    wheels = tmp_path / "wheels"
    for package in WHEELS:
        pip(
            Path(sys.executable),
            *("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels),
            ROOT / package,
            home=tmp_path,
        )
    venv.create(tmp_path / "venv", with_pip=True, symlinks=True)
    folder = tmp_path / "venv" / "bin"
    pinned = ROOT / "requirements/runtime.txt"
    pip(folder / "python", "install", "--quiet", "--require-hashes", "--no-deps", "-r", pinned, home=tmp_path)
    pip(folder / "python", "install", "--quiet", "--no-deps", "--no-index", *sorted(wheels.iterdir()), home=tmp_path)
    return folder


def test_readme_and_tutorial_give_every_output_that_they_show_on_a_fresh_machine(programs: Path, tmp_path: Path):
    assert len(PAGES) == 4
    assert [] == [page.name for page in PAGES if not is_typed(page)]
    home = tmp_path / "newcomer"
    home.mkdir()
    typed = [type_in(page, home, programs=programs) for page in PAGES]
    assert all(count >= 5 for count in typed), typed
