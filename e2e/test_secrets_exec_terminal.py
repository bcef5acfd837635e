"""`workflow secrets exec` on a terminal: the program notices nothing, and the person sees no secret."""

import shlex
import sys
import termios
import time
from pathlib import Path

import pexpect
import pytest

CANARY = "hunter2-canary-7f1c"
STOPPED = r"\[1\]\+  Stopped"


@pytest.fixture
def stored(workflow):
    workflow.ok("secrets", "set", "TOKEN", input=CANARY)
    return workflow


@pytest.fixture
def python(terminal, stored, tmp_path: Path):
    """Start a Python program under `exec`, on a terminal."""

    def start(text: str, *options: str, **more):
        script = tmp_path / "program.py"
        script.write_text(text)
        return terminal("secrets", "exec", *options, "--", sys.executable, script, **more)

    return start


@pytest.fixture
def shell(stored):
    """A shell with job control, where `x` is `workflow secrets exec --`, and every line answered by `ready> `."""
    child = pexpect.spawn(
        "bash",
        ["--norc", "--noprofile", "--noediting", "-i"],
        env={**stored.environment({"TERM": "xterm"}), "PS1": "ready> ", "HISTFILE": ""},
        cwd=str(stored.user),
        timeout=30,
        dimensions=(30, 100),
    )
    child.expect_exact("ready> ")
    child.sendline(f'x() {{ {shlex.quote(str(stored.executable))} secrets exec "$@"; }}')
    child.expect_exact("ready> ")
    yield child
    child.close(force=True)


def modes(child) -> list:
    return termios.tcgetattr(child.child_fd)[:4]


# --- what is seen -------------------------------------------------------------------------------------------------


def test_the_program_has_a_terminal_and_its_colours_are_kept(python) -> None:
    child = python(
        "import os,sys\nprint([os.isatty(n) for n in (0,1,2)], '\\x1b[31mred\\x1b[0m', os.environ['TOKEN'])\n"
        "print('err', os.environ['TOKEN'], file=sys.stderr); open('/dev/tty','w').write(os.environ['TOKEN']+'\\n')"
    )
    code, shown = child.ended()
    assert (0, "[True, True, True] \x1b[31mred\x1b[0m ***SECRET***\nerr ***SECRET***\n***SECRET***\n") == (code, shown)


def test_what_is_written_in_two_halves_is_masked(python) -> None:
    child = python(
        "import os,time\nvalue=os.environb[b'TOKEN']\nos.write(1,b'<'+value[:9]); time.sleep(0.6)\n"
        "os.write(1,value[9:]+b'>')"
    )
    assert (0, "<***SECRET***>") == child.ended()


def test_at_most_three_bytes_are_seen_before_they_are_known_to_be_a_secret(python) -> None:
    child = python("import os,time\nfor b in os.environb[b'TOKEN']: os.write(1,bytes([b])); time.sleep(0.3)")
    assert (0, "hun***SECRET***") == child.ended()


def test_strict_shows_none_of_them(python) -> None:
    text = "import os,time\nfor b in os.environb[b'TOKEN']: os.write(1,bytes([b])); time.sleep(0.3)"
    assert (0, "***SECRET***") == python(text, "--strict").ended()


def test_what_one_types_is_echoed_at_once_and_a_secret_never_whole(python) -> None:
    child = python("print('ask', flush=True); line = input(); print(len(line)); input()")
    child.expect_exact("ask\r\n")
    for key in "hub":  # the first two begin the secret
        child.send(key)
        child.expect_exact(key, timeout=5)
    child.send("\x15")  # the terminal of the program erases it
    child.expect_exact("\b \b" * 3)
    shown = b""
    for key in CANARY:
        child.send(key)
        time.sleep(0.35)
    child.send("!\n")
    child.expect_exact(f"{len(CANARY) + 1}\r\n")
    shown = child.before
    assert b"hun***SECRET***!\r\n" == shown
    child.send(CANARY + "\n")
    code, shown = child.ended()
    assert (0, "***SECRET***\n") == (code, shown)


