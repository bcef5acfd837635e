"""Make envelope.json, and the example in docs/spec/envelope.md: `python generate_envelope.py` writes both.

Their bytes must never change: a store that was written once must open for ever. A test compares them.
"""

import hashlib
import itertools
import json
from pathlib import Path

from autokestra_secrets import MasterKeyProvider, SecretStore
from autokestra_secrets.backends.memory import MemoryBackend
from autokestra_secrets.encryption import associated_data, derive_subkey, encode_fields
from autokestra_secrets.keytext import key_text
from autokestra_secrets.recovery import recovery_text

VECTORS = Path(__file__).with_name("envelope.json")
SPECIFICATION = Path(__file__).parents[4] / "docs" / "spec" / "envelope.md"
BEGIN, END = "<!-- example: begin -->\n", "<!-- example: end -->\n"

KEY = bytes(range(32))
PASSPHRASE = "correct horse battery staple"
CONTEXT = ("execution-1", "fetch")


def fixed_random():
    """Return a generator of "random" bytes: SHA-256 of a label and a counter, cut to length."""
    numbers = itertools.count()
    return lambda size: hashlib.sha256(b"autokestra vector %d" % next(numbers)).digest()[:size]


def shown(value):
    return value.hex() if isinstance(value, bytes) else value


def rows(backend):
    return {
        "header": {name: shown(value) for name, value in backend.header()._asdict().items()},
        "key_slots": [{name: shown(value) for name, value in row._asdict().items()} for row in backend.slots()],
        "retired_keys": [{name: shown(value) for name, value in row._asdict().items()} for row in backend.retired()],
        "secrets": [{name: shown(value) for name, value in row._asdict().items()} for row in backend.scan()],
        "journal": [{name: shown(value) for name, value in row._asdict().items()} for row in backend.journal()],
    }


def keys_of(store):
    keyring = store._session.keyring()
    data_key = keyring._data_key
    purposes = ("values", "journal", "outputs", "retired")
    return {
        "data_key": data_key.hex(),
        **{purpose: derive_subkey(data_key, store_id=keyring.store_id, purpose=purpose).hex() for purpose in purposes},
    }


def generate():
    ticks = itertools.count(1_700_000_000_000_000, 1_000_000)
    backend = MemoryBackend()
    keys = MasterKeyProvider({"AUTOKESTRA_SECRET_KEY": key_text(KEY)}, home="/dev/null")
    store = SecretStore(backend, keys=keys, clock=lambda: next(ticks), random=fixed_random())
    store.set("API_TOKEN", "hunter2", description="für die API", tags=["prod", "api"], expires=1_800_000_000_000_000)
    store.keys.add(PASSPHRASE, label="for people")
    _, recovery = store.keys.add_recovery()
    store.set("API_TOKEN", "hunter3")
    store.set("tls-key", b"\x00\xff")
    store.set("GONE", "x")
    store.delete("GONE")
    store.set("API_TOKEN", "hunter4", keep=2)
    blob = store.output_cipher().seal(b'{"status": 200}', context=CONTEXT)
    first = {"keys": keys_of(store), **rows(backend)}
    store.keys.reencrypt(others=[PASSPHRASE, recovery])
    return {
        "inputs": {
            "key": KEY.hex(),
            "key_text": key_text(KEY),
            "recovery_form_of_the_same_key": recovery_text(KEY),
            "passphrase": PASSPHRASE,
            "recovery_key_text": recovery,
        },
        "values": {"API_TOKEN": {"2": b"hunter3".hex(), "3": b"hunter4".hex()}, "tls-key": {"1": "00ff"}},
        "output": {"context": list(CONTEXT), "plaintext": b'{"status": 200}'.hex(), "blob": blob.hex()},
        "encoding": {"fields": ["A", 1, "00ff"], "encoded": encode_fields("A", 1, b"\x00\xff").hex()},
        "store": first,
        "store_after_reencryption": {"keys": keys_of(store), **rows(backend)},
    }


def vectors_text(vectors):
    return json.dumps(vectors, indent=1) + "\n"


def example_text(vectors):
    """Return the example: the first slot, the subkeys, one row, one link of the chain."""
    store = vectors["store"]
    slot, header = store["key_slots"][0], store["header"]
    row = store["secrets"][1]
    entry = store["journal"][0]
    aad = associated_data(
        key_id=bytes.fromhex(row["key_id"]),
        store_id=bytes.fromhex(header["store_id"]),
        table="secrets",
        name=row["name"],
        version=row["version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        state=row["state"],
        metadata=row["metadata"],
    )
    parts = [
        ('E("A", 1, 00ff)', vectors["encoding"]["encoded"]),
        ("master key", vectors["inputs"]["key"]),
        ("as akey1", vectors["inputs"]["key_text"]),
        ("as akey2", vectors["inputs"]["recovery_form_of_the_same_key"]),
        ("store_id", header["store_id"]),
        ("key_id", header["key_id"]),
        *((f"slot 1, {name}", slot[name]) for name in ("label", "kind", "created_at", "salt", "iterations", "iv")),
        *((f"slot 1, {name}", slot[name]) for name in ("wrapped_key", "auth_tag", "checksum")),
        ("data key", store["keys"]["data_key"]),
        *((f"Sub({name})", store["keys"][name]) for name in ("values", "journal", "outputs", "retired")),
        ("value", f"{vectors['values']['API_TOKEN']['3']} (hunter4)"),
        *((f"row, {name}", row[name]) for name in ("name", "version", "created_at", "updated_at", "metadata")),
        ("row, AAD", aad.hex()),
        *((f"row, {name}", row[name]) for name in ("iv", "auth_tag", "encrypted_value")),
        *((f"journal 1, {name}", entry[name]) for name in ("at", "operation", "name", "version", "tag")),
        ("header", f"generation {header['generation']}, journal_base {header['journal_base']}"),
        ("journal_mac", header["journal_mac"]),
        ("header_mac", header["header_mac"]),
        ("output, context", ", ".join(vectors["output"]["context"])),
        ("output, plaintext", vectors["output"]["plaintext"]),
        ("output, blob", vectors["output"]["blob"]),
    ]
    lines = []
    for name, value in parts:
        text = str(value)
        pieces = [text[at : at + 88] for at in range(0, len(text), 88)]
        lines += [f"{name:<24}{pieces[0]}", *(f"{'':<24}{piece}" for piece in pieces[1:])]
    return "```text\n" + "\n".join(lines) + "\n```\n"


def with_example(page, vectors):
    """Return the page with the example of `vectors` in its place."""
    head, _, rest = page.partition(BEGIN)
    return head + BEGIN + example_text(vectors) + END + rest.partition(END)[2]


if __name__ == "__main__":
    made = generate()
    VECTORS.write_text(vectors_text(made), encoding="utf-8")
    SPECIFICATION.write_text(with_example(SPECIFICATION.read_text(encoding="utf-8"), made), encoding="utf-8")
