"""Those paths of the keeper that this machine does not take by itself."""

import os
import signal
import subprocess
import sys

import pytest

from autokestra.actions import keeper


@pytest.fixture
def line():
    reader, writer = os.pipe()
    yield writer, lambda: os.read(reader, 1000)
    os.close(reader)
    os.close(writer)


def test_process_limit_is_told_to_the_engine(monkeypatch, line):
    def refuse():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    writer, read = line
    assert keeper._fork(writer) is None
    assert b"failed 11 fork\n" == read()


@pytest.mark.parametrize(
    ("code", "told"), [("raise SystemExit(3)", "exit 3"), ("import os; os.kill(os.getpid(), 9)", "signal 9")]
)
def test_without_waitid_the_end_is_still_learned(monkeypatch, code, told):
    monkeypatch.delattr(os, "waitid")
    child = os.posix_spawn(
        sys.executable,
        [sys.executable, "-I", "-S", "-c", f"input(); {code}"],
        {},
        file_actions=[(os.POSIX_SPAWN_DUP2, (ends := os.pipe())[0], 0)],
    )
    assert keeper._reap_all_but(child) is None
    os.write(ends[1], b"\n")
    while (ending := keeper._reap_all_but(child)) is None:
        pass
    assert told == ending
    for end in ends:
        os.close(end)


def test_without_proc_nothing_is_found(monkeypatch):
    def refuse(path):
        raise FileNotFoundError(path)

    monkeypatch.setattr(os, "listdir", refuse)
    assert [] == keeper._children(os.getpid())


def test_children_are_found_whatever_they_are_called():
    with subprocess.Popen(["bash", "-c", "exec -a '(x) 1 (' sleep 100"]) as child:
        assert child.pid in keeper._children(os.getpid())
        child.kill()


def test_other_systems_have_no_prctl(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keeper._find_prctl()(1, 2, 3, 4, 5) is None


def test_python_without_ctypes_has_no_prctl(monkeypatch):
    monkeypatch.setitem(sys.modules, "ctypes", None)
    assert keeper._find_prctl()(1, 2, 3, 4, 5) is None


def test_nothing_is_raised_when_the_engine_is_gone():
    reader, writer = os.pipe()
    os.close(reader)
    keeper._tell(writer, "pid 1")  # SIGPIPE is ignored in Python
    os.close(writer)
    assert b"" == keeper._read(writer)


def test_nothing_is_raised_when_the_group_is_gone():
    child = subprocess.Popen(["true"])
    child.wait()
    keeper._signal_group(child.pid, signal.SIGTERM)


def test_what_cannot_be_killed_is_counted():
    code = """
import os, signal
from autokestra.actions import keeper

def refuse(pid, number):
    raise PermissionError(1, "Operation not permitted")

def sleeper():
    pid = os.posix_spawn("/bin/sleep", ["sleep", "100"], {}, setsid=True)
    return pid

child, other = sleeper(), sleeper()
kill, keeper.os.kill = os.kill, refuse
keeper.KILL_SECONDS = 0.2
print(keeper.kill_tree(child))
kill(other, signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "(0, 1)\n" == done.stdout
