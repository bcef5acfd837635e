"""Whatever is changed in a store by somebody without a key, `verify` notices, and says what and where.

Everything is tried: each byte of each column of each row, each pair of rows, each row dropped or put back.
"""

import itertools
import sqlite3

import pytest

from autokestra_secrets import (
    KeyMissingError,
    MasterKeyProvider,
    Problem,
    Report,
    SecretStore,
    UnknownFormatError,
    WrongKeyError,
)
from autokestra_secrets.backends.memory import MemoryBackend
from autokestra_secrets.backends.sqlite import SQLiteBackend
from autokestra_secrets.keytext import key_text
from autokestra_secrets.testing import FIXED_KEY, fixed_keys, memory_store

TABLES = ("header", "key_slots", "retired_keys", "secrets", "journal")


def open_store(path):
    return SecretStore(SQLiteBackend(str(path)), keys=fixed_keys())


def build(path):
    """Make a store with a past: versions, a rename, a deletion, another key, a new data key."""
    with open_store(path) as store:
        store.set("A", "value 1 of A")
        store.keys.add(key_text(b"n" * 32), label="another")
        store.keys.reencrypt(others=[key_text(b"n" * 32)])
        store.set("A", "value 2 of A", tags=["t"])
        store.set("GONE", "value of GONE")
        store.delete("GONE")
        store.set("OLD", "value 1 of B")
        store.rename("OLD", "B")
        for number in (2, 3, 4):
            store.set("B", f"value {number} of B", keep=2)
        store.set("C", b"value 1 of C")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "store.db"
    build(path)
    return path.read_bytes()


@pytest.fixture
def path(tmp_path, whole):
    (tmp_path / "store.db").write_bytes(whole)
    return tmp_path / "store.db"


def sql(path, *statements):
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("PRAGMA synchronous = OFF")
        for statement in statements:
            text, parameters = (statement, ()) if isinstance(statement, str) else statement
            rows = connection.execute(text, parameters).fetchall()
        return rows
    finally:
        connection.close()


def report(path):
    with open_store(path) as store:
        return store.verify()


def kinds(path):
    return {(problem.kind, problem.name, problem.version) for problem in report(path).problems}


def flipped(value):
    if isinstance(value, bytes):
        for place in range(len(value)):
            changed = bytearray(value)
            changed[place] ^= 1 << place % 8
            yield bytes(changed)
        yield value + b"\0"
        yield value.decode("latin-1")
    elif isinstance(value, int):
        yield from (
            value + 1,
            value - 1,
            -value - 1,
            0 if value else 2,
            2**62,
            2**63 - 1,
            str(value) + "x",
            value + 0.5,
        )
    else:
        data = value.encode()
        for place in range(len(data)):
            yield (data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]).decode()
        yield from (value + "x", value[:-1], value.swapcase(), value.encode() or b"x")


def test_nothing_is_found_in_a_store_that_nobody_has_touched(path):
    found = report(path)
    assert Report(ok=True, problems=(), secrets=3, generation=found.generation) == found
    assert found.generation > 10


def test_an_empty_store_is_whole_and_a_store_in_memory_too():
    assert (
        Report(ok=True, problems=(), secrets=0, generation=0)
        == SecretStore(MemoryBackend(), keys=fixed_keys()).verify()
    )
    store = memory_store({"A": "value"})
    store.keys.reencrypt()
    assert (True, 1) == (store.verify().ok, store.verify().secrets)


def test_verifying_needs_a_key_that_opens_the_store(path):
    for environ, error in (({}, KeyMissingError), ({"AUTOKESTRA_SECRET_KEY": key_text(bytes(32))}, WrongKeyError)):
        keys = MasterKeyProvider(environ, home="/dev/null")
        with SecretStore(SQLiteBackend(str(path)), keys=keys) as store, pytest.raises(error):
            store.verify()


# -- everything, one by one ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", TABLES)
def test_each_byte_of_each_column_of_each_row_is_guarded(path, whole, table):
    columns = [row[1] for row in sql(path, f"PRAGMA table_info({table})")]
    tried = missed = 0
    for (row,), column in itertools.product(sql(path, f"SELECT rowid FROM {table}"), columns):
        ((original,),) = sql(path, f"SELECT {column} FROM {table} WHERE rowid = {row}")
        for changed in flipped(original):
            if changed == original:
                continue
            try:
                sql(path, (f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (changed, row)))
            except (sqlite3.IntegrityError, OverflowError):
                continue  # the database itself holds it fast
            tried += 1
            try:
                missed += report(path).ok
            except UnknownFormatError:
                assert (table, column) == ("header", "format")
            path.write_bytes(whole)
    assert 0 == missed
    assert tried > 90


