"""A store in PostgreSQL, as it is typed: keys, copies there and back, and what is said when something is wrong."""

import json
from pathlib import Path

import pytest

CANARY = "canary-4e8b-shared"


@pytest.fixture
def shared(workflow, postgres_url):
    """The command with AUTOKESTRA_STORE set, and a key made for it."""
    workflow.ok("secrets", "key", "create")
    return lambda *args, **options: workflow(*args, env={"AUTOKESTRA_STORE": postgres_url}, **options)


def test_no_key_is_made_by_itself_and_the_hint_makes_one(workflow, postgres_url, home: Path) -> None:
    env = {"AUTOKESTRA_STORE": postgres_url}
    done = workflow("secrets", "set", "A", input=CANARY, env=env)
    assert 5 == done.returncode
    assert "no master key found, and none is made by itself for a store that machines share" in done.stderr
    assert "workflow secrets key create" in done.stderr
    assert not home.exists()
    done = workflow("secrets", "key", "create")
    assert (0, "") == (done.returncode, done.stdout)
    assert f"made a new key in {home / 'secret.key'}, fingerprint " in done.stderr
    assert 0o600 == (home / "secret.key").stat().st_mode & 0o777
    workflow.ok("secrets", "set", "A", input=CANARY, env=env)
    assert CANARY == workflow.ok("secrets", "get", "A", "-q", env=env)
    again = workflow("secrets", "key", "create")
    assert (11, "") == (again.returncode, again.stdout)
    assert CANARY == workflow.ok("secrets", "get", "A", "-q", env=env)


def test_every_command_works_there(shared, tmp_path) -> None:
    for number in (1, 2):
        assert 0 == shared("secrets", "set", "A", "-q", input=f"{CANARY} {number}").returncode
    assert [2, 1] == [row["version"] for row in json.loads(shared("secrets", "history", "A", "--json").stdout)]
    assert 0 == shared("secrets", "rollback", "A", "--to", "1").returncode
    assert f"{CANARY} 1" == shared("secrets", "get", "A", "-q").stdout
    assert 0 == shared("secrets", "rename", "A", "B").returncode
    assert ["B"] == [row["name"] for row in json.loads(shared("secrets", "list", "--json").stdout)]
    assert 0 == shared("secrets", "key", "add", "--recovery").returncode
    assert 0 == shared("secrets", "key", "reencrypt", "--drop-others").returncode
    verified = shared("secrets", "verify")
    assert (0, "") == (verified.returncode, verified.stdout)
    assert "is whole: 1 secret" in verified.stderr
    assert 0 == shared("secrets", "backup", tmp_path / "b.db").returncode
    assert 0 == shared("secrets", "delete", "B", "-f").returncode
    assert 0 == shared("secrets", "restore", tmp_path / "b.db", "--force").returncode
    assert f"{CANARY} 1" == shared("secrets", "get", "B", "-q").stdout
    checked = shared("doctor")
    assert "opens with the key and has 1 secrets" in checked.stdout + checked.stderr


def test_a_store_moves_to_postgresql_and_back(workflow, postgres_url, tmp_path, home: Path) -> None:
    for number in range(3):
        workflow.ok("secrets", "set", "A", "-q", input=f"{CANARY} {number}")
    workflow.ok("secrets", "describe", "A", "--description", "what it is for")
    workflow.ok("secrets", "set", "B", "-q", input="other")
    asked = workflow("secrets", "copy", "--to", postgres_url, "--dry-run")
    assert (0, "") == (asked.returncode, asked.stdout)
    assert "would copy 2 secrets in 5 versions to postgresql://" in asked.stderr
    done = workflow("secrets", "copy", "--to", postgres_url)
    assert (0, "") == (done.returncode, done.stdout)
    assert "copied and verified 2 secrets in 5 versions to postgresql://" in done.stderr
    refused = workflow("secrets", "copy", "--to", postgres_url)
    assert 11 == refused.returncode
    assert "has 2 secrets already" in refused.stderr
    back = tmp_path / "back.db"
    env = {"AUTOKESTRA_STORE": postgres_url}
    report = json.loads(workflow.ok("secrets", "copy", "--to", str(back), "--json", env=env))
    assert {"secrets": 2, "versions": 5, "replaced": 0, "dry_run": False, "location": str(back)} == report
    for name in ("A", "B"):
        history = [
            workflow.ok("secrets", "history", name, "--json", "--store", place) for place in (home / "secrets.db", back)
        ]
        assert history[0] == history[1]
    assert f"{CANARY} 0" == workflow.ok("secrets", "get", "A", "--version", "1", "-q", "--store", back)
    workflow.ok("secrets", "key", "add", "--recovery")
    warned = workflow("secrets", "copy", "--to", str(back), "--force")
    assert "replaced 2 that were there" in warned.stderr
    assert "only the key at hand opens the copy" in warned.stderr
    assert "" == workflow("secrets", "copy", "--to", str(back), "--force", "-q").stderr


def test_a_workflow_gets_its_secrets_from_there_and_masks_them(shared, user: Path) -> None:
    shared("secrets", "set", "TOKEN", "-q", input=CANARY)
    (user / "w.yaml").write_text(
        "id: w\nsecrets: [TOKEN]\ntasks:\n"
        "  - {id: t, type: core/shell.run, env: {T: '{{ secrets.TOKEN }}'}, inputs: {script: 'echo \"got $T\"'}}\n"
    )
    done = shared("run", "w.yaml")
    assert 0 == done.returncode, done.stderr
    assert "got ***SECRET***" in done.stdout + done.stderr
    assert CANARY not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("url", "code", "says"),
    [
        ("postgresql://u:hunter2word@127.0.0.1:9/db", 8, "cannot reach the secret store postgresql://u@127.0.0.1:9/db"),
        ("postgresql://u:hunter2@word@127.0.0.1/db", 8, "the PostgreSQL URL is malformed"),
        ("mysql://h/db", 8, "no backend for this kind of address of a secret store"),
    ],
)
def test_what_is_wrong_with_a_place_is_said_without_its_password(workflow, url, code, says) -> None:
    for args in (
        ("secrets", "list"),
        ("secrets", "get", "A"),
        ("secrets", "verify"),
        ("secrets", "key", "list"),
        ("doctor",),
    ):
        done = workflow(*args, env={"AUTOKESTRA_STORE": url})
        assert says in done.stdout + done.stderr
        assert args == ("doctor",) or code == done.returncode
        assert "hunter2" not in done.stdout + done.stderr
        assert "word@" not in done.stdout + done.stderr


def test_a_refused_password_is_a_matter_of_permission(workflow, postgres_server) -> None:
    done = workflow("secrets", "list", "--store", postgres_server.url(tcp=True, password="hunter2word"))
    assert 9 == done.returncode
    assert "password authentication failed" in done.stderr
    assert "hunter2word" not in done.stderr
