"""What was deleted or replaced is in no file any more, neither as plaintext nor as ciphertext."""

import sqlite3

import pytest

from autokestra_secrets import SecretStore
from autokestra_secrets.backends.sqlite import SQLiteBackend
from autokestra_secrets.testing import fixed_keys

OLD = "the old value, long enough to be found " * 20


def ciphertext(path, name):
    connection = sqlite3.connect(path)
    ((data,),) = connection.execute("SELECT encrypted_value FROM secrets WHERE name = ?", (name,)).fetchall()
    connection.close()
    return data


def anywhere(directory, *needles):
    return [
        path.name
        for path in directory.iterdir()
        for needle in needles
        # Pieces too: a page may end in the middle of a value.
        for piece in (needle[:64], needle[len(needle) // 2 :][:64], needle[-64:])
        if piece in path.read_bytes()
    ]


@pytest.mark.parametrize("size", [200, 10_000, 1_000_000], ids=["in a page", "over several pages", "1 MB"])
@pytest.mark.parametrize("removal", ["delete", "set", "prune", "rename"])
def test_removed_bytes_are_in_no_file(tmp_path, size, removal):
    path = tmp_path / "store.db"
    old = (OLD * (size // len(OLD) + 1))[:size]
    with SecretStore(SQLiteBackend(str(path)), keys=fixed_keys()) as store:
        store.set_many({"BEFORE": "x" * 500, "A": old, "AFTER": "y" * 500})
        sealed = ciphertext(path, "A")
        assert anywhere(tmp_path, sealed)
        {
            "delete": lambda: store.delete("A"),
            "set": lambda: store.set("A", "new", keep=1),
            "prune": lambda: [store.set("A", f"new {number}", keep=3) for number in range(3)],
            "rename": lambda: store.rename("A", "C"),
        }[removal]()
        assert [] == anywhere(tmp_path, sealed, old.encode())
        assert 500 == len(store.get("AFTER").reveal())
    assert [] == anywhere(tmp_path, sealed, old.encode())


def test_plaintext_is_never_in_a_file(tmp_path):
    path = tmp_path / "store.db"
    with SecretStore(SQLiteBackend(str(path)), keys=fixed_keys()) as store:
        store.set("A", OLD)
        store.get("A")
        assert [] == anywhere(tmp_path, OLD.encode())
