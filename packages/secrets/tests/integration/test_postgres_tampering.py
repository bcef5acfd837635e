"""Somebody who may write to the PostgreSQL database but has no key: whatever is changed is noticed, as in SQLite."""

import psycopg
import pytest

from autokestra_secrets import DamagedError, SecretNotFoundError, SecretsError, SecretStore, UnknownFormatError
from autokestra_secrets.backends.postgres import PostgresBackend
from autokestra_secrets.backends.sqlite import SQLiteBackend
from autokestra_secrets.testing import fixed_keys

VALUES = {"A": "value of A", "B": "value of B"}
TABLES = ["header", "key_slots", "secrets", "journal", "retired_keys"]
KEYS = {"header": "id", "key_slots": "id", "secrets": "name", "journal": "generation", "retired_keys": "key_id"}


def open_store(url):
    return SecretStore(PostgresBackend(url), keys=fixed_keys())


@pytest.fixture
def url(postgres_url):
    with open_store(postgres_url) as store:
        store.set_many(VALUES)
        store.keys.reencrypt()
        store.set("A", "value 2 of A")
        store.set("A", "value 3 of A")
    return postgres_url


@pytest.fixture
def sql(url, postgres_server):
    """Run statements as somebody with psql would; return the rows of the last one."""
    schema = url.partition("schema=")[2]
    with postgres_server.connect() as connection:
        connection.execute(f"SET search_path TO {schema}")

        def run(statement, parameters=None):
            cursor = connection.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

        yield run


@pytest.fixture
def store(url):
    with open_store(url) as store:
        yield store


def flipped(value):
    if isinstance(value, bytes):
        for place in range(len(value)):
            changed = bytearray(value)
            changed[place] ^= 1 << place % 8
            yield bytes(changed)
        yield b""
    elif isinstance(value, int):
        yield from (value + 1, value - 1, -value - 1, 0 if value else 2, 2**62, 2**63 - 1)
    else:
        yield from (value + "x", value[:-1], value.swapcase())


def kinds(url):
    with open_store(url) as store:
        return {problem.kind for problem in store.verify().problems}


def test_nothing_is_wrong_to_begin_with(url, store):
    assert VALUES | {"A": "value 3 of A"} == {name: value.reveal() for name, value in store.get_many("AB").items()}
    assert store.verify().ok


@pytest.mark.parametrize("table", TABLES)
def test_each_byte_of_each_column_of_each_row_is_guarded(url, sql, table):
    """By `verify`, which replays the journal, or by the database itself, which holds types and keys fast."""
    schema = url.partition("schema=")[2]
    columns = [
        name
        for (name,) in sql(
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_schema = %s AND table_name = %s AND identity_generation IS NULL",
            (schema, table),
        )
    ]
    tried, missed = 0, []
    with open_store(url) as store:
        for where, *values in sql(f"SELECT ctid, {', '.join(columns)} FROM {table}"):
            row = where
            for column, value in zip(columns, values, strict=True):
                if (table, column) == ("header", "id"):  # one row, by a constraint
                    continue
                for changed in flipped(value):
                    if changed == value:
                        continue
                    try:
                        ((moved,),) = sql(
                            f"UPDATE {table} SET {column} = %s WHERE ctid = %s RETURNING ctid", (changed, row)
                        )
                    except psycopg.errors.UniqueViolation:
                        continue
                    tried += 1
                    try:
                        if store.verify().ok:
                            missed.append((column, changed))
                    except (UnknownFormatError, SecretsError):
                        pass
                    ((row,),) = sql(f"UPDATE {table} SET {column} = %s WHERE ctid = %s RETURNING ctid", (value, moved))
        assert store.verify().ok
    assert [] == missed
    assert tried > 50


@pytest.mark.parametrize("table", TABLES)
def test_each_row_that_was_dropped_is_noticed(url, sql, table):
    for (row,) in sql(f"SELECT {KEYS[table]} FROM {table}"):
        sql(f"CREATE TABLE kept AS SELECT * FROM {table}")
        sql(f"DELETE FROM {table} WHERE {KEYS[table]} = %s", (row,))
        assert kinds(url), (table, row)
        sql(f"TRUNCATE {table}")
        sql(f"INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM kept")
        sql("DROP TABLE kept")
    assert not kinds(url)


@pytest.mark.parametrize("pieces", [("encrypted_value",), ("iv", "auth_tag", "encrypted_value"), ("auth_tag",)])
def test_swapped_ciphertexts_do_not_open(store, sql, pieces):
    for piece in pieces:
        one, two = (
            sql(f"SELECT {piece} FROM secrets WHERE name = %s AND version IN (1, 3) ORDER BY version DESC", (name,))[0][
                0
            ]
            for name in "AB"
        )
        for name, value in (("A", two), ("B", one)):
            sql(f"UPDATE secrets SET {piece} = %s WHERE name = %s", (value, name))
    for name in VALUES:
        with pytest.raises(DamagedError):
            store.get(name)


