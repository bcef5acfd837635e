"""When, on what and of which commit something was measured; nothing that names the machine or its user."""

import os
import platform
import subprocess
import time
from importlib import metadata
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = ("autokestra", "cryptography", "hyperscan", "psycopg", "distributed")


def machine() -> dict[str, Any]:
    """Return what figures depend on: processor, cores, memory (GB), load before the run, kernel, Python, versions."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "load": round(os.getloadavg()[0], 1),  # processes that wanted to run in the minute before
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
    }


def now() -> str:
    """Return the time in UTC, to the minute."""
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime())


def commit() -> str | None:
    """Return the commit that is checked out, with a `+` when files differ from it; None outside of a repository."""
    head = _git("rev-parse", "--short=10", "HEAD")
    return head and head + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{next(models, platform.processor() or 'unknown')}, {platform.machine()}"


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
