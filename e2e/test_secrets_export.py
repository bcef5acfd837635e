"""`workflow secrets export`, and what `import` takes besides dotenv and JSON."""

import json
from pathlib import Path

import pytest

VALUES = {"A": "plain", "B": 'it\'s "$HOME" `id` \\n', "KEY": "-----BEGIN-----\r\nline\n-----END-----\n", "U": "é😀"}


@pytest.fixture
def stored(workflow):
    for name, value in VALUES.items():
        workflow.ok("secrets", "set", name, "-q", "--from-file", "-", input=value)
    return workflow


@pytest.mark.parametrize("file_format", ["dotenv", "json", "shell"])
def test_what_is_exported_is_imported_to_the_byte(stored, tmp_path: Path, file_format: str) -> None:
    file = tmp_path / "out"
    done = stored("secrets", "export", "--format", file_format, "--output", file)
    assert (0, "") == (done.returncode, done.stdout)
    assert f"warning: {file} holds 4 secrets in clear" in done.stderr
    assert 0o600 == file.stat().st_mode & 0o777
    other = tmp_path / "other.db"
    stored.ok("secrets", "import", file, "--format", file_format, "--store", other)
    for name, value in VALUES.items():
        assert value == stored.ok("secrets", "get", name, "-q", "--store", other)


def test_stdout_gets_those_that_were_named(stored) -> None:
    done = stored("secrets", "export", "U", "A")
    assert (0, "U='é😀'\nA=plain\n") == (done.returncode, done.stdout)
    assert "warning: this shows 2 secrets in clear\n" == done.stderr
    assert "" == stored("secrets", "export", "A", "-q").stderr
    assert {"A": "plain"} == json.loads(stored.ok("secrets", "export", "A", "-q", "--format", "json"))
    assert 4 == stored("secrets", "export", "A", "NOPE").returncode


def test_a_file_is_never_overwritten_unasked(stored, tmp_path: Path) -> None:
    file = tmp_path / "out"
    file.write_text("mine")
    assert "there is a file at" in stored.fails("secrets", "export", "A", "-o", file, code=11)
    assert "mine" == file.read_text()
    file.chmod(0o644)
    stored.ok("secrets", "export", "A", "-o", file, "--force")
    assert ("A=plain\n", 0o600) == (file.read_text(), file.stat().st_mode & 0o777)
    assert ["out"] == [path.name for path in tmp_path.iterdir() if "out" in path.name]
    link = tmp_path / "link"
    link.symlink_to(file)
    assert 11 == stored("secrets", "export", "U", "-o", link).returncode
    assert "A=plain\n" == file.read_text()


def test_bytes_are_for_json_alone(stored, tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\0\xfe")
    stored.ok("secrets", "set", "BIN", "-q", "--from-file", binary)
    assert "secret 'BIN' is no text" in stored.fails("secrets", "export", "-q", code=2)
    text = stored.ok("secrets", "export", "BIN", "-q", "--format", "json")
    stored.ok("secrets", "import", "-", "--store", tmp_path / "other.db", input=text)
    shown = stored.ok("secrets", "get", "BIN", "-q", "--store", tmp_path / "other.db")
    assert b"\xff\0\xfe" == shown.encode(errors="surrogateescape")


def test_nothing_to_export_is_said(workflow) -> None:
    done = workflow("secrets", "export")
    assert (0, "", "no secrets found\n") == (done.returncode, done.stdout, done.stderr)


# --- import -------------------------------------------------------------------------------------------------------


def test_variables_are_imported_with_or_without_their_prefix(workflow) -> None:
    env = {"APP_TOKEN": "canary-token", "APP_EMPTY": "", "OTHER": "x", "AUTOKESTRA_STORE": None}
    done = workflow("secrets", "import", "--from-env", "APP_", env=env)
    assert (0, "") == (done.returncode, done.stdout)
    assert "1 secret stored: APP_TOKEN" in done.stderr
    workflow.ok("secrets", "import", "--from-env", "APP_", "--strip-prefix", env=env)
    assert "canary-token" == workflow.ok("secrets", "get", "TOKEN", "-q")


def test_our_own_settings_are_never_imported(workflow) -> None:
    env = {"AUTOKESTRA_SECRET_KEY": "correct horse battery staple"}
    assert "no variable that begins with PREFIX" in workflow.fails(
        "secrets", "import", "--from-env", "AUTOKESTRA_", env=env, code=2
    )


def test_a_variable_that_can_be_no_secret_stores_nothing(workflow, home: Path) -> None:
    env = {"APP_A": "canary", "APP_": "canary"}
    said = workflow.fails("secrets", "import", "--from-env", "APP_", "--strip-prefix", env=env, code=2)
    assert said.startswith("a variable that begins with PREFIX: invalid secret name")
    assert not home.exists()


def test_existing_secrets_can_be_left_alone(stored) -> None:
    done = stored("secrets", "import", "-", "--skip-existing", input="A=changed\nNEW=value-of-new\n")
    assert "1 secret stored, 1 left as they are: NEW" in done.stderr
    assert "plain" == stored.ok("secrets", "get", "A", "-q")
    done = stored("secrets", "import", "-", input="A=changed\n")
    assert "changed" == stored.ok("secrets", "get", "A", "-q")
    assert "0 secrets stored, 1 left" in stored("secrets", "import", "-", "--skip-existing", input="A=x\n").stderr


def test_a_file_or_the_environment(workflow) -> None:
    assert "expected either a FILE or --from-env PREFIX" == workflow.fails("secrets", "import", code=2)
    assert "expected either" in workflow.fails("secrets", "import", ".env", "--from-env", "A", code=2)


def test_a_shell_file_is_known_by_its_name(workflow, user: Path) -> None:
    (user / "vars.sh").write_text("export A='it'\\''s'\n")
    workflow.ok("secrets", "import", "vars.sh")
    assert "it's" == workflow.ok("secrets", "get", "A", "-q")


def test_a_dash_is_stdout(stored, user) -> None:
    assert stored.ok("secrets", "export") == stored.ok("secrets", "export", "--output", "-")
    assert not (user / "-").exists()
