# ruff: noqa: PTH120  # as in the rooms around
"""A SQLite file copied into another one, page by page, while others read and write: SQLite's own backup."""

import os
import sqlite3
import time
from contextlib import closing

from autokestra_secrets.backends.sqlite_errors import locked
from autokestra_secrets.backends.sqlite_file import SQLiteFile
from autokestra_secrets.errors import DamagedError, SecretsError, StoreUnavailableError, UnknownFormatError
from autokestra_secrets.home import shell_word


def copy_to(file: SQLiteFile, path: str) -> None:
    """Write a copy of one moment into the empty file at `path`, which has no WAL: one file, readable anywhere."""
    connection = file.connect()
    if connection is None:
        raise StoreUnavailableError(
            "there is no secret store yet",
            hint="create it by storing a secret: workflow secrets set NAME",
        )
    with closing(sqlite3.connect(path, isolation_level=None)) as copy:
        _copy(connection, copy, file, f"cannot copy the secret store {file.path} to {os.path.dirname(path)}")
        copy.execute("PRAGMA journal_mode = DELETE").close()


def copy_from(file: SQLiteFile, path: str) -> None:
    """Replace everything by the content of the file at `path`, in one transaction; others may have this one open.

    Raises DamagedError when this file is no database any more, and UnknownFormatError when it is another program's.
    """
    try:
        file.prepare_to_write()
    except (DamagedError, UnknownFormatError) as error:
        file.close()
        if isinstance(error, UnknownFormatError) and _is_database(file.path):
            raise
        raise DamagedError(f"{file.path} is no database any more", hint="replace the file") from None
    connection = file.connect()
    assert connection is not None
    with closing(sqlite3.connect(path, isolation_level=None)) as copy:
        _copy(copy, connection, file, f"cannot restore the secret store {file.path}; nothing was changed")
    file.empty_wal()  # what was replaced is in no file any more


def _copy(source: sqlite3.Connection, target: sqlite3.Connection, file: SQLiteFile, failed: str) -> None:
    started = time.monotonic()

    def after_each_attempt(*_: int) -> None:
        if time.monotonic() - started > file.timeout:  # Python by itself would try for ever
            raise locked(file.path, file.timeout)

    try:
        source.backup(target, progress=after_each_attempt)
    except sqlite3.Error as error:
        raise _failed(failed, error, file.path) from None


def _failed(message: str, error: sqlite3.Error, path: str) -> SecretsError:
    return StoreUnavailableError(
        f"{message}: {error}", hint=f"look at the space left: df -h {shell_word(os.path.dirname(path))}"
    )


def _is_database(path: str) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        try:
            connection.execute("SELECT count(*) FROM sqlite_schema").close()
        except sqlite3.DatabaseError:
            return False
        return True