def test_a_megabyte_at_once_comes_out_whole(python) -> None:
    child = python(
        "import os,sys\nline=('x'*40+os.environ['TOKEN']+'y'*40+'\\n')\nsys.stdout.write(line*10000); print('end')"
    )
    code, shown = child.ended()
    assert 0 == code
    assert ("x" * 40 + "***SECRET***" + "y" * 40 + "\n") * 10000 + "end\n" == shown


def test_a_full_screen_program_draws_reads_keys_and_leaves(python) -> None:
    child = python(
        "import curses,os\n"
        "def main(screen):\n"
        "    screen.addstr(1, 2, 'token ' + os.environ['TOKEN']); screen.refresh()\n"
        "    key = screen.getch(); screen.addstr(2, 2, f'key {key}'); screen.refresh(); screen.getch()\n"
        "curses.wrapper(main)\n"
        "print('left')\n"
    )
    child.expect_exact("token ***SECRET***")
    child.send("k")
    child.expect_exact(f"key {ord('k')}")
    child.send("q")
    code, shown = child.ended()
    assert 0 == code
    assert shown.endswith("left\n")
    assert CANARY not in shown


def test_the_window_size_is_ours_and_follows_it(python) -> None:
    child = python(
        "import os,signal,time\nshow=lambda *_: print('size', *os.get_terminal_size(), flush=True)\n"
        "signal.signal(signal.SIGWINCH, show); show()\ntime.sleep(30)"
    )
    child.expect_exact("size 80 24\r\n")
    child.setwinsize(33, 101)
    child.expect_exact("size 101 33\r\n")
    child.send("\x03")
    assert 128 + 2 == child.ended()[0]


@pytest.mark.parametrize("ending", ["exit 0", "exit 9", "kill -9 $$", "stty raw -echo; exit 1"])
def test_the_terminal_is_left_as_it_was(terminal, stored, ending: str) -> None:
    child = terminal("secrets", "exec", "--", "sh", "-c", f"echo ready; read line; {ending}")
    before = modes(child)
    child.expect_exact("ready\r\n")
    assert before != modes(child)
    child.sendline("")
    child.expect(pexpect.EOF)
    assert before == modes(child)
    child.close()


def test_the_terminal_is_left_as_it_was_when_the_program_cannot_start(terminal, stored) -> None:
    child = terminal("secrets", "exec", "--", "no-such-program", env={"NO_COLOR": "1"})
    before = modes(child)
    child.expect(pexpect.EOF)
    assert before == modes(child)
    child.close()
    assert 127 == child.exitstatus


# --- signals and jobs ---------------------------------------------------------------------------------------------


def test_ctrl_c_reaches_the_program_alone(python) -> None:
    child = python(
        "import time\nprint('ready', flush=True)\ntry: time.sleep(30)\n"
        "except KeyboardInterrupt: print('caught'); raise SystemExit(3)"
    )
    child.expect_exact("ready\r\n")
    child.send("\x03")
    assert (3, "^Ccaught\n") == child.ended()


def test_ctrl_c_is_a_key_for_a_program_that_wants_it_so(python) -> None:
    child = python("import os,tty\ntty.setraw(0); os.write(1,b'ready'); print(repr(os.read(0,1)))")
    child.expect_exact("ready")
    child.send("\x03")
    assert (0, "b'\\x03'\n") == child.ended()


def test_ctrl_d_is_the_end_of_input(terminal, stored) -> None:
    child = terminal("secrets", "exec", "--", "sh", "-c", "echo ready; exec cat")
    child.expect_exact("ready\r\n")
    child.send("hello\n\x04")
    assert (0, "hello\nhello\n") == child.ended()


def test_ctrl_z_without_a_shell_stops_nothing_for_ever(python) -> None:
    child = python("import time\nprint('ready', flush=True)\ntime.sleep(1)\nprint('done')")
    child.expect_exact("ready\r\n")
    child.send("\x1a")
    assert (0, "^Zdone\n") == child.ended()


