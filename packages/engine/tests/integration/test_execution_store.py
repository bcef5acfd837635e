"""The rows, over a real SQLite file: what is durable, who wins, and what a broken file says."""

import os
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from autokestra.errors import (
    ExecutionNotFoundError,
    StateFormatError,
    StateUnavailableError,
)
from autokestra.executions.housekeeping import named
from autokestra.executions.lease import boottime, own_lease
from autokestra.executions.plan import Change, Start
from autokestra.executions.records import (
    Account,
    AttemptState,
    Execution,
    ExecutionState,
    Lease,
    LogLine,
    StoredOutput,
    TaskOf,
    TaskState,
    execution_id,
)
from autokestra.executions.store import ExecutionStore


def an_execution(now=1_000_000, lease=None, **changes):
    fields = {
        "id": execution_id(now),
        "workflow_id": "w",
        "workflow": '{"id":"w"}',
        "workflow_path": "w.yaml",
        "workflow_sha256": "0" * 64,
        "inputs": {"day": "2026-03-01", "n": 3},
        "state": ExecutionState.PENDING,
        "reason": None,
        "message": None,
        "created_at": now,
        "started_at": None,
        "finished_at": None,
        "lease": lease,
    }
    return Execution(**(fields | changes))


@pytest.fixture(params=["sqlite", "postgres"])
def place(request, tmp_path):
    """A state database that does not exist yet: a path, or the URL of an empty schema."""
    return tmp_path / "state.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")


@pytest.fixture
def store(place):
    with ExecutionStore.open(place) as opened:
        yield opened


def test_an_execution_is_read_back_as_it_was_written(store):
    row = an_execution(lease=Lease(owner="h/b/1/2", until=5), workflow_seal=b"\0\xff sealed")
    store.create(row, ["a", "b"])
    assert row == store.execution(row.id)
    assert ["a", "b"] == [run.task_id for run in store.task_runs(row.id)]
    assert {TaskState.WAITING} == {run.state for run in store.task_runs(row.id)}


@pytest.mark.parametrize("path", [b"/d/w\xff.yaml", b"/d\xff/\xc3\xa9 %41\\xff.yaml", "/é/\\xff/100%41.yaml".encode()])
def test_a_path_is_read_back_byte_for_byte_also_when_it_is_no_utf8(store, path):
    row = an_execution(workflow_path=os.fsdecode(path))
    store.create(row, ["a"])
    assert path == os.fsencode(store.execution(row.id).workflow_path)
    assert row == store.execution(row.id)


def test_messages_that_name_such_a_path_are_kept_with_its_bytes_as_escapes(store):
    owner = own_lease(boottime)
    row = an_execution(lease=owner)
    store.create(row, ["a", "b"])
    skipped = Change(task="b", state=TaskState.SKIPPED, reason="upstream", message="no b\udcff")
    store.advance(row.id, owner=owner.owner, now=1, changes=[skipped], starts=[Start(task="a", number=1)])
    assert store.claim(row.id, "a", 1, lease=owner, now=2)
    line = LogLine(
        execution_id=row.id,
        task_id="a",
        attempt=1,
        sequence=0,
        time=3,
        stream="system",
        level="info",
        message="\udcff é",
    )
    store.append_log([line])
    assert store.end_attempt(row.id, "a", 1, owner=owner.owner, state=AttemptState.FAILED, now=4, message="no a\udcff")
    assert store.end(row.id, ExecutionState.FAILED, owner=owner.owner, now=5, message="no \udcff\ud83d")
    assert "no \\udcff\\ud83d" == store.execution(row.id).message
    assert [None, "no b\\udcff"] == [run.message for run in store.task_runs(row.id)]
    assert ["no a\\udcff"] == [attempt.message for attempt in store.attempts(row.id)]
    assert ["\\udcff é"] == [found.message for found in store.log_lines(row.id)]


def test_an_id_that_is_no_text_is_one_that_does_not_exist(store):
    for look in (store.execution, lambda id_: named(store, [id_])):
        with pytest.raises(ExecutionNotFoundError):
            look("\udcff")


