"""Two first runs at once, or sixteen: one key, and nobody ever sees half of it."""

import subprocess
import sys
import time

from autokestra_secrets import MasterKeyProvider, SecretStore, SecretValue

PROCESSES = 16
HOMES = 20

MAKE_KEYS = """
import sys, time
from autokestra_secrets import MasterKeyProvider
directory, start, homes = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
for number in range(homes):
    said = []
    provider = MasterKeyProvider({}, home=f"{directory}/{number}", notify=said.append)
    time.sleep(max(0, start + number * 0.02 - time.time()))
    print(number, provider.load_or_create().fingerprint, len(said))
"""

WRITE_SECRETS = """
import sys, time
from autokestra_secrets import SecretStore
start, number = float(sys.argv[1]), int(sys.argv[2])
time.sleep(max(0, start - time.time()))
with SecretStore.open() as store:
    for turn in range(5):
        store.set(f"N{number}-{turn}", f"value {number} {turn}")
"""

MAKE_STORES = """
import sys, time
from autokestra_secrets.backends.sqlite import SQLiteBackend
directory, start, stores = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
for number in range(stores):
    time.sleep(max(0, start + number * 0.05 - time.time()))
    backend = SQLiteBackend(f"{directory}/{number}.db", home=directory)
    with backend.transaction():
        pass
    backend.close()
"""


def run_at_once(code, arguments, **options):
    """Run `code` once for each list of arguments, all at the same time; return what each printed."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, *map(str, given)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
        )
        for given in arguments
    ]
    printed = [process.communicate(timeout=120) for process in running]
    assert [b""] * len(running) == [errors for _, errors in printed]
    return [output.decode() for output, _ in printed]


def test_sixteen_processes_make_one_key_for_each_home(tmp_path):
    start = time.time() + 2
    printed = run_at_once(MAKE_KEYS, [(tmp_path, start, HOMES)] * PROCESSES)
    seen = [line.split() for output in printed for line in output.splitlines()]
    assert PROCESSES * HOMES == len(seen)
    for number in range(HOMES):
        fingerprints = {fingerprint for home, fingerprint, _ in seen if home == str(number)}
        assert {MasterKeyProvider({}, home=tmp_path / str(number)).load().fingerprint} == fingerprints
        assert 1 == sum(int(said) for home, _, said in seen if home == str(number))
        assert {".gitignore", "secret.key"} == {path.name for path in (tmp_path / str(number)).iterdir()}


def test_eight_first_runs_at_once_lose_nothing(home, environ):
    start = time.time() + 2
    run_at_once(WRITE_SECRETS, [(start, number) for number in range(8)], env=environ)
    expected = {f"N{n}-{turn}": SecretValue(f"value {n} {turn}") for n in range(8) for turn in range(5)}
    with SecretStore.open(environ=environ) as store:
        assert expected == store.get_many(store.names())


def test_four_processes_make_each_of_a_hundred_stores_together(tmp_path):
    """SQLite itself does not wait when two connections turn a new file into one with a write-ahead log."""
    start = time.time() + 2
    run_at_once(MAKE_STORES, [(tmp_path, start, 100)] * 4)
    assert 100 == len(list(tmp_path.glob("*.db")))
