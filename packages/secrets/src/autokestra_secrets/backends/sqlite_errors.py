# `os.path` on purpose, as in the rooms around.
# ruff: noqa: PTH120
"""What SQLite's errors mean for the person who meets them: which of ours, and what to type next."""

import os
import sqlite3

from autokestra_secrets.errors import (
    DamagedError,
    PermissionRefusedError,
    SecretsError,
    StoreUnavailableError,
    UnknownFormatError,
)
from autokestra_secrets.home import shell_word


def explain(error: sqlite3.Error, *, path: str, timeout: float) -> SecretsError:
    """Return the error of ours that names the remedy; it repeats SQLite's own words only, never parameters."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF  # the low byte is the primary code
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return locked(path, timeout)
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return refused(path, "write")
    if code == sqlite3.SQLITE_CANTOPEN:
        return refused(path, "open")
    # A reader needs 32 KiB beside the file, and is told of an I/O error when it cannot have them.
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _is_full(os.path.dirname(path))):
        return StoreUnavailableError(
            f"no space left for the secret store {path}; nothing was changed",
            hint=f"free some space: df -h {shell_word(os.path.dirname(path))}",
        )
    if code == sqlite3.SQLITE_NOTADB:
        return UnknownFormatError(
            f"{path} is no secret store, nor any SQLite database", hint="give the right file with --store"
        )
    if code == sqlite3.SQLITE_IOERR:
        return StoreUnavailableError(
            f"cannot read or write the secret store {path}: {error}", hint="look at the disk: dmesg | tail"
        )
    return DamagedError(f"the secret store {path} is damaged: {error}", hint="restore it from a backup")


def _is_full(directory: str) -> bool:
    space = os.statvfs(directory)
    return space.f_bavail * space.f_frsize < 1 << 16


def locked(path: str, timeout: float) -> StoreUnavailableError:
    """Return the error that says that another process holds the file."""
    return StoreUnavailableError(
        f"the secret store {path} has been locked by another process for {timeout:g} s",
        hint=f"see who has it open: fuser -v {shell_word(path)}",
    )


def kept_busy(path: str, seconds: float) -> StoreUnavailableError:
    """Return the error that says that other processes write all the time, and we never had our turn."""
    return StoreUnavailableError(
        f"other processes have kept the secret store {path} busy with writing for {seconds:.0f} s",
        hint=f"see who has it open: fuser -v {shell_word(path)}",
    )


def refused(path: str, verb: str) -> PermissionRefusedError:
    """Return the error that says that the system does not let us read, write, open or create the file."""
    directory = os.path.dirname(path)
    return PermissionRefusedError(
        f"cannot {verb} the secret store {path}: permission denied, or read-only",
        hint=f"look at its owner and mode: ls -ld {shell_word(directory)} {shell_word(path)}",
    )