@pytest.mark.parametrize("table", ["secrets", "key_slots", "journal"])
def test_each_pair_of_rows_that_changed_places_is_noticed(path, whole, table):
    """Everything changes places, or everything but the columns that name the row."""
    columns = [row[1] for row in sql(path, f"PRAGMA table_info({table})")]
    key = {"secrets": ("name", "version"), "key_slots": ("id",), "journal": ("generation",)}[table]
    rest = [column for column in columns if column not in key]
    rows = sql(path, f"SELECT rowid, {', '.join(rest)} FROM {table}")
    pairs = list(itertools.combinations(rows, 2))
    for one, two in pairs:
        for pieces in ({*rest}, {*rest} & {"auth_tag", "iv", "encrypted_value", "wrapped_key", "tag"}):
            chosen = [column for column in rest if column in pieces]
            values = {row[0]: [row[1 + rest.index(column)] for column in chosen] for row in (one, two)}
            for target, source in ((one, two), (two, one)):
                assignment = ", ".join(f"{column} = ?" for column in chosen)
                sql(path, (f"UPDATE {table} SET {assignment} WHERE rowid = ?", (*values[source[0]], target[0])))
            if one[1:] != two[1:] and values[one[0]] != values[two[0]]:
                assert not report(path).ok, (one[0], two[0])
            path.write_bytes(whole)
    assert pairs


@pytest.mark.parametrize("table", TABLES)
def test_each_row_that_was_dropped_is_noticed(path, whole, table):
    for (row,) in sql(path, f"SELECT rowid FROM {table}"):
        sql(path, f"DELETE FROM {table} WHERE rowid = {row}")
        try:
            assert not report(path).ok
        except WrongKeyError:
            assert ("key_slots", 1) == (table, row)  # without its slot the key at hand is one that opens nothing
        path.write_bytes(whole)
    sql(path, f"DELETE FROM {table}")
    assert not report(path).ok


def test_each_row_that_was_replaced_by_plaintext_is_noticed(path, whole):
    for name, version in sql(path, "SELECT name, version FROM secrets"):
        for column, plain in itertools.product(
            ("encrypted_value", "iv", "auth_tag"), ("'plain text'", "CAST('plain text' AS BLOB)", "x''", "''", "7")
        ):
            sql(path, f"UPDATE secrets SET {column} = {plain} WHERE name = '{name}' AND version = {version}")
            assert {("damaged", name, version)} == kinds(path)
            path.write_bytes(whole)


# -- what it is called --------------------------------------------------------------------------------------------


def test_a_dropped_row_is_named(path):
    sql(path, "DELETE FROM secrets WHERE name = 'B' AND version = 3")
    (problem,) = report(path).problems
    assert Problem("dropped", "B", 3, "version 3 of secret 'B' was dropped") == problem


def test_an_edited_row_is_named(path):
    sql(path, "UPDATE secrets SET updated_at = updated_at + 1 WHERE name = 'B' AND version = 3")
    (problem,) = report(path).problems
    assert ("damaged", "B", 3) == problem[:3]
    assert "was edited, or moved here from elsewhere" in problem.message


def test_rows_that_changed_names_are_all_named(path):
    swap = "CASE name WHEN 'A' THEN 'tmp' WHEN 'C' THEN 'A' ELSE name END"
    sql(path, f"UPDATE secrets SET name = {swap}", "UPDATE secrets SET name = 'C' WHERE name = 'tmp'")
    assert {("damaged", "A", 1), ("damaged", "C", 1), ("damaged", "C", 2), ("dropped", "A", 2)} == kinds(path)


def test_a_row_put_back_from_an_older_copy_is_named(path):
    sql(path, "CREATE TABLE kept AS SELECT * FROM secrets")
    with open_store(path) as store:
        store.set("B", "value 5 of B", keep=1)
        store.delete("A")
    sql(path, "INSERT INTO secrets SELECT * FROM kept WHERE name <> 'C'")
    expected = {("replayed", "A", 1), ("replayed", "A", 2), ("replayed", "B", 3), ("replayed", "B", 4)}
    assert expected == kinds(path)


