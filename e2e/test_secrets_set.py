"""`workflow secrets set`: every way in, every name and value that is refused, and what is said."""

import json
from pathlib import Path

import pytest

MIB = 1 << 20


@pytest.mark.parametrize(
    ("piped", "stored"),
    [
        (b"value", b"value"),
        (b"value\n", b"value"),
        (b"value\r\n", b"value"),
        (b"value\n\n", b"value\n"),
        (b"value\r\n\r\n", b"value\r\n"),
        (b"value\r", b"value\r"),
        (b"one\r\ntwo\r\n", b"one\r\ntwo"),
        (b" value \t", b" value \t"),
        (b"\0a\0b\0", b"\0a\0b\0"),
        (b"\xff\xfe invalid UTF-8 \xc3", b"\xff\xfe invalid UTF-8 \xc3"),
        ("pässwörd 日本 😀 'q' \"d\" {{ x }} $(id) `id`".encode(),) * 2,
        (b"\x1b[2J\x07", b"\x1b[2J\x07"),
    ],
)
def test_what_is_piped_in_comes_out_less_one_line_break(workflow, piped: bytes, stored: bytes) -> None:
    workflow.ok("secrets", "set", "A", input=piped)
    assert stored == workflow.ok("secrets", "get", "A").encode(errors="surrogateescape")


