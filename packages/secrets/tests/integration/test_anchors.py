"""An older copy of a whole store agrees with itself; that it is older is known to the machine that saw a newer one."""

import hashlib
import os
import shutil
import sqlite3
import stat
import subprocess
import sys

import pytest

from autokestra_secrets import DamagedError, RolledBackError, SecretNotFoundError, SecretsError, SecretStore
from autokestra_secrets.testing import FIXED_KEY

WRITE = """
import sys
from autokestra_secrets import SecretStore
for turn in range(10):
    with SecretStore.open() as store:
        store.set(f"N{sys.argv[1]}", f"value {turn}")
"""


@pytest.fixture
def opened(home, environ):
    """Open the default store; what it says is collected."""

    def open_with(*said, at=environ, **options):
        notify = said[0].append if said else None
        return SecretStore.open(environ={**at, "AUTOKESTRA_SECRET_KEY": FIXED_KEY}, notify=notify, **options)

    return open_with


def anchor(home):
    ((path,), content) = (list((home / "anchors").iterdir()), next((home / "anchors").iterdir()).read_text())
    return path, content


def generation(home):
    return int(anchor(home)[1].split()[1])


@pytest.fixture
def older(home, opened, tmp_path):
    """Put an older copy in the place of the store; it lacks the last two writes."""
    with opened() as store:
        store.set_many({"A": "old value of A", "B": "value of B"})
    shutil.copy(home / "secrets.db", tmp_path / "older.db")
    with opened() as store:
        store.set("A", "new value of A")
        store.delete("B")
    shutil.copy(tmp_path / "older.db", home / "secrets.db")
    return tmp_path / "older.db"


def test_each_write_leaves_a_private_note_of_where_the_store_is(home, opened):
    with opened() as store:
        store.set("A", "value")
        first = store.verify().generation
        assert first == generation(home)
        store.set("A", "value")
        assert first + 1 == generation(home)
        store.keys.reencrypt()
        assert store.verify().generation == generation(home) > first + 1
        path, content = anchor(home)
        assert store._session.header().store_id.hex() == path.name
        place = hashlib.sha256(os.fsencode(home / "secrets.db")).hexdigest()
        first_line = f"akanchor1 {generation(home):020} {store._session.header().journal_mac.hex()}\n"
        assert f"{first_line}at {place}\n" == content
    assert (0o600, 0o700) == tuple(stat.S_IMODE(each.stat().st_mode) for each in (path, path.parent))


def test_reading_creates_no_note_but_raises_one_that_is_there(home, opened, tmp_path):
    with opened() as store:
        store.set("A", "value")
    elsewhere = {"AUTOKESTRA_HOME": str(tmp_path / "other"), "AUTOKESTRA_STORE": str(home / "secrets.db")}
    with opened(at=elsewhere) as store:
        assert "value" == store.get("A").reveal()
        assert ["A"] == [row.name for row in store.list()]
        assert not (tmp_path / "other").exists()
        store.set("A", "value 2")
    assert generation(tmp_path / "other") == generation(home) + 1
    with opened() as store:
        assert ["A"] == [row.name for row in store.list()]
        assert generation(tmp_path / "other") == generation(home) + 1  # a listing proves nothing
    with opened() as store:
        store.get("A")
    assert generation(tmp_path / "other") == generation(home)


def test_an_older_copy_is_read_with_one_warning(home, opened, older):
    for use in (
        lambda store: [store.get("A"), store.get("A"), store.get_many(["A", "B"])],
        lambda store: [store.list(), store.names(), store.history("A")],
        lambda store: [store.names(), store.get("A", version=1)],
        lambda store: [store.history("A")],
        lambda store: [store.output_cipher()],
    ):
        said = []
        with opened(said) as store:
            use(store)
        (line,) = said
        assert line.startswith(
            f"warning: {home}/secrets.db is an older copy of the secret store: it is at generation 3,"
        )
    with opened() as store:
        assert "old value of A" == store.get("A").reveal()


def test_an_older_copy_is_not_written_to(opened, older, home):
    for use in (
        lambda store: store.set("C", "value"),
        lambda store: store.delete("A"),
        lambda store: store.rename("A", "C"),
        lambda store: store.rollback("A", 1),
        lambda store: store.keys.add_recovery(),
        lambda store: store.keys.reencrypt(),
    ):
        with opened() as store, pytest.raises(RolledBackError, match="nothing was written") as caught:
            use(store)
        assert isinstance(caught.value, DamagedError)
        assert (7, True) == (caught.value.exit_code, "--accept-rollback" in caught.value.hint)
    assert older.read_bytes() == (home / "secrets.db").read_bytes()


