"""The program that starts and watches child processes: a fork server, and one keeper for each child.

Run by `spawner` as `python -I -S keeper.py` with its socket as standard input; needs only the standard library. Why
a program of its own: in the engine, which has threads, code between fork and exec may deadlock, and the
parent-death signal follows the thread that forked. Here is one thread that lives as long as the process. Why a
keeper for each child: it is the subreaper of everything that its child starts, so that what forks twice and leaves
the session dies too; and when the engine is gone it sees the end of its socket and kills, whatever killed the engine.

The server gets one byte (`+`, or `=` for a child under bubblewrap) and descriptors for each child: the control
socket, the specification, and those which become 0, 1, 2, 3 … in the child. Only the forked child reads the
specification, so that no long-lived process holds a task's environment. On the control socket, keeper to engine:
`pid N`, `failed ERRNO fork|chdir|exec`, `exit CODE`, `signal NUMBER`, `left KILLED ALIVE`; engine to keeper: `T`
(SIGTERM to the group), `E` (kill all and end).
"""

import array
import errno
import fcntl
import gc
import marshal
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Final, NoReturn

MAX_DESCRIPTORS: Final = 16

# How long SIGKILL may take to empty the tree. Longer lasts only what is not ours to kill, or what the kernel holds.
KILL_SECONDS: Final = 5.0

_HIGH_DESCRIPTOR: Final = 100  # where the child parks its sources, above every number that it hands on
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_PR_SET_DUMPABLE: Final = 4
_PR_SET_CHILD_SUBREAPER: Final = 36


def _find_prctl() -> Callable[..., object]:
    if sys.platform == "linux":
        try:
            import ctypes  # noqa: PLC0415  # not every build of Python has it

            return ctypes.CDLL(None).prctl
        except (ImportError, OSError, AttributeError):
            pass
    return lambda *_: None


_PRCTL: Final = _find_prctl()


def serve(server: socket.socket) -> None:
    """Fork a keeper for each request until the other side is gone."""
    _start_clean(server.fileno())
    flags = getattr(socket, "MSG_CMSG_CLOEXEC", 0)  # macOS has none
    space = socket.CMSG_SPACE(MAX_DESCRIPTORS * array.array("i").itemsize)
    while True:
        data, messages, _, _ = server.recvmsg(1, space, flags)
        if not data:
            return
        descriptors = array.array("i")
        for _, _, payload in messages:
            descriptors.frombytes(payload)
        if not flags:
            for descriptor in descriptors:
                os.set_inheritable(descriptor, False)
        if _fork(descriptors[0]) == 0:
            server.close()
            _never_return(keep, list(descriptors), data == b"=")
        for descriptor in descriptors:
            os.close(descriptor)


def _start_clean(server: int) -> None:
    """Undo what the engine's process may have handed down: session, signals, descriptors, working directory."""
    os.setsid()
    os.chdir("/")
    _PRCTL(_PR_SET_DUMPABLE, 0, 0, 0, 0)  # the forked child has a task's environment in its memory until exec
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in signal.valid_signals():
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # a lost engine is an error to handle here; the child resets it
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers need no one to wait for them
    for name in os.listdir("/dev/fd"):  # noqa: PTH208  # pathlib would double the start-up
        if int(name) > 2 and int(name) != server:
            try:
                os.close(int(name))
            except OSError as error:  # the listing's own descriptor is closed by now
                if error.errno != errno.EBADF:
                    raise
    gc.disable()
    gc.freeze()  # forks share the memory that no one touches


