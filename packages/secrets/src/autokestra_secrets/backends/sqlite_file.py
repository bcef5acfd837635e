# `os.path` on purpose: importing pathlib costs every start-up 5 ms.
# ruff: noqa: PTH116, PTH118, PTH120
"""One SQLite file that holds a store: opening, creating and telling what is wrong with it.

The file and its `-wal` and `-shm` have mode 0600, removed rows are overwritten, nothing is created by reading, and
nothing is written into a database that is not ours.
"""

import os
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from autokestra_secrets.backends.sqlite_errors import explain, refused
from autokestra_secrets.backends.sqlite_lock import enter_wal_mode, take_write_lock
from autokestra_secrets.backends.sqlite_schema import APPLICATION_ID, MIGRATIONS, SCHEMA, check_schema
from autokestra_secrets.errors import (
    PermissionRefusedError,
    SecretsError,
    StoreUnavailableError,
    UnknownFormatError,
)
from autokestra_secrets.home import FILE_MODE, make_home, shell_word, shown_path

BUSY_TIMEOUT: Final = 10.0  # seconds to wait for another writer

_WRITER_PRAGMAS: Final = (
    "PRAGMA synchronous = FULL",  # an acknowledged write survives a power cut
    "PRAGMA secure_delete = ON",  # the default depends on how SQLite was built
)