def test_executions_are_listed_newest_first_and_latest_is_the_first(store):
    for now in (1_000_000, 3_000_000, 2_000_000):
        store.create(an_execution(now), [])
    assert [3_000_000, 2_000_000, 1_000_000] == [row.created_at for row in store.executions()]
    assert [3_000_000] == [row.created_at for row in store.executions(most=1)]
    assert 3_000_000 == store.execution("latest").created_at


def test_an_absent_execution_is_named_with_a_remedy(store):
    with pytest.raises(ExecutionNotFoundError, match="no execution 'nope'") as caught:
        store.execution("nope")
    assert "workflow execution list" in caught.value.hint
    with pytest.raises(ExecutionNotFoundError, match="no execution yet"):
        store.execution("latest")
    with pytest.raises(ExecutionNotFoundError, match="no attempt 'x/a/1'"):
        store.attempt("x", "a", 1)


def test_ids_sort_by_time_and_do_not_repeat():
    ids = [execution_id(now * 1000) for now in range(2_000)]
    assert sorted(ids) == ids
    assert 1_000 == len({execution_id(1) for _ in range(1_000)})  # of 2**35: once in 70,000 runs two are the same


def test_an_attempt_is_claimed_once_and_ended_by_its_owner_only(store):
    row = an_execution()
    store.create(row, ["a"])
    store.advance(row.id, owner=None, starts=[Start(task="a", number=1)], now=2)
    assert AttemptState.PENDING is store.attempt(row.id, "a", 1).state
    winners = []
    threads = [
        threading.Thread(
            target=lambda name: (
                winners.append(name) if store.claim(row.id, "a", 1, lease=Lease(owner=name, until=9), now=3) else None
            ),
            args=(f"w{n}",),
        )
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = winners
    stored = StoredOutput(clear="[1]")
    ending = {"state": AttemptState.SUCCESS, "now": 4, "output": stored, "shown": stored}
    assert not store.end_attempt(row.id, "a", 1, owner="somebody else", **ending)
    assert store.end_attempt(row.id, "a", 1, owner=winner, **ending)
    assert not store.end_attempt(row.id, "a", 1, owner=winner, **ending)
    attempt = store.attempt(row.id, "a", 1)
    assert (f"{row.id}/a/1", AttemptState.SUCCESS, stored) == (attempt.id, attempt.state, attempt.shown)
    assert (1, StoredOutput(clear="[1]")) == store.output(row.id, "a")


def test_several_attempts_are_looked_at_at_once_in_the_order_that_was_asked_for(store):
    row = an_execution()
    store.create(row, ["it's", "b"])
    starts = [Start(task="it's", number=1), Start(task="b", number=1), Start(task="b", number=12)]
    store.advance(row.id, owner=None, now=2, starts=starts)
    found = store.these_attempts(row.id, [("b", 12), ("it's", 1)])
    assert [("b", 12), ("it's", 1)] == [(attempt.task_id, attempt.number) for attempt in found]
    assert [] == store.these_attempts(row.id, [])
    with pytest.raises(ExecutionNotFoundError, match=f"no attempt '{row.id}/b/2'"):
        store.these_attempts(row.id, [("b", 1), ("b", 2)])


def test_a_task_without_a_successful_attempt_has_no_output(store):
    row = an_execution()
    store.create(row, ["a"])
    store.advance(row.id, owner=None, starts=[Start(task="a", number=1)], now=2)
    store.claim(row.id, "a", 1, lease=Lease(owner="w", until=9), now=3)
    store.end_attempt(row.id, "a", 1, owner="w", state=AttemptState.FAILED, now=4, reason="exit-code", exit_code=3)
    assert store.output(row.id, "a") is None
    assert 3 == store.attempt(row.id, "a", 1).exit_code


def test_of_two_that_take_over_one_wins_and_open_attempts_are_lost(store):
    dead = Lease(owner="h/b/1/2", until=5)
    row = an_execution(lease=dead)
    store.create(row, ["a"])
    store.advance(row.id, owner=dead.owner, starts=[Start(task="a", number=1)], now=2)
    store.claim(row.id, "a", 1, lease=Lease(owner="far/b/3/4", until=9), now=3)
    new = Lease(owner="h/b/9/9", until=boottime())
    assert [True, False] == [store.take_over(row.id, dead, new, now=7) for _ in range(2)]
    assert AttemptState.LOST is store.attempt(row.id, "a", 1).state
    assert not store.end_attempt(row.id, "a", 1, owner="far/b/3/4", state=AttemptState.SUCCESS, now=8)
    assert not store.renew(row.id, dead)
    assert store.renew(row.id, new)


def test_an_ended_execution_gives_up_its_lease_and_ends_once(store):
    row = an_execution(lease=Lease(owner="h/b/1/2", until=5))
    store.create(row, [])
    store.start(row.id, now=2)
    masked = {"a": {"T": {"plain": 2}}}
    assert not store.end(row.id, ExecutionState.SUCCESS, owner="somebody else", now=2)
    assert store.end(row.id, ExecutionState.FAILED, owner="h/b/1/2", now=3, reason="task:a", message="m", masked=masked)
    assert not store.end(row.id, ExecutionState.SUCCESS, owner="h/b/1/2", now=9)
    ended = store.execution(row.id)
    assert (ExecutionState.FAILED, 3, None) == (ended.state, ended.finished_at, ended.lease)
    assert {"a": {"T": {"plain": 2}}} == ended.masked
    assert store.take_over(row.id, None, Lease(owner="n", until=1), now=4)


def test_changes_of_tasks_are_written_together(store):
    row = an_execution()
    store.create(row, ["a", "b"])
    changes = [
        Change(task="a", state=TaskState.WAITING, reason="backoff", not_before=99),
        Change(task="b", state=TaskState.SKIPPED, reason="upstream"),
    ]
    assert not store.advance(row.id, owner="somebody else", changes=changes, now=4)
    assert store.advance(row.id, owner=None, changes=changes, now=5)
    a, b = store.task_runs(row.id)
    assert (TaskState.WAITING, "backoff", 99, None) == (a.state, a.reason, a.not_before, a.finished_at)
    assert (TaskState.SKIPPED, "upstream", 5) == (b.state, b.reason, b.finished_at)


def test_a_heartbeat_renews_all_attempts_of_its_owner_and_says_which_those_are(store):
    row = an_execution()
    store.create(row, ["a", "b", "c"])
    starts = [Start(task=task, number=1) for task in "abc"]
    store.advance(row.id, owner=None, starts=starts, now=2)
    for task, owner in (("a", "w"), ("b", "w"), ("c", "other")):
        assert store.claim(row.id, task, 1, lease=Lease(owner=owner, until=9), now=3)
    store.end_attempt(row.id, "b", 1, owner="w", state=AttemptState.SUCCESS, now=4)
    assert {(row.id, "a", 1)} == store.beat(Lease(owner="w", until=20))
    assert [20, 9, 9] == [attempt.lease_until for attempt in store.attempts(row.id)]
    assert Lease(owner="w", until=20) == store.attempt(row.id, "a", 1).lease


def test_an_attempt_is_lost_only_while_its_worker_stays_silent(store):
    row = an_execution()
    store.create(row, ["a"])
    store.advance(row.id, owner=None, starts=[Start(task="a", number=1)], now=2)
    assert store.attempt(row.id, "a", 1).lease is None
    seen = Lease(owner="w", until=9)
    store.claim(row.id, "a", 1, lease=seen, now=3)
    store.beat(Lease(owner="w", until=20))
    assert not store.lose(row.id, "a", 1, lease=seen, now=4)
    assert store.lose(row.id, "a", 1, lease=Lease(owner="w", until=20), now=4)
    assert AttemptState.LOST is store.attempt(row.id, "a", 1).state
    assert set() == store.beat(Lease(owner="w", until=30))
    assert not store.end_attempt(row.id, "a", 1, owner="w", state=AttemptState.SUCCESS, now=5)


def test_a_cancel_is_seen_by_the_workers_of_its_execution_until_it_has_ended(store):
    row, other = an_execution(lease=Lease(owner="c", until=5)), an_execution(2_000_000)
    for each in (row, other):
        store.create(each, ["a"])
        store.advance(each.id, owner=each.lease and each.lease.owner, starts=[Start(task="a", number=1)], now=2)
        store.claim(each.id, "a", 1, lease=Lease(owner="w", until=9), now=3)
    assert set() == store.cancelled_attempts("w")
    assert [True, False] == [store.request_cancel(row.id, now=4) for _ in range(2)]
    assert (True, False) == (store.cancel_requested(row.id), store.cancel_requested(other.id))
    assert {(row.id, "a", 1)} == store.cancelled_attempts("w")
    assert set() == store.cancelled_attempts("v")
    store.end(row.id, ExecutionState.CANCELLED, owner="c", now=5)
    assert not store.cancel_requested(row.id)
    assert not store.request_cancel(row.id, now=6)


def test_taking_over_keeps_what_a_dead_coordinator_did_not_see(store):
    """The worker wrote how its attempt ended, and then both were killed."""
    dead = Lease(owner="h/b/1/2", until=5)
    row = an_execution(lease=dead)
    store.create(row, ["good", "bad", "open"])
    starts = [Start(task=task, number=1) for task in ("good", "bad", "open")]
    store.advance(row.id, owner=dead.owner, starts=starts, now=2)
    for task in ("good", "bad", "open"):
        store.claim(row.id, task, 1, lease=Lease(owner="far/b/3/4", until=9), now=3)
    store.end_attempt(row.id, "good", 1, owner="far/b/3/4", state=AttemptState.SUCCESS, now=4)
    store.end_attempt(row.id, "bad", 1, owner="far/b/3/4", state=AttemptState.FAILED, now=4)
    store.request_cancel(row.id, now=5)
    assert store.take_over(row.id, dead, Lease(owner="n", until=9), now=7)
    runs = {run.task_id: (run.state, run.finished_at) for run in store.task_runs(row.id)}
    assert {
        "good": (TaskState.SUCCESS, 4),
        "bad": (TaskState.RUNNING, None),
        "open": (TaskState.RUNNING, None),
    } == runs
    assert not store.cancel_requested(row.id)


def test_workers_that_live_keep_their_attempts_when_a_coordinator_is_replaced(store):
    dead = Lease(owner="h/b/1/2", until=5)
    row = an_execution(lease=dead)
    store.create(row, ["lives", "dies", "own", "waits"])
    starts = [Start(task=task, number=1) for task in ("lives", "dies", "own", "waits")]
    store.advance(row.id, owner=dead.owner, starts=starts, now=2)
    alive = Lease(owner="far/b/3/4", until=store.leases.now() + 60_000_000)
    store.claim(row.id, "lives", 1, lease=alive, now=3)
    store.claim(row.id, "dies", 1, lease=Lease(owner="far/b/5/6", until=9), now=3)
    store.claim(row.id, "own", 1, lease=Lease(owner=dead.owner, until=alive.until), now=3)
    before = store.attempts(row.id)
    assert 1 == store.left_running(store.execution(row.id)), "neither the dead one's nor the coordinator's own"
    assert before == store.attempts(row.id), "only looked at"
    assert store.take_over(row.id, dead, Lease(owner="n", until=alive.until), now=7)
    lost = {"lives": AttemptState.RUNNING, **dict.fromkeys(("dies", "own", "waits"), AttemptState.LOST)}
    assert lost == {attempt.task_id: attempt.state for attempt in store.attempts(row.id)}
    assert lost == {task: state for (task, _), state in store.attempt_states(row.id).items()}
    assert {("lives", 1)} == store.run_elsewhere(row.id, now=8)
    assert store.end_attempt(row.id, "lives", 1, owner=alive.owner, state=AttemptState.SUCCESS, now=9)
    assert set() == store.run_elsewhere(row.id, now=10)
    assert (TaskState.SUCCESS, 9) == next(
        (run.state, run.finished_at) for run in store.task_runs(row.id) if run.task_id == "lives"
    )


def test_one_attempt_is_asked_to_stop(store):
    row = an_execution()
    store.create(row, ["runs", "waits", "other"])
    starts = [Start(task=task, number=1) for task in ("runs", "waits", "other")]
    store.advance(row.id, owner=row.lease.owner if row.lease else None, starts=starts, now=2)
    lease = Lease(owner="far/b/3/4", until=9)
    for task in ("runs", "other"):
        store.claim(row.id, task, 1, lease=lease, now=3)
    for task in ("runs", "waits"):
        store.stop_attempt(row.id, task, 1, now=4)
    assert {(row.id, "runs", 1)} == store.cancelled_attempts(lease.owner)
    waits = store.attempt(row.id, "waits", 1)
    assert (AttemptState.CANCELLED, "cancelled", 4) == (waits.state, waits.reason, waits.finished_at)
    assert not store.claim(row.id, "waits", 1, lease=lease, now=5)
    store.end_attempt(row.id, "runs", 1, owner=lease.owner, state=AttemptState.CANCELLED, now=6)
    store.stop_attempt(row.id, "runs", 1, now=7)
    assert 6 == store.attempt(row.id, "runs", 1).finished_at


def test_what_a_worker_says_of_secrets_is_kept_for_the_task(store):
    row = an_execution()
    store.create(row, ["a", "b"])
    starts = [Start(task=task, number=1) for task in ("a", "b")]
    store.advance(row.id, owner=row.lease.owner if row.lease else None, starts=starts, now=2)
    account = Account(used={"T": "store"}, masked={"T": {"plain": 2}})
    for task, said in (("a", account), ("b", None)):
        store.claim(row.id, task, 1, lease=Lease(owner="far/b/3/4", until=9), now=3)
        store.end_attempt(row.id, task, 1, owner="far/b/3/4", state=AttemptState.SUCCESS, now=4, account=said)
    assert [("a", account)] == store.accounts(row.id)


def test_two_who_open_the_same_rows_find_the_same_identity(store, tmp_path):
    assert store.identity == store.identity
    with ExecutionStore.open(tmp_path / "another.db") as other:
        assert store.identity != other.identity


def a_line(execution, task, sequence, time=1, message="m"):
    return LogLine(
        execution_id=execution,
        task_id=task,
        attempt=1,
        sequence=sequence,
        time=time,
        stream="stdout",
        level="info",
        message=message,
    )


def test_latest_is_the_newest_that_a_person_has_started(store):
    with pytest.raises(ExecutionNotFoundError, match="no execution yet"):
        store.execution("latest")
    outer = an_execution(1_000_000)
    store.create(outer, ["call"])
    store.create(an_execution(2_000_000, caller=TaskOf(execution=outer.id, task="call")), [])
    assert outer.id == store.execution("latest").id


def test_log_lines_come_back_in_order_and_by_task(store):
    row = an_execution()
    store.create(row, ["a", "b"])
    lines = [a_line(row.id, "a", 0, 1), a_line(row.id, "b", 0, 2, "tab\t \\N \\. \u2028 é"), a_line(row.id, "a", 1, 3)]
    store.append_log(reversed(lines))
    assert lines == store.log_lines(row.id)
    assert [lines[1]] == store.log_lines(row.id, task="b")


def test_the_ends_of_a_log_are_read_without_the_rest(store, place):
    row = an_execution()
    store.create(row, ["a", "b"])
    nul = "\0" if isinstance(place, Path) else "␀"
    lines = [a_line(row.id, "a", n, 10 + n, f"nul\0 {n} {'é' * 100}") for n in range(10)]
    store.append_log([*lines, a_line(row.id, "b", 0, 13)])
    found = store.log_ends(row.id, first=1, last=2, longest=6)
    assert [("a", 1, 10), ("b", 1, 1), ("a", 9, 10), ("a", 10, 10)] == [
        (each.task, each.place, each.total) for each in found
    ]
    assert [replace(lines[0], message=f"nul{nul} 0"), replace(lines[8], message=f"nul{nul} 8")] == [
        found[0].line,
        found[2].line,
    ]
    assert 107 == found[0].length
    assert 11 == len(store.log_ends(row.id, first=5, last=5, longest=1000))
    assert [] == store.log_ends("nobody", first=5, last=5, longest=1000)


def test_a_nul_in_a_line_is_kept_or_shown_by_its_symbol(store, place):
    """PostgreSQL has no text with that character in it."""
    row = an_execution()
    store.create(row, ["a"])
    store.append_log([a_line(row.id, "a", 0, message="a\0b")])
    assert ["a␀b" if isinstance(place, str) else "a\0b"] == [line.message for line in store.log_lines(row.id)]


def test_what_is_new_in_a_log_is_found_whoever_writes_it_and_whenever(store, place):
    row = an_execution()
    store.create(row, ["a", "b"])
    store.advance(row.id, owner=None, starts=[Start(task=task, number=1) for task in "ab"], now=2)
    seen = {}
    assert ([], False) == store.lines_after(seen, row.id)
    with ExecutionStore.open(place) as worker:
        for task in "ab":
            assert worker.claim(row.id, task, 1, lease=Lease(owner="w", until=9), now=3)
        first, second, late = a_line(row.id, "a", 0, 5), a_line(row.id, "b", 0, 4), a_line(row.id, "a", 1, 1)
        worker.append_log([first, second])
        assert ([second, first], False) == store.lines_after(seen, row.id)
        assert ([], False) == store.lines_after(seen, row.id)
        worker.append_log([late])  # by a clock that was set back
        worker.end_attempt(row.id, "a", 1, owner="w", state=AttemptState.SUCCESS, now=6)
        assert ([late], False) == store.lines_after(seen, row.id)
        worker.end_attempt(row.id, "b", 1, owner="w", state=AttemptState.FAILED, now=6)
        assert ([], True) == store.lines_after(seen, row.id)


def test_an_execution_that_nobody_is_at_work_on_is_an_orphan(store):
    long = store.leases.now() + 10**9
    for number, (lease, orphan) in enumerate(
        (
            (None, True),
            (own_lease(store.leases.now), False),
            (Lease(owner="elsewhere/b/1/2", until=long), False),
            (Lease(owner="elsewhere/b/1/2", until=store.leases.now() - 1_000_000), True),
        )
    ):
        row = an_execution(1_000_000 + number, lease=lease)
        store.create(row, [])
        assert orphan is store.execution(row.id).orphan
        assert orphan is store.executions(most=1)[0].orphan
        store.end(row.id, ExecutionState.SUCCESS, owner=lease and lease.owner, now=3)
        assert not store.execution(row.id).orphan


def test_files_are_for_their_owner_only(tmp_path):
    path = tmp_path / "new" / "state.db"
    with ExecutionStore.open(path) as store:
        store.create(an_execution(), ["a"])
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert {"state.db": 0o600, "state.db-wal": 0o600, "state.db-shm": 0o600} == modes
    assert 0o700 == stat.S_IMODE(path.parent.stat().st_mode)


def test_what_is_committed_survives_a_kill(tmp_path):
    path = tmp_path / "state.db"
    program = (
        "import os, signal, sys\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from test_execution_store import an_execution, ExecutionStore\n"
        "store = ExecutionStore.open(sys.argv[1])\n"
        "store.create(an_execution(), ['a'])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path), os.path.dirname(__file__)], check=False)
    assert -9 == done.returncode
    with ExecutionStore.open(path) as store:
        assert 1 == len(store.executions())


MAKE_STATES = """
import sys, time
from pathlib import Path
from autokestra.executions.store import ExecutionStore
directory, start, databases = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
for number in range(databases):
    time.sleep(max(0, start + number * 0.05 - time.time()))
    ExecutionStore.open(directory / f"{number}.db").close()
"""


def test_first_runs_at_once_make_each_database_together(tmp_path):
    """None takes a half-made database for another program's, and none is told that it is locked."""
    command = [sys.executable, "-c", MAKE_STATES, tmp_path, str(time.time() + 1.5), "60"]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    errors = [process.communicate(timeout=120)[1] for process in running]
    assert [""] * 4 == errors
    assert 60 == len(list(tmp_path.glob("*.db")))


class TestBrokenFiles:
    """Each says what is wrong in one line, with an error of its own, and changes nothing."""

    def test_missing(self, tmp_path):
        with pytest.raises(StateUnavailableError, match="no state database at"):
            ExecutionStore.open(tmp_path / "state.db", create=False)
        assert [] == list(tmp_path.iterdir())

    def test_a_directory(self, tmp_path):
        with pytest.raises(StateUnavailableError, match="is a directory"):
            ExecutionStore.open(tmp_path)

    def test_a_directory_above_that_is_a_file(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(StateUnavailableError, match="cannot open the state database"):
            ExecutionStore.open(tmp_path / "file" / "state.db")

    def test_no_database(self, tmp_path):
        path = tmp_path / "state.db"
        path.write_bytes(b"not a database at all, but long enough to have a header" * 20)
        before = path.read_bytes()
        with pytest.raises(StateFormatError, match="is not a state database"):
            ExecutionStore.open(path)
        assert before == path.read_bytes()

    def test_of_another_program(self, tmp_path):
        path = tmp_path / "state.db"
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE theirs (x)")
        db.close()
        with pytest.raises(StateFormatError, match="of another program"):
            ExecutionStore.open(path)

    def test_of_a_newer_version(self, tmp_path):
        path = tmp_path / "state.db"
        ExecutionStore.open(path).close()
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA user_version = 99")
        db.close()
        with pytest.raises(StateFormatError, match="has format 99"):
            ExecutionStore.open(path)

    def test_read_only(self, tmp_path):
        path = tmp_path / "state.db"
        ExecutionStore.open(path).close()
        path.chmod(0o400)
        # Root may write everything, so the child becomes somebody else once all modules are loaded.
        program = (
            "import os, sys\n"
            "from autokestra.executions.store import ExecutionStore\n"
            "from autokestra.errors import StatePermissionError\n"
            "if os.geteuid() == 0:\n"
            "    os.chown(sys.argv[1], 65534, 65534); os.chown(os.path.dirname(sys.argv[1]), 65534, 65534)\n"
            "    for folder in sys.argv[2:]: os.chmod(folder, 0o711)\n"
            "    os.setegid(65534); os.seteuid(65534)\n"
            "try:\n"
            "    ExecutionStore.open(sys.argv[1])\n"
            "except StatePermissionError as error:\n"
            "    print(error.message)\n"
        )
        above = [str(folder) for folder in path.parents if str(folder).startswith("/tmp/")][1:]
        done = subprocess.run(
            [sys.executable, "-c", program, str(path), *above], capture_output=True, text=True, check=False, env={}
        )
        assert ("", f"the state database {path} cannot be written by this user\n") == (done.stderr, done.stdout)

    def test_a_full_disk_in_the_middle_loses_nothing_that_was_committed(self, tmp_path):
        with ExecutionStore.open(tmp_path / "state.db") as store:
            row = an_execution()
            store.create(row, ["a"])
            store._rows.connection.execute(
                f"PRAGMA max_page_count = {store._rows.connection.execute('PRAGMA page_count').fetchone()[0] + 2}"
            )
            with pytest.raises(StateUnavailableError, match="no space left"):
                store.append_log(a_line(row.id, "a", n, message="x" * 4000) for n in range(100))
            assert [] == store.log_lines(row.id)
            assert row == store.execution(row.id)

    def test_a_bug_in_a_statement_is_not_hidden(self, tmp_path):
        with ExecutionStore.open(tmp_path / "state.db") as store, pytest.raises(sqlite3.IntegrityError):
            store.append_log([a_line("no such execution", "a", 0)])


def test_a_busy_database_is_waited_for(tmp_path):
    path = tmp_path / "state.db"
    with ExecutionStore.open(path) as store:
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(0.3, lambda: other.execute("COMMIT"))
        timer.start()
        row = an_execution()
        store.create(row, [])
        timer.join()
        other.close()
        assert row == store.execution(row.id)


def test_a_locked_database_says_who_to_look_for(tmp_path):
    path = tmp_path / "state.db"
    with ExecutionStore.open(path) as store:
        store._rows.connection.execute("PRAGMA busy_timeout = 50")
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StateUnavailableError, match="was locked for") as caught:
            store.create(an_execution(), [])
        other.close()
        assert "fuser" in caught.value.hint
