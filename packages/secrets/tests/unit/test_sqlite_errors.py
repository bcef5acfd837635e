"""What SQLite's errors say to a person."""

import sqlite3

from autokestra_secrets.backends.sqlite_errors import NO_SPACE, explain, free_bytes


def said(code, free):
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = code
    found = explain(error, path="/srv/store.db", timeout=1.0, free=lambda _: free)
    return found.message, found.hint


FULL = ("no space left for the secret store /srv/store.db; nothing was changed", "free some space: df -h /srv")


def test_a_full_disk_is_told_from_a_broken_one():
    """Reading needs a file of locks beside the database, and SQLite calls it an I/O error when that cannot grow."""
    shared_memory = sqlite3.SQLITE_IOERR | (19 << 8)  # SQLITE_IOERR_SHMSIZE
    assert FULL == said(sqlite3.SQLITE_FULL, NO_SPACE)
    assert FULL == said(shared_memory, NO_SPACE - 1)
    assert (
        "cannot read or write the secret store /srv/store.db: disk I/O error",
        "look at the disk: dmesg | tail",
    ) == said(shared_memory, NO_SPACE)


def test_free_space_is_that_of_the_disk(tmp_path):
    assert free_bytes(str(tmp_path)) > 0
