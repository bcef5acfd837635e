"""Who coordinates an execution on this machine, and whether that process is still alive.

A lease names its owner as `host/boot id/pid/start time`, so that a pid that was used again, or a reboot, is not
taken for the old owner. Leases between machines compare database time and are not in this room.
"""

import os
import time
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


def own_lease(*, microseconds: int = LEASE_MICROSECONDS) -> Lease:
    """Return a lease for this process that starts now."""
    return Lease(owner=this_process(os.getpid()), until=boottime() + microseconds)


@cache
def this_process(pid: int) -> str:
    """Return the owner text of this process; `pid` is its own, named so that a fork asks again."""
    return f"{os.uname().nodename}/{_boot_id()}/{pid}/{_start_time(pid) or '-'}"


def is_dead(lease: Lease) -> bool:
    """Whether nobody can be at work under this lease any more.

    True when it has run out, when the machine has booted since, or when the process is gone from this machine.
    """
    if lease.until < boottime():
        return True
    host, boot, pid, start = lease.owner.rsplit("/", 3)
    if host != os.uname().nodename:
        return False  # another machine's process cannot be looked at: only time tells
    if boot != _boot_id():
        return True
    found = _start_time(int(pid))
    return found is None if start == "-" else found != start


@cache
def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "-"


def _start_time(pid: int) -> str | None:
    """Return when `pid` started, in clock ticks since boot (proc(5), field 22); None when there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name in parentheses may hold blanks and parentheses of its own: count from the last one.
    state, *rest = stat[stat.rindex(b")") + 2 :].split()
    return None if state in (b"Z", b"X") else rest[18].decode()
