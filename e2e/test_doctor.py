"""`workflow doctor`: what is wrong is named with what to type, and nothing secret is shown."""

import json
import os
from pathlib import Path

import pytest


def checks(workflow, **options) -> tuple[int, dict[str, list[tuple[str, str, str | None]]]]:
    done = workflow("doctor", "--json", **options)
    found: dict[str, list[tuple[str, str, str | None]]] = {}
    for check in json.loads(done.stdout):
        found.setdefault(check["name"], []).append((check["status"], check["message"], check["fix"]))
    return done.returncode, found


@pytest.fixture
def stored(workflow):
    workflow.ok("secrets", "set", "A", "-q", input="canary-7f1c")
    return workflow


def test_a_fresh_machine_is_in_order_and_stays_fresh(workflow, home: Path) -> None:
    code, found = checks(workflow)
    assert 0 == code
    assert {"versions", "home", "key", "store", "state", "file system", "disk", "clock", "memory", "isolation"} <= set(
        found
    )
    assert not home.exists()


def test_a_machine_in_use_is_in_order(stored, home: Path) -> None:
    key = (home / "secret.key").read_text().strip()
    done = stored("doctor")
    assert (0, "") == (done.returncode, done.stderr), done.stdout
    assert "fail" not in done.stdout
    assert f"from key file {home}/secret.key, fingerprint " in done.stdout
    assert "opens with the key and has 1 secrets" in done.stdout
    assert "fix: workflow secrets key add --recovery" in done.stdout
    assert key not in done.stdout
    assert "canary" not in done.stdout
    stored.ok("secrets", "key", "add", "--recovery")
    assert "2 keys open the store" in stored("doctor").stdout


@pytest.mark.parametrize(
    ("spoil", "name", "said", "fix"),
    [
        (lambda home: home.chmod(0o755), "home", "is open to others: 0755", "chmod 700 {home}"),
        (
            lambda home: (home / "secret.key").chmod(0o644),
            "key",
            "others can read the key file",
            "chmod 600 {home}/secret.key",
        ),
        (
            lambda home: (home / "secrets.db").chmod(0o640),
            "store",
            "is open to others: 0640",
            "chmod 600 {home}/secrets.db",
        ),
        (lambda home: (home / "secret.key").unlink(), "key", "no master key found, and there is a store", None),
        (lambda home: (home / "secret.key").write_text("akey1-x"), "key", "secret.key", None),
        (lambda home: (home / "secrets.db").write_bytes(b"no database" * 100), "store", "secrets.db", None),
        (
            lambda home: (home / "secrets.db").write_bytes(b""),
            "store",
            "there is nothing in",
            "workflow secrets restore FILE",
        ),
        (
            lambda home: (home / "left.tmp").write_text("x") and (home / "left.tmp").chmod(0o644),
            "files",
            "left.tmp is open to others",
            "chmod go= {home}/left.tmp",
        ),
    ],
)
def test_what_fails_is_code_12_and_says_what_to_type(
    stored, home: Path, spoil, name: str, said: str, fix: str | None
) -> None:
    spoil(home)
    code, found = checks(stored)
    assert 12 == code
    failed = [check for check in found[name] if check[0] == "fail"]
    assert [check for check in failed if said in check[1]], found
    if fix:
        assert fix.format(home=home) in [check[2] for check in failed]
    text = stored("doctor")
    assert 12 == text.returncode
    assert "fail  " in text.stdout


def test_a_wrong_key_fails(stored) -> None:
    code, found = checks(stored, env={"AUTOKESTRA_SECRET_KEY": "not the key of this store"})
    assert 12 == code
    assert "fail" == found["store"][0][0]
    assert "warn" in [check[0] for check in found["key"]]


def test_what_is_only_a_risk_warns(stored, home: Path) -> None:
    stored.ok("secrets", "set", "B", "-q", "--expires", "3d", input="canary-7f1d")
    (home / ".gitignore").unlink()
    code, found = checks(stored, env={"AUTOKESTRA_DEBUG": "1"})
    assert 0 == code
    assert ("warn", "secret 'B' expires in 2 days", "workflow secrets set B") == found["expiry"][0]
    assert f"echo '*' > {home}/.gitignore" == found["git"][0][2]
    assert "unset AUTOKESTRA_DEBUG" == found["memory"][0][2]


def test_a_home_of_somebody_else_fails(workflow, home: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory away")
    home.mkdir(mode=0o700)
    os.chown(home, 12345, 12345)
    code, found = checks(workflow)
    assert (12, "fail") == (code, found["home"][0][0])


def test_the_state_and_another_store_are_looked_at(stored, user: Path, home: Path, tmp_path: Path) -> None:
    (user / "w.yaml").write_text("id: w\ntasks:\n- {id: a, type: core/console.log, inputs: {message: hello}}\n")
    stored.ok("run", "w.yaml")
    assert ("ok", f"{home}/state.db is for you alone", None) == checks(stored)[1]["state"][0]
    assert "not there yet" in checks(stored, env={"AUTOKESTRA_STATE": str(tmp_path / "s.db")})[1]["state"][0][1]
    assert 12 == stored("doctor", "--store", tmp_path / "missing.db").returncode
