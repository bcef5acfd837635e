# Statements are put together from constants of this module only.
# ruff: noqa: S608
"""A store in a PostgreSQL database that several machines share: the same rows, the same bytes in them.

Nobody makes a master key for it by accident: each machine would make its own. What is removed here may stay in dead
tuples, in the WAL and on replicas for as long as the server likes; only a new data key (`keys.reencrypt`) deletes.
"""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final

from autokestra_secrets.backends import (
    Header,
    JournalRow,
    MetadataRow,
    Misfit,
    RetiredRow,
    SecretRow,
    SlotRow,
    row_and_entry,
    typed,
)
from autokestra_secrets.backends.postgres_database import LOCK_SECONDS, PostgresDatabase
from autokestra_secrets.backends.postgres_schema import MIGRATIONS
from autokestra_secrets.errors import SecretsError, StoreUnavailableError, UnknownFormatError
from autokestra_secrets.home import shell_word

if TYPE_CHECKING:
    import psycopg

# With its schema: one that we may not use is left out of the search path without a word.
_VERSION_OF_SCHEMA: Final = "SELECT version FROM {}.secrets_version WHERE id = 1"
# Not `to_regclass`: within a transaction it goes on saying what it said before another process made the table.
_HAS_SCHEMA: Final = "SELECT 1 FROM pg_tables WHERE schemaname = %s AND tablename = 'secrets_version'"
_HEADER: Final = (
    "SELECT format, store_id, key_id, generation, journal_base, journal_mac, header_mac FROM header WHERE id = 1"
)
_SLOTS: Final = (
    "SELECT id, label, kind, key_id, created_at, salt, iterations, iv, wrapped_key, auth_tag, checksum"
    " FROM key_slots ORDER BY id"
)
_RETIRED: Final = (
    "SELECT key_id, wrapped_by, retired_at, iv, wrapped_key, auth_tag FROM retired_keys ORDER BY retired_at, added"
)
_NEWEST: Final = """
    SELECT greatest(
        coalesce((SELECT max(version) FROM secrets WHERE name = %(name)s), 0),
        coalesce((SELECT CASE operation WHEN 'put' THEN version END FROM journal
                  WHERE name = %(name)s AND operation IN ('put', 'delete') ORDER BY generation DESC LIMIT 1), 0))
"""
_COLUMNS: Final = "SELECT name, version, state, key_id, created_at, updated_at, metadata, iv, auth_tag, encrypted_value"
_VERSIONS: Final = f"{_COLUMNS} FROM secrets WHERE name = %s ORDER BY version"
# One statement, hence one snapshot: a row and its journal entry from two moments would look like tampering.
_ROW_AND_ENTRY: Final = """
    SELECT s.name, s.version, s.state, s.key_id, s.created_at, s.updated_at, s.metadata, s.iv, s.auth_tag,
           s.encrypted_value, j.generation, j.at, j.operation, j.name, j.version, j.tag
    FROM (SELECT 1) AS one
"""
_CURRENT: Final = f"""{_ROW_AND_ENTRY}
    LEFT JOIN (SELECT * FROM secrets WHERE name = %(name)s ORDER BY version DESC LIMIT 1) AS s ON true
    LEFT JOIN (SELECT * FROM journal WHERE name = %(name)s AND operation IN ('put', 'delete')
               ORDER BY generation DESC LIMIT 1) AS j ON true
"""
_VERSION: Final = f"""{_ROW_AND_ENTRY}
    LEFT JOIN secrets AS s ON s.name = %(name)s AND s.version = %(version)s
    LEFT JOIN (SELECT * FROM journal WHERE name = %(name)s AND (operation = 'delete'
               OR (operation = 'put' AND version = %(version)s) OR (operation = 'prune' AND version >= %(version)s))
               ORDER BY generation DESC LIMIT 1) AS j ON true
"""
_METADATA: Final = """
    SELECT DISTINCT ON (name) name, version, state, created_at, updated_at, metadata FROM secrets
    ORDER BY name, version DESC
"""
_HISTORY: Final = (
    "SELECT name, version, state, created_at, updated_at, metadata FROM secrets WHERE name = %s ORDER BY version"
)
_SCAN: Final = f"{_COLUMNS} FROM secrets ORDER BY name, version"
_NAMES: Final = "SELECT DISTINCT name FROM secrets"
_JOURNAL: Final = "SELECT generation, at, operation, name, version, tag FROM journal ORDER BY generation"
_JOURNAL_OF: Final = (
    "SELECT generation, at, operation, name, version, tag FROM journal WHERE name = %s ORDER BY generation"
)
_LOCK_HEADER: Final = "SELECT 1 FROM header WHERE id = 1 FOR UPDATE"
_LOCK_TABLE: Final = "LOCK TABLE header IN EXCLUSIVE MODE"  # readers go on; of two who write the first header one waits
# Somebody may have set the whole server to answer before it has written.
_WAIT_FOR_THE_DISK: Final = (
    "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'"
)
_PUT_HEADER: Final = """
    INSERT INTO header VALUES (1, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (id) DO UPDATE SET (format, store_id, key_id, generation, journal_base, journal_mac, header_mac)
        = ROW (excluded.format, excluded.store_id, excluded.key_id, excluded.generation, excluded.journal_base,
               excluded.journal_mac, excluded.header_mac)
"""
_PUT_SLOT: Final = "INSERT INTO key_slots VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
_PUT_RETIRED: Final = "INSERT INTO retired_keys VALUES (%s, %s, %s, %s, %s, %s)"
_REMOVE_RETIRED: Final = "DELETE FROM retired_keys"
_PUT_VERSION: Final = "INSERT INTO secrets VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
_PUT_JOURNAL: Final = "INSERT INTO journal VALUES (%s, %s, %s, %s, %s, %s)"
_CLEAR_JOURNAL: Final = "DELETE FROM journal"
_REMOVE_SLOT: Final = "DELETE FROM key_slots WHERE id = %s"
_REMOVE_VERSIONS: Final = "DELETE FROM secrets WHERE name = %s AND version <= %s"
_EMPTY: Final = (
    "DELETE FROM header; DELETE FROM key_slots; DELETE FROM secrets; DELETE FROM journal; DELETE FROM retired_keys"
)


