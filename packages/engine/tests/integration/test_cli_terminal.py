"""Terminals of an unusual kind, made with real ones: not the controlling one, not on stderr, or none at all."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pexpect

ASK = "from autokestra.cli import console; print(console.ask_hidden('Value: ', 'Again: '))"


def test_without_any_terminal_nobody_is_asked() -> None:
    script = (
        "from autokestra.cli import console\n"
        "from autokestra.errors import UsageError\n"
        "for ask in (console.ask_hidden, console.confirm):\n"
        "    try: ask('Value: ')\n"
        "    except UsageError as error: print(error.message)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        start_new_session=True,
        check=True,
    )
    assert done.stdout == b"there is no terminal to ask\n" * 2
    assert done.stderr == b""


def test_a_terminal_on_stdin_that_is_not_the_controlling_one_is_asked() -> None:
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, "-c", ASK],
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=theirs,
            start_new_session=True,  # a session of its own has no controlling terminal
        ) as child:
            shown = b""
            for question in (b"Value: ", b"Again: "):
                while question not in shown:
                    shown += os.read(ours, 1000)
                os.write(ours, b"hunter2\n")
            assert child.stdout is not None
            assert child.stdout.read() == b"(b'hunter2', b'hunter2')\n"
        assert child.returncode == 0
        assert b"hunter2" not in shown
    finally:
        os.close(ours)
        os.close(theirs)


def test_the_question_is_seen_when_stderr_goes_to_a_file(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = pexpect.spawn(
        "/bin/sh", ["-c", f'exec "{sys.executable}" -c "$ASK" 2> "{log}"'], env={**os.environ, "ASK": ASK}
    )
    try:
        for question in ("Value: ", "Again: "):
            child.expect_exact(question)
            child.sendline("hunter2")
        child.expect_exact("(b'hunter2', b'hunter2')")
        child.expect(pexpect.EOF)
    finally:
        child.close(force=True)
    assert log.read_text() == ""
