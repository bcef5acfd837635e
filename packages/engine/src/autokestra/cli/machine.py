"""What `doctor` looks at of this machine: versions, file systems, clock, memory, isolation. Nothing is changed.

A check says `ok`, `warn` or `fail`, what it saw, and for the last two what to type.
"""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from shlex import quote
from typing import Final, Literal, NamedTuple

from autokestra import hardening
from autokestra.actions.isolation import NOT_INSTALLED, NOT_LINUX, ROOT, Isolation, find_bubblewrap

Status = Literal["ok", "warn", "fail"]

FREE_WARN: Final = 200 << 20  # bytes; a write-ahead log alone may grow to some of it
FREE_FAIL: Final = 10 << 20
EARLIEST: Final = 1_735_689_600  # 2025-01-01; this program is younger
PROBE_SECONDS: Final = 10.0

MOUNTS: Final = "/proc/self/mountinfo"  # proc_pid_mountinfo(5)

# File systems on which locks, hard links or atomic renames are those of another machine.
NETWORK: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "ncpfs", "fuse.sshfs"}
)


class Check(NamedTuple):
    """One finding: `name` is the subject, `fix` a command or an advice, None where nothing is to be done."""

    name: str
    status: Status
    message: str
    fix: str | None = None


def check_versions() -> Iterator[Check]:
    """Which versions are at work."""
    python = ".".join(map(str, sys.version_info[:3]))
    yield Check(
        "versions", "ok", f"autokestra {version('autokestra')}, Python {python}, SQLite {sqlite3.sqlite_version}"
    )


def check_place(directory: Path, *, mounts: str = MOUNTS) -> Iterator[Check]:
    """The file system of a directory: whether it is this machine's, and how much room there is."""
    while not directory.exists() and directory != directory.parent:
        directory = directory.parent
    kind = file_system(directory, mounts)
    if kind in NETWORK:
        yield Check(
            "file system",
            "warn",
            f"{directory} is on a network ({kind}), where locks may not hold",
            "set AUTOKESTRA_HOME to a directory on a local disk",
        )
    else:
        yield Check("file system", "ok", f"{directory} is on {kind or 'a local disk'}")
    free = shutil.disk_usage(directory).free
    status: Status = "fail" if free < FREE_FAIL else "warn" if free < FREE_WARN else "ok"
    yield Check(
        "disk", status, f"{free >> 20:,} MiB free", None if status == "ok" else f"df -h {quote(str(directory))}"
    )


def file_system(directory: Path, mounts: str = MOUNTS) -> str | None:
    """Return the type of the file system that holds a directory, None where that cannot be told."""
    device = directory.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = Path(mounts).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        fields, _, rest = line.partition(" - ")
        if fields.split()[2] == wanted:
            return rest.split()[0]
    return None


def check_clock(now: float) -> Iterator[Check]:
    """Whether the clock can be right: times of expiry and of versions depend on it."""
    if now < EARLIEST:
        yield Check(
            "clock", "fail", f"it says {time.strftime('%Y-%m-%d', time.gmtime(now))}", "timedatectl set-ntp true"
        )
    else:
        yield Check("clock", "ok", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now)))


def check_memory(environ: Mapping[str, str]) -> Iterator[Check]:
    """Whether other processes of this user, and core files, can see what we hold."""
    if hardening.is_debugging(environ):
        yield Check(
            "memory",
            "warn",
            f"{hardening.DEBUG_VARIABLE}=1 lets others look into it",
            f"unset {hardening.DEBUG_VARIABLE}",
        )
        return
    open_to = hardening.forbid_dumps()
    if open_to:
        yield Check("memory", "warn", f"cannot be closed on this system: {', '.join(open_to)}")
    else:
        yield Check("memory", "ok", "no core files, and not readable by other programs of yours")


def check_isolation() -> Iterator[Check]:
    """Under which level tasks would run, tried out: with a hidden file, and with a process that must not be seen."""
    program, reason = find_bubblewrap()
    if program is None:
        said = f"tasks run with isolation: none, and can read the key file ({reason})"
        yield Check("isolation", "warn", said, way_to_isolation(reason or ""))
    elif seen := seen_under(program):
        yield Check("isolation", "fail", f"{program} hides less than it should: a task can see {seen}", _REPORT)
    else:
        yield Check("isolation", "ok", f"tasks see neither home and keys nor other processes ({program})")


def seen_under(bubblewrap: str) -> str:
    """Return what a program under `hidden` sees although it should not; nothing is the answer to hope for."""
    with tempfile.TemporaryDirectory(prefix="autokestra-") as folder:
        Path(folder, "hidden").write_text("seen", encoding="utf-8")
        level = Isolation(level="hidden", bubblewrap=bubblewrap, hidden=(folder,))
        reader, writer = os.pipe()
        try:
            script = ("-c", _LOOK, "sh", f"{folder}/hidden", str(Path("/proc/self/ns/pid").readlink()))
            start = level.start("/bin/sh", script, {"PATH": os.defpath}, Path("/"), options_at=reader)
            os.write(writer, start.options or b"")
            os.close(writer)
            done = subprocess.run(
                start.arguments,
                executable=start.program,
                env=start.environ,
                pass_fds=[reader],
                capture_output=True,
                timeout=PROBE_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return "what it likes: it does not start"
        finally:
            os.close(reader)
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else "what it likes: it does not start"


_LOOK: Final = """
if [ -e "$1" ]; then echo files that are hidden from it; fi
if [ "$(readlink /proc/self/ns/pid)" = "$2" ]; then echo all processes; fi
"""
_REPORT: Final = "write isolation: none where you trust the task, and report this as a bug"


def way_to_isolation(reason: str, *, settings: Path = Path("/proc/sys")) -> str:
    """Return what to type or do where there is no isolation for `reason`."""
    if reason == ROOT:
        return "run workflows as another user"
    if reason == NOT_INSTALLED:
        return "apt install bubblewrap"
    if reason == NOT_LINUX:
        return "run workflows on Linux"
    for setting, forbids, allows in _SWITCHES:
        with suppress(OSError):
            if settings.joinpath(*setting.split(".")).read_text(encoding="ascii").strip() == forbids:
                return f"sysctl -w {setting}={allows}"
    return (
        "in a container: docker run --user 1000 --security-opt seccomp=unconfined --security-opt systempaths=unconfined"
    )


# What distributions switch user namespaces off with: Debian, Ubuntu, and anybody.
_SWITCHES: Final = (
    ("kernel.unprivileged_userns_clone", "0", "1"),
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
    ("user.max_user_namespaces", "0", "15000"),
)
