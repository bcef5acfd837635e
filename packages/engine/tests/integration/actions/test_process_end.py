"""However a child ends, or does not: the task gets a clear result in bounded time and nothing stays behind."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from autokestra.actions import process
from autokestra.actions.protocol import ActionError

# The shell, a child in its group, one in a session of its own, and one that has forked twice and left both.
FAMILY = """
me() { echo $BASHPID >"$1.tmp"; mv "$1.tmp" "pid.$1"; }
me 1
(me 2; exec sleep 100) &
setsid bash -c 'echo $$ >3.tmp; mv 3.tmp pid.3; exec sleep 100' &
(setsid bash -c 'echo $$ >4.tmp; mv 4.tmp pid.4; exec sleep 100' >/dev/null 2>&1 &)
while [ ! -e pid.2 ] || [ ! -e pid.3 ] || [ ! -e pid.4 ]; do sleep 0.01; done
"""


@pytest.fixture
def shell(run):
    def run_script(script, **given):
        return run("core/shell.run", {"script": script}, **given)

    return run_script


def timed(action):
    start = time.monotonic()
    result = action()
    return result, time.monotonic() - start


def test_timeout_kills_all_descendants(shell, family):
    ran, seconds = timed(lambda: shell(FAMILY + "wait", deadline=time.monotonic() + 0.5))
    assert ("timeout", "stopped, because its timeout has passed") == (ran.reason, ran.message)
    assert seconds < 2
    assert family.is_complete(4)
    assert family.is_gone()


def test_output_before_a_timeout_is_kept(shell):
    ran = shell("echo before; exec sleep 100", deadline=time.monotonic() + 0.3)
    assert {"exitCode": 143, "stdout": "before\n", "stdoutTruncated": False} == ran.output


def test_sigterm_lets_a_script_clean_up(shell):
    ran = shell("trap 'echo cleaned; exit 0' TERM; sleep 100 & wait", deadline=time.monotonic() + 0.3)
    assert "timeout" == ran.reason  # its own exit code 0 does not make it a success
    assert "cleaned\n" == ran.output["stdout"]


def test_ignored_sigterm_is_followed_by_sigkill(shell, family):
    script = "trap '' TERM\n" + FAMILY + "while true; do sleep 1; done"
    ran, seconds = timed(lambda: shell(script, deadline=time.monotonic() + 0.5))
    assert "timeout" == ran.reason
    assert process.GRACE_SECONDS < seconds < process.GRACE_SECONDS + 2
    assert family.is_complete(4)
    assert family.is_gone()


def test_stopped_process_is_ended_all_the_same(shell, family):
    ran, seconds = timed(lambda: shell("echo $$ >pid.1; kill -STOP $$", deadline=time.monotonic() + 0.3))
    assert "timeout" == ran.reason
    assert seconds < 1.5
    assert family.is_gone()


def test_cancel_ends_the_child_within_a_second(shell, family):
    cancelled = threading.Event()
    threading.Timer(0.3, cancelled.set).start()
    ran, seconds = timed(lambda: shell(FAMILY + "wait", cancelled=cancelled))
    assert ("cancelled", "cancelled") == (ran.reason, ran.message)
    assert seconds < 1.3
    assert family.is_gone()


def test_cancelled_before_the_start_starts_nothing(shell, tmp_path):
    cancelled = threading.Event()
    cancelled.set()
    assert "cancelled" == shell("touch started", cancelled=cancelled).reason
    assert not (tmp_path / "started").exists()


def test_descendants_left_running_are_ended_with_the_task(shell, family):
    ran, seconds = timed(lambda: shell(FAMILY + "echo done"))
    assert "done\n" == ran.output["stdout"]
    assert process.DRAIN_SECONDS < seconds < process.DRAIN_SECONDS + 2  # two of them hold the pipes
    assert [("warning", "processes left running by the task, now ended: 3")] == ran.log.messages
    assert family.is_gone()


def test_daemon_that_holds_no_pipe_delays_nothing(shell, family):
    script = "(setsid sh -c 'echo $$ >pid.1; exec sleep 100' >/dev/null 2>&1 &); while [ ! -s pid.1 ]; do :; done"
    ran, seconds = timed(lambda: shell(script))
    assert ran.error is None
    assert seconds < process.DRAIN_SECONDS
    assert family.is_gone()


def test_late_words_of_a_background_process_are_read(shell):
    assert "THROUGH\n" == shell("exec > >(sleep 0.1; tr a-z A-Z); echo through").output["stdout"]


def test_five_hundred_children_are_ended(shell):
    ran = shell("for i in {1..500}; do sleep 100 & done; echo up")
    assert "up\n" == ran.output["stdout"]
    assert [("warning", "processes left running by the task, now ended: 500")] == ran.log.messages


def test_orphans_that_end_during_the_task_are_not_left_as_zombies(shell):
    script = """
    for i in 1 2 3; do (setsid sh -c 'sleep 0.05' >/dev/null 2>&1 &); done
    sleep 0.4
    ps -o stat= --ppid $PPID | grep -c Z
    true
    """
    assert "0\n" == shell(script).output["stdout"]


def test_child_that_closes_its_pipes_is_waited_for(shell):
    ran, seconds = timed(lambda: shell("exec >&- 2>&-; sleep 0.3; exit 4"))
    assert ("exit-code", 4) == (ran.reason, ran.error.exit_code)
    assert seconds > 0.3


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (signal.SIGKILL, "killed by SIGKILL, perhaps for lack of memory"),
        (signal.SIGUSR1, "killed by SIGUSR1"),
        (40, "killed by signal 40"),
    ],
)
def test_signal_is_named(shell, number, message):
    ran = shell(f"kill -{int(number)} $$; sleep 5")
    assert ("signal", message, 128 + number) == (ran.reason, ran.message, ran.error.exit_code)


def test_signals_have_their_defaults_in_the_child(shell):
    # Python ignores SIGPIPE, and what is ignored is inherited: `yes` would then complain instead of ending.
    ran = shell("set +o pipefail; yes | head -n 1; grep -E 'Sig(Ign|Blk)' /proc/self/status")
    answer, _, blocked, _, ignored = ran.output["stdout"].split()
    assert ("y", 0, 0) == (answer, int(blocked, 16), int(ignored, 16) & 0x7FFF_FFFF)  # above: the C library's own
    assert b"" == ran.log.stderr


def test_child_has_a_session_and_a_group_of_its_own(shell):
    ran = shell("echo $$; ps -o sid=,pgid= -p $$")
    pid, session, group = ran.output["stdout"].split()
    assert pid == session == group


def test_keeper_that_is_killed_takes_the_task_with_it(shell, family):
    ran, seconds = timed(lambda: shell("(echo $BASHPID >pid.1; exec sleep 100) & sleep 0.1; kill -9 $PPID; sleep 100"))
    assert ("lost", "lost: the process that watched over it was killed") == (ran.reason, ran.message)
    assert seconds < 2
    assert family.is_gone()


def test_keeper_that_is_stopped_does_not_stop_the_engine(shell, family, monkeypatch):
    monkeypatch.setattr(process, "_KILL_SECONDS", 0.5)
    ran, seconds = timed(
        lambda: shell("echo $$ >pid.1; echo $PPID; kill -STOP $PPID; sleep 100", deadline=time.monotonic() + 0.3)
    )
    os.kill(int(ran.log.stdout), signal.SIGKILL)
    assert "timeout" == ran.reason
    assert seconds < process.GRACE_SECONDS + 2
    assert family.is_gone()


def test_log_that_fails_ends_the_child(make_context, family, tmp_path):
    class Full:
        def write(self, stream, data):
            raise OSError(28, "No space left on device")

        def message(self, text, level="info"):
            assert "debug" == level

    with pytest.raises(OSError, match="No space"):
        process.run(
            process.Child(program="/bin/sh", arguments=("-c", "echo $$ >pid.1; echo x; sleep 100"), directory=tmp_path),
            make_context(output=Full()),
        )
    assert family.is_complete(1)
    assert family.is_gone()


ENGINE = """
import os, sys, threading, pathlib
from autokestra.actions.protocol import ActionContext
from autokestra.actions.registry import core_actions

