"""History, rollback, metadata and expiry, as they are typed."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

DAY = timedelta(days=1)


@pytest.fixture
def stored(workflow):
    for value in ("one", "two", "three"):
        workflow.ok("secrets", "set", "A", "-q", input=f"canary-{value}")
    return workflow


def in_days(days: float) -> str:
    return (datetime.now(UTC) + days * DAY).isoformat()


def test_earlier_versions_are_kept_listed_and_readable(stored) -> None:
    lines = stored.ok("secrets", "history", "A").splitlines()
    assert ["VERSION", "3", "2", "1"] == [line.split()[0] for line in lines]
    assert "3 (current)" in lines[1]
    assert "canary-one" == stored.ok("secrets", "get", "A", "--version", "1", "-q")
    shown = json.loads(stored.ok("secrets", "history", "A", "--json"))
    assert [(3, True), (2, False), (1, False)] == [(one["version"], one["current"]) for one in shown]
    assert {"A"} == {one["name"] for one in shown}


def test_a_rollback_is_a_new_version(stored) -> None:
    done = stored("secrets", "rollback", "A", "--to", "1")
    assert (0, "") == (done.returncode, done.stdout)
    assert "secret 'A' has the value of version 1 again, as version 4\n" == done.stderr
    assert "canary-one" == stored.ok("secrets", "get", "A", "-q")


def test_what_is_not_there_is_named(stored) -> None:
    assert "secret 'A' has no version 9" == stored.fails("secrets", "rollback", "A", "--to", "9", code=4)
    assert "secret 'A' has no version 9" == stored.fails("secrets", "get", "A", "--version", "9", code=4)
    done = stored("secrets", "history", "a")
    assert (4, "") == (done.returncode, done.stdout)
    assert "hint: did you mean 'A'?" in done.stderr
    assert "missing option '--to'" in stored.fails("secrets", "rollback", "A", code=2)


def test_only_so_many_are_kept(stored) -> None:
    stored.ok("secrets", "set", "A", "--keep", "2", input="canary-four")
    assert 3 == len(stored.ok("secrets", "history", "A").splitlines())
    stored.fails("secrets", "set", "A", "x", "--keep", "0", code=2)


def test_a_write_can_ask_for_the_version_that_it_replaces(stored) -> None:
    stored.ok("secrets", "set", "A", "--if-version", "3", input="canary-four")
    done = stored("secrets", "set", "A", "--if-version", "3", input="canary-five")
    assert (11, "") == (done.returncode, done.stdout)
    stored.ok("secrets", "set", "NEW", "--if-version", "0", input="canary-new")
    assert 11 == stored("secrets", "set", "NEW", "--if-version", "0", input="canary-new").returncode


def test_what_is_said_about_a_secret_is_listed_and_changed(stored) -> None:
    stored.ok(
        "secrets",
        "set",
        "B",
        "--description",
        "mail",
        "--tag",
        "smtp",
        "--tag",
        "prod",
        "--expires",
        "90d",
        input="bbbb",
    )
    shown = stored.ok("secrets", "list")
    assert ["NAME", "VERSION", "CREATED", "UPDATED", "EXPIRES", "TAGS", "DESCRIPTION"] == shown.splitlines()[0].split()
    assert "prod, smtp" in shown
    stored.ok("secrets", "describe", "B", "--description", "", "--tag", "x", "--expires", "never")
    (one,) = [one for one in json.loads(stored.ok("secrets", "list", "--json")) if one["name"] == "B"]
    assert (2, "", ["x"], None, None) == tuple(
        one[key] for key in ("version", "description", "tags", "expires_at", "due")
    )
    stored.ok("secrets", "describe", "B", "--tag", "")
    assert ["NAME", "VERSION", "CREATED", "UPDATED"] == stored.ok("secrets", "list").splitlines()[0].split()
    assert "there is nothing to change" == stored.fails("secrets", "describe", "B", code=2)
    assert "invalid tag" in stored.fails("secrets", "describe", "B", "--tag", "a b", code=2)


def test_what_is_due_is_said_by_list_and_by_run(stored, user: Path) -> None:
    stored.ok("secrets", "set", "SOON", "--expires", in_days(3.5), input="canary-soon")
    stored.ok("secrets", "set", "LATER", "--expires", in_days(30), input="canary-later")
    warned = list(stored("secrets", "list").stderr.splitlines())
    assert ["warning: secret 'SOON' expires in 3 days"] == warned
    dues = {one["name"]: one["due"] for one in json.loads(stored.ok("secrets", "list", "--json"))}
    assert {"A": None, "LATER": None, "SOON": "soon"} == dues
    (user / "w.yaml").write_text(
        "id: w\nsecrets: [SOON, LATER]\ntasks:\n- {id: a, type: core/console.log, inputs: {message: hello}}\n"
    )
    done = stored("run", "w.yaml")
    assert 0 == done.returncode, done.stderr
    assert 1 == done.stderr.count("expires in 3 days")
    (user / "v.yaml").write_text("id: v\ntasks:\n- {id: a, type: core/console.log, inputs: {message: hello}}\n")
    assert "expires" not in stored("run", "v.yaml").stderr


@pytest.mark.parametrize("when", ["yesterday", "2020-01-01", "0d", "", "-3d"])
def test_a_time_that_is_none_or_past_is_refused(stored, when: str) -> None:
    stored.fails("secrets", "set", "A", f"--expires={when}", input="canary", code=2)
    assert 4 == len(stored.ok("secrets", "history", "A").splitlines())


def test_an_older_copy_is_read_with_a_warning_and_written_only_when_accepted(stored, home: Path) -> None:
    before = (home / "secrets.db").read_bytes()
    stored.ok("secrets", "set", "A", "-q", input="canary-four")
    (home / "secrets.db").write_bytes(before)
    done = stored("secrets", "get", "A", "-q")
    assert (0, "canary-three") == (done.returncode, done.stdout)
    assert done.stderr.startswith("warning: ")
    assert 7 == stored("secrets", "set", "A", input="canary-five").returncode
    for command in (["set", "A"], ["delete", "A", "--force"]):
        (home / "secrets.db").write_bytes(before)
        stored.ok("secrets", *command, "--accept-rollback", input="canary-five")
