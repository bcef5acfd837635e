"""What a child finds when it starts, and what is said when it cannot start."""

import os
import signal
import socket
import sys
import threading
import time

import pytest

from autokestra.actions import process
from autokestra.actions.child import Child
from autokestra.actions.protocol import ActionError
from autokestra.actions.spawner import Spawner

PYTHON = os.path.realpath(sys.executable)


@pytest.fixture
def start(make_context, tmp_path):
    def start_child(*arguments, program="/bin/sh", directory=tmp_path, environ=None, output=None, **more):
        context = make_context(environ=environ or {}, **({} if output is None else {"output": output}))
        child = Child(program=program, arguments=arguments, directory=directory, keep_stdout=1 << 20, **more)
        return process.run(child, context)

    return start_child


def refusal(start, *arguments, **given):
    with pytest.raises(ActionError) as raised:
        start(*arguments, **given)
    assert "start" == raised.value.reason
    return raised.value.message


def test_environment_is_exactly_what_was_given(start):
    environ = {"A": "1", "EMPTY": "", "TEXT": "ü\n=x", "RAW": b"\xff".decode("utf-8", "surrogateescape")}
    ending = start("-0", program="/usr/bin/env", environ=environ)
    assert {b"A=1", b"EMPTY=", "TEXT=ü\n=x".encode(), b"RAW=\xff"} == set(ending.stdout.rstrip(b"\0").split(b"\0"))


def test_descriptors_are_exactly_what_is_documented(start):
    # 5 is the directory that ls itself has open.
    ending = start("/proc/self/fd", program="/bin/ls", feeds=(b"x",), result_limit=10)
    assert b"0\n1\n2\n3\n4\n5\n" == ending.stdout


def test_feeds_are_read_and_the_result_comes_back(start):
    ending = start("-c", "cat /dev/fd/3 /dev/fd/4 >&5", feeds=(b"one\0", b"two\xff"), result_limit=100)
    assert b"one\0two\xff" == ending.result


def test_result_is_cut_one_byte_after_its_limit(start):
    ending = start("-c", "head -c 500000 /dev/zero >&3", result_limit=1000)
    assert (0, b"\0" * 1001) == (ending.exit_code, ending.result)


def test_feed_cannot_be_changed_by_the_child(start):
    ending = start("-c", "echo changed 1<>/dev/fd/3; cat /dev/fd/3", feeds=(b"as it was",))
    assert b"as it was" == ending.stdout


@pytest.mark.parametrize("size", [0, 10, 1_000_000])
def test_without_files_in_memory_a_pipe_does_the_same(start, monkeypatch, size):
    monkeypatch.delattr(os, "memfd_create")
    assert b"%d\n" % size == start("-c", "cat <&3 | wc -c", feeds=(b"x" * size,)).stdout


def test_feed_that_nobody_reads_hangs_nothing(start, monkeypatch):
    monkeypatch.delattr(os, "memfd_create")
    assert 0 == start("-c", ":", feeds=(b"x" * 1_000_000,)).exit_code


def test_kernel_without_sealing_against_execution_is_served(start, monkeypatch):
    monkeypatch.setattr(process, "_MFD_NOEXEC_SEAL", 0x4000_0000)  # a flag that no kernel knows
    assert b"x" == start("-c", "cat <&3", feeds=(b"x",)).stdout


def test_arguments_and_directory_are_kept_byte_for_byte(start, tmp_path):
    directory = tmp_path / os.fsdecode(b"d \xff\n")
    directory.mkdir()
    ending = start("-c", 'printf "%s|" "$@"; pwd', "sh", "a b", "", "ü", directory=directory)
    assert "a b||ü|".encode() + os.fsencode(directory) + b"\n" == ending.stdout


def test_missing_program_is_named(start):
    assert "cannot start '/no/such': No such file or directory" == refusal(start, program="/no/such")


def test_program_that_is_none_is_named(start, tmp_path):
    (tmp_path / "text").write_text("no program")
    (tmp_path / "text").chmod(0o755)
    program = str(tmp_path / "text")
    assert f"cannot start '{program}': Exec format error" == refusal(start, program=program)


def test_missing_directory_is_named(start, tmp_path):
    directory = tmp_path / "gone"
    assert f"cannot enter '{directory}': No such file or directory" == refusal(start, directory=directory)


def test_value_that_is_too_large_for_the_system_is_explained(start):
    message = refusal(start, environ={"BIG": "x" * 200_000})
    assert message.startswith("cannot start '/bin/sh': its environment is too large for this system")