class PostgresBackend:
    """Rows in the PostgreSQL database at `url`; `timeout` is the time in seconds to wait for another writer."""

    may_mint: Final = False

    def __init__(self, url: str, *, timeout: float = LOCK_SECONDS) -> None:
        self._database = PostgresDatabase(url, what="secret store", lock_seconds=timeout, check=self._identify)
        self._schema = 0  # how many migrations the schema has seen

    @property
    def location(self) -> str:
        """The URL without password and options."""
        return self._database.location

    def exists(self) -> bool:
        """Whether there are tables of ours, or something that only reading will explain."""
        try:
            self._look()
        except SecretsError:
            return True
        return self._schema > 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the header's lock, with the tables in place; commit at the end, or undo everything."""
        self._database.connection()
        before = self._schema
        try:
            with self._database.transaction():
                self._database.execute(_WAIT_FOR_THE_DISK)
                if self._schema < len(MIGRATIONS):
                    self._migrate()
                if self._database.execute(_HEADER).fetchone() is None:
                    self._database.execute(_LOCK_TABLE)
                # What is read from here on is what the writer before us has left: READ COMMITTED looks anew each time.
                self._database.execute(_LOCK_HEADER)
                yield
        except BaseException:
            self._schema = before
            raise

    def snapshot(self) -> AbstractContextManager[None]:
        """Let all reads inside see one state of the database."""
        return self._database.snapshot()

    def header(self) -> Header | None:
        """Return the header, or None when nothing has been written yet."""
        rows = self._select(_HEADER)
        return typed(Header, rows[0]) if rows else None

    def slots(self) -> list[SlotRow]:
        """Return the key slots in the order of their numbers."""
        return [typed(SlotRow, row) for row in self._select(_SLOTS)]

    def retired(self) -> list[RetiredRow]:
        """Return the retired data keys, oldest first."""
        return [typed(RetiredRow, row) for row in self._select(_RETIRED)]

    def current(self, name: str) -> tuple[SecretRow | None, JournalRow | None]:
        """Return the newest version of a secret and the last journal row that wrote or deleted it."""
        return row_and_entry(self._select(_CURRENT, {"name": name}))

    def version(self, name: str, version: int) -> tuple[SecretRow | None, JournalRow | None]:
        """Return one version of a secret and the last journal row that wrote or removed it."""
        return row_and_entry(self._select(_VERSION, {"name": name, "version": version}))

    def newest(self, name: str) -> int:
        """Return the highest version that rows or journal know of a secret, 0 when it does not exist."""
        return int(self._select(_NEWEST, {"name": name})[0][0])

    def versions(self, name: str) -> list[SecretRow]:
        """Return all kept versions of a secret, oldest first."""
        return [typed(SecretRow, row) for row in self._select(_VERSIONS, (name,))]

    def scan(self) -> Iterator[SecretRow | Misfit]:
        """Yield every version of every secret, some at a time; a column here cannot hold another type."""
        self._check_there()
        frame = nullcontext() if self._database.in_transaction else self.snapshot()
        with frame, self._database.explained(), self._database.connection().cursor("scan") as cursor:
            for row in cursor.execute(_SCAN):
                yield typed(SecretRow, row)

    def names(self) -> list[str]:
        """Return the names of all secrets."""
        return [name for (name,) in self._select(_NAMES)]

    def metadata(self) -> list[MetadataRow]:
        """Return what is readable about the current version of every secret, sorted by name."""
        return [typed(MetadataRow, row) for row in self._select(_METADATA)]

    def history(self, name: str) -> list[MetadataRow]:
        """Return what is readable about the kept versions of a secret, oldest first."""
        return [typed(MetadataRow, row) for row in self._select(_HISTORY, (name,))]

    def journal(self, name: str | None = None) -> Iterable[JournalRow]:
        """Return the journal in order, or its rows under one name."""
        rows = self._select(_JOURNAL) if name is None else self._select(_JOURNAL_OF, (name,))
        return [typed(JournalRow, row) for row in rows]

    def put_header(self, header: Header) -> None:
        """Write or replace the header."""
        self._database.execute(_PUT_HEADER, header)

    def put_slot(self, row: SlotRow) -> None:
        """Add a key slot."""
        self._database.execute(_PUT_SLOT, row)

    def remove_slot(self, slot: int) -> None:
        """Remove a key slot."""
        self._database.execute(_REMOVE_SLOT, (slot,))

    def put_retired(self, row: RetiredRow) -> None:
        """Add a retired data key."""
        self._database.execute(_PUT_RETIRED, row)

    def remove_retired(self) -> None:
        """Remove all retired data keys."""
        self._database.execute(_REMOVE_RETIRED)

    def put_secret(self, *rows: SecretRow) -> None:
        """Add versions of secrets."""
        self._database.execute_many(_PUT_VERSION, rows)

    def remove_versions(self, name: str, *, up_to: int) -> None:
        """Remove the versions of a secret up to and including `up_to`."""
        self._database.execute(_REMOVE_VERSIONS, (name, up_to))

    def put_journal(self, *rows: JournalRow) -> None:
        """Append to the journal."""
        self._database.execute_many(_PUT_JOURNAL, rows)

    def clear_journal(self) -> None:
        """Remove all rows of the journal."""
        self._database.execute(_CLEAR_JOURNAL)

    def purge(self) -> None:
        """Do nothing: no client can make the server, its WAL and its replicas forget. See `keys.reencrypt`."""

    def backup(self, path: str) -> None:
        """Write a copy of one moment into the empty file at `path`: a store in SQLite with the same rows."""
        from autokestra_secrets.backends.sqlite import SQLiteBackend  # noqa: PLC0415  # for copies

        copy = SQLiteBackend(path)
        try:
            with self.snapshot(), copy.transaction():
                copy_rows(self, copy)
        finally:
            copy.close()

    def overwrite(self, path: str) -> None:
        """Replace everything by what the copy at `path` holds, in one transaction."""
        from autokestra_secrets.backends.sqlite import SQLiteBackend  # noqa: PLC0415  # for copies

        copy = SQLiteBackend(path)
        try:
            with copy.snapshot(), self.transaction():
                self.empty()
                copy_rows(copy, self)
        finally:
            copy.close()

    def empty(self) -> None:
        """Remove all rows. Inside `transaction` only."""
        self._database.execute(_EMPTY)

    def close(self) -> None:
        """Close the connection."""
        self._database.close()

    # --- inside

    def _select(self, statement: str, parameters: Any = None) -> list[Any]:
        self._check_there()
        return self._database.execute(statement, parameters).fetchall()

    def _look(self) -> None:
        link = self._database.connection()
        if not self._schema:
            self._identify(link)  # somebody may have made it since

    def _check_there(self) -> None:
        self._look()
        if not self._schema:
            raise StoreUnavailableError(
                f"there is no secret store in {self.location} yet",
                hint=f"create it by storing a secret: workflow secrets set NAME --store {shell_word(self.location)}",
            )

    def _identify(self, link: "psycopg.Connection[Any]") -> None:
        """Find out which version of the schema is there. Raises UnknownFormatError when it is a newer one."""
        schema = self._database.address.schema
        with self._database.explained():
            there = link.execute(_HAS_SCHEMA, (schema,)).fetchone()
            found = link.execute(_VERSION_OF_SCHEMA.format(schema)).fetchone() if there else None
        self._schema = found[0] if found else 0
        if self._schema > len(MIGRATIONS):
            raise UnknownFormatError(
                f"the secret store {self.location} has schema version {self._schema}, expected at most"
                f" {len(MIGRATIONS)}",
                hint="upgrade autokestra: pip install --upgrade autokestra",
            )

    def _migrate(self) -> None:
        self._database.lock_migrations()
        self._identify(self._database.connection())  # another process may have made them while we waited
        if not self._schema:
            self._database.make_schema()
        for statement in (statement for step in MIGRATIONS[self._schema :] for statement in step):
            self._database.execute(statement)
        self._database.execute("UPDATE secrets_version SET version = %s", (len(MIGRATIONS),))
        self._schema = len(MIGRATIONS)


def copy_rows(source: Any, target: Any) -> None:
    """Put every row of one backend into another, empty one, within a snapshot and a transaction: the same bytes."""
    header = source.header()
    if header is not None:
        target.put_header(header)
    for put, rows in (
        (target.put_slot, source.slots()),
        (target.put_retired, source.retired()),
        (target.put_secret, source.scan()),
        (target.put_journal, source.journal()),
    ):
        for row in rows:
            put(row)
