"""The tables of a store in PostgreSQL. What the bytes in them mean stands in docs/spec/envelope.md, as for SQLite.

Names sort by their bytes whatever the database's language, so every text that is sorted says COLLATE "C".
"""

from typing import Final

# One entry for each schema version, in order; the row of `secrets_version` counts those that were run.
MIGRATIONS: Final = (
    (
        "CREATE TABLE secrets_version (id INTEGER PRIMARY KEY CHECK (id = 1), version INTEGER NOT NULL)",
        "INSERT INTO secrets_version VALUES (1, 0)",
        """CREATE TABLE header (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            format BIGINT NOT NULL,
            store_id BYTEA NOT NULL,
            key_id BYTEA NOT NULL,
            generation BIGINT NOT NULL,
            journal_base BIGINT NOT NULL,
            journal_mac BYTEA NOT NULL,
            header_mac BYTEA NOT NULL
        ) WITH (fillfactor = 50)""",  # room beside the row that every write replaces, so that no index is touched
        """CREATE TABLE key_slots (
            id BIGINT PRIMARY KEY,
            label TEXT NOT NULL,
            kind TEXT NOT NULL,
            key_id BYTEA NOT NULL,
            created_at BIGINT NOT NULL,
            salt BYTEA NOT NULL,
            iterations BIGINT NOT NULL,
            iv BYTEA NOT NULL,
            wrapped_key BYTEA NOT NULL,
            auth_tag BYTEA NOT NULL,
            checksum BYTEA NOT NULL
        )""",
        """CREATE TABLE secrets (
            name TEXT COLLATE "C" NOT NULL,
            version BIGINT NOT NULL,
            state TEXT NOT NULL,
            key_id BYTEA NOT NULL,
            created_at BIGINT NOT NULL,
            updated_at BIGINT NOT NULL,
            metadata TEXT NOT NULL,
            iv BYTEA NOT NULL,
            auth_tag BYTEA NOT NULL,
            encrypted_value BYTEA NOT NULL,
            PRIMARY KEY (name, version)
        )""",
        # Random bytes do not compress: trying costs time and would change nothing but the time.
        "ALTER TABLE secrets ALTER COLUMN encrypted_value SET STORAGE EXTERNAL",
        """CREATE TABLE journal (
            generation BIGINT PRIMARY KEY,
            at BIGINT NOT NULL,
            operation TEXT NOT NULL,
            name TEXT COLLATE "C" NOT NULL,
            version BIGINT NOT NULL,
            tag BYTEA NOT NULL
        )""",
        "CREATE INDEX journal_by_name ON journal (name, generation)",
        """CREATE TABLE retired_keys (
            key_id BYTEA PRIMARY KEY,
            wrapped_by BYTEA NOT NULL,
            retired_at BIGINT NOT NULL,
            iv BYTEA NOT NULL,
            wrapped_key BYTEA NOT NULL,
            auth_tag BYTEA NOT NULL,
            added BIGINT GENERATED ALWAYS AS IDENTITY
        )""",
    ),
)
