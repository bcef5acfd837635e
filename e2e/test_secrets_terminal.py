"""A person at a terminal: what is asked, what is hidden, and every way to give up."""

import fcntl
import signal
import subprocess
import sys
import termios
import time

import pytest

CANARY = "canary-7f1c"


def test_a_value_is_asked_for_twice_and_never_shown(terminal, workflow) -> None:
    child = terminal("secrets", "set", "A")
    child.expect_exact("Value of 'A' (not shown): ")
    child.sendline(CANARY)
    child.expect_exact("Once more: ")
    child.sendline(CANARY)
    code, shown = child.ended()
    assert code == 0
    assert "secret 'A' stored" in shown
    assert CANARY not in shown
    assert workflow.ok("secrets", "get", "A") == CANARY


def test_an_answer_given_before_the_question_counts_and_is_hidden_too(terminal, workflow) -> None:
    child = terminal("secrets", "set", "A")
    child.expect_exact("Value of 'A' (not shown): ")
    child.send(f"{CANARY}\n{CANARY}\n")
    code, shown = child.ended()
    assert code == 0
    assert CANARY not in shown
    assert workflow.ok("secrets", "get", "A") == CANARY


def test_two_entries_that_differ_store_nothing(terminal, home) -> None:
    child = terminal("secrets", "set", "A")
    child.expect_exact("(not shown): ")
    child.sendline(CANARY)
    child.expect_exact("Once more: ")
    child.sendline(CANARY + "x")
    code, shown = child.ended()
    assert code == 2
    assert "the two entries differ" in shown
    assert CANARY not in shown
    assert not home.exists()


def test_a_pasted_text_of_several_lines_is_refused_and_its_rest_reaches_nobody(terminal, home) -> None:
    child = terminal("secrets", "set", "A")
    child.expect_exact("(not shown): ")
    child.send("-----BEGIN KEY-----\ncanary-7f1c\ncanary-7f1c\n-----END KEY-----\n")
    code, shown = child.ended()
    assert code == 2
    assert "the two entries differ" in shown
    assert "--from-file" in shown
    assert CANARY not in shown
    assert not home.exists()


def test_a_line_longer_than_a_terminal_hands_over_is_refused(terminal, home) -> None:
    """The kernel drops what is beyond 4,095 bytes, twice the same way: the two entries would not differ."""
    child = terminal("secrets", "set", "A")
    child.expect_exact("(not shown): ")
    child.send("x" * 5000 + "\n")
    code, shown = child.ended()
    assert code == 2
    assert "a terminal cannot hand over lines of 4,095 bytes or more" in shown
    assert not home.exists()


def test_no_entry_is_an_empty_value(terminal, home) -> None:
    child = terminal("secrets", "set", "A")
    child.expect_exact("(not shown): ")
    child.sendline("")
    child.expect_exact("Once more: ")
    child.sendline("")
    code, shown = child.ended()
    assert (2, True) == (code, "secret value cannot be empty" in shown)
    assert not home.exists()


@pytest.mark.parametrize(
    ("typed", "code", "said"),
    [
        ("\x03", 130, "error: interrupted"),
        (CANARY + "\x03", 130, "error: interrupted"),
        ("\x04", 2, "error: the input ended before an answer"),
    ],
)
def test_ctrl_c_and_ctrl_d_give_up_and_leave_the_terminal_as_it_was(
    terminal, home, typed: str, code: int, said: str
) -> None:
    child = terminal("secrets", "set", "A", env={"NO_COLOR": "1"})
    child.expect_exact("(not shown): ")
    assert not child.getecho()
    child.send(typed)
    child.expect_exact("\r\n" + said)  # on a line of its own
    assert CANARY not in child.before.decode()
    assert child.getecho()
    assert (code, "\n") == child.ended()
    assert not home.exists()


def test_a_bad_name_is_refused_before_anything_is_asked(terminal) -> None:
    code, shown = terminal("secrets", "set", "my key").ended()
    assert code == 2
    assert "invalid secret name" in shown
    assert "Value of" not in shown


def test_a_value_on_a_terminal_ends_with_a_line_break(terminal, workflow) -> None:
    workflow.ok("secrets", "set", "A", input=CANARY)
    code, shown = terminal("secrets", "get", "A", "-q").ended()
    assert (0, f"{CANARY}\n") == (code, shown)


@pytest.mark.parametrize(
    ("answer", "deleted"), [("y", True), ("YES", True), ("n", False), ("", False), ("\x04", False)]
)
def test_delete_asks_and_only_yes_is_yes(terminal, workflow, answer: str, deleted: bool) -> None:
    workflow.ok("secrets", "set", "A", input=CANARY)
    child = terminal("secrets", "delete", "A")
    child.expect_exact("Delete secret 'A' for good? [y/N] ")
    child.send(answer if answer == "\x04" else answer + "\n")
    code, shown = child.ended()
    assert code == 0
    assert ("secret 'A' deleted" if deleted else "nothing was deleted") in shown
    assert (4 if deleted else 0) == workflow("secrets", "get", "A").returncode


def test_ctrl_c_at_the_question_deletes_nothing(terminal, workflow) -> None:
    workflow.ok("secrets", "set", "A", input=CANARY)
    child = terminal("secrets", "delete", "A")
    child.expect_exact("[y/N] ")
    child.send("\x03")
    assert child.ended()[0] == 130
    assert workflow.ok("secrets", "get", "A") == CANARY


def test_force_asks_nothing(terminal, workflow) -> None:
    workflow.ok("secrets", "set", "A", input=CANARY)
    code, shown = terminal("secrets", "delete", "A", "--force").ended()
    assert (0, "secret 'A' deleted\n") == (code, shown)


@pytest.mark.parametrize(("env", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colour_is_an_ornament_that_can_be_switched_off(terminal, env: dict[str, str], coloured: bool) -> None:
    _, shown = terminal("secrets", "get", "A", env=env).ended()
    assert coloured == ("\x1b[31merror:\x1b[0m secret 'A' not found" in shown)
    assert coloured == ("\x1b" in shown)


def test_a_name_of_terminal_escapes_moves_no_cursor(terminal) -> None:
    _, shown = terminal("secrets", "get", "\x1b[2J\x1b]0;title\x07", env={"NO_COLOR": "1"}).ended()
    assert "invalid secret name" in shown
    assert "\x1b" not in shown
    assert "\x07" not in shown


def test_ctrl_c_while_reading_a_pipe_is_130(workflow) -> None:
    with subprocess.Popen(
        [workflow.executable, "secrets", "set", "A"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=workflow.environment(),
    ) as child:
        assert child.stdin is not None
        assert child.stderr is not None
        child.stdin.write(b"half a va")
        child.stdin.flush()
        while unread(child.stdin.fileno()):  # until the command has taken it, and so waits for the rest
            time.sleep(0.01)
        child.send_signal(signal.SIGINT)
        assert child.stderr.read() == b"error: interrupted\n"
    assert child.returncode == 130
    assert not workflow.home.exists()


def unread(pipe: int) -> int:
    """Return how many bytes of a pipe nobody has read yet."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4), sys.byteorder)
