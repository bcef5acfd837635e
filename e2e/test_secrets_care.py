"""Keys, checks and copies of a store, as they are typed."""

import json
import re
import sqlite3
from pathlib import Path

import pytest

CANARY = "canary-7f1c"


@pytest.fixture
def stored(workflow):
    workflow.ok("secrets", "set", "A", "-q", input=CANARY)
    return workflow


def slots(stored, **options) -> list[dict]:
    return json.loads(stored.ok("secrets", "key", "list", "--json", **options))


# --- keys ---------------------------------------------------------------------------------------------------------


def test_the_keys_are_listed_without_any(stored, home: Path) -> None:
    header, line = stored.ok("secrets", "key", "list").splitlines()
    assert ["ID", "KIND", "LABEL", "ADDED", "AT", "HAND"] == header.split()
    assert line.endswith("yes")
    (home / "secret.key").unlink()
    (one,) = slots(stored)
    assert ("key", None) == (one["kind"], one["current"])


def test_no_store_has_no_keys(workflow, home: Path) -> None:
    assert "" == workflow.ok("secrets", "key", "list")
    assert [] == slots(workflow)
    assert not home.exists()


def test_the_daily_key_is_changed_by_adding_and_removing(stored, home: Path) -> None:
    old = (home / "secret.key").read_text()
    done = stored("secrets", "key", "add", "--key-file", home / "new.key", "--label", "laptop")
    assert (0, "") == (done.returncode, done.stdout), done.stderr
    assert 0o600 == (home / "new.key").stat().st_mode & 0o777
    (home / "new.key").replace(home / "secret.key")
    assert [(1, False), (2, True)] == [(one["id"], one["current"]) for one in slots(stored)]
    stored.ok("secrets", "key", "remove", "1")
    assert CANARY == stored.ok("secrets", "get", "A", "-q")
    assert 6 == stored("secrets", "get", "A", env={"AUTOKESTRA_SECRET_KEY": old.strip()}).returncode


