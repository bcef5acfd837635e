"""The process keeps what it holds in memory to itself: no core file, no reading by others of the same user.

Nothing here hides files or isolates children; that is the work of `worker`. Not part of any layer: the command
line calls it first, before a secret can be in memory.
"""

import os
import sys
from collections.abc import Mapping
from typing import Final

DEBUG_VARIABLE: Final = "AUTOKESTRA_DEBUG"

_PR_SET_DUMPABLE: Final = 4  # prctl(2), linux/prctl.h


def is_debugging(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the user asked for a process that can be looked into: `AUTOKESTRA_DEBUG=1`."""
    return environ.get(DEBUG_VARIABLE) == "1"


def forbid_dumps() -> tuple[str, ...]:
    """Forbid core files and, on Linux, reading this process's memory and environment through `/proc` or ptrace.

    Returns what could not be forbidden here ("core files", "memory"), so that a doctor can tell. The limit on core
    files is inherited by children, since tasks hold secrets too; the flag on memory ends with their `exec`.
    """
    open_to = []
    if not _forbid_core_files():
        open_to.append("core files")
    if not _forbid_reading_memory():
        open_to.append("memory")
    return tuple(open_to)


def reserve_standard_streams() -> None:
    """Put `/dev/null` on each of the descriptors 0 to 2 that is closed.

    Otherwise the next file opened gets that number, and what is meant for stdout ends up in the store.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number is this one, since those below are open by now.
            os.open(os.devnull, os.O_RDWR)


def _forbid_core_files() -> bool:
    try:
        import resource  # noqa: PLC0415  # POSIX only

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, OSError, ValueError):
        return False
    return True


def _forbid_reading_memory() -> bool:
    if sys.platform != "linux":
        return False
    try:
        import ctypes  # noqa: PLC0415  # 2 ms, and only Linux has the call

        return bool(ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0)
    except (ImportError, OSError, AttributeError):
        return False
