"""The live view, on a real terminal and as a person sees it: pyte is the screen that the bytes make."""

import json
import os
import re
import signal
import time

import pexpect
import pyte
import pytest

SECONDS = 60
SECRET = "tok-4f9c2e7a81d35b60"
VIEW = re.compile(r"^[>+x~ -] \w+ +(running|done|waits|failed|again|skipped|stopped)", re.MULTILINE)


class Screen:
    """A terminal with a person before it: what the bytes of a command make of it."""

    def __init__(self, child, rows=24, columns=80):
        self.child = child
        self.raw = b""
        self._screen = pyte.HistoryScreen(columns, rows, history=100_000, ratio=0.5)
        self._stream = pyte.ByteStream(self._screen)

    @property
    def text(self):
        """What is on the screen, with what has scrolled out of it at the top."""
        history = ["".join(line[x].data for x in range(self._screen.columns)) for line in self._screen.history.top]
        return "\n".join(line.rstrip() for line in [*history, *self._screen.display]).rstrip()

    def until(self, what):
        """Look on until `what` (a pattern) is seen."""
        deadline = time.monotonic() + SECONDS
        while not re.search(what, self.text, re.MULTILINE):
            assert time.monotonic() < deadline, f"{what} was not seen:\n{self.text}"
            self._read()

    def end(self):
        """Look on until the command has ended; return its exit code."""
        while self._read():
            pass
        self.child.close()
        return self.child.exitstatus

    def resize(self, rows, columns):
        self.child.setwinsize(rows, columns)
        self._screen.resize(rows, columns)

    def _read(self):
        try:
            data = self.child.read_nonblocking(65536, timeout=0.05)
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        self.raw += data
        self._stream.feed(data)
        return True


@pytest.fixture
def watch(workflow, terminal):
    """Start `workflow run` of a flow on a terminal and look at it."""

    def start(flow, *options, rows=24, columns=80, env=None):
        (workflow.user / "flow.yaml").write_text(json.dumps(flow), encoding="utf-8")
        child = terminal("run", "flow.yaml", *options, env=env, rows=rows, columns=columns)
        return Screen(child, rows, columns)

    return start


def shell(id_, script, **more):
    return {"id": id_, "type": "core/shell.run", "inputs": {"script": script}, **more}


WAIT = "until test -e go; do sleep 0.02; done"
SLOW = {
    "id": "slow",
    "tasks": [
        shell("first", "echo one; echo two"),
        shell("hold", f"echo holding on; {WAIT}", needs=["first"]),
        shell("last", "echo three", needs=["hold"]),
    ],
}


def go(workflow):
    (workflow.user / "go").touch()


def plain(text):
    """The lines of a run without what differs from run to run."""
    return re.sub(r"\d+\.\d\d s|execution \w{16}", "…", text)


def test_the_view_stands_under_the_lines_and_leaves_nothing_behind(workflow, watch):
    screen = watch(SLOW)
    screen.until(r"^> hold +running +\d+ s  holding on$")
    seen = screen.text
    assert re.search(r"^\+ first +done +0 s$", seen, re.MULTILINE)
    assert re.search(r"^  last +waits$", seen, re.MULTILINE)
    assert re.search(r"^1 of 3 tasks ended, 1 running, \d+ s$", seen, re.MULTILINE)
    assert seen.index("[hold] holding on") < seen.index("> hold")
    go(workflow)
    assert 0 == screen.end()
    assert not VIEW.search(screen.text)
    in_a_pipe = workflow.ok("run", "flow.yaml")
    assert plain(in_a_pipe).splitlines() == plain(screen.text).splitlines()


def test_a_short_run_shows_no_view(watch):
    screen = watch({"id": "short", "tasks": [shell("a", "echo hello")]}, env={"NO_COLOR": "1"})
    assert 0 == screen.end()
    assert b"\x1b" not in screen.raw or not VIEW.search(screen.text)
    assert "[a] hello" in screen.text.splitlines()