class SQLiteFile:
    """A connection to the file at the absolute `path`, made when it is first needed.

    `home` and `timeout` are those of SQLiteBackend.
    """

    def __init__(self, path: str, *, home: str | None, given: str, timeout: float) -> None:
        self.path = path
        self._given = given  # what somebody typed for `path`: only that tells a path from a misplaced value
        self._home = home
        self.timeout = timeout
        self._connection: sqlite3.Connection | None = None
        self._ready_to_write = False

    def exists(self) -> bool:
        """Whether there is something at the path."""
        return os.path.lexists(self.path)

    def select(self, statement: str, parameters: tuple[Any, ...] = ()) -> list[Any]:
        """Return all rows of a statement; none when there is no file yet, or nothing was written to it."""
        connection = self.connect()
        if connection is None:
            return []
        try:
            return connection.execute(statement, parameters).fetchall()
        except sqlite3.Error as error:
            if "no such table" in str(error) and self._is_blank(connection):
                return []
            raise self._explain(error) from None

    def stream(self, statement: str) -> Iterator[Any]:
        """Yield the rows of a statement one at a time, within a snapshot. Text that is no UTF-8 comes as it can."""
        connection = self.connect()
        if connection is None:
            return
        before = connection.text_factory
        connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
        try:
            yield from connection.execute(statement)
        except sqlite3.Error as error:
            raise self._explain(error) from None
        finally:
            connection.text_factory = before

    def execute(self, statement: str, parameters: tuple[Any, ...] = ()) -> None:
        """Run a statement within `transaction`, or one that needs none."""
        assert self._connection is not None
        try:
            self._connection.execute(statement, parameters).close()
        except sqlite3.Error as error:
            raise self._explain(error) from None

    def execute_many(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Run a statement within `transaction`, once for each of the rows."""
        assert self._connection is not None
        try:
            self._connection.executemany(statement, rows).close()
        except sqlite3.Error as error:
            raise self._explain(error) from None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the write lock of the file, which is created if need be, with the schema in place."""
        self.prepare_to_write()
        assert self._connection is not None
        take_write_lock(self._connection, path=self.path, timeout=self.timeout)
        try:
            self._migrate()
            yield
            self.execute("COMMIT")
        except BaseException:
            # After some errors, such as a full disk, SQLite has already rolled back by itself.
            if self._connection.in_transaction:
                self.execute("ROLLBACK")
            raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all reads inside see one state of the file."""
        connection = self.connect()
        if connection is None:
            yield
            return
        self.execute("BEGIN")
        try:
            yield
        finally:
            if connection.in_transaction:
                self.execute("ROLLBACK")

    def schema_version(self) -> int:
        """Return how many migrations the file has seen; 0 when there is no file yet."""
        rows = self.select("PRAGMA user_version")
        return int(rows[0][0]) if rows else 0

    def empty_wal(self) -> None:
        """Move the zeroed pages from the WAL to the file and truncate the WAL, waiting for readers as for a writer."""
        self.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the connection; the last one to do so also removes `-wal` and `-shm`."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._ready_to_write = False

    # -- opening ------------------------------------------------------------------------------------------------

    def connect(self) -> sqlite3.Connection | None:
        """Return the connection, opening the file if it exists; None when it may be missing and is."""
        if self._connection is None and self._is_there():
            self._open("mode=rw")  # never creates
            try:
                self._identify()
            except PermissionRefusedError:
                self.close()
                # A reader of a WAL database must write `-shm`. Where it cannot, and no WAL waits to be read, the
                # file is all there is, and SQLite may take it as it stands: a store on a read-only mount.
                if os.path.lexists(self.path + "-wal"):
                    raise
                self._open("mode=ro&immutable=1")
                self._identify()
        return self._connection

    def _open(self, mode: str) -> None:
        # The three signs mean something in a URI; all others pass as they are.
        path = self.path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
        try:
            self._connection = sqlite3.connect(
                f"file:{path}?{mode}",
                uri=True,
                timeout=self.timeout,
                isolation_level=None,  # transactions are begun by hand: BEGIN IMMEDIATE for writers
                check_same_thread=False,  # the store has its own lock
            )
        except sqlite3.Error as error:
            raise self._explain(error) from None

    def _is_there(self) -> bool:
        """Return whether the file exists; raise when what stands there cannot be a store."""
        try:
            mode = os.stat(self.path).st_mode
        except FileNotFoundError:
            if self._home is not None:
                return False
            raise StoreUnavailableError(
                f"there is no secret store at {self._shown()}",
                hint=f"create it by storing a secret: workflow secrets set NAME --store {self._word()}",
            ) from None
        except PermissionError:
            raise refused(self.path, "read") from None
        except OSError as error:
            raise StoreUnavailableError(
                f"cannot open the secret store {self._shown()}: {error.strerror}",
                hint="give another file with --store",
            ) from None
        if stat.S_ISDIR(mode):
            raise StoreUnavailableError(
                f"the secret store {self.path} is a directory",
                hint=f"name a file in it: --store {shell_word(os.path.join(self.path, 'secrets.db'))}",
            )
        if not stat.S_ISREG(mode):
            raise StoreUnavailableError(
                f"the secret store {self.path} is not a regular file", hint="give a file with --store"
            )
        return True

    def _identify(self) -> None:
        """Raise UnknownFormatError unless the file is blank or a store of a version that we know."""
        try:
            with self.snapshot():  # another process may be writing the schema this very moment
                objects = self.select(SCHEMA)
                application = self.select("PRAGMA application_id")[0][0]
                version = self.select("PRAGMA user_version")[0][0]
            if application == APPLICATION_ID and version > len(MIGRATIONS):
                raise UnknownFormatError(
                    f"the secret store {self.path} has schema version {version}, expected at most {len(MIGRATIONS)}",
                    hint="upgrade autokestra: pip install --upgrade autokestra",
                )
            if application != APPLICATION_ID and (objects or version or application):
                raise UnknownFormatError(
                    f"{self.path} is a SQLite database, but no secret store", hint="give the right file with --store"
                )
            check_schema(objects, version, path=self.path)
        except SecretsError:
            self.close()
            raise

    # -- creating -----------------------------------------------------------------------------------------------

    def prepare_to_write(self) -> None:
        """Create the file if need be, and make the connection one that writes durably."""
        if self._ready_to_write:
            return
        self._create()
        connection = self.connect()
        assert connection is not None, "it has just been created"
        enter_wal_mode(connection, path=self.path, timeout=self.timeout)
        for pragma in _WRITER_PRAGMAS:
            self.execute(pragma)
        self._ready_to_write = True

    def _create(self) -> None:
        """Create an empty file with mode 0600, which `-wal` and `-shm` then inherit, unless there is one."""
        if self._home is not None:
            make_home(self._home)
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE))
        except FileExistsError:
            return
        except FileNotFoundError:
            raise StoreUnavailableError(
                f"cannot create the secret store {self._shown()}: its directory does not exist",
                hint=f"mkdir -p {self._directory_word()}",
            ) from None
        except PermissionError:
            raise refused(self.path, "create") from None
        except OSError as error:
            raise StoreUnavailableError(
                f"cannot create the secret store {self._shown()}: {error.strerror}",
                hint="give another file with --store",
            ) from None

    def _migrate(self) -> None:
        version = self.schema_version()
        check_schema(self.select(SCHEMA), version, path=self.path)  # again: now nobody can change it any more
        for statement in (statement for step in MIGRATIONS[version:] for statement in step):
            self.execute(statement)
        if version < len(MIGRATIONS):
            self.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            self.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")

    def _is_blank(self, connection: sqlite3.Connection) -> bool:
        """Whether nothing was ever committed: a first write has only just begun, or was cut off."""
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        return version == 0

    def _explain(self, error: sqlite3.Error) -> SecretsError:
        return explain(error, path=self.path, timeout=self.timeout)

    def _shown(self) -> str:
        """Return the path if what was typed may be repeated, and else the part of that which may."""
        shown = shown_path(self._given)
        return self.path if shown == self._given else shown

    def _word(self) -> str:
        """Return the path as a word to paste, or FILE where it is not shown."""
        return shell_word(self.path) if self._shown() == self.path else "FILE"

    def _directory_word(self) -> str:
        """Return the path of the directory as a word to paste, or DIRECTORY where it is not shown."""
        given = os.path.dirname(self._given)
        return shell_word(os.path.dirname(self.path)) if shown_path(given) == given else "DIRECTORY"
