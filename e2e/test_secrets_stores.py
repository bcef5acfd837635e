"""Which store is used, and what each thing that is no store looks like."""

import os
import sqlite3
from pathlib import Path

import pytest


def test_the_option_beats_the_variable_and_the_later_option_the_earlier(workflow, tmp_path: Path, home: Path) -> None:
    stores = {name: tmp_path / f"{name}.db" for name in ("group", "command", "variable")}
    env = {"AUTOKESTRA_STORE": str(stores["variable"])}
    workflow.ok("secrets", "set", "A", input="in the variable's", env=env)
    workflow.ok("secrets", "--store", stores["group"], "set", "A", input="in the group's", env=env)
    workflow.ok("secrets", "set", "A", "--store", f"sqlite:///{stores['command']}", input="in the command's", env=env)
    both = ("--store", stores["group"], "get", "A", "--store", stores["command"])
    assert workflow.ok("secrets", *both) == "in the command's"
    assert workflow.ok("secrets", "--store", stores["group"], "get", "A", env=env) == "in the group's"
    assert workflow.ok("secrets", "get", "A", env=env) == "in the variable's"
    assert not (home / "secrets.db").exists()


def test_a_missing_store_that_was_named_is_an_error_and_is_not_created(workflow, tmp_path: Path, home: Path) -> None:
    store = tmp_path / "nowhere.db"
    for args in (("list",), ("get", "A"), ("delete", "A", "--force")):
        said = workflow.fails("secrets", "--store", store, *args, code=8)
        assert said == f"there is no secret store at {store}"
    assert not store.exists()
    assert not home.exists()


@pytest.fixture(params=["list", "get", "set", "import", "delete"])
def command(request: pytest.FixtureRequest) -> tuple[tuple[str, ...], str]:
    """Each command that opens a store: its arguments and its stdin."""
    return {
        "list": (("list",), ""),
        "get": (("get", "A"), ""),
        "set": (("set", "A"), "value"),
        "import": (("import", "-"), "A=value"),
        "delete": (("delete", "A", "--force"), ""),
    }[request.param]


def test_a_directory_is_no_store(workflow, tmp_path: Path, command) -> None:
    args, given = command
    said = workflow.fails("secrets", "--store", tmp_path, *args, input=given, code=8)
    assert said == f"the secret store {tmp_path} is a directory"


def test_a_file_that_is_no_database_is_left_as_it_is(workflow, tmp_path: Path, command) -> None:
    args, given = command
    file = tmp_path / "letter.txt"
    file.write_text("Dear all,\n" * 200)
    assert str(file) in workflow.fails("secrets", "--store", file, *args, input=given, code=7)
    assert "Dear all,\n" * 200 == file.read_text()


def test_a_database_of_somebody_else_is_left_as_it_is(workflow, tmp_path: Path, command) -> None:
    args, given = command
    file = tmp_path / "other.db"
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE secrets (name TEXT, encrypted_value TEXT)")
    database.close()
    before = file.read_bytes()
    assert str(file) in workflow.fails("secrets", "--store", file, *args, input=given, code=7)
    assert before == file.read_bytes()


def test_a_store_of_a_newer_version_asks_for_an_upgrade(workflow, home: Path, command) -> None:
    args, given = command
    workflow.ok("secrets", "set", "A", input="value")
    database = sqlite3.connect(home / "secrets.db")
    database.execute("PRAGMA user_version = 99")
    database.close()
    done = workflow("secrets", *args, input=given)
    assert (7, "") == (done.returncode, done.stdout)
    assert "version 99" in done.stderr
    assert "hint: upgrade autokestra" in done.stderr


@pytest.mark.parametrize("mode", ["file", "directory"])
def test_a_store_that_cannot_be_written_is_read_and_not_written(workflow, tmp_path: Path, mode: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    store = folder / "secrets.db"
    workflow.ok("secrets", "--store", store, "set", "A", input="value")
    (store if mode == "file" else folder).chmod(0o444 if mode == "file" else 0o555)
    try:
        done = workflow("secrets", "--store", store, "set", "A", input="canary-7f1c", powerless=True)
    finally:
        folder.chmod(0o755)
        store.chmod(0o600)
    assert (9, "") == (done.returncode, done.stdout)
    (said,) = (line for line in done.stderr.splitlines() if not line.startswith("hint: "))
    assert said.startswith(f"error: cannot write the secret store {store}")
    assert workflow.ok("secrets", "--store", store, "get", "A") == "value"
    assert os.listdir(folder) == ["secrets.db"]


def test_a_store_that_may_not_be_read_is_named(workflow, tmp_path: Path) -> None:
    store = tmp_path / "secrets.db"
    workflow.ok("secrets", "--store", store, "set", "A", input="value")
    store.chmod(0o000)
    said = workflow.fails("secrets", "--store", store, "get", "A", code=9, powerless=True)
    assert said.startswith(f"cannot open the secret store {store}")


def test_a_store_in_no_directory_is_not_created(workflow, tmp_path: Path) -> None:
    store = tmp_path / "no" / "secrets.db"
    said = workflow.fails("secrets", "--store", store, "set", "A", input="value", code=8)
    assert f"cannot create the secret store {store}: its directory does not exist" == said
    assert not store.parent.exists()


@pytest.mark.parametrize("location", ["", "  "])
def test_an_empty_location_is_a_usage_error(workflow, location: str) -> None:
    assert workflow.fails("secrets", "--store", location, "list", code=2) == "--store needs a location"


def test_a_home_that_is_a_file_is_named(workflow, home: Path) -> None:
    home.write_text("a file")
    assert str(home) in workflow.fails("secrets", "set", "A", input="value", code=8)
    assert home.read_text() == "a file"


def test_a_store_that_is_gone_is_said_and_a_new_one_is_begun_only_when_that_is_meant(workflow, home: Path) -> None:
    workflow.ok("secrets", "set", "A", "-q", input="canary-7f1c")
    (home / "secrets.db").write_bytes(b"")
    warned = workflow("secrets", "list")
    assert (0, "") == (warned.returncode, warned.stdout)
    assert "warning: there is nothing in" in warned.stderr
    refused = workflow("secrets", "set", "A", "-q", input="canary-7f1d")
    assert 7 == refused.returncode
    assert "--accept-rollback" in refused.stderr
    assert 12 == workflow("secrets", "verify").returncode
    workflow.ok("secrets", "set", "A", "-q", "--accept-rollback", input="canary-7f1d")
    assert "canary-7f1d" == workflow.ok("secrets", "get", "A", "-q")
