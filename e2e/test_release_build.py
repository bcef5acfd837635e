"""What is released: the same bytes from the same tree wherever it lies, nothing missing, and nothing that lay about."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from release.build import PACKAGES, ROOT, SOME_EPOCH, STAMP, SUMS, epoch

WHEELS = ("autokestra-0.1.0-py3-none-any.whl", "autokestra_secrets-0.1.0-py3-none-any.whl")
SDISTS = ("autokestra-0.1.0.tar.gz", "autokestra_secrets-0.1.0.tar.gz")

pytestmark = pytest.mark.skipif(
    not all((ROOT / package / "src").is_dir() for package in PACKAGES), reason="there is no source here to build"
)


def copied(target: Path, *, umask: int, mtime: int) -> Path:
    """Copy what is built to another place, as somebody else would have it: other modes, other times."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, target / package, ignore=shutil.ignore_patterns("tests", "__pycache__"))
    for path in [target, *target.rglob("*")]:
        path.chmod((0o777 if path.is_dir() else 0o666) & ~umask)
        os.utime(path, (mtime, mtime))
    return target


def built(root: Path, target: Path, *, umask: int = 0o022, **environ: str) -> dict[str, bytes]:
    """Build the project at `root` in a process of its own, and return the files by name."""
    subprocess.run(
        [sys.executable, "-m", "release.build", "--root", str(root), "--to", str(target)],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"} | environ,
        umask=umask,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return {path.name: path.read_bytes() for path in target.iterdir()}


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one build of this tree."""
    target = tmp_path_factory.mktemp("release")
    built(ROOT, target)
    return target


def test_two_builds_in_other_places_under_other_conditions_are_the_same_bytes(tmp_path: Path) -> None:
    one = copied(tmp_path / "one", umask=0o022, mtime=1_000_000_000)
    two = copied(tmp_path / "another" / "place", umask=0o077, mtime=1_700_000_000)
    first = built(one, tmp_path / "first", umask=0o022, TZ="UTC", LANG="C", PYTHONHASHSEED="1")
    second = built(two, tmp_path / "second", umask=0o077, TZ="Asia/Tokyo", LANG="C.UTF-8", PYTHONHASHSEED="2")
    assert sorted([*WHEELS, *SDISTS, SUMS]) == sorted(first)
    assert first == second


def test_a_wheel_out_of_the_tree_is_the_wheel_out_of_the_sdist(release: Path, tmp_path: Path) -> None:
    root = copied(tmp_path / "tree", umask=0o022, mtime=1_500_000_000)
    for package in PACKAGES:
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "wheel", "--no-deps"),
                *("--no-index", "--no-build-isolation", "--wheel-dir", tmp_path / "direct", root / package),
            ],
            env={**os.environ, "SOURCE_DATE_EPOCH": str(epoch(ROOT))},
            check=True,
        )
    for wheel in WHEELS:
        assert (release / wheel).read_bytes() == (tmp_path / "direct" / wheel).read_bytes(), wheel


@pytest.mark.parametrize(("package", "wheel"), [(PACKAGES[0], WHEELS[1]), (PACKAGES[1], WHEELS[0])])
def test_a_wheel_holds_every_file_of_its_package_and_no_other(release: Path, package: str, wheel: str) -> None:
    source = ROOT / package / "src"
    expected = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {"py.typed"} <= {Path(name).name for name in expected}
    with zipfile.ZipFile(release / wheel) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
    packed = {name for name in entries if ".dist-info/" not in name}
    assert expected == packed
    assert {"METADATA", "RECORD", "WHEEL", "LICENSE"} <= {Path(name).name for name in entries if name not in packed}
    assert {0o644} == {entry.external_attr >> 16 & 0o777 for entry in entries.values()}


@pytest.mark.parametrize("sdist", SDISTS)
def test_an_sdist_names_no_owner_and_has_no_time_of_its_own(release: Path, sdist: str) -> None:
    with tarfile.open(release / sdist) as archive:
        members = archive.getmembers()
    assert {(0, 0, "", "", 0o644)} == {(each.uid, each.gid, each.uname, each.gname, each.mode) for each in members}
    assert {epoch(ROOT)} == {each.mtime for each in members if not each.name.endswith("/PKG-INFO")}
    assert [0] == [each.mtime for each in members if each.name.endswith("/PKG-INFO")]  # the backend wrote it


def test_the_sums_are_those_of_the_files(release: Path) -> None:
    if shutil.which("sha256sum") is None:
        pytest.skip("there is no sha256sum here")
    checked = subprocess.check_output(["sha256sum", "--check", "--strict", SUMS], cwd=release, text=True)
    assert 4 == checked.count(": OK\n")


def test_what_git_does_not_know_is_not_packed_and_times_are_those_of_the_commit(tmp_path: Path) -> None:
    if shutil.which("git") is None:
        pytest.skip("there is no git here")
    root = copied(tmp_path / "tree", umask=0o022, mtime=1_500_000_000)
    (root / "release").mkdir()
    for name in (".gitattributes", STAMP):
        shutil.copy(ROOT / name, root / name)
    (root / ".gitignore").write_text("__pycache__/\n*.log\n", encoding="utf-8")
    moment = "2026-03-04T05:06:07Z"
    who = {f"GIT_{role}_{kind}": "x@example.com" for role in ("AUTHOR", "COMMITTER") for kind in ("NAME", "EMAIL")}
    dates = {"GIT_AUTHOR_DATE": moment, "GIT_COMMITTER_DATE": moment, "GIT_CONFIG_GLOBAL": os.devnull}
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "all"]):
        subprocess.run(["git", "-C", str(root), *command], env={**os.environ, **who, **dates}, check=True)
    source = root / "packages/engine/src/autokestra"
    for name in ("secret.key", "debug.log", ".env", "app.py.orig"):
        (source / name).write_text("akey1-not-to-be-published\n", encoding="utf-8")
    files = built(root, tmp_path / "out")
    assert sorted([*WHEELS, *SDISTS, SUMS]) == sorted(files)
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    packed = subprocess.check_output(["git", "-C", str(root), "archive", "--format=tar", "HEAD"])
    subprocess.run(["tar", "-x", "-C", str(unpacked)], input=packed, check=True)
    assert files == built(unpacked, tmp_path / "from archive")
    with zipfile.ZipFile(tmp_path / "out" / WHEELS[0]) as archive:
        assert [] == [name for name in archive.namelist() if re.search(r"secret\.key|\.log|\.env|\.orig", name)]
        assert {(2026, 3, 4, 5, 6, 6)} == {entry.date_time for entry in archive.infolist()}  # zip knows even seconds
    with tarfile.open(tmp_path / "out" / SDISTS[0]) as packed:
        assert [] == [name for name in packed.getnames() if re.search(r"secret\.key|\.log|\.env|\.orig", name)]


def test_a_build_whose_sums_nobody_else_gets_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert SOME_EPOCH == epoch(tmp_path)
    assert "the sums are not those of a release" in capsys.readouterr().err


def test_a_given_time_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1234567890")
    assert 1_234_567_890 == epoch(ROOT)
