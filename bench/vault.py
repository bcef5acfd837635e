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
from typing import Final, NamedTuple

from autokestra_secrets import MasterKeyProvider, SecretStore, derive_key

SECRETS: Final = 10_000
ROUNDS: Final = 3
KEY: Final = "5a" * 32
VALUE: Final = "a value of about fifty bytes, as tokens often are {:06}"

# seconds, on two cores of 2020 or later
LIMITS: Final = {
    "set_many of 10,000": 2.0,
    "list of 10,000": 0.4,
    "get": 100e-6,
    "add a key beside 1": 0.1,
    "remove a key beside 1": 0.1,
    "add a key beside 10,000": 0.1,
    "remove a key beside 10,000": 0.1,
    "re-encrypt 20,000 versions": 2.0,
    "verify 20,000 versions": 2.0,
    "backup of 20,000 versions": 2.0,
}


class Figure(NamedTuple):
    """The median time of something in seconds, and that of its yardstick."""

    seconds: float
    yardstick: float
    limit: float | None

    @property
    def ratio(self) -> float:
        """How many times the yardstick it takes."""
        return self.seconds / self.yardstick


def run() -> dict[str, Figure]:
    """Measure everything, yardsticks included, and return the figures by name."""
    rounds: dict[str, list[tuple[float, float]]] = {}
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(prefix="autokestra-bench-") as folder:
            for name, figures in _round(Path(folder)).items():
                rounds.setdefault(name, []).append(figures)
    return {
        name: Figure(
            statistics.median(seconds for seconds, _ in figures),
            statistics.median(yardstick for _, yardstick in figures),
            LIMITS.get(name),
        )
        for name, figures in rounds.items()
    }


def _round(folder: Path) -> dict[str, tuple[float, float]]:
    values = {f"NAME-{number:06}": VALUE.format(number) for number in range(SECRETS)}
    names = list(values)
    plain = sqlite3.connect(folder / "plain.db", isolation_level=None)
    plain.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE s (n PRIMARY KEY, v)")
    keys = MasterKeyProvider({"AUTOKESTRA_SECRET_KEY": KEY}, home=folder / "home")
    with SecretStore.open(folder / "store.db", keys=keys, environ={}) as store:
        store.set("FIRST", "so that the store is there, and the key derived")
        derive = _time(lambda: derive_key(b"k" * 32, salt=b"s" * 32, iterations=100_000))
        found = {"add a key beside 1": (_time(lambda: store.keys.add("6b" * 32)), derive)}
        found["remove a key beside 1"] = (_time(lambda: store.keys.remove(2)), derive)

        def write_plain() -> None:
            plain.execute("BEGIN IMMEDIATE")
            plain.executemany("INSERT OR REPLACE INTO s VALUES (?, ?)", values.items())
            plain.execute("COMMIT")

        write = _time(write_plain)
        read = _time(lambda: plain.execute("SELECT n FROM s ORDER BY n").fetchall())
        found["set_many of 10,000"] = (_time(lambda: store.set_many(values)), write)
        found["list of 10,000"] = (_time(store.list), read)
        store.set_many(values)  # a second version of each
        one = _time(lambda: [plain.execute("SELECT v FROM s WHERE n = ?", (n,)).fetchone() for n in names[:2000]])
        got = _time(lambda: [store.get(name) for name in names[:2000]])
        found["get"] = (got / 2000, one / 2000)
        found[f"add a key beside {SECRETS:,}"] = (_time(lambda: store.keys.add("6b" * 32)), derive)
        found[f"remove a key beside {SECRETS:,}"] = (_time(lambda: store.keys.remove(2)), derive)
        found["re-encrypt 20,000 versions"] = (_time(store.keys.reencrypt), 2 * write)
        found["verify 20,000 versions"] = (_time(store.verify), 2 * read)
        found["backup of 20,000 versions"] = (_time(lambda: store.backup(folder / "copy.db")), 2 * write)
    plain.close()
    return found


def _time(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Print the table of ratios."""
    print(f"{'':28} {'ratio':>8}   {'time':>12}   (yardstick)")
    for name, figure in run().items():
        verdict = "" if figure.limit is None or figure.seconds <= figure.limit else "   TOO SLOW"
        times = f"{figure.seconds * 1e3:9.3f} ms   ({figure.yardstick * 1e3:.3f} ms)"
        print(f"{name:28} {figure.ratio:8.1f}   {times}{verdict}")


if __name__ == "__main__":
    main()