def test_a_key_that_exists_is_taken_as_it_is(stored, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("0123456789abcdef" * 4)
    file.chmod(0o600)
    stored.ok("secrets", "key", "add", "--key-file", file)
    assert "0123456789abcdef" * 4 == file.read_text()
    assert CANARY == stored.ok("secrets", "get", "A", "-q", env={"AUTOKESTRA_SECRET_KEY_FILE": str(file)})
    assert 11 == stored("secrets", "key", "add", "--key-file", file).returncode


def test_a_passphrase_from_a_pipe_opens_the_store(stored) -> None:
    stored.ok("secrets", "key", "add", "--passphrase", input="correct horse battery\n")
    env = {"AUTOKESTRA_SECRET_KEY": "correct horse battery"}
    assert CANARY == stored.ok("secrets", "get", "A", "-q", env=env)
    assert "passphrase" in {one["kind"] for one in slots(stored)}
    assert "too short" in stored.fails("secrets", "key", "add", "--passphrase", input="short", code=5)
    assert "not UTF-8" in stored.fails("secrets", "key", "add", "--passphrase", input=b"\xff" * 20, code=2)


def test_a_passphrase_is_asked_for_twice_and_never_shown(stored, terminal) -> None:
    child = terminal("secrets", "key", "add", "--passphrase")
    child.expect_exact("New passphrase (not shown): ")
    child.sendline("correct horse battery")
    child.expect_exact("Once more: ")
    child.sendline("correct horse battery")
    code, shown = child.ended()
    assert (0, False) == (code, "horse" in shown)
    child = terminal("secrets", "key", "add", "--passphrase")
    child.expect_exact("(not shown): ")
    child.sendline("correct horse battery")
    child.expect_exact("Once more: ")
    child.sendline("correct horse batter")
    code, shown = child.ended()
    assert (2, True) == (code, "the two entries differ" in shown)


def test_a_recovery_key_typed_from_paper_opens_the_store(stored, home: Path) -> None:
    page = stored.ok("secrets", "key", "add", "--recovery")
    lines = re.search(r"\n    (akey2-.*?)\n\n", page, re.DOTALL)[1].split("\n")
    typed = " ".join(line.strip() for line in lines).replace("-", " ").lower()
    (home / "secret.key").unlink()
    assert CANARY == stored.ok("secrets", "get", "A", "-q", env={"AUTOKESTRA_SECRET_KEY": typed})
    wrong = typed[:-1] + ("2" if typed[-1] != "2" else "3")
    done = stored("secrets", "get", "A", env={"AUTOKESTRA_SECRET_KEY": wrong})
    assert 5 == done.returncode
    assert "group 14 of 14" in done.stderr


def test_the_last_key_and_the_one_at_hand_are_not_removed_by_mistake(stored) -> None:
    assert "last one that can open" in stored.fails("secrets", "key", "remove", "1", code=11)
    stored.ok("secrets", "key", "add", "--recovery", "--label", "drawer")
    assert "only one that the key at hand opens" in stored.fails("secrets", "key", "remove", "1", code=11)
    assert "there is no key slot 9" == stored.fails("secrets", "key", "remove", "9", code=4)
    stored.ok("secrets", "key", "remove", "1", "--force")
    assert 6 == stored("secrets", "get", "A").returncode


@pytest.mark.parametrize("options", [(), ("--passphrase", "--recovery"), ("--key-file", "x", "--recovery")])
def test_one_kind_of_key_at_a_time(stored, options) -> None:
    assert "expected one kind of key" == stored.fails("secrets", "key", "add", *options, code=2)


def test_everything_can_be_encrypted_again(stored, tmp_path: Path) -> None:
    other = tmp_path / "other.key"
    stored.ok("secrets", "key", "add", "--key-file", other, "--label", "server")
    stored.ok("secrets", "key", "add", "--recovery")
    assert "3 ('recovery')" in stored.fails("secrets", "key", "reencrypt", "--key-file", other, code=11)
    done = stored("secrets", "key", "reencrypt", "--key-file", other, "--drop-others")
    assert 0 == done.returncode, done.stderr
    assert "1 version encrypted again" in done.stderr
    assert "warning: key 3 (recovery) no longer opens the store" in done.stderr
    assert [1, 2] == [one["id"] for one in slots(stored)]
    assert CANARY == stored.ok("secrets", "get", "A", "-q")


# --- checks and copies --------------------------------------------------------------------------------------------


def test_a_store_that_is_whole_verifies(stored) -> None:
    done = stored("secrets", "verify")
    assert (0, "") == (done.returncode, done.stdout)
    assert "is whole: 1 secret, " in done.stderr
    quiet = stored("secrets", "verify", "--quiet")
    assert (0, "", "") == (quiet.returncode, quiet.stdout, quiet.stderr)
    report = json.loads(stored.ok("secrets", "verify", "--json"))
    assert (True, 1, []) == (report["ok"], report["secrets"], report["problems"])


def test_a_row_that_somebody_dropped_is_named(stored, home: Path) -> None:
    with sqlite3.connect(home / "secrets.db") as database:
        database.execute("DELETE FROM secrets WHERE name = 'A'")
    database.close()
    done = stored("secrets", "verify", "--quiet")
    assert 12 == done.returncode
    assert done.stdout.startswith("dropped: ")
    assert "secret 'A', version 1" in done.stdout
    assert "hint: put back a backup" in done.stderr
    report = json.loads(stored("secrets", "verify", "--json").stdout)
    assert ["dropped"] == [problem["kind"] for problem in report["problems"]]


def test_a_backup_is_checked_and_put_back(stored, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "backup.db"
    stored.ok("secrets", "backup", file)
    assert 0o600 == file.stat().st_mode & 0o777
    assert CANARY.encode() not in file.read_bytes()
    assert "there is a file" in stored.fails("secrets", "backup", file, code=11)
    stored.ok("secrets", "backup", file, "--force", "-q")
    stored.ok("secrets", "set", "A", "-q", input="later")
    assert "is whole" in stored("secrets", "verify", file).stderr
    assert "there is a file" in stored.fails("secrets", "restore", file, code=11)
    stored.ok("secrets", "restore", file, "--force")
    done = stored("secrets", "get", "A", "-q")
    assert (CANARY, "") == (done.stdout, done.stderr)
    stored.ok("secrets", "set", "A", "-q", input="written after the restore")
    (home / "secrets.db").unlink()
    assert "restored" in stored("secrets", "restore", file).stderr


def test_a_damaged_backup_is_not_put_back(stored, home: Path, tmp_path: Path) -> None:
    file = tmp_path / "backup.db"
    stored.ok("secrets", "backup", file)
    with sqlite3.connect(file) as database:
        database.execute("UPDATE secrets SET encrypted_value = zeroblob(length(encrypted_value))")
    database.close()
    before = (home / "secrets.db").read_bytes()
    assert 12 == stored("secrets", "verify", file).returncode
    assert "was not restored" in stored.fails("secrets", "restore", file, "--force", code=7)
    assert before == (home / "secrets.db").read_bytes()
    assert 8 == stored("secrets", "verify", tmp_path / "missing").returncode


def test_another_store_is_named_for_all_of_them(workflow, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    workflow.ok("secrets", "set", "A", "-q", "--store", other, input=CANARY)
    workflow.ok("secrets", "backup", tmp_path / "b.db", "--store", other)
    other.unlink()
    workflow.ok("secrets", "restore", tmp_path / "b.db", "--store", other)
    workflow.ok("secrets", "verify", "--store", other)
    assert 1 == len(json.loads(workflow.ok("secrets", "key", "list", "--json", "--store", other)))