def test_a_row_put_in_the_place_of_a_newer_one_with_the_same_number_is_named(path):
    sql(path, "CREATE TABLE kept AS SELECT * FROM secrets WHERE name = 'C'")
    with open_store(path) as store:
        store.delete("C")
        store.set("C", "another value")
    sql(path, "DELETE FROM secrets WHERE name = 'C'", "INSERT INTO secrets SELECT * FROM kept")
    assert {("replayed", "C", 1)} == kinds(path)


def test_rows_of_another_store_or_of_a_former_data_key_are_named(path, tmp_path):
    build(tmp_path / "other.db")
    sql(
        path,
        f"ATTACH '{tmp_path}/other.db' AS other",
        "DELETE FROM secrets WHERE name = 'A'",
        "INSERT INTO secrets SELECT * FROM other.secrets WHERE name = 'A'",
    )
    assert {("foreign", "A", 1), ("foreign", "A", 2)} == kinds(path)


def test_a_whole_table_of_an_older_copy_is_noticed_whichever_it_is(path, tmp_path, whole):
    """A copy of a live database by hand mixes moments in just this way."""
    (tmp_path / "older.db").write_bytes(whole)
    with open_store(path) as store:
        store.set("A", "value 3 of A")
        store.set("D", "value 1 of D")
        store.keys.remove(2)
        store.keys.reencrypt()
    newer = path.read_bytes()
    for table in TABLES:
        sql(
            path,
            f"ATTACH '{tmp_path}/older.db' AS older",
            f"DELETE FROM {table}",
            f"INSERT INTO {table} SELECT * FROM older.{table}",
        )
        try:
            assert not report(path).ok, table
        except WrongKeyError:
            assert table == "key_slots"
        path.write_bytes(newer)
    assert report(path).ok


def test_a_journal_that_lost_its_end_its_middle_or_everything_is_said_so(path, whole):
    for statement, words in (
        ("DELETE FROM journal WHERE generation = (SELECT max(generation) FROM journal)", "its header says"),
        ("DELETE FROM journal WHERE generation = (SELECT max(generation) - 2 FROM journal)", "are missing after"),
        ("DELETE FROM journal", "its header says"),
        ("UPDATE journal SET at = at + 1 WHERE operation = 'delete'", "was edited"),
        ("UPDATE journal SET name = 7.5 WHERE operation = 'delete'", "was edited"),
        ("UPDATE journal SET tag = 'text' WHERE operation = 'delete'", "cannot be read"),
    ):
        sql(path, statement)
        assert [words] == [
            words for problem in report(path).problems if problem.kind == "journal" and words in problem.message
        ]
        path.write_bytes(whole)


def test_an_edited_header_is_said_so_and_the_rest_is_judged_all_the_same(path):
    sql(path, "UPDATE header SET header_mac = zeroblob(32)", "DELETE FROM secrets WHERE name = 'C'")
    assert {("header", "", 0), ("dropped", "C", 1)} == kinds(path)


def test_slots_that_were_dropped_put_back_or_edited_are_said_so(path, whole):
    sql(path, "CREATE TABLE kept AS SELECT * FROM key_slots")
    kept = path.read_bytes()
    sql(path, "DELETE FROM key_slots WHERE id = 2")
    assert ["key slot 2 was dropped"] == [problem.message for problem in report(path).problems]
    path.write_bytes(kept)
    with open_store(path) as store:
        store.keys.remove(2)
    sql(path, "INSERT INTO key_slots SELECT * FROM kept WHERE id = 2")
    assert ["key slot 2 is not one that was added, or was removed since"] == [p.message for p in report(path).problems]
    path.write_bytes(whole)
    sql(path, "UPDATE key_slots SET label = 'x' WHERE id = 2")
    assert ["key slot 2 is damaged: its checksum does not match"] == [p.message for p in report(path).problems]


