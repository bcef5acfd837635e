"""Copies of a store: consistent while others write, private, whole or not at all; and the way back from one."""

import errno
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import time

import pytest

from autokestra_secrets import (
    ConflictError,
    DamagedError,
    KeyMissingError,
    MasterKeyProvider,
    PermissionRefusedError,
    RolledBackError,
    SecretStore,
    StoreUnavailableError,
    UnknownFormatError,
    WrongKeyError,
)
from autokestra_secrets.backends.sqlite import SQLiteBackend
from autokestra_secrets.testing import FIXED_KEY, fixed_keys, memory_store

WRITE_PAIRS = """
import itertools, sys
from autokestra_secrets import SecretStore
with SecretStore.open() as store:
    for turn in itertools.count():
        store.set_many({"ONE": f"{turn}" * 2000, "TWO": f"{turn}" * 2000})
        if not turn:
            print("ready", flush=True)
"""


@pytest.fixture
def environ(environ):
    return {**environ, "AUTOKESTRA_SECRET_KEY": FIXED_KEY}


@pytest.fixture
def store(environ):
    with SecretStore.open(environ=environ) as store:
        for number in (1, 2, 3):
            store.set("A", f"value {number}", description="kept")
        store.set("B", "value of B")
        yield store


def values(path):
    with SecretStore(SQLiteBackend(str(path)), keys=fixed_keys()) as store:
        return {name: store.get(name).reveal() for name in sorted(store.names())}


BEFORE = {"A": "value 3", "B": "value of B"}


# -- there --------------------------------------------------------------------------------------------------------


def test_a_backup_holds_everything_in_one_private_file(store, tmp_path):
    before = os.umask(0)
    try:
        store.backup(tmp_path / "copy.db")
    finally:
        os.umask(before)
    assert 0o600 == stat.S_IMODE((tmp_path / "copy.db").stat().st_mode)
    assert ["copy.db", "home"] == sorted(os.listdir(tmp_path))
    assert SecretStore.verify_file(tmp_path / "copy.db", keys=fixed_keys()) == store.verify()
    assert BEFORE == values(tmp_path / "copy.db")
    with SecretStore(SQLiteBackend(str(tmp_path / "copy.db")), keys=fixed_keys()) as copy:
        assert store.history("A") == copy.history("A")
    assert ["copy.db", "home"] == sorted(os.listdir(tmp_path))


def test_a_backup_needs_no_key_and_holds_no_plaintext(store, tmp_path, environ):
    del environ["AUTOKESTRA_SECRET_KEY"]
    with SecretStore.open(environ=environ) as keyless:
        keyless.backup(tmp_path / "copy.db")
    assert BEFORE == values(tmp_path / "copy.db")
    assert b"value of B" not in (tmp_path / "copy.db").read_bytes()


def test_a_file_that_is_there_is_overwritten_only_by_force(store, tmp_path):
    (tmp_path / "copy.db").write_text("mine")
    with pytest.raises(ConflictError, match=r"there is a file at .*copy\.db already") as caught:
        store.backup(tmp_path / "copy.db")
    assert (11, True) == (caught.value.exit_code, "--force" in caught.value.hint)
    assert "mine" == (tmp_path / "copy.db").read_text()
    (tmp_path / "copy.db-wal").write_text("of another file")
    store.backup(tmp_path / "copy.db", force=True)
    assert BEFORE == values(tmp_path / "copy.db")
    assert ["copy.db", "home"] == sorted(os.listdir(tmp_path))


def test_the_store_is_never_overwritten_by_its_own_backup(store, home, tmp_path):
    (tmp_path / "link.db").symlink_to(home / "secrets.db")
    for path in (home / "secrets.db", tmp_path / "link.db"):
        with pytest.raises(ConflictError, match="is the secret store itself"):
            store.backup(path, force=True)
    assert BEFORE == values(home / "secrets.db")


def test_there_is_nothing_to_back_up_without_a_store(tmp_path, environ):
    with (
        SecretStore.open(environ=environ) as store,
        pytest.raises(StoreUnavailableError, match="there is no secret store yet"),
    ):
        store.backup(tmp_path / "copy.db")
    with pytest.raises(StoreUnavailableError, match="in memory cannot be copied"):
        memory_store({"A": "value"}).backup(tmp_path / "copy.db")
    assert [] == os.listdir(tmp_path)


def test_a_place_that_cannot_be_written_to_is_said_so(store, tmp_path, bound_directory, as_bound_user):
    with pytest.raises(StoreUnavailableError, match="No such file or directory"):
        store.backup(tmp_path / "missing" / "copy.db")
    (tmp_path / "directory").mkdir()
    with pytest.raises(StoreUnavailableError, match="Is a directory"):
        store.backup(tmp_path / "directory", force=True)
    with SecretStore(SQLiteBackend(str(bound_directory / "store.db")), keys=fixed_keys()) as other:
        other.set("A", "value")
        bound_directory.chmod(0o500)
        with as_bound_user(), pytest.raises(PermissionRefusedError, match="permission denied"):
            other.backup(bound_directory / "copy.db")
    assert ["directory", "home"] == sorted(os.listdir(tmp_path))


