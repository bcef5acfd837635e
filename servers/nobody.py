"""Somebody else than root: for what root may not do, where tests or benchmarks run as root."""

import os
from typing import Final

NOBODY: Final = 40_000 + os.getpid() % 20_000  # a user of whom nothing else runs

# `python -c AS_NOBODY USER COMMAND...` becomes somebody else than root and, since an interpreter in root's own home
# would be out of reach, shows the folders above it as empty but for it: in a mount namespace of this process alone.
# 0x20000 is CLONE_NEWNS, 0x4000 MS_REC, 1 << 18 MS_PRIVATE, 0x1000 MS_BIND.
AS_NOBODY: Final = """
import ctypes, os, pathlib, sys
libc, base, who = ctypes.CDLL(None, use_errno=True), pathlib.Path(sys.base_prefix), int(sys.argv[1])
closed = [path for path in reversed(base.parents) if not path.stat().st_mode & 1]
if closed and libc.unshare(0x20000) == 0 and libc.mount(None, b"/", None, 0x4000 | 1 << 18, None) == 0:
    held = os.open(base, os.O_PATH)
    if libc.mount(b"none", bytes(closed[0]), b"tmpfs", 0, b"mode=755") == 0:
        base.mkdir(parents=True)
        libc.mount(b"/proc/self/fd/%d" % held, bytes(base), None, 0x5000, None)
    os.close(held)
os.setgroups([])
os.setgid(who)
os.setuid(who)
os.execv(sys.argv[2], sys.argv[2:])
"""

# Root may read and write every file. Without these capabilities it is stopped by modes like anybody else, so that
# what a user sees can be tested where the tests run as root: 24 is PR_CAPBSET_DROP of prctl(2), and 0 to 2 are
# CAP_CHOWN, CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH of capabilities(7).
WITHOUT_POWERS: Final = """
import ctypes, os, sys
for capability in (0, 1, 2):
    assert ctypes.CDLL(None).prctl(24, capability, 0, 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])
"""
