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


# What only the end of the chain can tell: the newest version is gone, and with it all that the journal says of it.
FORGOTTEN = (
    "DELETE FROM secrets WHERE name = 'A' AND version = 3",
    "DELETE FROM journal WHERE name = 'A' AND version = 3",
)
RENUMBERED = (  # B was written after A, so this leaves no gap
    *FORGOTTEN,
    "UPDATE journal SET generation = generation - 1 WHERE name = 'B'",
)
UNDELETED = ("INSERT INTO secrets SELECT * FROM kept", "DELETE FROM journal WHERE operation = 'delete'")


def attack(path, store, damage):
    """Do what somebody who can write to the database does, between two uses of it."""
    store.set("B", "value")
    if damage is UNDELETED:
        sql(path, "CREATE TABLE kept AS SELECT * FROM secrets WHERE name = 'A'")
        store.delete("A")
    store.close()
    sql(path, *damage)


@pytest.mark.parametrize("damage", [FORGOTTEN, RENUMBERED, UNDELETED])
@pytest.mark.parametrize(
    "use",
    [
        lambda store: store.get("A"),
        lambda store: store.get("A", version=2),
        lambda store: store.get_many(["A"]),
        lambda store: store.get("B"),
        lambda store: store.set("B", "new"),
        lambda store: store.delete("A"),
        lambda store: store.describe("A", tags=()),
        lambda store: store.keys.add("another key, of enough characters", label="other"),
        lambda store: store.keys.reencrypt(),
    ],
)
def test_an_old_value_does_not_come_back_with_the_journal_cut_to_fit(path, store, damage, use):
    attack(path, store, damage)
    before = sql(path, "SELECT * FROM header")
    with SecretStore(SQLiteBackend(str(path)), keys=fixed_keys()) as again:
        with pytest.raises(DamagedError, match="journal") as caught:
            use(again)
        assert "workflow secrets verify" in caught.value.hint
        report = again.verify()
        assert {"A", "B"} == again.names()
    assert [problem.message for problem in report.problems if problem.kind == "journal"] == [caught.value.message]
    assert before == sql(path, "SELECT * FROM header")


@pytest.mark.parametrize("damage", [FORGOTTEN, RENUMBERED])
def test_an_open_store_replays_the_journal_again_when_somebody_has_written(path, store, damage):
    assert "value 3" == store.get("A").reveal()
    with SecretStore(SQLiteBackend(str(path)), keys=fixed_keys()) as other:
        attack(path, other, damage)
    for use in (lambda: store.get("A"), lambda: store.set("B", "new")):
        with pytest.raises(DamagedError, match="journal"):
            use()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("UPDATE journal SET tag = 'text' WHERE version = 2", "the journal cannot be read"),
        ("DELETE FROM journal WHERE version = 2", "are missing after generation 2"),
        ("UPDATE journal SET at = at + 1 WHERE version = 2", "the journal was edited"),
        ("DELETE FROM journal WHERE version = 3", "not what was written last"),  # says more, where it can
    ],
)
def test_a_journal_that_was_touched_anywhere_stops_readers_and_writers(path, store, damage, words):
    sql(path, damage)
    with pytest.raises(DamagedError, match="journal"):
        store.set("B", "new")
    with pytest.raises(DamagedError, match=words) as caught:
        store.get("A")
    assert "workflow secrets verify" in caught.value.hint


def test_the_journal_is_replayed_once_for_each_header(path):
    class Counting(SQLiteBackend):
        replays = 0

        def journal(self, name=None):
            self.replays += name is None
            return super().journal(name)

    with SecretStore(SQLiteBackend(str(path)), keys=fixed_keys()) as other:
        backend = Counting(str(path))
        with SecretStore(backend, keys=fixed_keys()) as store:
            for _ in range(3):
                store.get("A")
                store.get("A", version=1)
                store.set("B", "own writes are known")
            assert 1 == backend.replays
            other.set("B", "those of others are not")
            assert "value 3" == store.get("A").reveal()
            assert "value 3" == store.get("A").reveal()
            assert 2 == backend.replays


def test_a_header_lost_before_the_first_value_is_read_is_said(path, store):
    store.output_cipher()  # keys are known from here on, and the journal is not
    sql(path, "DELETE FROM header")
    with pytest.raises(DamagedError, match="lost its header"):
        store.get("A")
