"""Every way in which a master key can be missing or wrong: one line, its own code, and never a second key."""

from collections.abc import Callable
from pathlib import Path

import pytest

COMMANDS = {
    "get": (("get", "A"), ""),
    "set": (("set", "B"), "canary-7f1c"),
    "import": (("import", "-"), "B=canary-7f1c"),
}


@pytest.fixture
def key(workflow, home: Path) -> Path:
    """The key file of a store that has a secret."""
    workflow.ok("secrets", "set", "A", input="value")
    return home / "secret.key"


def truncate(key: Path) -> None:
    key.write_bytes(key.read_bytes()[:20])


def mistype(key: Path) -> None:
    text = key.read_text()
    key.write_text(text[:10] + ("A" if text[10] != "A" else "B") + text[11:])


def link(key: Path) -> None:
    key.rename(key.with_name("real.key"))
    key.symlink_to("real.key")


def make_directory(key: Path) -> None:
    key.unlink()
    key.mkdir()


@pytest.mark.parametrize("command", list(COMMANDS))
@pytest.mark.parametrize(
    ("spoil", "code", "said"),
    [
        (Path.unlink, 5, "no master key found"),
        (lambda key: key.write_bytes(b""), 5, "is empty"),
        (lambda key: key.write_bytes(b"\n"), 5, "is empty"),
        (truncate, 5, "checksum"),
        (mistype, 5, "checksum"),
        (make_directory, 5, "not a regular file"),
        (lambda key: key.chmod(0o644), 9, "others can read the key file"),
        (lambda key: key.chmod(0o640), 9, "others can read the key file"),
        (lambda key: key.chmod(0o000), 9, "permission denied"),
        (lambda key: key.parent.chmod(0o777), 9, "others can replace the key file"),
        (link, 9, "is a symbolic link"),
    ],
)
def test_a_spoiled_key_file_is_one_clear_error_and_never_a_new_key(
    workflow, home: Path, key: Path, spoil: Callable[[Path], object], code: int, said: str, command: str
) -> None:
    spoil(key)
    before = sorted(path.name for path in home.iterdir()), (home / "secrets.db").read_bytes()
    args, given = COMMANDS[command]
    done = workflow("secrets", *args, input=given, powerless=True)
    assert (code, "") == (done.returncode, done.stdout), done.stderr
    error, hint = done.stderr.splitlines()
    assert error.startswith("error: ")
    assert said in error
    assert hint.startswith("hint: ")
    assert before == (sorted(path.name for path in home.iterdir()), (home / "secrets.db").read_bytes())


def test_a_key_that_others_can_read_comes_with_the_line_to_type(workflow, key: Path) -> None:
    key.chmod(0o644)
    assert f"hint: chmod 600 {key}\n" in workflow("secrets", "get", "A").stderr


@pytest.mark.parametrize("command", list(COMMANDS))
@pytest.mark.parametrize(
    ("env", "code", "said"),
    [
        ({"AUTOKESTRA_SECRET_KEY": ""}, 5, "AUTOKESTRA_SECRET_KEY is empty"),
        ({"AUTOKESTRA_SECRET_KEY": "canary"}, 5, "at least 12 characters"),
        ({"AUTOKESTRA_SECRET_KEY": "another good passphrase"}, 6, "does not open"),
        ({"AUTOKESTRA_SECRET_KEY_FILE": ""}, 5, "AUTOKESTRA_SECRET_KEY_FILE is empty"),
        ({"AUTOKESTRA_SECRET_KEY_FILE": "/nonexistent/key"}, 5, "AUTOKESTRA_SECRET_KEY_FILE /… does not exist"),
        ({"AUTOKESTRA_SECRET_KEY_FILE": "/"}, 5, "not a regular file"),
    ],
)
def test_a_bad_variable_is_an_error_even_where_the_key_file_is_good(
    workflow, home: Path, key: Path, env: dict[str, str], code: int, said: str, command: str
) -> None:
    assert key.exists()
    before = (home / "secrets.db").read_bytes()
    args, given = COMMANDS[command]
    done = workflow("secrets", *args, input=given, env=env)
    assert (code, "") == (done.returncode, done.stdout), done.stderr
    lines = done.stderr.splitlines()
    assert lines[0].startswith("error: ")
    assert said in done.stderr
    assert len(lines) <= 2
    assert "canary" not in done.stderr
    assert "good passphrase" not in done.stderr
    assert before == (home / "secrets.db").read_bytes()


def test_an_empty_variable_creates_no_key_on_a_fresh_machine(workflow, home: Path) -> None:
    env = {"AUTOKESTRA_SECRET_KEY": ""}
    assert "AUTOKESTRA_SECRET_KEY is empty" in workflow.fails("secrets", "set", "A", input="value", env=env, code=5)
    assert not (home / "secret.key").exists()
    assert workflow("secrets", "list").returncode == 0


def test_a_key_from_a_variable_works_and_makes_no_file(workflow, home: Path) -> None:
    env = {"AUTOKESTRA_SECRET_KEY": "correct horse battery staple"}
    workflow.ok("secrets", "set", "A", input="value", env=env)
    assert workflow.ok("secrets", "get", "A", env=env) == "value"
    assert not (home / "secret.key").exists()


def test_a_named_key_file_that_others_can_read_is_a_warning(workflow, key: Path, tmp_path: Path) -> None:
    """Docker mounts secrets as 0444, Kubernetes as symbolic links."""
    mounted = tmp_path / "mounted"
    mounted.write_bytes(key.read_bytes())
    mounted.chmod(0o444)
    linked = tmp_path / "linked"
    linked.symlink_to(mounted)
    key.unlink()
    done = workflow("secrets", "get", "A", "-q", env={"AUTOKESTRA_SECRET_KEY_FILE": str(linked)})
    assert (0, "value") == (done.returncode, done.stdout)
    assert done.stderr.startswith(f"warning: others can read the key file {linked}")
    assert done.stderr.count("\n") == 1


def test_the_key_file_and_its_directory_are_closed_to_others(home: Path, key: Path) -> None:
    assert (0o600, 0o700) == (key.stat().st_mode & 0o777, home.stat().st_mode & 0o777)
    assert (home / ".gitignore").read_text() == "*\n"
