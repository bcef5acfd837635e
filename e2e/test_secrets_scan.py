"""`workflow secrets scan`: which files hold a value, and never the value."""

import json
import os
import socket
import sys
from pathlib import Path

import pytest

CANARY = "canary-7f1c-2be"


@pytest.fixture
def stored(workflow):
    workflow.ok("secrets", "set", "TOKEN", "-q", input=CANARY)
    return workflow


@pytest.fixture
def tree(user: Path) -> Path:
    tree = user / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "clean.txt").write_text("nothing\n")
    return tree


def test_a_clean_tree_is_code_0(stored, tree: Path) -> None:
    done = stored("secrets", "scan", tree)
    assert (0, "") == (done.returncode, done.stdout)
    assert "found in 0 places of 1 file\n" in done.stderr


def test_no_placeholder_is_needed_to_look(stored, tree: Path) -> None:
    done = stored("secrets", "scan", tree, env={"AUTOKESTRA_MASK": "a\x1b[2Jb"})
    assert (0, "") == (done.returncode, done.stdout)


def test_values_are_found_in_every_file_with_line_name_and_form(stored, tree: Path) -> None:
    (tree / "a.log").write_text(f"one\ntwo {CANARY}\n")
    (tree / "sub" / "b.bin").write_bytes(b"\0\xff" * 40_000 + b"\n" + CANARY.encode().hex().encode() + b"\0")
    done = stored("secrets", "scan", tree)
    assert 12 == done.returncode
    assert f"{tree}/a.log:2: TOKEN (plain)\n{tree}/sub/b.bin:2: TOKEN (hex)\n" == done.stdout
    assert CANARY not in done.stdout + done.stderr
    done = stored("secrets", "scan", "--json", tree / "a.log")
    assert [{"file": f"{tree}/a.log", "line": 2, "name": "TOKEN", "form": "plain"}] == json.loads(done.stdout)
    assert 12 == done.returncode


def test_stdin_is_searched_too(stored) -> None:
    done = stored("secrets", "scan", "-", input="x\n" * 100_000 + CANARY)
    assert (12, "stdin:100001: TOKEN (plain)\n") == (done.returncode, done.stdout)


def test_a_value_at_the_border_of_two_reads_is_found(stored, tree: Path) -> None:
    for before in (65_536 - 5, 65_536 - len(CANARY), 131_072 - 1):
        (tree / "big").write_bytes(b"x" * before + CANARY.encode() + b"y" * 100_000)
        assert 12 == stored("secrets", "scan", tree).returncode, before


def test_links_are_not_followed_and_only_files_are_read(stored, tree: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "leak").write_text(CANARY)
    (tree / "link").symlink_to(outside)
    (tree / "file-link").symlink_to(outside / "leak")
    (tree / "loop").symlink_to(tree)
    (tree / "zero").symlink_to("/dev/zero")
    os.mkfifo(tree / "fifo")
    directory = os.open(tree, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"/proc/self/fd/{directory}/socket")
            assert 0 == stored("secrets", "scan", tree).returncode
    finally:
        os.close(directory)
    assert 12 == stored("secrets", "scan", tree / "link").returncode  # named by the user


@pytest.mark.parametrize(("path", "shown"), [("/dev/null", "/dev/null"), ("/no/such/file", "directory: '/…'")])
def test_what_cannot_be_searched_is_an_error(stored, path: str, shown: str) -> None:
    assert shown in stored.fails("secrets", "scan", path, code=2)


def test_a_file_that_cannot_be_read_is_not_clean(stored, tree: Path) -> None:
    (tree / "locked").write_text(CANARY)
    (tree / "locked").chmod(0)
    done = stored("secrets", "scan", tree, powerless=True)
    assert (9, "") == (done.returncode, done.stdout)
    assert f"warning: cannot read {tree}/locked: permission denied" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="a file that opens and fails to be read is one of /proc")
def test_a_file_that_breaks_off_is_not_clean(stored) -> None:
    done = stored("secrets", "scan", "/proc/self/mem")
    assert (9, "") == (done.returncode, done.stdout)
    assert "warning: /proc/self/mem was not read to its end: input/output error" in done.stderr


def test_what_cannot_be_looked_for_is_said(stored, tree: Path) -> None:
    stored.ok("secrets", "set", "PIN", "-q", input="123")
    assert "warning: secret 'PIN' cannot be looked for: shorter" in stored("secrets", "scan", tree).stderr


def test_earlier_versions_are_looked_for_when_asked(stored, tree: Path) -> None:
    stored.ok("secrets", "set", "ROTATED", "-q", input="first-value-41")
    stored.ok("secrets", "set", "ROTATED", "-q", input="second-value-42")
    stored.ok("secrets", "set", "ROTATED", "-q", "--description", "again", input="second-value-42")
    (tree / "old.log").write_text("first-value-41\nsecond-value-42\n")
    assert ["ROTATED"] == [one["name"] for one in json.loads(stored("secrets", "scan", str(tree), "--json").stdout)]
    found = stored("secrets", "scan", "--all-versions", str(tree))
    assert 12 == found.returncode
    assert [
        f"{tree}/old.log:1: ROTATED version 1 (plain)",
        f"{tree}/old.log:2: ROTATED (plain)",
    ] == found.stdout.splitlines()