def test_ctrl_z_and_fg(shell) -> None:
    before = modes(shell)
    shell.sendline("x cat")
    shell.sendline("one")
    shell.expect_exact("one\r\none\r\n")
    shell.send("\x1a")
    shell.expect(STOPPED)
    shell.expect_exact("ready> ")
    assert before == modes(shell)
    shell.sendline("fg")
    shell.expect_exact("secrets exec")
    shell.expect_exact("\r\n")
    time.sleep(0.3)
    shell.sendline("two")
    shell.expect_exact("two\r\ntwo\r\n")
    shell.send("\x04")
    shell.expect_exact("ready> ")
    shell.sendline("echo code $?")
    shell.expect_exact("code 0\r\n")
    assert before == modes(shell)


def test_ctrl_z_reaches_the_whole_pipeline(shell) -> None:
    shell.sendline("x cat | cat")
    shell.sendline("one")
    shell.expect(r"one\r+\none\r+\n")
    shell.send("\x1a")
    shell.expect(STOPPED)
    shell.expect_exact("ready> ")
    shell.sendline("fg")
    time.sleep(0.5)
    shell.sendline("two")
    shell.expect(r"two\r+\ntwo\r+\n")
    shell.send("\x04")
    shell.expect_exact("ready> ")


def test_a_job_in_the_background_writes_and_waits_for_its_turn_to_read(shell) -> None:
    shell.sendline("x sh -c 'echo $TOKEN; read line; echo got $line' &")
    shell.expect_exact("***SECRET***")
    time.sleep(0.5)
    shell.sendline("")
    shell.expect(r"Stopped")
    shell.expect_exact("ready> ")
    shell.sendline("fg")
    time.sleep(0.5)
    shell.sendline("my line")
    shell.expect_exact("got my line\r\n")
    shell.expect_exact("ready> ")


def test_the_keyboard_is_left_to_the_pager_of_a_pipeline(shell) -> None:
    """`exec -- program | less`: the keys are for less, though our stdin is the terminal too."""
    shell.sendline("x seq 1000 | less")
    shell.expect_exact("\r\n:")
    shell.send("G")
    shell.expect_exact("1000")
    shell.send("q")
    shell.expect_exact("ready> ")


def test_a_pager_at_the_end_of_a_pipeline_gets_the_keyboard(shell) -> None:
    shell.sendline("(seq 500; echo last) | x less")
    shell.expect_exact("\r\n:")
    shell.send("G")
    shell.expect_exact("last")
    shell.send("q")
    shell.expect_exact("ready> ")


def test_a_shell_within_has_jobs_of_its_own(shell) -> None:
    shell.sendline("x bash --norc --noprofile --noediting")
    shell.expect(r"\$ |# |ready> ")
    shell.sendline("PS1='inner> '")
    shell.expect_exact("inner> ")
    shell.expect_exact("inner> ")
    shell.sendline("sleep 50")
    time.sleep(0.5)
    shell.send("\x1a")
    shell.expect(STOPPED)
    shell.expect_exact("inner> ")
    shell.sendline("kill -9 %1; wait %1; echo $TOKEN")
    shell.expect_exact("\r\n***SECRET***\r\n")
    shell.sendline("exit 4")
    shell.expect_exact("ready> ")
    shell.sendline("echo code $?")
    shell.expect_exact("code 4\r\n")


def test_typed_ahead_lines_are_for_the_program(python) -> None:
    child = python("import time; time.sleep(0.5); print([input(), input()])")
    child.send("one\ntwo\n")
    code, shown = child.ended()
    assert 0 == code
    assert shown.endswith("['one', 'two']\n")


def test_a_terminal_that_is_gone_ends_the_program(python, tmp_path: Path) -> None:
    child = python(
        "import os,signal,sys,time\n"
        f"signal.signal(signal.SIGHUP, lambda *_: (open({str(tmp_path / 'hup')!r}, 'w'), sys.exit(1)))\n"
        "print('ready', flush=True)\ntime.sleep(30)"
    )
    child.expect_exact("ready\r\n")
    child.close(force=False)
    deadline = time.monotonic() + 10
    while not (tmp_path / "hup").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