def test_nul_byte_that_nobody_has_refused_ends_in_a_clear_failure(start):
    assert "cannot start '/bin/sh': Invalid argument" == refusal(start, environ={"A": "a\0b"})


def test_server_that_was_killed_is_started_again(start, monkeypatch):
    spawner = Spawner()
    monkeypatch.setattr(process, "SPAWNER", spawner)
    try:
        spawner.prepare()
        first = spawner._server
        assert 0 == start("-c", ":").exit_code
        os.kill(first, signal.SIGKILL)
        os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
        assert 0 == start("-c", ":").exit_code
        assert spawner._server != first
    finally:
        spawner.close()


def test_server_whose_end_somebody_else_has_waited_for_is_started_again(start, monkeypatch):
    spawner = Spawner()
    monkeypatch.setattr(process, "SPAWNER", spawner)
    try:
        spawner.prepare()
        os.kill(spawner._server, signal.SIGKILL)
        os.waitpid(spawner._server, 0)
        assert 0 == start("-c", ":").exit_code
    finally:
        spawner.close()


def test_preparing_twice_starts_one_server():
    spawner = Spawner()
    spawner.prepare()
    first = spawner._server
    spawner.prepare()
    assert first == spawner._server
    spawner.close()
    spawner.close()
    with pytest.raises(ChildProcessError):
        os.waitpid(first, 0)


def test_interpreter_that_is_gone_is_a_clear_failure(start, monkeypatch):
    monkeypatch.setattr(process, "SPAWNER", Spawner(("/no/such/python",)))
    assert "cannot start a process: No such file or directory" == refusal(start)


def test_server_that_ends_at_once_is_a_clear_failure(start, monkeypatch):
    spawner = Spawner(("/bin/false",))
    monkeypatch.setattr(process, "SPAWNER", spawner)
    assert refusal(start).startswith("cannot start a process: ")
    spawner.close()


def test_server_that_is_stopped_stops_nobody(make_context, tmp_path, monkeypatch):
    monkeypatch.setattr(process, "_KILL_SECONDS", 0.3)
    monkeypatch.setattr(process, "GRACE_SECONDS", 0.3)
    spawner = Spawner()
    monkeypatch.setattr(process, "SPAWNER", spawner)
    spawner.prepare()
    os.kill(spawner._server, signal.SIGSTOP)
    child = Child(program="/bin/sh", arguments=("-c", ":"), directory=tmp_path)
    ending = process.run(child, make_context(deadline=time.monotonic() + 0.2))
    assert ("timeout", None) == (ending.stopped, ending.exit_code)
    spawner.close()


class OddKeeper:
    """Answers in a keeper's place; the engine's side of the talk is real."""

    def __init__(self, *parts):
        self.parts = parts
        self.heard = b""

    def spawn(self, descriptors, *, enclosed):
        control = socket.socket(fileno=os.dup(descriptors[0]))
        threading.Thread(target=self.answer, args=(control,), daemon=True).start()

    def answer(self, control):
        with control:
            for part in self.parts:
                control.sendall(part)
                time.sleep(0.01)
            if b"left" in b"".join(self.parts):
                self.heard = control.recv(10)


def test_processes_that_could_not_be_ended_are_reported(make_context, tmp_path, monkeypatch):
    keeper = OddKeeper(b"pid 9999", b"999\nex", b"it 0\nleft 0 2\n")
    monkeypatch.setattr(process, "SPAWNER", keeper)
    context = make_context()
    ending = process.run(Child(program="/bin/true", arguments=(), directory=tmp_path), context)
    assert (0, [("error", "processes of the task that could not be ended: 2")]) == (
        ending.exit_code,
        context.output.messages,
    )
    assert b"E" == keeper.heard


def test_words_that_nobody_knows_are_passed_over(make_context, tmp_path, monkeypatch):
    monkeypatch.setattr(process, "SPAWNER", OddKeeper(b"hello there\npid 9999999\nsignal 15\nleft 0 0\n"))
    ending = process.run(Child(program="/bin/true", arguments=(), directory=tmp_path), make_context())
    assert 15 == ending.signal


def test_keeper_that_ends_without_a_word_is_a_clear_failure(start, monkeypatch):
    monkeypatch.setattr(process, "SPAWNER", OddKeeper())
    assert "cannot start a process: its keeper was killed" == refusal(start)