@pytest.mark.parametrize("error", [errno.EPERM, errno.EOPNOTSUPP])
def test_without_hard_links_a_name_that_is_taken_is_respected_all_the_same(store, tmp_path, monkeypatch, error):
    def link(*_, **__):
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "link", link)
    store.backup(tmp_path / "copy.db")
    assert BEFORE == values(tmp_path / "copy.db")
    with pytest.raises(ConflictError):
        store.backup(tmp_path / "copy.db")


def test_a_copy_is_of_one_moment_while_others_write(home, environ, tmp_path):
    """Each write sets both names to one value: a copy that mixes moments would show two."""
    writer = subprocess.Popen([sys.executable, "-c", WRITE_PAIRS], env=environ, stdout=subprocess.PIPE)
    try:
        writer.stdout.readline()
        seen = set()
        with SecretStore.open(environ=environ) as store:
            for number in range(12):
                store.backup(tmp_path / f"{number}.db")
                time.sleep(0.03)
        for number in range(12):
            found = values(tmp_path / f"{number}.db")
            assert found["ONE"] == found["TWO"]
            seen.add(found["ONE"])
            assert SecretStore.verify_file(tmp_path / f"{number}.db", keys=fixed_keys()).ok
    finally:
        writer.kill()
        writer.wait()
        writer.stdout.close()
    assert len(seen) > 3


# -- and back -----------------------------------------------------------------------------------------------------


@pytest.fixture
def copy(store, tmp_path):
    store.backup(tmp_path / "copy.db")
    store.set("A", "value 4, newer than the copy")
    store.set("C", "value of C")
    return tmp_path / "copy.db"


def test_a_backup_is_restored_where_nothing_is(copy, tmp_path, environ):
    elsewhere = {**environ, "AUTOKESTRA_HOME": str(tmp_path / "new home")}
    report = SecretStore.restore(copy, environ=elsewhere)
    assert (True, 2) == (report.ok, report.secrets)
    assert [".gitignore", "anchors", "secrets.db"] == sorted(os.listdir(tmp_path / "new home"))
    with SecretStore.open(environ=elsewhere) as restored:
        assert "value 3" == restored.get("A").reveal()
        restored.set("D", "value")
    SecretStore.restore(copy, tmp_path / "named.db", environ=environ)
    SecretStore.restore(copy, environ={**environ, "AUTOKESTRA_STORE": str(tmp_path / "variable.db")})
    assert BEFORE == values(tmp_path / "named.db") == values(tmp_path / "variable.db")
    assert 0o600 == stat.S_IMODE((tmp_path / "named.db").stat().st_mode)


def test_a_store_that_is_there_is_overwritten_only_by_force(copy, store, environ, home):
    with pytest.raises(ConflictError, match="already"):
        SecretStore.restore(copy, environ=environ)
    assert "value of C" == store.get("C").reveal()
    report = SecretStore.restore(copy, force=True, environ=environ)
    assert (True, 2) == (report.ok, report.secrets)
    assert BEFORE == values(home / "secrets.db")
    assert BEFORE == {name: store.get(name).reveal() for name in store.names()}  # that was open all the time
    with SecretStore.open(environ=environ) as restored:
        restored.set("D", "a write after the restoration: the older copy is accepted")
        assert restored.verify().ok
    assert "a write" in store.get("D").reveal()[:7]
    store.set("D", "value of D")
    assert store.verify().ok


def test_what_was_replaced_is_in_no_file_any_more(copy, store, environ, home):
    store.set("C", "x" * 20_000)
    ((sealed,),) = sqlite3.connect(home / "secrets.db").execute(
        "SELECT encrypted_value FROM secrets WHERE name = 'C' AND version = 2"
    )
    assert any(sealed[5000:5064] in path.read_bytes() for path in home.glob("secrets.db*"))
    SecretStore.restore(copy, force=True, environ=environ)
    assert not any(sealed[5000:5064] in path.read_bytes() for path in home.glob("secrets.db*"))


def test_a_backup_with_another_data_key_is_restored_too(copy, store, environ):
    store.keys.reencrypt()
    assert "value 4, newer than the copy" == store.get("A").reveal()
    SecretStore.restore(copy, force=True, environ=environ)
    assert "value 3" == store.get("A").reveal()
    store.set("A", "value")
    assert store.verify().ok


