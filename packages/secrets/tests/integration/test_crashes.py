"""Processes killed at random moments, and many that write at once: what was acknowledged is there, and verifies.

A few rounds each; hundreds with AUTOKESTRA_SOAK=1.
"""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from autokestra_secrets import MasterKeyProvider, SecretStore, SecretValue, WrongKeyError
from autokestra_secrets.keytext import key_text
from autokestra_secrets.testing import FIXED_KEY

ROUNDS = 150 if os.environ.get("AUTOKESTRA_SOAK") else 4
SPARE = key_text(b"s" * 32)

# Each prints a line when something has been acknowledged, and goes on until it is killed.
LOOPS = {
    "set": """
for turn in itertools.count():
    store.set(f"N{turn % 7}", f"value {turn}", keep=2)
    say(turn)
""",
    "keys": """
for turn in itertools.count():
    slot = store.keys.add(spare).id
    say("added")
    store.keys.remove(slot)
    say("removed")
""",
    "reencrypt": """
for turn in itertools.count():
    store.set("TURN", str(turn))
    say(turn)
    store.keys.reencrypt()
""",
    "restore": """
store.backup(home + "/copy.db", force=True)
for turn in itertools.count():
    store.set("TURN", str(turn))
    say(turn)
    SecretStore.restore(home + "/copy.db", force=True)
""",
}
HEAD = """
import itertools, os, sys
from autokestra_secrets import SecretStore
home, spare = os.environ["AUTOKESTRA_HOME"], sys.argv[1]
def say(what):
    print(what, flush=True)
store = SecretStore.open()
"""

WRITE_MANY = """
import sys
from autokestra_secrets import SecretStore
with SecretStore.open() as store:
    for turn in range(125):
        store.set(f"N{sys.argv[1]}-{turn}", f"value {sys.argv[1]} {turn}")
"""


@pytest.fixture
def environ(environ):
    return {**environ, "AUTOKESTRA_SECRET_KEY": FIXED_KEY}


def run_and_kill(loop, environ):
    """Run a loop for a random while, kill it, and return the lines that it has acknowledged."""
    process = subprocess.Popen(
        [sys.executable, "-c", HEAD + LOOPS[loop], SPARE], env=environ, stdout=subprocess.PIPE, text=True
    )
    first = process.stdout.readline()
    time.sleep(random.uniform(0, 0.15))
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate(timeout=30)
    assert first
    return (first + rest).split()


@pytest.mark.parametrize("loop", ["set", "keys", "reencrypt", "restore"])
def test_a_process_killed_at_any_moment_leaves_a_store_that_opens_and_verifies(environ, home, loop):
    kept = {f"KEPT{number}": f"value {number} " * 40 for number in range(150)}
    with SecretStore.open(environ=environ) as store:
        store.set_many(kept)
    for _ in range(ROUNDS):
        acknowledged = run_and_kill(loop, environ)
        with SecretStore.open(environ=environ) as store:
            report = store.verify()
            assert (True, ()) == (report.ok, report.problems)
            assert {name: SecretValue(value) for name, value in kept.items()} == store.get_many(kept)
            if loop == "set":
                for number in range(7):
                    turns = [int(turn) for turn in acknowledged if int(turn) % 7 == number]
                    if turns:
                        found = store.get(f"N{number}").reveal()
                        assert found in (f"value {turns[-1]}", f"value {turns[-1] + 7}")
            if loop == "reencrypt":
                assert int(store.get("TURN").reveal()) - int(acknowledged[-1]) in (0, 1)
            if loop == "keys":
                slots = store.keys.list()
                assert len(slots) in (1, 2)
                spare = SecretStore.open(environ={**environ, "AUTOKESTRA_SECRET_KEY": SPARE})
                if len(slots) == 2:
                    assert kept["KEPT0"] == spare.get("KEPT0").reveal()
                    store.keys.remove(slots[1].id)
                else:
                    with pytest.raises(WrongKeyError):
                        spare.get("KEPT0")
                spare.close()
            store.set("AFTER", "the store can be written to")


def test_a_first_run_killed_at_any_moment_leaves_a_home_in_which_the_next_one_works(tmp_path):
    for number in range(ROUNDS):
        environ = {"AUTOKESTRA_HOME": str(tmp_path / str(number))}
        process = subprocess.Popen([sys.executable, "-c", WRITE_MANY, "X"], env=environ)
        time.sleep(0.04 + random.uniform(0, 0.12))
        process.kill()
        process.wait()
        key = MasterKeyProvider(environ).load() if not MasterKeyProvider(environ).absent else None
        with SecretStore.open(environ=environ) as store:
            store.set("A", "value")
            assert "value" == store.get("A").reveal()
            assert store.verify().ok
        assert key is None or key == MasterKeyProvider(environ).load()


def test_eight_processes_write_a_thousand_secrets_at_once(environ):
    running = [
        subprocess.Popen([sys.executable, "-c", WRITE_MANY, str(number)], env=environ, stderr=subprocess.PIPE)
        for number in range(8)
    ]
    assert [b""] * 8 == [process.communicate(timeout=120)[1] for process in running]
    expected = {f"N{n}-{turn}": SecretValue(f"value {n} {turn}") for n in range(8) for turn in range(125)}
    with SecretStore.open(environ=environ) as store:
        assert expected == store.get_many(store.names())
        report = store.verify()
        assert (True, 1000, 1001) == (report.ok, report.secrets, report.generation)
