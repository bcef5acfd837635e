"""The envelope, byte for byte: frozen vectors, the page that specifies it, and a second reader made from that page."""

import importlib.util
import json
import re
import sqlite3
from pathlib import Path

import pytest

from autokestra_secrets import SecretStore
from autokestra_secrets.backends.sqlite import SQLiteBackend
from autokestra_secrets.testing import FIXED_KEY, fixed_keys

HERE = Path(__file__).parent
SOURCES = Path(__import__("autokestra_secrets").__file__).parent


def load(name):
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generator = load("generate_envelope")
reader = load("envelope_reader")
FROZEN = json.loads((HERE / "envelope.json").read_text(encoding="utf-8"))
PAGE = generator.SPECIFICATION.read_text(encoding="utf-8")
BLOBS = {
    *("store_id", "key_id", "journal_mac", "header_mac", "salt", "iv", "wrapped_key", "auth_tag", "checksum"),
    *("wrapped_by", "encrypted_value", "tag"),
}


def tables(store):
    """Return the rows of a store in the vectors as the reader wants them."""

    def row(columns):
        return {name: bytes.fromhex(value) if name in BLOBS else value for name, value in columns.items()}

    found = {name: [row(each) for each in rows] for name, rows in store.items() if isinstance(rows, list)}
    for slot in found["key_slots"]:
        slot["id"] = slot.pop("slot")
    return {**found, "header": [row(store["header"])]}


def test_the_vectors_have_not_changed_by_a_byte():
    """A change of the format needs a new format number, not new vectors: stores that exist must open."""
    assert (HERE / "envelope.json").read_text(encoding="utf-8") == generator.vectors_text(generator.generate())


def test_the_example_on_the_page_is_that_of_the_vectors():
    assert PAGE == generator.with_example(PAGE, FROZEN)
    assert FROZEN["store"]["header"]["store_id"] in PAGE


@pytest.mark.parametrize("state", ["store", "store_after_reencryption"])
@pytest.mark.parametrize("key", ["key", "key_text", "recovery_form_of_the_same_key", "passphrase", "recovery_key_text"])
def test_the_second_reader_opens_the_vectors_with_each_key(state, key):
    opened = reader.Reader(tables(FROZEN[state]), FROZEN["inputs"][key])
    expected = {
        (name, int(version)): bytes.fromhex(value)
        for name, versions in FROZEN["values"].items()
        for version, value in versions.items()
    }
    assert expected == opened.values
    purposes = ("values", "journal", "outputs", "retired")
    derived = {"data_key": opened.data_key.hex(), **{purpose: opened.sub(purpose).hex() for purpose in purposes}}
    assert FROZEN[state]["keys"] == derived
    output = FROZEN["output"]
    assert output["plaintext"] == opened.open_output(bytes.fromhex(output["blob"]), *output["context"]).hex()


def test_the_second_reader_opens_what_the_library_has_written_to_a_file(tmp_path):
    path = tmp_path / "store.db"
    with SecretStore(SQLiteBackend(str(path)), keys=fixed_keys()) as store:
        for number in range(13):
            store.set("A", f"value {number}", description="ü", tags=["b", "a"], expires=2_000_000)
        store.set_many({"B": b"\x00\xff", "C": "x" * 1_048_576, "GONE": "1"})
        store.delete("GONE")
        store.set("GONE", "2")
        store.delete("GONE")
        store.rename("A", "RENAMED-a")
        store.rollback("RENAMED-a", 7)
        store.keys.add("correct horse battery staple")
        _, recovery = store.keys.add_recovery()
        blobs = [store.output_cipher().seal(b"output", context=("e", "t"))]
        for _ in range(2):
            store.keys.reencrypt(others=["correct horse battery staple", recovery])
            blobs.append(store.output_cipher().seal(b"output", context=("e", "t")))
        store.keys.remove(2)
        expected = {
            (name, row.version): store.get(name, version=row.version).reveal_bytes()
            for name in store.names()
            for row in store.history(name)
        }
        assert store.verify().ok
        store.backup(tmp_path / "backup.db")
    assert expected == reader.Reader(reader.from_file(tmp_path / "backup.db"), FIXED_KEY).values
    for key in (FIXED_KEY, recovery, recovery.lower().replace("-", " ")):
        opened = reader.Reader(reader.from_file(path), key)
        assert expected == opened.values
        assert [b"output"] * 3 == [opened.open_output(blob, "e", "t") for blob in blobs]
    with pytest.raises(reader.Refused, match="R13"):
        reader.Reader(reader.from_file(path), "correct horse battery staple")


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("UPDATE secrets SET updated_at = updated_at + 1", "R3"),
        ("DELETE FROM secrets", "R22"),
        ("DELETE FROM journal WHERE operation = 'put'", "R17"),
        ("UPDATE header SET generation = 9", "R18"),
        ("UPDATE key_slots SET label = 'x'", "R14"),
        ("PRAGMA application_id = 7", "R11"),
    ],
)
def test_the_second_reader_is_no_easier_to_deceive(tmp_path, change, rule):
    path = tmp_path / "store.db"
    with SecretStore(SQLiteBackend(str(path)), keys=fixed_keys()) as store:
        store.set("A", "value")
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(change)
    connection.close()
    with pytest.raises(reader.Refused, match=rule):
        reader.Reader(reader.from_file(path), FIXED_KEY)


def test_the_columns_on_the_page_are_those_of_the_file(tmp_path):
    path = tmp_path / "store.db"
    with SecretStore(SQLiteBackend(str(path)), keys=fixed_keys()) as store:
        store.set("A", "value")
    listed = dict(
        re.findall(r"^\| `(\w+)`[^|]*\| (`.*) \|$", PAGE[PAGE.index("**R11.") : PAGE.index("**R12.")], re.MULTILINE)
    )
    connection = sqlite3.connect(path)
    for table, columns in listed.items():
        assert re.findall(r"`(\w+)`", columns) == [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    connection.close()
    assert {"header", "key_slots", "secrets", "journal", "retired_keys"} == set(listed)


def test_rules_are_numbered_without_gaps_and_those_that_the_code_keeps_exist():
    rules = re.findall(r"^\*\*R(\d+)\.", PAGE, re.MULTILINE)
    assert [str(number) for number in range(1, len(rules) + 1)] == rules
    cited = {
        number
        for path in SOURCES.rglob("*.py")
        if "masking" not in path.parts
        for number in re.findall(r"\bR(\d+)\b", path.read_text(encoding="utf-8"))
    }
    assert set(rules) == cited
