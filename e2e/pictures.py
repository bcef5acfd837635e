"""Makes the pictures of the README again: the report page of the penguins demo, as a real browser draws it.

    make pictures           # or: .venv/bin/python -m e2e.pictures [DIRECTORY]

Runs the workflow against its server in a temporary AUTOKESTRA_HOME, which is gone afterwards. Needs a browser on the PATH.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from e2e import browser

ROOT = Path(__file__).parents[1]
COMMAND = Path(sys.executable).with_name("workflow")
WIDTH = 1100
TOKEN = "pgn-4f9c2e7a81d35b60"  # of a server that lives for a second


def main(arguments: Sequence[str]) -> int:
    """Write report.png into the directory, by default docs/pictures."""
    target = Path(arguments[0]) if arguments else ROOT / "docs" / "pictures"
    program = browser.find()
    if program is None:
        print(f"error: {browser.HOW_TO_GET}", file=sys.stderr)
        return 1
    with TemporaryDirectory(prefix="autokestra-pictures-") as folder:
        page = report(Path(folder))
        with browser.Browser.start(program) as window:
            window.open(page, width=WIDTH, height=1600)
            height = window.evaluate("document.documentElement.scrollHeight")
            window.resize(WIDTH, height)  # what is outside of the window is not drawn
            window.screenshot(target / "report.png")
    print(f"wrote {target / 'report.png'}")
    return 0


def report(folder: Path) -> Path:
    """Run the demo in `folder` and return its report page."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AUTOKESTRA_")}
    environ["AUTOKESTRA_HOME"] = str(folder / "home")

    def workflow(*args: object, given: str = "") -> None:
        subprocess.run(
            [COMMAND, *map(str, args)],
            env=environ,
            input=given,
            text=True,
            check=True,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    shutil.copy(ROOT / "examples/penguins/penguins.yaml", folder)
    workflow("secrets", "set", "API_TOKEN", given=TOKEN)
    with server() as address:
        workflow("run", "penguins.yaml", "-i", f"api={address}")
    workflow("execution", "report", "latest", "--html", "report.html")
    return folder / "report.html"


@contextmanager
def server() -> Iterator[str]:
    """Start the API of the demo; yield its address."""
    with subprocess.Popen(
        [sys.executable, ROOT / "examples/penguins/server.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            process.stdin.write(TOKEN)
            process.stdin.close()
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