def test_an_older_copy_that_is_accepted_is_the_store_from_the_next_write_on(opened, older, home):
    said = []
    with opened(said, accept_rollback=True) as store:
        assert "old value of A" == store.get("A").reveal()
        store.set("C", "value")
        store.set("C", "another value")
    with opened(said) as store:
        store.set("D", "value")
        assert store.verify().ok
        assert store.verify().generation == generation(home) < 10
    assert [] == said


def test_verify_says_that_it_is_an_older_copy(opened, older):
    with opened() as store:
        assert ["rolled-back"] == [problem.kind for problem in store.verify().problems]
        assert "this machine has seen 5" in store.verify().problems[0].message


def test_an_older_copy_that_somebody_has_written_on_is_a_fork(opened, older, home, tmp_path):
    """Beyond the generation that this machine has seen, only the chain of the journal tells."""
    elsewhere = {"AUTOKESTRA_HOME": str(tmp_path / "other"), "AUTOKESTRA_STORE": str(home / "secrets.db")}
    with opened(at=elsewhere) as store:
        store.set("X", "1")
        store.set("X", "2")
        assert store.verify().generation == generation(home)
    said = []
    with opened(said) as store:  # at the same generation it is told without a replay
        store.get("X")
        assert 1 == len(said)
        with pytest.raises(RolledBackError):
            store.set("X", "3")
    with opened(at=elsewhere) as store:
        store.set("X", "3")
        assert store.verify().ok
    with opened() as store:
        assert ["forked"] == [problem.kind for problem in store.verify().problems]


def test_a_new_data_key_is_no_fork(opened, home, tmp_path):
    with opened() as store:
        store.set("A", "value")
    elsewhere = {"AUTOKESTRA_HOME": str(tmp_path / "other"), "AUTOKESTRA_STORE": str(home / "secrets.db")}
    with opened(at=elsewhere) as store:
        store.keys.reencrypt()
    with opened() as store:
        assert store.verify().ok
        assert "value" == store.get("A").reveal()


@pytest.mark.parametrize(
    "content", [b"", b"akanchor1 7\n", b"\0" * 96, b"x" * 5000, b"akanchor1 " + b"9" * 20 + b" ab\n"]
)
def test_a_note_that_is_unreadable_is_as_if_it_were_not_there_and_is_written_anew(opened, home, content):
    with opened() as store:
        store.set("A", "value")
    anchor(home)[0].write_bytes(content)
    said = []
    with opened(said) as store:
        assert "value" == store.get("A").reveal()
        store.set("A", "value")
        assert store.verify().generation == generation(home)
    assert (164, []) == (anchor(home)[0].stat().st_size, said)


def replace_by_directory(path):
    path.unlink()
    path.mkdir()


def replace_by_symlink(path):
    path.unlink()
    path.symlink_to("/etc/passwd")


def replace_by_pipe(path):
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("change", [replace_by_directory, replace_by_symlink, replace_by_pipe])
def test_what_is_no_note_does_not_stop_anybody(opened, home, change):
    with opened() as store:
        store.set("A", "value")
    change(anchor(home)[0])
    with opened() as store:
        assert "value" == store.get("A").reveal()
        store.set("A", "value 2")


def test_a_home_that_cannot_be_written_to_does_not_stop_anybody(opened, tmp_path):
    (tmp_path / "file").write_text("")
    at = {"AUTOKESTRA_HOME": str(tmp_path / "file"), "AUTOKESTRA_STORE": str(tmp_path / "store.db")}
    with opened(at=at) as store:
        store.set("A", "value")
        assert "value" == store.get("A").reveal()


def test_many_writers_at_once_never_lower_the_note(home, environ, opened):
    environ = {**environ, "AUTOKESTRA_SECRET_KEY": FIXED_KEY}
    running = [subprocess.Popen([sys.executable, "-c", WRITE, str(number)], env=environ) for number in range(6)]
    assert [0] * 6 == [process.wait(timeout=60) for process in running]
    with opened() as store:
        assert store.verify().ok
        assert store.verify().generation == generation(home)


def test_a_header_of_the_wrong_type_does_not_stop_a_listing(opened, home):
    import sqlite3

    with opened() as store:
        store.set("A", "value")
    connection = sqlite3.connect(home / "secrets.db")
    with connection:
        connection.execute("UPDATE header SET generation = 'x'")
    connection.close()
    with opened() as store:
        assert ["A"] == [row.name for row in store.list()]


def emptied(path):
    path.write_bytes(b"")


