"""The tables of a store in SQLite. What the bytes in them mean stands in docs/spec/envelope.md (R11)."""

from collections.abc import Iterable
from typing import Final

from autokestra_secrets.errors import DamagedError

APPLICATION_ID: Final = 0x414B5331  # "AKS1" in PRAGMA application_id: what file(1) and we tell a store by

RETIRED_KEYS_VERSION: Final = 2  # the schema version that brought `retired_keys`

# One entry for each schema version, in order; PRAGMA user_version counts those that were run.
MIGRATIONS: Final = (
    (
        """CREATE TABLE header (
            id INTEGER PRIMARY KEY CHECK (id = 1),  -- one row
            format INTEGER NOT NULL,
            store_id BLOB NOT NULL,                 -- 16 random bytes
            key_id BLOB NOT NULL,                   -- 16 random bytes: the data key in use
            generation INTEGER NOT NULL,            -- of the last journal row
            journal_base INTEGER NOT NULL,          -- the generation before the first row of the chain
            journal_mac BLOB NOT NULL,              -- the end of the chain
            header_mac BLOB NOT NULL                -- over all of the above
        )""",
        """CREATE TABLE key_slots (
            id INTEGER PRIMARY KEY,
            label TEXT NOT NULL,
            kind TEXT NOT NULL,                     -- key | passphrase | recovery
            key_id BLOB NOT NULL,                   -- the data key that is wrapped here
            created_at INTEGER NOT NULL,            -- microseconds UTC
            salt BLOB NOT NULL,
            iterations INTEGER NOT NULL,
            iv BLOB NOT NULL,
            wrapped_key BLOB NOT NULL,
            auth_tag BLOB NOT NULL,
            checksum BLOB NOT NULL                  -- SHA-256 of the fields: tells a wrong key from damage
        )""",
        """CREATE TABLE secrets (
            name TEXT NOT NULL,
            version INTEGER NOT NULL,               -- the highest of a name is the current one
            state TEXT NOT NULL,
            key_id BLOB NOT NULL,                   -- the data key that sealed this row
            created_at INTEGER NOT NULL,            -- microseconds UTC, of the first version
            updated_at INTEGER NOT NULL,            -- microseconds UTC, of this version
            metadata TEXT NOT NULL,                 -- JSON object
            iv BLOB NOT NULL,
            auth_tag BLOB NOT NULL,
            encrypted_value BLOB NOT NULL,          -- last, so that a listing never touches its pages
            PRIMARY KEY (name, version)
        )""",
        """CREATE TABLE journal (
            generation INTEGER PRIMARY KEY,
            at INTEGER NOT NULL,                    -- microseconds UTC
            operation TEXT NOT NULL,
            name TEXT NOT NULL,
            version INTEGER NOT NULL,
            tag BLOB NOT NULL                       -- auth tag of the row that was written
        )""",
        "CREATE INDEX journal_by_name ON journal (name, generation)",
    ),
    (
        """CREATE TABLE retired_keys (
            key_id BLOB PRIMARY KEY,                -- the data key that is kept here, for reading outputs only
            wrapped_by BLOB NOT NULL,               -- the data key that it is wrapped under
            retired_at INTEGER NOT NULL,            -- microseconds UTC
            iv BLOB NOT NULL,
            wrapped_key BLOB NOT NULL,
            auth_tag BLOB NOT NULL
        )""",
    ),
)

SCHEMA: Final = "SELECT type, name, rootpage FROM sqlite_schema"

_TABLES: Final = (("header", "key_slots", "secrets", "journal"), ("retired_keys",))  # that each migration brings


def check_schema(objects: Iterable[tuple[object, object, object]], version: int, *, path: str) -> None:
    """Raise DamagedError when the database holds what acts by itself, or tables of a later version than it says (R11).

    A trigger runs with our rights whenever we write, a view or virtual table in the place of one of ours computes what
    it likes whenever we read. None of them has pages of its own, and no version of this program makes any. Tables and
    indexes beside ours are only data.
    """
    later = {name for names in _TABLES[max(version, 0) :] for name in names}
    for kind, name, root in objects:
        if not root:
            raise DamagedError(
                f"the secret store {path} holds a {'trigger' if kind == 'trigger' else 'view'}, which acts by itself "
                "and was put there by somebody else",
                hint="restore it from a backup",
            )
        if name in later:
            raise DamagedError(
                f"the secret store {path} says that it has schema version {version}, but holds tables of a later one",
                hint="restore it from a backup",
            )