def keep(descriptors: list[int], enclosed: bool = False) -> None:  # noqa: FBT001, FBT002
    """Start one child and stay with it until everything that it started is gone; `enclosed`: it is bubblewrap."""
    control, *others = descriptors
    _PRCTL(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    wake, waker = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    keeper = os.getpid()
    child = _fork(control)
    if child is None:
        return
    if child == 0:
        _never_return(become, control, others, keeper)
    for descriptor in others:
        os.close(descriptor)
    _tell(control, f"pid {child}")
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(wake, select.POLLIN)
    ended = False
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == wake:
                _empty(wake)
                if not ended and (ending := _reap_all_but(child)):
                    ended = True
                    _tell(control, ending)
            else:
                command = _read(control)
                if command == b"T":
                    for group in _groups_within(child) if enclosed else (child,):
                        _signal_group(group, signal.SIGTERM)
                        _signal_group(group, signal.SIGCONT)  # a stopped process would get the first only later
                else:  # "E", or the engine is gone
                    killed, alive = kill_tree(child)
                    # The kernel has emptied bubblewrap's namespace; what is counted here would be its own process.
                    _tell(control, f"left {0 if enclosed else killed} {alive}")
                    return


def become(control: int, others: list[int], keeper: int) -> None:  # pragma: no cover  # exec ends the counting too
    """Turn this forked process into the task's program. Returns only after a failure, which it has told."""
    stage = "exec"
    try:
        os.setsid()
        _PRCTL(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != keeper:  # it died before the line above: its death will not be signalled
            return
        specification, *sources = others
        program, arguments, environment, directory, limits = _specification(specification)
        # Numbers that are sources may be targets too, so all sources move out of the way first.
        control, *sources = (
            fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, _HIGH_DESCRIPTOR) for number in (control, *sources)
        )
        for target, source in enumerate(sources):
            os.dup2(source, target, inheritable=True)
        stage = "chdir"
        os.chdir(directory)
        stage = "exec"
        _limit(limits)
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.execve(program, arguments, environment)  # noqa: S606
    except (OSError, ValueError) as error:  # ValueError: a NUL byte that nobody refused earlier
        code = error.errno if isinstance(error, OSError) else errno.EINVAL
        _tell(control, f"failed {code} {stage}")


_Specification = tuple[bytes, list[bytes], dict[bytes, bytes], bytes, dict[str, int]]


def _specification(descriptor: int) -> _Specification:  # pragma: no cover
    with open(descriptor, "rb") as stream:
        found: _Specification = marshal.loads(stream.read())  # noqa: S302  # from the engine only
    return found


def _limit(limits: dict[str, int]) -> None:  # pragma: no cover
    if not limits:
        return
    import resource  # noqa: PLC0415  # few tasks want limits

    if "memory" in limits:
        # Linux counts private memory in it. RLIMIT_AS would count what is only reserved, and stop Java, Go and Node.
        resource.setrlimit(resource.RLIMIT_DATA, (limits["memory"], limits["memory"]))
    if "cpu" in limits:
        # First SIGXCPU, which may be handled to clean up, a second later SIGKILL.
        resource.setrlimit(resource.RLIMIT_CPU, (limits["cpu"], limits["cpu"] + 1))


def kill_tree(child: int) -> tuple[int, int]:
    """Kill the child's group and all other descendants; return how many were still running, and how many are left.

    The child itself does not count. It has not been waited for until here, so that its group's number cannot
    belong to anyone else.
    """
    killed = 0
    deadline = time.monotonic() + KILL_SECONDS
    pause = 0.0005
    _signal_group(child, signal.SIGKILL)
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return killed, 0
        if pid:
            killed += pid != child and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
            continue
        # When one dies its own children become ours, so killing our children again and again reaches them all.
        remaining = _children(os.getpid())
        for descendant in remaining:
            try:
                os.kill(descendant, signal.SIGKILL)
            except OSError:  # gone already, or a set-uid program that is not ours to kill
                continue
        if time.monotonic() > deadline:
            return killed, len(remaining)
        time.sleep(pause)
        pause = min(pause * 2, 0.02)


def _groups_within(bubblewrap: int) -> set[int]:
    """The process groups of the task's program and of what it has left behind.

    bubblewrap itself is spared: it does not hand a signal on, and with it all would be over at once. Below it is its
    own first process of the namespace, and below that the program.
    """
    groups = set()
    for program in [below for first in _children(bubblewrap) for below in _children(first)]:
        try:
            groups.add(os.getpgid(program))
        except OSError:  # gone in this moment
            continue
    return groups - {bubblewrap} or {bubblewrap}


def _children(parent_pid: int) -> list[int]:
    """Processes whose parent is this one, from /proc; without it only the group can be found."""
    me = str(parent_pid).encode()
    found: list[int] = []
    try:
        names = os.listdir("/proc")  # noqa: PTH208
    except OSError:
        return found
    for name in names:
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as stat:  # noqa: PTH123
                    # The second field is the command in brackets and may hold anything, brackets too.
                    parent = stat.read().rpartition(b")")[2].split()[1]
            except (OSError, IndexError):
                continue
            if parent == me:
                found.append(int(name))
    return found


def _reap_all_but(child: int) -> str | None:
    """Wait for adopted orphans, but leave the child as a zombie; return how it ended, None while it runs."""
    if not hasattr(os, "waitid"):  # macOS before Python 3.13. There are no adopted orphans there
        pid, status = os.waitpid(child, os.WNOHANG)
        return None if pid == 0 else _ending(os.waitstatus_to_exitcode(status))
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return None
        if ended is None:
            return None
        if ended.si_pid == child:
            return _ending(ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status)
        os.waitpid(ended.si_pid, 0)


def _ending(code: int) -> str:
    return f"exit {code}" if code >= 0 else f"signal {-code}"


def _signal_group(child: int, number: signal.Signals) -> None:
    try:
        os.killpg(child, number)
    except OSError:
        # Before the child's setsid there is no such group; afterwards, only members that we may not signal.
        try:
            os.kill(child, number)
        except OSError:
            return


def _tell(control: int, text: str) -> None:
    try:
        os.write(control, text.encode() + b"\n")
    except OSError:  # the engine is gone; the next read says so
        return


def _read(control: int) -> bytes:
    try:
        return os.read(control, 1)
    except OSError:
        return b""


def _empty(descriptor: int) -> None:
    try:
        while os.read(descriptor, 4096):
            pass
    except BlockingIOError:
        return


def _fork(control: int) -> int | None:
    try:
        return os.fork()
    except OSError as error:  # too many processes, no memory: this task's failure, not the server's
        _tell(control, f"failed {error.errno} fork")
        return None


def _never_return(work: Callable[..., None], *arguments: object) -> NoReturn:
    """Run `work` in a fork and end it: no code of the process that forked may follow."""
    try:
        work(*arguments)
    finally:
        os._exit(127)


if __name__ == "__main__":
    serve(socket.socket(fileno=0))
