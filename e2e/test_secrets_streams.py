"""Streams that are closed, full or unread: data is written whole or the command says that it was not."""

import subprocess
from pathlib import Path

import pytest


@pytest.fixture
def shell(workflow):
    """Run a shell line in which `$W` is the command, in the environment of the other tests."""
    workflow.ok("secrets", "set", "A", input="value-of-A")
    env = workflow.environment({"W": str(workflow.executable)})

    def run(line: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(["/bin/sh", "-c", line], env=env, capture_output=True, timeout=60, check=False)

    return run


@pytest.mark.parametrize("args", ["get A -q", "get A -q --json", "list", "list --json", "key show"])
def test_data_for_a_closed_stdout_is_an_error(shell, args: str) -> None:
    done = shell(f"$W secrets {args} >&-")
    assert (2, b"error: stdout is closed, and there is something to write to it\n") == (done.returncode, done.stderr)


@pytest.mark.parametrize("args", ["get A -q", "get A -q --json", "list", "list --json", "key show"])
def test_data_for_a_full_disk_is_an_error(shell, args: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    done = shell(f"$W secrets {args} >/dev/full")
    assert (8, b"error: no space left on device: 'stdout'\n") == (done.returncode, done.stderr)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("run flow.yaml >/dev/full", 0),
        ("run flow.yaml --json >/dev/full", 0),
        ("secrets nope", 2),
        ("secrets get NOPE", 4),
        ("secrets", 2),
        ("--version >/dev/full", 8),
    ],
)
def test_talk_for_a_full_disk_changes_no_exit_code(shell, workflow, line: str, code: int) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    (workflow.user / "flow.yaml").write_text("id: a\ntasks: [{id: a, type: core/console.log, inputs: {message: hi}}]\n")
    assert b"%d\n" % code == shell(f"cd {workflow.user}; ($W {line}) 2>/dev/full; echo $?").stdout


@pytest.mark.parametrize(("where", "code"), [("/dev/full", 8), ("&-", 2)])
def test_a_recovery_key_whose_page_was_not_written_is_taken_away_again(shell, where: str, code: int) -> None:
    if where == "/dev/full" and not Path(where).exists():
        pytest.skip("no /dev/full here")
    before = shell("$W secrets key list").stdout
    done = shell(f"$W secrets key add --recovery >{where}")
    assert code == done.returncode
    assert b"the page was not written, so its key 2 was taken away again" in done.stderr
    assert before == shell("$W secrets key list").stdout
    done = shell("$W secrets key add --recovery")
    assert (0, True) == (done.returncode, b"key slot 2" in done.stdout)


@pytest.mark.parametrize("args", ["get A -q", "list", "--help"])
def test_a_reader_that_went_away_is_nothing_to_talk_about(shell, args: str) -> None:
    """The pipe's reader is gone before anything is written."""
    done = shell(f"( sleep 1; $W secrets {args}; echo $? >&2 ) | true")
    assert done.stderr == b"141\n"


def test_without_data_a_closed_stdout_is_no_matter(shell) -> None:
    done = shell("printf other | $W secrets set B -q >&- && $W secrets delete B --force -q >&-")
    assert (0, b"") == (done.returncode, done.stderr)


def test_a_closed_stderr_is_no_matter(shell) -> None:
    done = shell("$W secrets get A 2>&-")
    assert (0, b"value-of-A") == (done.returncode, done.stdout)
    done = shell("$W secrets get B 2>&-; echo $?")
    assert done.stdout == b"4\n"


def test_a_closed_stdin_has_no_value(shell) -> None:
    done = shell("$W secrets set B <&-")
    assert done.returncode == 2
    assert done.stderr == b"error: stdin is closed, and there is something to read from it\n"


def test_nothing_that_is_printed_gets_into_a_store_that_took_the_number_of_a_closed_stream(shell, workflow) -> None:
    shell("printf other | $W secrets set B >&- 2>&-")
    assert workflow.ok("secrets", "get", "B") == "other"
    content = (workflow.home / "secrets.db").read_bytes()
    assert content.startswith(b"SQLite format 3")
    assert b"stored" not in content
    assert b"stored" not in (workflow.home / "secret.key").read_bytes()