def test_swapped_rows_do_not_open_even_if_the_journal_is_made_to_agree(store, sql):
    for table in ("secrets", "journal"):
        for old, new in (("A", "tmp"), ("B", "A"), ("tmp", "B")):
            sql(f"UPDATE {table} SET name = %s WHERE name = %s", (new, old))
    for name in VALUES:
        with pytest.raises(DamagedError, match="the journal was edited"):
            store.get(name)


def test_a_moved_dropped_or_replayed_row_does_not_open(url, store, sql):
    sql("CREATE TABLE kept AS SELECT * FROM secrets")
    store.set("A", "newer value of A", keep=1)
    sql("DELETE FROM secrets WHERE name = 'A'")
    sql("INSERT INTO secrets SELECT * FROM kept WHERE name = 'A'")
    for use in (lambda: store.get("A"), lambda: store.rename("A", "C"), lambda: store.get("A", version=2)):
        with pytest.raises(DamagedError, match=r"put back from an older copy|history"):
            use()
    assert "replayed" in kinds(url)
    sql("UPDATE secrets SET name = 'C' WHERE name = 'B'")
    with pytest.raises(DamagedError, match="'C' is not what was written last"):
        store.get("C")
    with pytest.raises(DamagedError, match="'B' was dropped"):
        store.get("B")
    sql("DELETE FROM secrets")
    sql("INSERT INTO secrets SELECT * FROM kept WHERE name = 'B'")
    store.delete("B")
    sql("INSERT INTO secrets SELECT * FROM kept WHERE name = 'B'")
    with pytest.raises(DamagedError):
        store.get("B")


def test_rows_of_another_store_do_not_open(url, store, sql, postgres_server):
    other = postgres_server.url(schema="other_store")
    with open_store(other) as another:
        another.set("B", "value of X")
    sql(
        "UPDATE secrets SET (iv, auth_tag, encrypted_value, key_id, created_at, updated_at) = (SELECT iv, auth_tag,"
        " encrypted_value, key_id, created_at, updated_at FROM other_store.secrets) WHERE name = 'B'"
    )
    sql("UPDATE journal SET tag = (SELECT auth_tag FROM secrets WHERE name = 'B') WHERE name = 'B'")
    sql("DROP SCHEMA other_store CASCADE")
    with pytest.raises(DamagedError, match="the journal was edited"):
        store.get("B")
    assert "foreign" in kinds(url)


def test_plaintext_in_the_place_of_ciphertext_is_never_taken_nor_shown(store, sql):
    for kind in ("BYTEA USING encrypted_value", "TEXT USING 'hunter2 in clear'", "BIGINT USING 42"):
        sql(f"ALTER TABLE secrets ALTER COLUMN encrypted_value TYPE {kind}")
        sql("UPDATE secrets SET encrypted_value = encrypted_value WHERE name = 'A'")
        if "BYTEA" in kind:
            sql("UPDATE secrets SET encrypted_value = 'hunter2 in clear' WHERE name = 'A'")
        for use in (lambda: store.get("A"), lambda: store.rename("A", "C"), lambda: store.get_many(["A"])):
            with pytest.raises(DamagedError) as caught:
                use()
            assert "hunter2" not in f"{caught.value!r} {caught.value.hint} {caught.value.__cause__!r}"


@pytest.mark.parametrize("table", ["header", "key_slots"])
def test_a_store_that_lost_header_or_slots_is_damaged_and_not_new(store, sql, table):
    sql(f"DELETE FROM {table}")
    for use in (lambda: store.get("A"), lambda: store.set("A", "new"), lambda: store.delete("A"), store.output_cipher):
        with pytest.raises(DamagedError, match="has lost its"):
            use()


def test_a_table_that_is_gone_is_damage_and_not_an_empty_store(url, sql):
    sql("DROP TABLE secrets")
    with open_store(url) as store, pytest.raises(DamagedError, match="is damaged"):
        store.get("A")


def test_an_older_version_rescues_a_secret_and_a_damaged_one_can_be_set_or_deleted(store, sql):
    sql("UPDATE secrets SET encrypted_value = 'text' WHERE version = 3")
    with pytest.raises(DamagedError):
        store.get("A")
    assert 4 == store.rollback("A", 2).version
    assert "value 2 of A" == store.get("A").reveal()
    sql("UPDATE secrets SET metadata = '{ }'")
    store.delete("A")
    assert "new" == (store.set("B", "new"), store.get("B").reveal())[1]
    with pytest.raises(SecretNotFoundError):
        store.get("A")


def test_a_copy_opens_as_sqlite_and_goes_back(url, store, tmp_path, sql):
    """The same bytes under the same AAD: only the rows' place differs."""
    store.backup(tmp_path / "copy.db")
    with SecretStore(SQLiteBackend(str(tmp_path / "copy.db")), keys=fixed_keys()) as copy:
        assert store.verify() == copy.verify()
        assert store.history("A") == copy.history("A")
        assert "value 2 of A" == copy.get("A", version=2).reveal()
    store.set("A", "later")
    store.delete("B")
    backend = PostgresBackend(url)
    backend.overwrite(str(tmp_path / "copy.db"))
    backend.close()
    with open_store(url) as again:
        assert again.verify().ok
        assert ("value 3 of A", "value of B") == (again.get("A").reveal(), again.get("B").reveal())