@pytest.mark.parametrize(
    ("options", "env"), [([], {"TERM": "dumb"}), (["--plain"], {"NO_COLOR": "1"}), (["--quiet"], {})]
)
def test_without_a_view_nothing_moves_the_cursor(workflow, watch, options, env):
    screen = watch(SLOW, *options, env=env)
    if "--quiet" not in options:
        screen.until("holding on")
    time.sleep(0.6)
    go(workflow)
    assert 0 == screen.end()
    assert b"\x1b" not in screen.raw
    assert ("" == screen.text) == ("--quiet" in options)


def test_no_color_is_obeyed_and_the_view_is_there_all_the_same(workflow, watch):
    screen = watch(SLOW, env={"NO_COLOR": "1"})
    screen.until(r"^> hold +running")
    go(workflow)
    assert 0 == screen.end()
    assert b"m" not in {part[-1:] for part in re.findall(rb"\x1b\[[0-9;?]*[A-Za-z]", screen.raw)}


ATTACK = r"""
import sys, time
from pathlib import Path
for line in [
    "\x1b[2J\x1b[H", "\x1b[5A\x1b[J", "\x1b]0;forged\x07", "\x1bc", "\x1b[?25l", "\x9b3A", "a\rforged", "\x1b[31mred",
    "+ other    done            0 s", "\u202eforged", "\u2028x", "wide " + "\U0001f600\ufe0f" * 200, "\x1bP0;1|17/ab\x1b\\",
]:
    print(line, flush=True)
    time.sleep(0.05)
while not Path("go").exists():
    time.sleep(0.02)
print("\x1b[3A\x1b[Jlast words")
sys.exit(3)
"""


def test_no_task_can_forge_the_view(workflow, watch):
    flow = {
        "id": "attack",
        "tasks": [
            {"id": "evil", "type": "core/python.run", "continueOnError": True, "inputs": {"script": ATTACK}},
            shell("other", WAIT),
        ],
    }
    screen = watch(flow)
    screen.until(r"^> evil +running +\d+ s  .*P0;1")
    assert re.search(r"^> other +running", screen.text, re.MULTILINE)
    assert 2 == len(VIEW.findall(screen.text)), screen.text
    go(workflow)
    assert 0 == screen.end()
    allowed = rb"\x1b\[(?:\d+A|J|\?7[hl]|[0-9;]*m)"
    assert b"\x1b" not in re.sub(allowed, b"", screen.raw)
    ours = {int(rows) for rows in re.findall(rb"\x1b\[(\d+)A", screen.raw)}
    assert ours <= {4}, "the cursor goes up by the rows of the view and by no others"
    lines = screen.text.splitlines()
    assert r"[evil] \x1b[2J\x1b[H" in lines
    assert r"[evil] a\x0dforged" in lines
    assert r"[evil] \u202eforged" in lines
    assert r"[evil] \x1b[3A\x1b[Jlast words" in lines
    assert not VIEW.search(screen.text)


def test_the_last_line_is_masked(workflow, watch):
    workflow.ok("secrets", "set", "TOKEN", input=SECRET)
    flow = {
        "id": "leak",
        "secrets": ["TOKEN"],
        "tasks": [shell("leak", f'echo "the token is $T"; {WAIT}', env={"T": "{{ secrets.TOKEN }}"})],
    }
    screen = watch(flow)
    screen.until(r"^> leak +running +\d+ s  the token is \*\*\*SECRET\*\*\*$")
    go(workflow)
    assert 0 == screen.end()
    assert SECRET.encode() not in screen.raw


def test_ctrl_c_takes_the_view_back(watch):
    screen = watch(SLOW)
    screen.until(r"^> hold +running")
    os.kill(screen.child.pid, signal.SIGINT)
    assert 130 == screen.end()
    assert not VIEW.search(screen.text)
    assert "stopping: running tasks are terminated; once more to leave at once" in screen.text.splitlines()
    assert re.search(r"^CANCELLED after", screen.text, re.MULTILINE)