def test_a_slot_of_a_key_that_is_not_at_hand_is_guarded_even_if_its_checksum_was_made_to_match(path):
    from autokestra_secrets.slots import _checksum

    with open_store(path) as store:
        header, slot = store._session.header(), store._session.backend.slots()[1]
    forged = slot._replace(wrapped_key=bytes(32))
    update = "UPDATE key_slots SET wrapped_key = ?, checksum = ? WHERE id = 2"
    sql(path, (update, (forged.wrapped_key, _checksum(forged, header))))
    assert ["key slot 2 is not one that was added, or was removed since"] == [p.message for p in report(path).problems]


def test_retired_keys_that_were_dropped_put_back_or_edited_are_said_so(path, whole):
    sql(path, "CREATE TABLE kept AS SELECT * FROM retired_keys")
    kept = path.read_bytes()
    sql(path, "DELETE FROM retired_keys")
    assert {("retired", "", 0)} == kinds(path)
    path.write_bytes(kept)
    with open_store(path) as store:
        store.keys.prune_retired()
        assert store.verify().ok
    sql(path, "INSERT INTO retired_keys SELECT * FROM kept")
    assert [True] == ["put back from an older copy" in problem.message for problem in report(path).problems]
    path.write_bytes(whole)
    sql(path, "UPDATE retired_keys SET wrapped_key = zeroblob(32)")
    assert [True] == ["fails authentication" in problem.message for problem in report(path).problems]


def test_a_name_that_somebody_made_up_is_shown_safely(path):
    sql(path, ("UPDATE secrets SET name = ? WHERE name = 'C'", ("\x1b[2J" + "x" * 100,)))
    found = report(path).problems
    assert {"damaged", "dropped"} == {problem.kind for problem in found}
    assert not any("\x1b" in str(problem) or len(problem.name) > 60 for problem in found)
    sql(path, "UPDATE journal SET name = char(27) WHERE operation = 'key-retire'")
    assert not any("\x1b" in str(problem) for problem in report(path).problems)


def test_rows_of_the_wrong_type_are_named_and_do_not_hide_the_others(path):
    sql(
        path,
        "UPDATE secrets SET metadata = CAST(x'ff' AS TEXT) WHERE name = 'A' AND version = 1",
        "UPDATE secrets SET auth_tag = 'text' WHERE name = 'B' AND version = 3",
        "UPDATE secrets SET name = x'00' WHERE name = 'C'",
    )
    assert {("damaged", "A", 1), ("damaged", "B", 3), ("damaged", "'?'", 1), ("dropped", "C", 1)} == kinds(path)


def test_a_file_with_damaged_pages_is_unreadable_and_that_is_not_an_exception(path):
    with open_store(path) as store:
        store.set("BIG", "x" * 500_000)
    connection = sqlite3.connect(path)
    (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'secrets'").fetchone()
    connection.close()
    content = bytearray(path.read_bytes())
    content[(root - 1) * 4096 : root * 4096] = b"\xff" * 4096
    path.write_bytes(content)
    assert ("unreadable", "", 0) in kinds(path)


@pytest.mark.parametrize(
    "damage", ["DELETE FROM header", "UPDATE key_slots SET salt = x'00'", "UPDATE header SET store_id = 7"]
)
def test_without_header_or_slots_nothing_else_can_be_judged(path, damage):
    sql(path, damage)
    assert ({("unreadable", "", 0)}, 0) == (kinds(path), report(path).secrets)


def test_a_store_whose_journal_names_slots_by_their_tag_as_at_first_is_whole(path, monkeypatch):
    """Stores of the first days: the tag in the journal was the slot's auth tag, and now is its checksum."""
    from autokestra_secrets import session

    class Tagging(session.JournalWriter):
        def append(self, operation, name, version, tag):
            slots = {slot.slot: slot.auth_tag for slot in self._backend.slots()}
            super().append(operation, name, version, slots[version] if operation == "slot-add" else tag)

    monkeypatch.setattr(session, "JournalWriter", Tagging)
    path.unlink()
    with open_store(path) as store:
        store.set("A", "value")
        assert store.verify().ok
        monkeypatch.undo()
        store.keys.reencrypt()
        assert store.verify().ok


def test_no_problem_shows_a_value_or_a_key(path):
    sql(path, "UPDATE secrets SET encrypted_value = 'hunter2', metadata = 'hunter2', state = 'hunter2'")
    found = str(report(path))
    assert "hunter2" not in found
    assert FIXED_KEY not in found
