"""`workflow secrets get`, `list` and `key show`: exactly the data on stdout, nothing else of it anywhere."""

import base64
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

CANARY = "canary-7f1c"


def test_get_writes_the_value_alone_and_warns_on_stderr(workflow) -> None:
    workflow.ok("secrets", "set", "A", input=CANARY)
    done = workflow("secrets", "get", "A")
    assert (0, CANARY) == (done.returncode, done.stdout)
    assert done.stderr == "warning: this shows the value of 'A' in clear\n"
    quiet = workflow("secrets", "get", "A", "-q")
    assert (0, CANARY, "") == (quiet.returncode, quiet.stdout, quiet.stderr)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("é\n\x1b".encode(), {"name": "A", "encoding": "text", "value": "é\n\x1b"}),
        (b"\xff\0", {"name": "A", "encoding": "base64", "value": base64.b64encode(b"\xff\0").decode()}),
    ],
)
def test_json_carries_text_as_text_and_bytes_as_base64(workflow, value: bytes, shown: dict[str, str]) -> None:
    workflow.ok("secrets", "set", "A", input=value)
    assert shown == json.loads(workflow.ok("secrets", "get", "A", "--json"))


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("api_tokn", "did you mean 'API_TOKEN'?"),
        ("api_token", "did you mean 'API_TOKEN'?"),
        ("ZZZ", "store it with: workflow secrets set ZZZ"),
    ],
)
def test_an_absent_secret_is_named_with_its_neighbour(workflow, asked: str, hint: str) -> None:
    workflow.ok("secrets", "set", "API_TOKEN", input=CANARY)
    done = workflow("secrets", "get", asked)
    assert (4, "") == (done.returncode, done.stdout)
    assert f"error: secret '{asked}' not found\nhint: {hint}\n" == done.stderr


def test_get_in_a_fresh_home_finds_nothing_and_creates_nothing(workflow, home: Path) -> None:
    assert workflow.fails("secrets", "get", "A", code=4) == "secret 'A' not found"
    assert not home.exists()


def test_list_is_a_table_with_local_times(workflow) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    for name in ("b-second", "A", "a"):
        workflow.ok("secrets", "set", name, input=CANARY)
    out = workflow.ok("secrets", "list", env={"TZ": "Asia/Tokyo"})
    header, *rows = [re.split(r"  +", line) for line in out.splitlines()]
    assert header == ["NAME", "VERSION", "CREATED", "UPDATED"]
    assert sorted(["b-second", "A", "a"]) == [row[0] for row in rows]
    for _, version, created, updated in rows:
        assert version == "1"
        assert created == updated
        assert created.endswith("+09:00")
        assert before <= datetime.fromisoformat(created) <= datetime.now(UTC)
    assert CANARY not in out


def test_list_as_json_is_an_array_of_objects_with_times_in_utc(workflow) -> None:
    workflow.ok("secrets", "set", "A", input=CANARY)
    workflow.ok("secrets", "set", "A", input=CANARY + "2")
    (secret,) = json.loads(workflow.ok("secrets", "list", "--json"))
    assert {"name", "version", "created_at", "updated_at", "description", "tags", "expires_at", "due"} == set(secret)
    assert ("A", 2) == (secret["name"], secret["version"])
    for time in (secret["created_at"], secret["updated_at"]):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", time)


def test_an_empty_list_is_no_data_and_no_failure(workflow, home: Path) -> None:
    done = workflow("secrets", "list")
    assert (0, "", "no secrets found\n") == (done.returncode, done.stdout, done.stderr)
    assert json.loads(workflow.ok("secrets", "list", "--json")) == []
    assert not home.exists()


def test_list_needs_no_key(workflow, home: Path) -> None:
    workflow.ok("secrets", "set", "A", input=CANARY)
    (home / "secret.key").unlink()
    assert "A" in workflow.ok("secrets", "list")


def test_key_show_names_the_place_and_a_fingerprint_and_never_the_key(workflow, home: Path) -> None:
    workflow.ok("secrets", "set", "A", input=CANARY)
    key = (home / "secret.key").read_text().strip()
    shown = json.loads(workflow.ok("secrets", "key", "show", "--json"))
    assert str(home / "secret.key") == shown["path"]
    assert re.fullmatch(r"[0-9a-f:]{8,}", shown["fingerprint"])
    text = workflow.ok("secrets", "key", "show")
    assert f"path: {home / 'secret.key'}\nfingerprint: {shown['fingerprint']}\n" in text
    assert key not in text
    assert key.removeprefix("akey1-")[:12] not in text + json.dumps(shown)


def test_key_show_of_a_variable_has_no_path(workflow) -> None:
    passphrase = "correct horse battery staple"
    out = workflow.ok("secrets", "key", "show", env={"AUTOKESTRA_SECRET_KEY": passphrase})
    assert out.startswith("source: AUTOKESTRA_SECRET_KEY\npath: -\nfingerprint: ")
    assert passphrase not in out


def test_key_show_without_a_key_makes_none(workflow, home: Path) -> None:
    assert workflow.fails("secrets", "key", "show", code=5) == "no master key found"
    assert not home.exists()


def test_the_help_lists_the_commands_in_the_order_of_need(workflow) -> None:
    out = workflow.ok("secrets", "-h")
    commands = [line.split()[0] for line in out.partition("Commands:\n")[2].splitlines()]
    assert ["set", "get", "list", "delete", "rename", "history"] == commands[:6]
    assert "key" == commands[-1]
    assert out == workflow.ok("secrets", "--help")
