"""Who coordinates an execution, and whether that process is still alive.

A lease names its owner as `host/boot id:namespace/pid/start time`, so that a pid that was used again, a reboot, or a
process of another container is not taken for the old owner. Leases in a file compare this machine's time since boot;
those that machines share compare the database's, see `postgres`.
"""

import os
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

from autokestra.executions.records import Lease

LEASE_MICROSECONDS: Final = 15_000_000
RENEW_SECONDS: Final = 5.0  # three chances within one lease

_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # macOS: its monotonic clock counts sleep too


def boottime() -> int:
    """Return microseconds since boot, time asleep included; no wall clock that jumps moves it."""
    return time.clock_gettime_ns(_CLOCK) // 1000


class LocalLeases:
    """Leases of one machine."""

    def now(self) -> int:
        """Return microseconds since boot."""
        return boottime()

    def is_dead(self, lease: Lease) -> bool:
        """Whether nobody can be at work under this lease any more."""
        return is_dead(lease)


def own_lease(now: Callable[[], int] = boottime, *, microseconds: int = LEASE_MICROSECONDS) -> Lease:
    """Return a lease for this process that starts now."""
    return Lease(owner=this_process(os.getpid()), until=now() + microseconds)


@cache
def this_process(pid: int) -> str:
    """Return the owner text of this process; `pid` is its own, named so that a fork asks again."""
    return f"{os.uname().nodename}/{_boot_id()}:{_namespace()}/{pid}/{_start_time(pid) or '-'}"


def is_dead(lease: Lease) -> bool:
    """Whether nobody can be at work under this lease any more.

    True when it has run out, when the machine has booted since, or when the process is gone from this machine.
    """
    return lease.until < boottime() or is_gone(lease.owner)


def is_gone(owner: str, *, shared: bool = False) -> bool:
    """Whether a process that can be looked at from here has ended.

    `shared` says that machines share the lease: one of the same name that has booted at another time may be another.
    """
    host, boot, pid, start = owner.rsplit("/", 3)
    if host != os.uname().nodename:
        return False  # another machine's process cannot be looked at: only time tells
    boot, _, namespace = boot.partition(":")
    if boot != _boot_id():
        return not shared
    if namespace not in ("", _namespace()):
        return False  # nor can a process of another container, whose ids are its own
    found = _start_time(int(pid))
    return found is None if start == "-" else found != start


@cache
def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "-"


@cache
def _namespace() -> str:
    """Return the number of the PID namespace (pid_namespaces(7)), empty where there is none."""
    try:
        return "".join(filter(str.isdigit, os.readlink("/proc/self/ns/pid")))  # noqa: PTH115  # no path, but a word
    except OSError:
        return ""


def _start_time(pid: int) -> str | None:
    """Return when `pid` started, in clock ticks since boot (proc(5), field 22); None when there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name in parentheses may hold blanks and parentheses of its own: count from the last one.
    state, *rest = stat[stat.rindex(b")") + 2 :].split()
    return None if state in (b"Z", b"X") else rest[18].decode()
