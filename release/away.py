"""Copies the project less its sources, to run the tests against what is installed and nothing else."""

import shutil
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
SOURCES: Final = ("packages/secrets/src", "packages/engine/src")


def copy_away(root: Path, target: Path) -> None:
    """Copy the project at `root` less sources, environments and what was built, to `target`, which must not exist."""

    def left_out(folder: str, names: list[str]) -> set[str]:
        inside = Path(folder).relative_to(root)
        return {
            name
            for name in names
            if str(inside / name) in SOURCES
            or name in {"__pycache__", ".git", "build", "dist"}
            or name.startswith((".venv", ".coverage", ".hypothesis"))
            or name.endswith("_cache")
        }

    shutil.copytree(root, target, ignore=left_out)


def main() -> None:
    """Copy to the folder that is named."""
    copy_away(ROOT, Path(sys.argv[1]).resolve())


if __name__ == "__main__":
    main()
