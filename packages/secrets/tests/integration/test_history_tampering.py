"""Somebody who can write to the database edits the past: versions that are not current are guarded all the same."""

import sqlite3

import pytest

from autokestra_secrets import DamagedError, SecretNotFoundError, SecretStore, VersionNotFoundError
from autokestra_secrets.backends.sqlite import SQLiteBackend
from autokestra_secrets.testing import fixed_keys


@pytest.fixture
def path(tmp_path):
    with SecretStore(SQLiteBackend(str(tmp_path / "store.db")), keys=fixed_keys()) as store:
        for number in (1, 2, 3):
            store.set("A", f"value {number}", tags=["t"])
    return tmp_path / "store.db"


@pytest.fixture
def store(path):
    with SecretStore(SQLiteBackend(str(path)), keys=fixed_keys()) as store:
        yield store


def sql(path, *statements):
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        rows = connection.execute(statement).fetchall()
    connection.close()
    return rows


SWAP = (
    "UPDATE secrets SET version = -1 WHERE version = 1",
    "UPDATE secrets SET version = 1 WHERE version = 2",
    "UPDATE secrets SET version = 2 WHERE version = -1",
)


@pytest.mark.parametrize(
    "damage",
    [
        SWAP,
        ("DELETE FROM secrets WHERE version = 2",),
        ("UPDATE secrets SET encrypted_value = zeroblob(7) WHERE version = 2",),
        ("UPDATE secrets SET metadata = '{}' WHERE version = 2",),
        ("UPDATE secrets SET state = 'x' WHERE version = 2",),
        ("UPDATE secrets SET auth_tag = zeroblob(16) WHERE version = 2",),
        ("DELETE FROM journal WHERE version = 2",),
    ],
)
def test_an_older_version_that_was_touched_is_neither_read_nor_brought_back_nor_renamed(path, store, damage):
    sql(path, *damage)
    for use in (
        lambda: store.get("A", version=2),
        lambda: store.rollback("A", 2),
        lambda: store.rename("A", "B"),
    ):
        with pytest.raises(DamagedError):
            use()
    assert "value 3" == store.get("A").reveal()
    assert {"A"} == store.names()


def test_a_version_that_was_removed_does_not_come_back(path, store):
    """Neither one that was pruned nor one that was deleted, even if its row is put back byte for byte."""
    sql(path, "CREATE TABLE kept AS SELECT * FROM secrets")
    store.set("A", "value 4", keep=2)
    sql(path, "INSERT INTO secrets SELECT * FROM kept WHERE version < 3")
    for use in (lambda: store.get("A", version=1), lambda: store.rollback("A", 2), lambda: store.rename("A", "B")):
        with pytest.raises(DamagedError):
            use()
    store.delete("A")
    with pytest.raises(SecretNotFoundError):
        store.get("A", version=2)
    sql(path, "INSERT INTO secrets SELECT * FROM kept")
    for number in (1, 2, 3):
        with pytest.raises(DamagedError):
            store.get("A", version=number)


def test_a_dropped_current_version_does_not_make_the_one_before_current(path, store):
    sql(path, "DELETE FROM secrets WHERE version = 3")
    for use in (lambda: store.get("A"), lambda: store.describe("A", tags=()), lambda: store.rename("A", "B")):
        with pytest.raises(DamagedError):
            use()


def test_an_older_version_rescues_a_secret_whose_current_one_is_damaged(path, store):
    sql(path, "UPDATE secrets SET encrypted_value = 'text' WHERE version = 3")
    with pytest.raises(DamagedError):
        store.get("A")
    assert 4 == store.rollback("A", 2).version
    assert "value 2" == store.get("A").reveal()
    with pytest.raises(VersionNotFoundError):  # what else is genuine nobody could tell, so the rest is gone
        store.get("A", version=1)


@pytest.mark.parametrize(
    "metadata",
    [
        "",
        "null",
        "[]",
        "{ }",
        '{"description":""}',
        '{"description":"\\u001b[2J"}',
        '{"description":5}',
        '{"tags":"word"}',
        '{"tags":["b","a"]}',
        '{"tags":[[1]]}',
        '{"tags":{"a":1}}',
        '{"expires_at":"1"}',
        '{"expires_at":1e3}',
        '{"other":1}',
        '{"description":"x","description":"x"}',
        "[" * 100_000,
    ],
)
def test_edited_metadata_is_never_shown(path, store, metadata):
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE secrets SET metadata = ? WHERE version = 3", (metadata,))
    connection.close()
    for use in (store.list, lambda: store.history("A"), lambda: store.get("A")):
        with pytest.raises(DamagedError):
            use()


def test_a_version_may_be_asked_of_a_store_that_does_not_exist_yet(tmp_path):
    backend = SQLiteBackend(str(tmp_path / "none.db"), home=str(tmp_path))
    with SecretStore(backend, keys=fixed_keys()) as store, pytest.raises(SecretNotFoundError):
        store.get("A", version=1)


def test_a_lost_header_is_said_when_a_version_is_read(path, store):
    sql(path, "DELETE FROM header")
    for use in (lambda: store.get("A", version=2), lambda: store.get_many(["A"])):
        with pytest.raises(DamagedError, match="lost its header"):
            use()
