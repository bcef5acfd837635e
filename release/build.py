"""Builds both packages: from each an sdist, and from that a wheel. The same tree gives the same bytes.

Nothing of the machine gets in: times are those of the last commit (or SOURCE_DATE_EPOCH), also in an archive of it;
owners and modes are normal ones, and only files that git knows are packed, for a key or a swap file that lies about in
a folder is none of anybody's business. What remains is the compressor: another version of zlib may write other bytes
for the same content.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = ("packages/secrets", "packages/engine")
# git writes the time of the commit into it when it packs an archive, and leaves it as it is in a checkout.
STAMP: Final = "release/commit-time"
# Where nothing tells the time: 2026-01-01T00:00:00Z. Zip files know no time before 1980.
SOME_EPOCH: Final = 1_767_225_600
SUMS: Final = "SHA256SUMS"
# Called in a process of its own, as an installer does (PEP 517), for a backend works in its current directory.
HOOK: Final = "import os, sys, flit_core.buildapi as b; os.umask(0o022); print(getattr(b, sys.argv[1])(sys.argv[2]))"


def epoch(root: Path) -> int:
    """Return the time of all files of a release: seconds since 1970."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    said = _git(root, "log", "-1", "--format=%ct") or _stamp(root)
    if said is None:
        print("no git, no archive of it and no SOURCE_DATE_EPOCH: the sums are not those of a release", file=sys.stderr)
        return SOME_EPOCH
    return int(said)


def _stamp(root: Path) -> str | None:
    file = root / STAMP
    text = file.read_text(encoding="utf-8").strip() if file.is_file() else ""
    return text if text.isdecimal() else None


def build(root: Path, target: Path) -> list[Path]:
    """Build sdists and wheels of the project at `root` into `target`, and return their paths, sorted."""
    target.mkdir(parents=True, exist_ok=True)
    environ = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch(root))}
    built = []
    with tempfile.TemporaryDirectory(prefix="autokestra-build-") as folder:
        for package in PACKAGES:
            source = Path(folder) / package
            copy_known(root, package, source)
            sdist = target / _hook(source, "build_sdist", target, environ)
            unpacked = Path(folder) / "unpacked" / package
            with tarfile.open(sdist) as archive:
                archive.extractall(unpacked, filter="data")
            wheel = _hook(next(unpacked.iterdir()), "build_wheel", target, environ)
            built += [sdist, target / wheel]
    return sorted(built)


def copy_known(root: Path, package: str, target: Path) -> None:
    """Copy a package, less its tests: the files that git knows, as they are now; without git all but caches."""
    listed = _git(root, "ls-files", "-z", "--", package)
    if listed is None:
        shutil.copytree(
            root / package, target, ignore=shutil.ignore_patterns("tests", "__pycache__", ".*", "*.egg-info")
        )
        return
    for name in filter(None, listed.split("\0")):
        source = root / name
        inside = Path(name).relative_to(package)
        if inside.parts[0] != "tests" and source.is_file():
            (target / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / inside)


def sums(files: Sequence[Path]) -> str:
    """Return the SHA-256 sums of files in the form that `sha256sum --check` reads."""
    return "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in sorted(files))


def main() -> None:
    """Build, and write the sums of all that lies in the target folder beside it."""
    parser = argparse.ArgumentParser(prog="python -m release.build", description=__doc__)
    parser.add_argument("--root", type=Path, default=ROOT, help="the project")
    parser.add_argument("--to", type=Path, default=ROOT / "dist", help="where files go")
    given = parser.parse_args()
    for file in build(given.root.resolve(), given.to.resolve()):
        print(file.name)
    released = [file for file in given.to.iterdir() if file.is_file() and file.name != SUMS]
    (given.to / SUMS).write_text(sums(released), encoding="utf-8")


def _hook(source: Path, name: str, target: Path, environ: dict[str, str]) -> str:
    command = [sys.executable, "-c", HOOK, name, str(target)]
    done = subprocess.run(command, cwd=source, env=environ, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.splitlines()[-1]


def _git(root: Path, *arguments: str) -> str | None:
    """Return what git says about the project at `root`, None where there is no git or the project is not its own."""
    if not (root / ".git").exists():  # else git would answer for a repository around it
        return None
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], stdout=subprocess.PIPE, text=True, check=True)
    except FileNotFoundError:
        return None
    return done.stdout


if __name__ == "__main__":
    main()
