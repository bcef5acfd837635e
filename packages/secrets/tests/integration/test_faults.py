"""Disks that are full, read-only or locked, and clocks that go back: nothing is half done, and the error says what to do."""

import contextlib
import os
import sqlite3
import subprocess
import sys
import time

import pytest

from autokestra_secrets import (
    PermissionRefusedError,
    SecretsError,
    SecretStore,
    SecretValue,
    StoreUnavailableError,
)
from autokestra_secrets.backends.sqlite import SQLiteBackend
from autokestra_secrets.backends.sqlite_lock import take_write_lock
from autokestra_secrets.testing import fixed_keys

HOLD = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
time.sleep(float(sys.argv[2]))
connection.execute("ROLLBACK")
"""


# Commits all the time, with the lock held but for moments in between.
HOLD_IN_TURNS = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("CREATE TABLE noise (x)")
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    connection.execute("BEGIN IMMEDIATE")
    print("locked", flush=True)
    connection.execute("INSERT INTO noise VALUES (1)")
    time.sleep(0.02)
    connection.execute("COMMIT")
connection.execute("DROP TABLE noise")
"""


def open_store(path, **options):
    backend = {"timeout": options.pop("timeout")} if "timeout" in options else {}
    return SecretStore(SQLiteBackend(str(path), **backend), keys=fixed_keys(), **options)


def filled(path):
    with open_store(path) as store:
        for number in range(5):
            store.set("A", f"value {number} of A " * 100)
        store.set_many({f"N{number}": f"value {number} " * 50 for number in range(60)})
    return path


CHANGES = {
    "set": lambda store: store.set("BIG", "x" * 900_000),
    "set_many": lambda store: store.set_many({f"M{number}": "y" * 20_000 for number in range(60)}),
    "rename": lambda store: [store.rename("A", "B"), store.set("BIG", "x" * 900_000)],
    "reencrypt": lambda store: store.keys.reencrypt(),
    "backup": lambda store: store.backup(os.path.dirname(store.location) + "/copy.db"),
}


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 640 KiB of its own; skipped where mounting is not allowed."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=640k", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a file system is not allowed here")
    yield place
    subprocess.run(["mount", "-o", "remount,rw", place], capture_output=True, check=False)
    subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize("change", CHANGES)
def test_a_full_disk_changes_nothing(small_disk, change):
    path = filled(small_disk / "store.db")
    with open_store(path) as store:
        before = (store.list(), store.history("A"), {name: store.get(name) for name in store.names()})
        filler = small_disk / "filler"
        with contextlib.suppress(OSError), filler.open("wb") as file:
            while file.write(b"x" * 4096):
                file.flush()
        with pytest.raises(StoreUnavailableError) as caught:
            CHANGES[change](store)
        assert (8, True) == (caught.value.exit_code, bool(caught.value.hint))
        filler.unlink()
        if change != "rename":
            assert before == (store.list(), store.history("A"), {name: store.get(name) for name in store.names()})
        assert store.verify().ok
        store.set("AFTER", "value")
    with open_store(path) as store:
        assert store.verify().ok
    assert {"store.db"} == set(os.listdir(small_disk))


def test_a_full_disk_is_said_to_whoever_reads(small_disk):
    """A reader needs room for what SQLite shares between processes."""
    path = filled(small_disk / "store.db")
    with contextlib.suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass
    with open_store(path) as store, pytest.raises(StoreUnavailableError, match="no space left") as caught:
        store.get("A")
    assert caught.value.hint.startswith("free some space: df -h")
    (small_disk / "filler").unlink()
    with open_store(path) as store:
        assert "value 4 of A" == store.get("A").reveal()[:12]


def test_a_read_only_file_system_is_read_and_not_written_to(small_disk):
    path = filled(small_disk / "store.db")
    if subprocess.run(["mount", "-o", "remount,ro", small_disk], capture_output=True, check=False).returncode:
        pytest.skip("mounting read-only is not allowed here")
    with open_store(path) as store:
        assert "value 4 of A" == store.get("A").reveal()[:12]
        assert 61 == len(store.list())
        assert store.verify().ok
        assert SecretStore.verify_file(path, keys=fixed_keys()).ok
        for use in (
            lambda: store.set("A", "new"),
            lambda: store.delete("A"),
            store.keys.add_recovery,
            store.keys.reencrypt,
        ):
            with pytest.raises(PermissionRefusedError, match="read-only"):
                use()
        with pytest.raises(StoreUnavailableError, match="Read-only file system"):
            store.backup(small_disk / "copy.db")


def test_a_lock_of_another_process_is_waited_for_and_then_said(tmp_path):
    path = filled(tmp_path / "store.db")
    holder = subprocess.Popen([sys.executable, "-c", HOLD, path, "1.2"], stdout=subprocess.PIPE, text=True)
    holder.stdout.readline()
    with open_store(path, timeout=0.2) as store:
        for use in (
            lambda: store.set("A", "new"),
            lambda: store.delete("A"),
            store.keys.add_recovery,
            store.keys.reencrypt,
        ):
            started = time.monotonic()
            with pytest.raises(StoreUnavailableError, match="locked by another process"):
                use()
            assert time.monotonic() - started > 0.19
        assert "value 4 of A" == store.get("A").reveal()[:12]  # readers do not wait
        assert store.verify().ok
        store.backup(tmp_path / "copy.db")
    with open_store(path, timeout=10.0) as store:
        store.set("A", "new")
        assert "new" == store.get("A").reveal()
    holder.communicate(timeout=10)
    assert holder.returncode == 0


