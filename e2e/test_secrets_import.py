"""`workflow secrets import`: a whole file or nothing, names shown and values never."""

from pathlib import Path

import pytest

DOTENV = """\
# database
export DB_URL=postgres://u:p@h/d#frag   # a comment
API_TOKEN='canary-7f1c $HOME "q"'
TLS_KEY="-----BEGIN KEY-----
canary-7f1c
-----END KEY-----
"
"""


def test_a_dotenv_file_is_stored_whole(workflow, tmp_path: Path) -> None:
    file = tmp_path / "app.env"
    file.write_text(DOTENV)
    done = workflow("secrets", "import", file)
    assert (0, "") == (done.returncode, done.stdout)
    assert done.stderr.splitlines()[-1] == "3 secrets stored: DB_URL, API_TOKEN, TLS_KEY"
    assert "canary" not in done.stderr
    assert workflow.ok("secrets", "get", "DB_URL") == "postgres://u:p@h/d#frag"
    assert workflow.ok("secrets", "get", "API_TOKEN") == 'canary-7f1c $HOME "q"'
    assert workflow.ok("secrets", "get", "TLS_KEY") == "-----BEGIN KEY-----\ncanary-7f1c\n-----END KEY-----\n"


def test_a_json_object_is_stored_from_a_file_or_a_pipe(workflow, tmp_path: Path) -> None:
    file = tmp_path / "app.json"
    file.write_text('{"A": "one value"}')
    workflow.ok("secrets", "import", file)
    done = workflow("secrets", "import", "-", "--quiet", input='{"B": "caf\\u00e9\\n"}')
    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)
    assert workflow.ok("secrets", "get", "A") == "one value"
    assert workflow.ok("secrets", "get", "B") == "café\n"


def test_a_line_that_a_shell_would_have_expanded_is_named_and_not_shown(workflow, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("A=1\nB=canary$NAME\n")
    done = workflow("secrets", "import", file)
    assert f"warning: {file}: line 2: a $NAME is stored as it stands, since nothing is expanded" in done.stderr
    assert "canary" not in done.stderr
    assert "canary$NAME" == workflow.ok("secrets", "get", "B", "--quiet")


def test_of_many_secrets_ten_are_named(workflow) -> None:
    lines = "".join(f"S{number:04}=value-{number}\n" for number in range(3000))
    done = workflow("secrets", "import", "-", input=lines)
    assert "3000 secrets stored: S0000, S0001" in done.stderr
    assert "S0009 and 2,990 more\n" in done.stderr


def test_the_format_can_be_said(workflow) -> None:
    workflow.ok("secrets", "import", "-", "--format", "dotenv", input='A={"x": 1}\n')
    assert workflow.ok("secrets", "get", "A") == '{"x": 1}'
    assert workflow.fails("secrets", "import", "-", "--format", "json", input="A=1", code=2).startswith(
        "stdin:1: no JSON"
    )
    said = workflow.fails("secrets", "import", "-", "--format", "xml", code=2)
    assert "invalid value for '--format': expected one of dotenv, json, shell" == said


def test_values_too_short_to_mask_are_named(workflow) -> None:
    done = workflow("secrets", "import", "-", input="PIN=123\nLONG=long-enough\n")
    assert done.returncode == 0
    assert "secret 'PIN' cannot be masked" in done.stderr
    assert "secret 'LONG' cannot" not in done.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"A=canary-7f1c\ncanary-7f1c\n", "{file}:2: expected NAME=VALUE"),
        (b"A=canary-7f1c\nB=\n", "{file}:2: 'B': secret value cannot be empty"),
        (b"A=canary-7f1c\nB='canary\n", "{file}:2: the quote ' is not closed"),
        (b"A=canary-7f1c\nB.C=canary\n", "{file}:2: no secret name stands there"),
        (b"A=canary-7f1c\nA=canary\n", "{file}:2: 'A' is already in line 1"),
        (b"A=canary-7f1c\nB=\xff\n", "{file}:2: not UTF-8 text"),
        (b"\xff\xfeA\0=\0c\0", "{file}:1: not UTF-8 text"),
        (b'{"A": "canary-7f1c", "B": 5}', "{file}: 'B' is a number, expected a string"),
        (b'{"A": "canary-7f1c", "B": {"C": "x"}}', "{file}: 'B' is an object, expected a string"),
        (b"", "{file}: no secrets in it"),
        (
            b"A=" + b"x" * (1 << 20) + b"y",
            "{file}:1: 'A': secret value has 1,048,577 bytes, at most 1,048,576 are allowed",
        ),
    ],
)
def test_a_file_with_a_mistake_stores_nothing(workflow, tmp_path: Path, home: Path, content: bytes, said: str) -> None:
    file = tmp_path / "secrets"
    file.write_bytes(content)
    done = workflow("secrets", "import", file)
    assert (2, "") == (done.returncode, done.stdout)
    assert f"error: {said.format(file=file)}" == done.stderr.splitlines()[0]
    assert "canary" not in done.stderr
    assert not home.exists()


@pytest.mark.parametrize("path", ["./missing.env", "."])
def test_a_file_that_is_none_is_named(workflow, home: Path, path: str) -> None:
    assert f"'{path}'" in workflow.fails("secrets", "import", path, code=2)
    assert not home.exists()