def test_putting_an_older_file_back_by_hand_is_not_restoring(copy, store, environ, home):
    store.close()
    shutil.copy(copy, home / "secrets.db")
    with SecretStore.open(environ=environ) as older, pytest.raises(RolledBackError):
        older.set("A", "value")
    SecretStore.restore(copy, force=True, environ=environ)
    with SecretStore.open(environ=environ) as older:
        older.set("A", "value")


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE secrets SET iv = zeroblob(12) WHERE name = 'B'",
        "DELETE FROM secrets WHERE name = 'B'",
        "DELETE FROM journal WHERE name = 'B'",
        "DELETE FROM header",
        "DELETE FROM key_slots",
        "UPDATE header SET generation = generation + 1",
    ],
)
def test_a_damaged_backup_is_not_restored(copy, store, environ, home, tmp_path, damage):
    connection = sqlite3.connect(copy)
    with connection:
        connection.execute(damage)
    connection.close()
    for location, force in ((tmp_path / "new.db", False), (None, True)):
        with pytest.raises(DamagedError, match=r"copy\.db was not restored: .+") as caught:
            SecretStore.restore(copy, location, force=force, environ=environ)
        assert f"workflow secrets verify {copy}" in caught.value.hint
    assert "value of C" == store.get("C").reveal()
    assert ["copy.db", "home"] == sorted(os.listdir(tmp_path))
    assert not SecretStore.verify_file(copy, environ=environ).ok


def test_what_is_no_backup_is_not_restored(store, environ, tmp_path):
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("no database at all, only text" * 50)
    sqlite3.connect(tmp_path / "other").execute("CREATE TABLE t (c)").connection.close()
    for name, error in (
        ("empty", DamagedError),
        ("text", UnknownFormatError),
        ("other", UnknownFormatError),
        ("missing", StoreUnavailableError),
    ):
        with pytest.raises(error):
            SecretStore.restore(tmp_path / name, force=True, environ=environ)
    assert BEFORE == {name: store.get(name).reveal() for name in store.names()}
    assert ["empty", "home", "other", "text"] == sorted(os.listdir(tmp_path))


def test_a_backup_that_the_key_at_hand_does_not_open_is_not_restored(copy, store, environ):
    for text, error in (("correct horse battery", WrongKeyError), (None, KeyMissingError)):
        keys = MasterKeyProvider({"AUTOKESTRA_SECRET_KEY": text} if text else {}, home="/dev/null")
        with pytest.raises(error):
            SecretStore.restore(copy, store.location, force=True, keys=keys)
    assert "value of C" == store.get("C").reveal()


def test_a_backup_is_not_restored_onto_itself(copy, environ):
    with pytest.raises(ConflictError, match="is the secret store itself"):
        SecretStore.restore(copy, copy, force=True, environ=environ)


def test_a_store_whose_file_is_rubbish_is_replaced(copy, store, environ, home):
    store.close()
    for rubbish in (b"rubbish" * 1000, b"SQLite format 3\0" + b"\xff" * 4096 * 4, b""):
        (home / "secrets.db").write_bytes(rubbish)
        (home / "secrets.db-wal").write_bytes(b"rubbish")
        SecretStore.restore(copy, force=True, environ=environ)
        assert BEFORE == values(home / "secrets.db")


def test_the_database_of_another_program_is_not_overwritten_even_by_force(copy, environ, tmp_path):
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE t (c)").connection.close()
    before = (tmp_path / "other.db").read_bytes()
    with pytest.raises(UnknownFormatError, match="no secret store"):
        SecretStore.restore(copy, tmp_path / "other.db", force=True, environ=environ)
    assert before == (tmp_path / "other.db").read_bytes()


def test_a_store_that_somebody_writes_to_for_long_is_not_overwritten(copy, store, environ, home, monkeypatch):
    other = sqlite3.connect(home / "secrets.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    monkeypatch.setitem(SQLiteBackend.__init__.__kwdefaults__, "timeout", 0.3)
    with pytest.raises(StoreUnavailableError, match="locked by another process"):
        SecretStore.restore(copy, force=True, environ=environ)
    other.execute("ROLLBACK")
    other.close()
    assert "value of C" == store.get("C").reveal()


def test_a_store_in_memory_is_not_restored(tmp_path):
    with pytest.raises(StoreUnavailableError, match="in memory cannot be restored"):
        memory_store({"A": "value"})._session.backend.overwrite(str(tmp_path / "copy.db"))


def test_a_disk_that_is_full_leaves_no_piece_of_a_backup(store, tmp_path):
    import resource

    store.set("BIG", "x" * 400_000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    try:
        with pytest.raises(StoreUnavailableError, match="cannot copy the secret store"):
            store.backup(tmp_path / "copy.db")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert ["home"] == os.listdir(tmp_path)
    store.backup(tmp_path / "copy.db")


@pytest.mark.parametrize("act", ["backup", "restore", "verify_file"])
def test_the_address_of_a_database_is_no_file_and_is_not_repeated(act):
    address = "postgresql://someone:sesame-open@localhost/secrets"
    store = memory_store()
    uses = {"backup": store.backup, "restore": SecretStore.restore, "verify_file": SecretStore.verify_file}
    with pytest.raises(StoreUnavailableError) as caught:
        uses[act](address)
    assert "expected the path of a file, got the address of a PostgreSQL database" == caught.value.message
    assert "sesame" not in f"{caught.value.hint}"
