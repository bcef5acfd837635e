"""Opening the state database in a file: permissions, pragmas, migrations, and what SQLite's errors mean to a person."""

import os
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from autokestra.errors import StateFormatError, StatePermissionError, StateUnavailableError

APPLICATION_ID: Final = 0x616B7374  # "akst", so that no other program's SQLite file is taken for ours
BUSY_SECONDS: Final = 30.0
NO_SPACE: Final = 64 << 10  # bytes; with less, SQLite cannot even make the file of locks that readers need
_MIGRATIONS: Final = Path(__file__).parent / "sql" / "sqlite"


def open_database(path: Path, *, create: bool) -> sqlite3.Connection:
    """Open and migrate the database at `path`; a new file gets mode 0600, a new directory 0700.

    With `create=False` one that this user may only read is opened to be read: writing raises StatePermissionError.
    Raises StateUnavailableError, StatePermissionError, StateFormatError.
    """
    with explain(path):
        if create:
            _make_file(path)
        elif not path.exists():
            raise StateUnavailableError(
                f"no state database at {path}", hint="it is created by the first: workflow run FILE"
            )
        only_read = not create and not _can_write(path)
        connection = sqlite3.connect(
            _read_only(path) if only_read else path,
            uri=only_read,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.row_factory = sqlite3.Row
            _refuse_others(connection, path)
            if only_read:
                if _version(connection) != len(_migrations()):
                    raise _permission(path)  # an older format, which would have to be migrated first
                return connection
            # Before the first page is written: afterwards it takes a VACUUM. `housekeeping` gives free pages back.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            _enter_wal_mode(connection)
            connection.execute("PRAGMA secure_delete = ON")  # what is removed or replaced is zeroed, not only forgotten
            # FULL: what was acknowledged survives a power cut, not only a kill. `sqlite` says which commits may do
            # with less.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            _migrate(connection)
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def explain(path: Path) -> Iterator[None]:
    """Turn an error of SQLite or of the file system into one that names the file and the remedy."""
    try:
        yield
    except PermissionError as error:
        raise _permission(path) from error
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise StateUnavailableError(f"cannot open the state database {path}: {reason}") from error
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
            raise _permission(path) from error
        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise StateFormatError(
                f"{path} is not a state database, or is damaged", hint="name another with: --state FILE"
            ) from error
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise StateUnavailableError(
                f"the state database {path} was locked for {BUSY_SECONDS:.0f} seconds",
                hint="see who holds it with: fuser -v " + str(path),
            ) from error
        # On a full disk reading fails as well, with what SQLite takes for an error of the disk.
        if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _is_full(path.parent)):
            raise StateUnavailableError(
                f"no space left for the state database {path}", hint=f"free some: df -h {path.parent}"
            ) from error
        if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR):
            raise StateUnavailableError(f"cannot open the state database {path}: {error}") from error
        raise


def _is_full(directory: Path) -> bool:
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize < NO_SPACE


def _beside(path: Path) -> list[Path]:
    return [path.with_name(path.name + suffix) for suffix in ("-wal", "-shm")]


def _can_write(path: Path) -> bool:
    # Where the folder takes no new files, those that SQLite keeps beside the database must be there already.
    return os.access(path, os.W_OK) and (
        os.access(path.parent, os.W_OK) or all(each.exists() for each in _beside(path))
    )


def _read_only(path: Path) -> str:
    """Return the URI under which SQLite reads a file that it cannot write.

    Readers of a WAL database write `-shm`. With no WAL waiting, the file is all there is, and nothing is made beside
    it, which would be as little writable as the file and stay so when that is mended.
    """
    wal = _beside(path)[0]
    mode = "mode=ro" if wal.exists() and wal.stat().st_size else "immutable=1"
    return f"{path.absolute().as_uri()}?{mode}"


def _permission(path: Path) -> StatePermissionError:
    for each in _beside(path):
        if os.access(path, os.W_OK) and each.exists() and not os.access(each, os.W_OK):
            return StatePermissionError(
                f"the state database {path} cannot be written by this user, because of {each.name}",
                hint=f"allow it with: chmod u+rw {each}",
            )
    return StatePermissionError(
        f"the state database {path} cannot be written by this user", hint=f"look at: ls -l {path}"
    )


def _make_file(path: Path) -> None:
    if path.is_dir():
        raise StateUnavailableError(f"the state database {path} is a directory", hint="name a file: --state FILE")
    if not path.parent.is_dir():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # SQLite gives -wal and -shm the mode of the database, so this one call covers all three.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _refuse_others(connection: sqlite3.Connection, path: Path) -> None:
    """Look before anything is written: another program's database keeps every byte, its journal mode included."""
    connection.execute("BEGIN")  # one view of all three: another process may be creating the tables this very moment
    found, application = _version(connection), connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    connection.execute("COMMIT")
    if application != APPLICATION_ID and (application or found or tables):
        raise StateFormatError(f"{path} is a database of another program", hint="name another with: --state FILE")
    if found > len(_migrations()):
        raise StateFormatError(
            f"{path} has format {found}, this version knows up to {len(_migrations())}",
            hint="upgrade with: pipx upgrade autokestra",
        )


def _enter_wal_mode(connection: sqlite3.Connection) -> None:
    """Try until it is done: SQLite does not wait for a process that does the same in a file that both have made."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.005)
        else:
            return


def _migrations() -> list[Path]:
    return sorted(_MIGRATIONS.glob("[0-9]*.sql"))


def _migrate(connection: sqlite3.Connection) -> None:
    files = _migrations()
    if _version(connection) == len(files):
        return
    connection.execute("BEGIN IMMEDIATE")  # of two processes one migrates, the other finds it done
    try:
        found = _version(connection)
        for file in files[found:]:
            for statement in _split(file.read_text(encoding="utf-8")):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(files)}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _split(script: str) -> list[str]:
    """Return the statements of a migration. `executescript` would commit the open transaction."""
    return [part for part in re.sub(r"--[^\n]*", "", script).split(";") if part.strip()]