class Log:
    def write(self, stream, data): pass
    def message(self, text, level="info"): pass

action = core_actions()["core/shell.run"]
context = ActionContext(output=Log(), workdir=pathlib.Path.cwd(), environ={"PATH": os.environ["PATH"]}, deadline=None,
    cancelled=threading.Event(), mask=lambda value: None, task_id="t", execution_id="e", attempt=1)
"""


def start_engine(tmp_path, code):
    return subprocess.Popen(
        [sys.executable, "-c", ENGINE + code], cwd=tmp_path, stdout=subprocess.PIPE, text=True, process_group=0
    )


@pytest.mark.parametrize("how", ["kill", "killpg"])
def test_death_of_the_engine_kills_all_descendants(family, tmp_path, how):
    script = FAMILY + "wait"
    with start_engine(tmp_path, f"action.run(action.input_model(script={script!r}), context)") as engine:
        assert family.is_complete(4)
        getattr(os, how)(engine.pid, signal.SIGKILL)
        assert -signal.SIGKILL == engine.wait(10)
    assert family.is_gone()


def test_death_of_engine_and_keeper_at_once_kills_the_child(family, tmp_path):
    script = "echo $PPID >keeper; echo $$ >pid.1; exec sleep 100"
    with start_engine(tmp_path, f"action.run(action.input_model(script={script!r}), context)") as engine:
        assert family.is_complete(1)
        os.kill(int((tmp_path / "keeper").read_text()), signal.SIGKILL)  # the parent-death signal, not the socket
        os.kill(engine.pid, signal.SIGKILL)
    assert family.is_gone()


def test_keepers_and_server_end_with_the_engine(family, tmp_path):
    script = "echo $PPID >pid.1; ps -o ppid= -p $PPID >pid.2; echo x"
    with start_engine(tmp_path, f"print(action.run(action.input_model(script={script!r}), context))") as engine:
        assert "'exitCode': 0" in engine.communicate(timeout=20)[0]
    assert family.is_complete(2)
    assert family.is_gone()


def test_fork_of_the_engine_starts_a_server_of_its_own(tmp_path):
    script = "ps -o ppid= -p $PPID"
    code = f"""