def without_rows(path):
    connection = sqlite3.connect(path)
    for table in ("header", "key_slots", "secrets", "journal", "retired_keys"):
        connection.execute(f"DELETE FROM {table}")
    connection.commit()
    connection.close()


def get_absent(store):
    with pytest.raises(SecretNotFoundError):
        store.get("A")


@pytest.mark.parametrize("lose", [emptied, os.unlink, without_rows])
def test_a_store_that_is_gone_is_not_taken_for_one_that_never_was(home, opened, lose):
    """Truncated by a full disk or somebody else, or removed: the most thorough of all older copies."""
    with opened() as store:
        store.set("A", "value")
    lose(home / "secrets.db")
    before = sorted(path.name for path in home.iterdir())
    for use in (
        lambda store: store.list(),
        lambda store: store.get_many(["A"]),
        get_absent,
        lambda store: store.output_cipher(),
    ):
        said = []
        with opened(said) as store:
            use(store)
            use(store)
        assert [
            f"warning: there is nothing in {home}/secrets.db, where this machine has seen a secret store at generation 2"
        ] == said
    with opened() as store:
        assert ("rolled-back", False) == (store.verify().problems[0].kind, store.verify().ok)
        with pytest.raises(RolledBackError, match="nothing was written: there is nothing in") as caught:
            store.set("A", "value of a new store")
    assert "--accept-rollback" in caught.value.hint
    assert before == sorted(path.name for path in home.iterdir())
    with opened(accept_rollback=True) as store:
        store.set("A", "value of a new store")
    said = []
    with opened(said) as store:
        store.set("A", "and another one")
        assert (True, []) == (store.verify().ok, said)


def test_a_store_that_was_never_here_is_empty_and_nothing_is_said(home, opened, environ, tmp_path):
    with opened() as store:
        store.set("A", "value")
    (home / "anchors" / "a file of somebody else").write_text("")
    said = []
    for other in (tmp_path / "other.db", tmp_path / "blank.db"):
        if other.name == "blank.db":
            other.touch()
        with SecretStore.open(
            other, environ={**environ, "AUTOKESTRA_SECRET_KEY": FIXED_KEY}, notify=said.append
        ) as store:
            store.set("B", "value")
            assert store.verify().ok
    assert [] == said


def test_a_note_of_former_times_says_nothing_of_the_place_and_is_believed_all_the_same(home, opened, older):
    path, content = anchor(home)
    path.write_text(content.splitlines(keepends=True)[0])
    said = []
    with opened(said) as store:
        store.get("A")
        with pytest.raises(RolledBackError):
            store.set("A", "value")
    assert "is an older copy" in said[0]
    os.unlink(home / "secrets.db")
    with opened() as store:
        assert [] == store.list()


@pytest.fixture
def exchanged(home, opened, tmp_path):
    """Put another store of the same key in the place of the store that this machine has seen there."""
    with opened() as store:
        store.set("A", "value of A")
    elsewhere = {"AUTOKESTRA_HOME": str(tmp_path / "other")}
    with opened(at=elsewhere) as store:
        store.set("A", "value from another place")
    shutil.copy(tmp_path / "other" / "secrets.db", home / "secrets.db")


def test_another_store_of_the_same_key_in_its_place_is_noticed(home, opened, exchanged):
    what = f"{home}/secrets.db is another secret store than the one that this machine has seen there"
    for use in (lambda store: store.list(), lambda store: store.get("A"), lambda store: store.output_cipher()):
        said = []
        with opened(said) as store:
            use(store)
            use(store)
        assert [f"warning: {what}"] == said
    with opened() as store:
        with pytest.raises(RolledBackError, match="another secret store"):
            store.set("A", "new")
        assert [("exchanged", what)] == [(one.kind, one.message) for one in store.verify().problems]
    with opened(accept_rollback=True) as store:
        store.set("A", "new")
    said = []
    with opened(said) as store:
        assert ("new", True, []) == (store.get("A").reveal(), store.verify().ok, said)


def test_the_journal_of_sqlite_from_another_store_is_noticed(home, opened, tmp_path):
    """Its pages come out whole, as those of the other store, and everything agrees with itself."""
    with opened() as store:
        store.set("A", "value of A")
    with SecretStore.open(
        tmp_path / "other.db",
        environ={"AUTOKESTRA_HOME": str(tmp_path / "other"), "AUTOKESTRA_SECRET_KEY": FIXED_KEY},
    ) as other:
        other.set("B", "value of B")
        shutil.copy(tmp_path / "other.db-wal", home / "secrets.db-wal")
    said = []
    with opened(said) as store:
        with pytest.raises(SecretsError):
            store.get("A")
        assert not store.verify().ok
    assert "another secret store" in said[0]
