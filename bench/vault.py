"""What the secret store costs, in multiples of what the same bytes cost without it, measured in the same run.

The yardstick of a bulk operation is a plain SQLite table of as many rows of the same size, written durably in one
transaction; that of a `get` is a `SELECT` by primary key; that of a change of keys is one key derivation, whatever the
number of secrets beside it.
"""

import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from autokestra_secrets import MasterKeyProvider, SecretStore, derive_key
from bench.results import Found, Row

SECRETS: Final = 10_000
QUICK_SECRETS: Final = 500
ROUNDS: Final = 3
KEY: Final = "5a" * 32
VALUE: Final = "a value of about fifty bytes, as tokens often are {:06}"

# seconds, with all of SECRETS
SET, LIST, GET, KEY_CHANGE, SWEEP = 2.0, 0.4, 100e-6, 0.1, 2.0
GROWTH: Final = 2.0  # of a key change, when there are SECRETS instead of one

Figure = tuple[float, float]  # seconds, and those of the yardstick


def measure(*, quick: bool = False) -> Found:
    """Return the figures of the library, in a store of 10,000 secrets, two versions each."""
    count = QUICK_SECRETS if quick else SECRETS
    rounds: dict[str, list[Figure]] = {}
    for _ in range(1 if quick else ROUNDS):
        with tempfile.TemporaryDirectory(prefix="autokestra-bench-") as folder:
            for name, figure in _round(Path(folder), count).items():
                rounds.setdefault(name, []).append(figure)
    took = {name: statistics.median(seconds for seconds, _ in figures) for name, figures in rounds.items()}
    beside = {name: statistics.median(yardstick for _, yardstick in figures) for name, figures in rounds.items()}
    plain, derivation = "the same rows in plain SQLite", "one key derivation"
    described = {
        "set": (f"set_many of {count:,}", plain, SET),
        "list": (f"list of {count:,}", plain, LIST),
        "get": ("get in an open store", plain, GET),
        "add": ("add a key beside one secret", derivation, KEY_CHANGE),
        "remove": ("remove a key beside one secret", derivation, KEY_CHANGE),
        "add many": (f"add a key beside {count:,}", derivation, KEY_CHANGE),
        "remove many": (f"remove a key beside {count:,}", derivation, KEY_CHANGE),
        "reencrypt": (f"re-encrypt {2 * count:,} versions", plain, SWEEP),
        "verify": (f"verify {2 * count:,} versions", plain, SWEEP),
        "backup": (f"backup of {2 * count:,} versions", plain, SWEEP),
    }
    rows = [
        Row(
            name=name,
            value=took[key],
            unit="s",
            better="lower",
            yardstick=yardstick,
            ratio=took[key] / beside[key],
            target=limit,
        )
        for key, (name, yardstick, limit) in described.items()
    ]
    growth = (took["add many"] + took["remove many"]) / (took["add"] + took["remove"])
    rows.append(
        Row(
            name=f"a key change beside {count:,} secrets to one beside one",
            value=growth,
            unit="times",
            better="lower",
            yardstick="a key change beside one secret",
            ratio=growth,
            target=GROWTH,
        )
    )
    return rows


def _round(folder: Path, count: int) -> dict[str, Figure]:
    values = {f"NAME-{number:06}": VALUE.format(number) for number in range(count)}
    some = list(values)[:2000]
    plain = sqlite3.connect(folder / "plain.db", isolation_level=None)
    plain.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE s (n PRIMARY KEY, v)")
    keys = MasterKeyProvider({"AUTOKESTRA_SECRET_KEY": KEY}, home=folder / "home")
    with SecretStore.open(folder / "store.db", keys=keys, environ={}) as store:
        store.set("FIRST", "so that the store is there, and the key derived")
        derive = _time(lambda: derive_key(b"k" * 32, salt=b"s" * 32, iterations=100_000))
        found = {"add": (_time(lambda: store.keys.add("6b" * 32)), derive)}
        found["remove"] = (_time(lambda: store.keys.remove(2)), derive)

        def write_plain() -> None:
            plain.execute("BEGIN IMMEDIATE")
            plain.executemany("INSERT OR REPLACE INTO s VALUES (?, ?)", values.items())
            plain.execute("COMMIT")

        write = _time(write_plain)
        read = _time(lambda: plain.execute("SELECT n FROM s ORDER BY n").fetchall())
        found["set"] = (_time(lambda: store.set_many(values)), write)
        found["list"] = (_time(store.list), read)
        store.set_many(values)  # a second version of each
        one = _time(lambda: [plain.execute("SELECT v FROM s WHERE n = ?", (n,)).fetchone() for n in some])
        got = _time(lambda: [store.get(name) for name in some])
        found["get"] = (got / len(some), one / len(some))
        found["add many"] = (_time(lambda: store.keys.add("6b" * 32)), derive)
        found["remove many"] = (_time(lambda: store.keys.remove(2)), derive)
        found["reencrypt"] = (_time(store.keys.reencrypt), 2 * write)
        found["verify"] = (_time(store.verify), 2 * read)
        found["backup"] = (_time(lambda: store.backup(folder / "copy.db")), 2 * write)
    plain.close()
    return found


def _time(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