def test_a_small_terminal_has_a_small_view_or_none(workflow, watch):
    screen = watch(SLOW, rows=10, columns=32)
    screen.until(r"^> hold +running")
    assert all(len(line) <= 31 for line in screen.text.splitlines() if VIEW.match(line))
    go(workflow)
    assert 0 == screen.end()
    (workflow.user / "go").unlink()
    screen = watch(SLOW, rows=5, columns=20)
    screen.until("holding on")
    time.sleep(0.6)
    assert not VIEW.search(screen.text)
    go(workflow)
    assert 0 == screen.end()


def test_a_window_may_change_its_size(workflow, watch):
    screen = watch(SLOW)
    screen.until(r"^> hold +running")
    for rows, columns in ((12, 40), (40, 120), (3, 10), (24, 80)):
        screen.resize(rows, columns)
        time.sleep(0.3)
    screen.until(r"^> hold +running")
    go(workflow)
    assert 0 == screen.end()
    assert re.search(r"^SUCCESS after", screen.text, re.MULTILINE)
    assert screen.text.rstrip().splitlines()[-1].startswith("SUCCESS")


def test_items_are_counted_and_not_listed(workflow, watch):
    flow = {
        "id": "many",
        "tasks": [
            shell("many", "test {{ item }} -ne 150", forEach=list(range(300)), continueOnError=True),
            shell("hold", WAIT),
        ],
    }
    screen = watch(flow)
    screen.until(r"^x many +failed .*300 of 300  1 failed$")
    go(workflow)
    assert 0 == screen.end()
    assert {"[many[150]] exited with code 1"} == {
        line for line in screen.text.splitlines() if line.startswith("[many[") and "FAILED" not in line
    }
    assert "[many] started: 300 items" in screen.text.splitlines()


def test_a_flood_of_lines_arrives_whole_and_in_order(workflow, watch):
    script = "for n in range(30_000): print('line', n)"
    flow = {
        "id": "flood",
        "tasks": [
            shell("hold", WAIT),
            {"id": "noisy", "type": "core/python.run", "needs": ["hold"], "inputs": {"script": script}},
        ],
    }
    screen = watch(flow)
    screen.until(r"^> hold +running")
    go(workflow)
    assert 0 == screen.end()
    lines = [int(number) for number in re.findall(r"^\[noisy\] line (\d+)$", screen.text, re.MULTILINE)]
    assert list(range(30_000)) == lines


def test_after_a_pause_a_new_view_is_drawn_below(workflow, watch):
    """What Ctrl-Z and `fg` do: the shell has written where the view ended, and none of that is taken back."""
    screen = watch(SLOW)
    screen.until(r"^> hold +running")
    os.kill(screen.child.pid, signal.SIGSTOP)
    os.kill(screen.child.pid, signal.SIGCONT)
    screen.until(r"^> hold +running(.|\n)*^> hold +running")
    go(workflow)
    assert 0 == screen.end()
    assert 1 == len(re.findall(r"^> hold +running", screen.text, re.MULTILINE))
    assert screen.text.splitlines()[-1].startswith("SUCCESS after")


def test_in_the_background_there_are_lines_only(workflow):
    (workflow.user / "flow.yaml").write_text(json.dumps(SLOW), encoding="utf-8")
    script = f"set -m; {workflow.executable} run flow.yaml & sleep 2; touch go; wait $!"
    shell_ = pexpect.spawn("bash", ["-c", script], env=workflow.environment({"TERM": "xterm"}), cwd=str(workflow.user))
    screen = Screen(shell_)
    assert 0 == screen.end()
    assert not re.search(rb"\x1b\[\d+A", screen.raw)
    assert "[hold] holding on" in screen.text.splitlines()


def test_a_resume_knows_what_had_ended(workflow, watch, terminal):
    flow = {
        "id": "twice",
        "tasks": [shell("done", "true"), shell("hold", f"test -e again || exit 1; {WAIT}", needs=["done"])],
    }
    assert 1 == watch(flow).end()
    (workflow.user / "again").touch()
    screen = Screen(terminal("execution", "resume", "latest"))
    screen.until(r"^> hold +running")
    assert re.search(r"^\+ done +done$", screen.text, re.MULTILINE)
    assert "1 of 2 tasks ended" in screen.text
    go(workflow)
    assert 0 == screen.end()