def hold_in_turns(path, seconds):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_IN_TURNS, path, str(seconds)], stdout=subprocess.PIPE, text=True
    )
    holder.stdout.readline()
    return holder


def test_writers_who_take_turns_are_waited_for_longer_than_one_who_is_stuck(tmp_path):
    path = filled(tmp_path / "store.db")
    holder = hold_in_turns(path, 1.5)
    with open_store(path, timeout=0.4) as store:
        for number in range(20):
            store.set("A", f"new {number}")
        assert "new 19" == store.get("A").reveal()
        holder.communicate(timeout=10)
        assert (True, 0) == (store.verify().ok, holder.returncode)


def test_writers_who_never_let_us_in_are_said_to_do_so(tmp_path):
    path = filled(tmp_path / "store.db")
    holder = hold_in_turns(path, 600)
    said = []
    with open_store(path, timeout=0.05) as store:
        while not any("kept the secret store" in line for line in said) and len(said) < 200:
            try:
                store.set("A", "new")  # once in a while it gets through, or finds the other stuck
            except StoreUnavailableError as error:
                said.append(str(error))
    holder.kill()
    holder.communicate()
    assert "busy with writing for" in said[-1]


def test_a_lock_that_cannot_be_had_for_another_reason_is_not_waited_for(tmp_path):
    connection = sqlite3.connect(filled(tmp_path / "store.db"), isolation_level=None)
    connection.execute("BEGIN")
    with pytest.raises(SecretsError, match="within a transaction"):
        take_write_lock(connection, path=str(tmp_path / "store.db"), timeout=600)
    connection.close()


def test_a_store_that_somebody_keeps_for_himself_cannot_even_be_read(tmp_path):
    path = filled(tmp_path / "store.db")
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    with open_store(path, timeout=0.1) as store, pytest.raises(StoreUnavailableError, match=r"locked by .* for 0.1 s"):
        store.get("A")
    holder.close()
    with open_store(path, timeout=0.1) as store:
        assert "value 4 of A" == store.get("A").reveal()[:12]


def test_a_new_data_key_for_more_rows_than_are_written_at_once(tmp_path):
    values = {f"N{number}": f"value {number}" for number in range(1100)}
    with open_store(tmp_path / "store.db") as store:
        store.set_many(values)
        assert 1100 == store.keys.reencrypt()
        assert {name: SecretValue(value) for name, value in values.items()} == store.get_many(values)
        report = store.verify()
        assert (True, 1100, 1101 + 2 + 1100) == (report.ok, report.secrets, report.generation)


def test_a_clock_that_goes_back_or_stands_still_does_no_harm(tmp_path):
    times = iter([5_000_000, 5_000_000, 4_000_000, 3, 3, 2, 1, 9_000_000, 0, -7])
    with open_store(tmp_path / "store.db", clock=lambda: next(times)) as store:
        for number in range(4):
            store.set("A", f"value {number}", expires=1)
        store.keys.add("correct horse battery staple")
        store.keys.remove(2)
        store.rename("A", "B")
        store.set("B", "newest")
        assert "newest" == store.get("B").reveal()
        assert [5, 4, 3, 2, 1] == [row.version for row in store.history("B")]
        assert {5_000_000} == {row.created_at for row in store.history("B")}
        assert store.verify().ok
        store.keys.reencrypt()
        assert store.verify().ok
    with open_store(tmp_path / "store.db") as store:
        assert "newest" == store.get("B").reveal()


def test_a_copy_taken_by_hand_under_writes_is_not_taken_for_the_store(tmp_path):
    """Older pages in a newer file, as cp makes them: SQLite may call it intact, verify does not."""
    path = filled(tmp_path / "store.db")
    older = path.read_bytes()
    with open_store(path) as store:
        for number in range(60):
            store.set(f"N{number}", f"other {number} " * 50, keep=1)
    newer = path.read_bytes()
    told = tried = 0
    for cut in range(4096, min(len(older), len(newer)), 4096):
        for mixed in (older[:cut] + newer[cut:], newer[:cut] + older[cut:]):
            if mixed in (older, newer):
                continue
            (tmp_path / "mixed.db").write_bytes(mixed)
            tried += 1
            try:
                told += not SecretStore.verify_file(tmp_path / "mixed.db", keys=fixed_keys()).ok
            except SecretsError:
                told += 1
    assert (tried, True) == (told, tried > 10)


def test_what_reencryption_replaced_is_in_no_file(tmp_path):
    path = filled(tmp_path / "store.db")
    connection = sqlite3.connect(path)
    sealed = [data for (data,) in connection.execute("SELECT encrypted_value FROM secrets")]
    wrapped = [data for (data,) in connection.execute("SELECT wrapped_key FROM key_slots")]
    connection.close()
    with open_store(path) as store:
        slot = store.keys.add("correct horse battery staple").id
        store.keys.remove(slot)
        store.keys.reencrypt()
        content = b"".join(each.read_bytes() for each in tmp_path.iterdir())
        assert [] == [data for data in (*wrapped, *sealed) if data[:48] in content]
        assert SecretValue("value 3 " * 50) == store.get("N3")
