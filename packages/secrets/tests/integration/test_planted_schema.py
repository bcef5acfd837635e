"""What somebody plants in the database file beside rows: triggers, views, other versions, times that no clock shows."""

import sqlite3

import pytest

from autokestra_secrets import DamagedError, SecretStore
from autokestra_secrets.backends.sqlite import SQLiteBackend
from autokestra_secrets.testing import fixed_keys

ENDLESS = """
ALTER TABLE secrets RENAME TO hidden;
CREATE VIEW secrets AS WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)
    SELECT 'N' || x AS name, 1 AS version, 'active' AS state, x'00' AS key_id, 1 AS created_at, 1 AS updated_at,
           '{}' AS metadata, x'00' AS iv, x'00' AS auth_tag, x'00' AS encrypted_value FROM c
"""
PLANTED = {
    "a trigger that drops others": "CREATE TRIGGER t AFTER INSERT ON secrets BEGIN DELETE FROM secrets; END",
    "a trigger that swallows writes": "CREATE TRIGGER t BEFORE INSERT ON secrets BEGIN SELECT RAISE(IGNORE); END",
    "a trigger that keeps what is deleted": """
        CREATE TABLE loot (sealed);
        CREATE TRIGGER t BEFORE DELETE ON secrets BEGIN INSERT INTO loot VALUES (old.encrypted_value); END
    """,
    "a view without end": ENDLESS,
    "a virtual table": "CREATE VIRTUAL TABLE noise USING fts4(x)",
    "version 1": "PRAGMA user_version = 1",
    "version 0": "PRAGMA user_version = 0",
    "version -1": "PRAGMA user_version = -1",
}
USES = {
    "get": lambda store: store.get("A"),
    "list": lambda store: store.list(),
    "set": lambda store: store.set("A", "new"),
    "delete": lambda store: store.delete("A"),
    "reencrypt": lambda store: store.keys.reencrypt(),
    "backup": lambda store: store.backup(store.location + ".copy"),
}


def open_store(path, **options):
    return SecretStore(SQLiteBackend(str(path)), keys=fixed_keys(), **options)


@pytest.fixture
def path(tmp_path):
    with open_store(tmp_path / "store.db") as store:
        store.set_many({"A": "value of A", "B": "value of B"})
    return tmp_path / "store.db"


def plant(path, script):
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("planted", PLANTED)
def test_what_acts_by_itself_is_refused_before_anything_is_read_or_written(path, planted, use):
    plant(path, PLANTED[planted])
    with open_store(path) as store, pytest.raises(DamagedError, match=r"acts by itself|schema version") as caught:
        USES[use](store)
    assert "restore it from a backup" == caught.value.hint
    with open_store(path) as store:
        report = store.verify()
    assert (False, "unreadable") == (report.ok, report.problems[0].kind)


@pytest.mark.parametrize("planted", ["a trigger that swallows writes", "version 1"])
def test_what_is_planted_under_an_open_store_is_refused_at_the_next_write(path, planted):
    with open_store(path) as store:
        store.set("A", "second value")
        plant(path, PLANTED[planted])
        with pytest.raises(DamagedError, match=r"acts by itself|schema version"):
            store.set("A", "third value")
        plant(path, "DROP TRIGGER IF EXISTS t; PRAGMA user_version = 2")
        assert "second value" == store.get("A").reveal()


def test_tables_and_indexes_beside_ours_are_only_data(path):
    plant(path, "CREATE TABLE notes (text); CREATE INDEX more ON secrets (updated_at); ANALYZE")
    with open_store(path) as store:
        store.set("A", "second value")
        assert ("second value", True) == (store.get("A").reveal(), store.verify().ok)


@pytest.mark.parametrize("use", [lambda store: store.keys.reencrypt(), lambda store: store.rename("A", "C")])
def test_rows_that_stand_twice_in_a_table_without_its_key_are_not_sealed_again(path, use):
    plant(
        path,
        """
        CREATE TABLE loose AS SELECT * FROM secrets;
        DROP TABLE secrets;
        ALTER TABLE loose RENAME TO secrets;
        INSERT INTO secrets SELECT * FROM secrets
        """,
    )
    with open_store(path) as store:
        with pytest.raises(DamagedError, match="not what was written"):
            use(store)
        assert {"A", "B"} == {problem.name for problem in store.verify().problems}


@pytest.mark.parametrize("time", [2**62, 2**53 + 1, -(2**53) - 1, -(2**63)])
@pytest.mark.parametrize("column", ["created_at", "updated_at"])
def test_a_time_that_no_clock_shows_is_damage_and_not_a_crash(path, column, time):
    plant(path, f"UPDATE secrets SET {column} = {time} WHERE name = 'A'")
    with open_store(path) as store:
        for use in (store.list, lambda: store.history("A")):
            with pytest.raises(DamagedError, match="secret 'A' was stored at an impossible time"):
                use()
        assert ["A"] == [problem.name for problem in store.verify().problems]


def test_a_slot_with_such_a_time_is_shown_without_it(path):
    plant(path, "UPDATE key_slots SET created_at = 9223372036854775807")
    with open_store(path) as store:
        (slot,) = store.keys.list()
    assert (1, 0, False) == (slot.id, slot.created_at, slot.current)