def server(): return int(action.run(action.input_model(script={script!r}), context)["stdout"])
first = server()
if os.fork() == 0:
    sys.exit(0 if server() != first else 1)
print(os.waitstatus_to_exitcode(os.wait()[1]), server() == first)
"""
    with start_engine(tmp_path, code) as engine:
        assert "0 True\n" == engine.communicate(timeout=20)[0]


def test_flood_without_line_end_takes_little_memory(tmp_path):
    script = "head -c 100000000 /dev/zero"
    code = f"""
import resource
run = lambda script: action.run(action.input_model(script=script), context)
run("true")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
truncated = run({script!r})["stdoutTruncated"]
print(truncated, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    with start_engine(tmp_path, code) as engine:
        truncated, grown = engine.communicate(timeout=60)[0].split()
    assert "True" == truncated
    assert int(grown) < 20  # MiB; 1 MiB of stdout is kept, in a few copies


def test_flood_is_read_to_the_last_byte(shell):
    assert 100_000_000 == shell("head -c 100000000 /dev/zero | tr '\\0' '\\377'").log.total


def test_endless_flood_is_stopped_in_time(shell):
    ran, seconds = timed(lambda: shell("yes", deadline=time.monotonic() + 0.5))
    assert "timeout" == ran.reason
    assert seconds < 1.5


def test_many_at_once_do_not_mix(shell):
    results = {}

    def one(number):
        results[number] = shell(f"echo {number}; echo {number} >&2; exit $(({number} % 3))")

    threads = [threading.Thread(target=one, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, ran in results.items():
        assert (f"{number}\n".encode(),) * 2 == (ran.log.stdout, ran.log.stderr)
        assert number % 3 == (ran.error.exit_code if ran.error else 0)


def test_no_descriptor_and_no_process_is_left_in_the_engine(shell):
    shell("true")
    before = (
        os.listdir("/proc/self/fd"),
        subprocess.run(["ps", "--ppid", str(os.getpid())], capture_output=True, check=True).stdout,
    )
    for _ in range(5):
        shell("sleep 100 >/dev/null 2>&1 & exit 1")
    after = (
        os.listdir("/proc/self/fd"),
        subprocess.run(["ps", "--ppid", str(os.getpid())], capture_output=True, check=True).stdout,
    )
    assert len(before[0]) == len(after[0])
    assert len(before[1].splitlines()) == len(after[1].splitlines())


def test_failure_to_start_raises_nothing_else(make_context, tmp_path):
    child = process.Child(program="/bin/sh", arguments=(), directory=tmp_path)
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 1, hard))
    try:
        with pytest.raises(ActionError) as raised:
            process.run(child, make_context())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert ("start", "cannot start a process: Too many open files") == (raised.value.reason, raised.value.message)
