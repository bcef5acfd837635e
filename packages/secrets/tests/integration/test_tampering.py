"""Somebody who can write to the database but has no key: whatever is changed is noticed, with the right error."""

import sqlite3

import pytest

from autokestra_secrets import (
    DamagedError,
    SecretNotFoundError,
    SecretsError,
    SecretStore,
    SecretValue,
    UnknownFormatError,
)
from autokestra_secrets.backends.sqlite import SQLiteBackend
from autokestra_secrets.testing import fixed_keys

# Both values have one length, so that bytes can be swapped without any length giving it away.
VALUES = {"A": "value of A", "B": "value of B"}


@pytest.fixture
def path(tmp_path):
    with SecretStore(SQLiteBackend(str(tmp_path / "store.db")), keys=fixed_keys()) as store:
        store.set_many(VALUES)
    return tmp_path / "store.db"


@pytest.fixture
def store(path):
    """The store, opened only when it is used: after the tampering."""
    with SecretStore(SQLiteBackend(str(path)), keys=fixed_keys()) as store:
        yield store


def sql(path, *statements):
    """Run statements as somebody with an editor for SQLite would; return the rows of the last one."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        for statement in statements:
            text, parameters = (statement, ()) if isinstance(statement, str) else statement
            rows = connection.execute(text, parameters).fetchall()
        return rows
    finally:
        connection.close()


def columns(path, table):
    return [row[1] for row in sql(path, f"PRAGMA table_info({table})")]


def flipped(value):
    """Yield `value` with a bit of each of its bytes flipped, or for numbers and text some that are near."""
    if isinstance(value, bytes):
        for place in range(len(value)):
            changed = bytearray(value)
            changed[place] ^= 1 << place % 8
            yield bytes(changed)
    elif isinstance(value, int):
        yield from (value + 1, value - 1, -value - 1, 0 if value else 2, 2**62, 2**63 - 1)
    else:
        yield from (value + "x", value[:-1], value.swapcase())


def test_nothing_is_wrong_to_begin_with(store):
    assert {name: SecretValue(value) for name, value in VALUES.items()} == store.get_many(VALUES)


@pytest.mark.parametrize("table", ["header", "key_slots", "secrets", "journal"])
def test_each_column_with_each_byte_changed_is_noticed(path, table):
    """All but what the database itself holds fast; renumbered journals are in test_history_tampering."""
    unnoticed = {"header": {"id"}, "journal": {"generation"}}.get(table, set())
    row = "name = 'A'" if table in ("secrets", "journal") else "true"
    whole = path.read_bytes()
    for column in columns(path, table):
        ((original,),) = sql(path, f"SELECT {column} FROM {table} WHERE {row}")
        for changed in flipped(original):
            if column in unnoticed or changed == original:
                continue
            sql(path, (f"UPDATE {table} SET {column} = ? WHERE {row}", (changed,)))
            with (
                SecretStore(SQLiteBackend(str(path)), keys=fixed_keys()) as store,
                pytest.raises((DamagedError, UnknownFormatError)),
            ):
                store.get("A")
            path.write_bytes(whole)
    with SecretStore(SQLiteBackend(str(path)), keys=fixed_keys()) as store:
        assert VALUES["A"] == store.get("A").reveal()


@pytest.mark.parametrize("pieces", [("encrypted_value",), ("iv", "auth_tag", "encrypted_value"), ("auth_tag",)])
def test_swapped_ciphertexts_do_not_open(path, store, pieces):
    for piece in pieces:
        one, two = (sql(path, f"SELECT {piece} FROM secrets WHERE name = '{name}'")[0][0] for name in "AB")
        for name, value in (("A", two), ("B", one)):
            sql(path, (f"UPDATE secrets SET {piece} = ? WHERE name = ?", (value, name)))
    for name in VALUES:
        with pytest.raises(DamagedError):
            store.get(name)


def test_swapped_rows_do_not_open_even_if_the_journal_is_made_to_agree(path, store):
    swap = "CASE name WHEN 'A' THEN 'tmp' WHEN 'B' THEN 'A' ELSE name END"
    for table in ("secrets", "journal"):
        sql(path, f"UPDATE {table} SET name = {swap}", f"UPDATE {table} SET name = 'B' WHERE name = 'tmp'")
    for name in VALUES:
        with pytest.raises(DamagedError, match="the journal was edited"):
            store.get(name)


def test_a_row_moved_to_a_new_name_does_not_open(path, store):
    sql(path, "UPDATE secrets SET name = 'C' WHERE name = 'A'")
    with pytest.raises(DamagedError, match="'C' is not what was written last"):
        store.get("C")
    with pytest.raises(DamagedError, match="'A' was dropped"):
        store.get("A")


def test_an_older_row_put_back_does_not_open(path, store):
    sql(path, "CREATE TABLE kept AS SELECT * FROM secrets WHERE name = 'A'")
    store.set("A", "newer value of A")
    store.close()
    sql(path, "DELETE FROM secrets WHERE name = 'A'", "INSERT INTO secrets SELECT * FROM kept", "DROP TABLE kept")
    again = SecretStore(SQLiteBackend(str(path)), keys=fixed_keys())
    for use in (lambda: again.get("A"), lambda: again.rename("A", "C")):
        with pytest.raises(DamagedError, match="put back from an older copy"):
            use()
    assert "value of B" == again.get("B").reveal()
    again.close()


def test_a_deleted_row_put_back_does_not_open(path, store):
    sql(path, "CREATE TABLE kept AS SELECT * FROM secrets WHERE name = 'A'")
    store.delete("A")
    store.close()
    sql(path, "INSERT INTO secrets SELECT * FROM kept")
    with SecretStore(SQLiteBackend(str(path)), keys=fixed_keys()) as again, pytest.raises(DamagedError):
        again.get("A")


def test_a_row_of_another_store_does_not_open(path, store, tmp_path):
    with SecretStore(SQLiteBackend(str(tmp_path / "other.db")), keys=fixed_keys()) as other:
        other.set("A", "value of X")
    sql(
        path,
        f"ATTACH '{tmp_path}/other.db' AS other",
        "DELETE FROM secrets WHERE name = 'A'",
        "INSERT INTO secrets SELECT * FROM other.secrets",
        "UPDATE journal SET tag = (SELECT auth_tag FROM secrets WHERE name = 'A') WHERE name = 'A'",
    )
    with pytest.raises(DamagedError, match="the journal was edited"):
        store.get("A")


@pytest.mark.parametrize("plaintext", ["'plain text'", "CAST('plain text' AS BLOB)", "x''", "''", "NULL", "42", "4.2"])
def test_plaintext_in_the_place_of_ciphertext_is_never_taken(path, store, plaintext):
    sql(path, "PRAGMA ignore_check_constraints = ON", "PRAGMA writable_schema = ON")
    sql(
        path,
        "CREATE TABLE loose AS SELECT * FROM secrets",
        "DROP TABLE secrets",
        "ALTER TABLE loose RENAME TO secrets",
        f"UPDATE secrets SET encrypted_value = {plaintext} WHERE name = 'A'",
    )
    with pytest.raises(DamagedError):
        store.get("A")
    assert "value of B" == store.get("B").reveal()


def test_a_dropped_row_is_not_taken_for_a_secret_that_never_was(path, store):
    sql(path, "DELETE FROM secrets WHERE name = 'A'")
    with pytest.raises(DamagedError, match="the row of secret 'A' was dropped"):
        store.get("A")
    with pytest.raises(SecretNotFoundError):
        store.get("C")
    with pytest.raises(DamagedError):
        store.get_many(["A", "B"])


@pytest.mark.parametrize("table", ["header", "key_slots"])
def test_a_store_that_lost_header_or_slots_is_damaged_and_not_new(path, store, table):
    sql(path, f"DELETE FROM {table}")
    for use in (
        lambda: store.get("A"),
        lambda: store.set("A", "new"),
        lambda: store.delete("A"),
        store.output_cipher,
    ):
        with pytest.raises(DamagedError, match="has lost its"):
            use()


def test_a_store_that_lost_header_and_slots_does_not_get_a_new_key(path, store):
    sql(path, "DELETE FROM header", "DELETE FROM key_slots")
    for use in (lambda: store.get("A"), lambda: store.set("A", "new"), store.output_cipher):
        with pytest.raises(DamagedError, match="has lost its header"):
            use()
    assert [] == sql(path, "SELECT * FROM key_slots")


def test_a_header_that_changes_under_an_open_store_is_noticed(path, store):
    store.get("A")
    sql(path, "UPDATE header SET generation = generation + 5")
    with pytest.raises(DamagedError, match="header of the store"):
        store.set("A", "new")


@pytest.mark.parametrize("name", ["MY KEY", "", "\x1b[2J", "x" * 129, "ü"])
def test_an_impossible_name_in_the_database_is_never_shown(path, store, name):
    sql(path, ("UPDATE secrets SET name = ? WHERE name = 'A'", (name,)))
    for use in (store.names, store.list):
        with pytest.raises(DamagedError, match="impossible name") as caught:
            use()
        assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE secrets SET encrypted_value = 'plain text' WHERE name = 'A'",
        "UPDATE secrets SET version = 'x' WHERE name = 'A'",
        "UPDATE secrets SET version = 1.5 WHERE name = 'A'",
        "UPDATE secrets SET version = 7 WHERE name = 'A'",
        "UPDATE secrets SET created_at = 7 WHERE name = 'A'",
        "DELETE FROM secrets WHERE name = 'A'",
    ],
)
@pytest.mark.parametrize("repair", ["set", "delete"])
def test_a_damaged_secret_can_be_set_again_or_deleted(path, store, damage, repair):
    sql(path, damage)
    with pytest.raises(DamagedError):
        store.get("A")
    if repair == "set":
        written = store.set("A", "new value")
        assert written.created_at == written.updated_at  # what the row said of its age is not believed
        assert "new value" == store.get("A").reveal()
        assert ["A", "B"] == [row.name for row in store.list()]
    else:
        store.delete("A")
        with pytest.raises(SecretNotFoundError):
            store.get("A")
        assert ["B"] == [row.name for row in store.list()]
    assert "value of B" == store.get("B").reveal()


def test_an_impossible_version_is_not_counted_on_from(path, store):
    sql(path, f"UPDATE secrets SET version = {2**63 - 1} WHERE name = 'A'")
    with pytest.raises(DamagedError, match="impossible version") as caught:
        store.set("A", "new")
    assert "workflow secrets delete A" == caught.value.hint
    store.delete("A")
    assert 1 == store.set("A", "new").version


def test_a_damaged_row_is_not_carried_to_another_name(path, store):
    sql(path, "UPDATE secrets SET metadata = '{ }' WHERE name = 'A'")
    with pytest.raises(DamagedError):
        store.rename("A", "C")
    assert {"A", "B"} == store.names()


def test_no_error_shows_a_value(path, store):
    sql(path, "UPDATE secrets SET encrypted_value = 'hunter2 in clear' WHERE name = 'A'")
    for use in (lambda: store.get("A"), lambda: store.rename("A", "C"), lambda: store.get_many(["A"])):
        with pytest.raises(SecretsError) as caught:
            use()
        assert "hunter2" not in f"{caught.value!r} {caught.value.hint} {caught.value.__cause__!r}"