def test_a_file_is_stored_byte_for_byte(workflow, tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf-----BEGIN\r\nKEY-----\n\0\xff\n"
    file = tmp_path / "key.pem"
    file.write_bytes(content)
    workflow.ok("secrets", "set", "A", "--from-file", file)
    workflow.ok("secrets", "set", "B", "--from-file", "-", input=content)
    for name in ("A", "B"):
        assert content == workflow.ok("secrets", "get", name).encode(errors="surrogateescape")


def test_a_value_of_a_mebibyte_is_stored_and_one_byte_more_is_not(workflow, home: Path) -> None:
    workflow.ok("secrets", "set", "A", input=b"x" * MIB)
    assert "x" * MIB == workflow.ok("secrets", "get", "A")
    for source in ((), ("--from-file", "-")):
        said = workflow.fails("secrets", "set", "B", *source, input=b"y" * (MIB + 1), code=2)
        assert said == "secret value has 1,048,577 bytes, at most 1,048,576 are allowed"
    assert "NAME" in workflow.ok("secrets", "list")
    assert "B" not in {line.split()[0] for line in workflow.ok("secrets", "list").splitlines()[1:]}


def test_an_endless_file_is_not_read_to_its_end(workflow, home: Path) -> None:
    said = workflow.fails("secrets", "set", "A", "--from-file", "/dev/zero", code=2)
    assert said == "/dev/zero holds more than 16,777,216 bytes"
    assert not home.exists()


def test_a_value_as_an_argument_works_and_warns_of_the_history(workflow) -> None:
    done = workflow("secrets", "set", "A", "canary-7f1c")
    assert done.returncode == 0
    assert "warning: a value on the command line stays in the shell's history" in done.stderr
    assert "canary-7f1c" not in done.stderr
    assert workflow.ok("secrets", "get", "A") == "canary-7f1c"


def test_an_argument_that_is_no_text_is_stored_as_its_bytes(workflow) -> None:
    workflow.ok("secrets", "set", "A", "caf\udce9")
    assert workflow.ok("secrets", "get", "A").encode(errors="surrogateescape") == b"caf\xe9"


def test_a_value_that_begins_with_a_dash_follows_two_dashes(workflow) -> None:
    done = workflow("secrets", "set", "A", "-----BEGIN canary-7f1c")
    assert (2, "") == (done.returncode, done.stdout)
    assert "canary" not in done.stderr
    assert "hint: a value that begins with '-' comes after '--': workflow secrets set NAME -- VALUE" in done.stderr
    workflow.ok("secrets", "set", "A", "--", "-----BEGIN canary-7f1c")
    assert workflow.ok("secrets", "get", "A") == "-----BEGIN canary-7f1c"


def test_a_value_without_quotes_is_not_repeated(workflow, home: Path) -> None:
    done = workflow("secrets", "set", "A", "correct", "horse")
    assert done.returncode == 2
    assert "horse" not in done.stderr
    assert not home.exists()


@pytest.mark.parametrize(
    ("args", "given"), [(("",), b""), ((), b""), ((), b"\n"), ((), b"\r\n"), (("--from-file", "-"), b"")]
)
def test_an_empty_value_is_refused(workflow, home: Path, args: tuple[str, ...], given: bytes) -> None:
    assert workflow.fails("secrets", "set", "A", *args, input=given, code=2) == "secret value cannot be empty"
    assert not home.exists()


@pytest.mark.parametrize(
    "name", ["MY KEY", "my.key", "clé", "🔑", "", "a/b", "../a", "a\nb", "x" * 129, "x" * 200, "A\x1b[0m"]
)
@pytest.mark.parametrize("command", ["set", "get", "delete", "rename"])
def test_a_bad_name_is_refused_with_what_is_allowed(workflow, home: Path, command: str, name: str) -> None:
    extra = {"set": (), "get": (), "delete": ("--force",), "rename": ("NEW",)}[command]
    done = workflow("secrets", command, name, *extra, input=b"canary-7f1c")
    assert (2, "") == (done.returncode, done.stdout)
    lines = done.stderr.splitlines()
    assert lines[0].startswith("error: invalid secret name: ")
    assert lines[1] == "hint: a name has 1 to 128 of: letters A-Z a-z, digits, '_' and '-'"
    assert len(lines) == 2
    assert "\x1b" not in done.stderr
    assert not home.exists()


@pytest.mark.parametrize("name", ["A", "a-b_c", "0", "-", "_", "x" * 128])
def test_a_good_name_is_stored(workflow, name: str) -> None:
    dashes = ("--",) if name.startswith("-") else ()
    workflow.ok("secrets", "set", *dashes, name, input=b"value")
    assert workflow.ok("secrets", "get", *dashes, name) == "value"


def test_what_was_done_is_said_on_stderr_unless_it_shall_be_quiet(workflow, home: Path) -> None:
    first = workflow("secrets", "set", "A", input=b"first value")
    assert first.stdout == ""
    assert first.stderr.splitlines()[-1] == "secret 'A' stored"
    assert str(home / "secret.key") in first.stderr.splitlines()[0]
    again = workflow("secrets", "set", "A", "--quiet", input=b"other value")
    assert (0, "", "") == (again.returncode, again.stdout, again.stderr)


def test_the_first_key_is_announced_even_to_the_quiet(workflow, home: Path) -> None:
    done = workflow("secrets", "set", "A", "-q", input=b"value")
    assert f"created the master key {home / 'secret.key'}" in done.stderr
    assert "stored" not in done.stderr


def test_a_value_too_short_to_mask_is_stored_with_a_warning_that_names_it(workflow) -> None:
    done = workflow("secrets", "set", "PIN", input=b"123")
    assert done.returncode == 0
    assert "warning: secret 'PIN' cannot be masked in logs: shorter than 4 bytes" in done.stderr


def test_two_sources_of_a_value_exclude_each_other(workflow, home: Path) -> None:
    assert "exclude each other" in workflow.fails("secrets", "set", "A", "v", "--from-file", "-", code=2)
    assert not home.exists()


@pytest.mark.parametrize(
    ("make", "code", "message"),
    [
        (lambda path: None, 2, "no such file or directory: '{path}'"),
        (lambda path: path.mkdir(), 2, "is a directory: '{path}'"),
        (lambda path: path.touch(0o000), 9, "permission denied: '{path}'"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(workflow, tmp_path: Path, home: Path, make, code, message) -> None:
    path = tmp_path / "value"
    make(path)
    said = workflow.fails("secrets", "set", "A", "--from-file", path, code=code, powerless=True)
    assert message.format(path=path) == said
    assert not home.exists()


def test_a_value_is_replaced_and_keeps_its_birthday(workflow) -> None:
    workflow.ok("secrets", "set", "A", input=b"old value")
    (old,) = json.loads(workflow.ok("secrets", "list", "--json"))
    workflow.ok("secrets", "set", "A", input=b"new value")
    (new,) = json.loads(workflow.ok("secrets", "list", "--json"))
    assert workflow.ok("secrets", "get", "A") == "new value"
    assert old["created_at"] == new["created_at"]
    assert old["updated_at"] < new["updated_at"]


def test_no_file_of_the_home_holds_the_value(workflow, home: Path) -> None:
    workflow.ok("secrets", "set", "A", input=b"canary-7f1c-old")
    workflow.ok("secrets", "set", "A", input=b"canary-7f1c-new")
    files = [path for path in home.rglob("*") if path.is_file()]
    assert {"secrets.db", "secret.key"} <= {file.name for file in files}
    for file in files:
        assert b"canary-7f1c" not in file.read_bytes(), file
    for path in home.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
