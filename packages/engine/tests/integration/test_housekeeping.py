"""Removing executions: which may go, that nothing of them is left in any file, and that nobody is disturbed."""

import random
import sqlite3

import pytest

from autokestra.errors import ExecutionBusyError, ExecutionNotFoundError
from autokestra.executions.housekeeping import LINES_AT_ONCE, give_back, named, removable, remove
from autokestra.executions.lease import own_lease
from autokestra.executions.plan import Start
from autokestra.executions.records import AttemptState, Execution, ExecutionState, Lease, LogLine, StoredOutput
from autokestra.executions.store import ExecutionStore

DEAD = Lease(owner="h/b/1/2", until=0)  # ran out when the machine booted
DAY = 86_400_000_000


@pytest.fixture
def filed(tmp_path):
    """A store in a file."""
    with ExecutionStore.open(tmp_path / "state.db") as opened:
        yield opened


@pytest.fixture(params=["sqlite", "postgres"])
def store(request, tmp_path):
    """A store of each kind."""
    place = tmp_path / "state.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with ExecutionStore.open(place) as opened:
        yield opened


def add(store, id_, *, at=DAY, state="SUCCESS", lease=None, workflow="w", tasks=("a",), output=None, lines=1):
    """Write an execution as a run does; `lease` is who is at work on it, where it has not ended."""
    own = own_lease(store.leases.now)
    row = Execution(
        id=id_, workflow_id=workflow, workflow="{}", workflow_path="w.yaml", workflow_sha256="0" * 64, inputs={},
        state=ExecutionState.PENDING, reason=None, message=None, created_at=at, started_at=None, finished_at=None,
        lease=own,
    )  # fmt: skip
    store.create(row, list(tasks))
    store.start(id_, at)
    for task in tasks:
        store.advance(id_, owner=own.owner, now=at, starts=[Start(task=task, number=1)])
        store.claim(id_, task, 1, lease=own, now=at)
        store.append_log(
            LogLine(execution_id=id_, task_id=task, attempt=1, sequence=number, time=at, stream="stdout", level="info",
                    message=f"line of {id_} {task} {number}")
            for number in range(lines)
        )  # fmt: skip
        store.end_attempt(
            id_,
            task,
            1,
            owner=own.owner,
            state=AttemptState.SUCCESS,
            now=at,
            output=StoredOutput(sealed=output, clear=None),
        )
    if state == "RUNNING":
        store.take_over(id_, own, lease or own, at)
    else:
        store.end(id_, ExecutionState(state), owner=own.owner, now=at)


def ids(found):
    return [each.id for each in found]


def test_what_has_succeeded_goes_and_what_can_be_resumed_stays(store):
    for number, state in enumerate(["SUCCESS", "FAILED", "CANCELLED", "SUCCESS"]):
        add(store, f"{state}{number}", state=state, at=DAY + number)
    add(store, "orphan", state="RUNNING", lease=DEAD)
    add(store, "running", state="RUNNING", lease=own_lease(store.leases.now))
    done, kept = removable(store, before=2 * DAY)
    assert (["SUCCESS0", "SUCCESS3"], ["orphan", "FAILED1", "CANCELLED2"]) == (ids(done), ids(kept))
    done, kept = removable(store, before=2 * DAY, with_failed=True)
    assert (["SUCCESS0", "orphan", "FAILED1", "CANCELLED2", "SUCCESS3"], []) == (ids(done), ids(kept))


def test_age_counts_from_the_end(store):
    add(store, "old", at=DAY)
    add(store, "new", at=3 * DAY)
    assert ["old"] == ids(removable(store, before=2 * DAY)[0])
    assert [] == removable(store, before=DAY)[0]


def test_the_newest_of_each_workflow_stay(store):
    for number in range(4):
        add(store, f"a{number}", at=DAY + number, workflow="a")
    add(store, "b0", workflow="b")
    assert ["a0", "a1"] == ids(removable(store, before=9 * DAY, keep_last=2)[0])
    assert ["a0", "b0", "a1", "a2", "a3"] == ids(removable(store, before=9 * DAY)[0])


def test_all_of_an_execution_goes_however_large(store):
    add(store, "big", tasks=("a", "b"), lines=LINES_AT_ONCE + 1)
    add(store, "stays", lines=3)
    assert ["big"] == ids(remove(store, named(store, ["big"])))
    assert ["stays"] == [each.id for each in store.executions()]
    assert (3, 1, 1) == (len(store.log_lines("stays")), len(store.attempts("stays")), len(store.task_runs("stays")))
    for table in ("execution", "task_run", "attempt", "log_line"):
        left = f"SELECT count(*) AS number FROM {table}"
        assert 1 <= store.rows.read(lambda db, left=left: dict(db.execute(left).fetchone())["number"]) <= 3


def test_one_that_was_resumed_in_the_meantime_is_left_alone(store):
    add(store, "failed", state="FAILED")
    add(store, "other", state="FAILED")
    found, _ = removable(store, before=9 * DAY, with_failed=True)
    assert store.take_over("failed", None, own_lease(store.leases.now), 2 * DAY)  # what `resume` does first
    assert ["other"] == ids(remove(store, found))
    assert 1 == len(store.log_lines("failed"))


def test_of_two_prunes_one_removes(filed, tmp_path):
    add(filed, "a")
    with ExecutionStore.open(tmp_path / "state.db") as second:
        found = [named(each, ["a"]) for each in (filed, second)]
        assert [["a"], []] == [ids(remove(each, seen)) for each, seen in zip((filed, second), found, strict=True)]


def test_a_prune_that_was_killed_is_finished_by_the_next(store):
    add(store, "a")
    # Claimed, its lines gone, and then nothing more.
    store.rows.write(lambda db: db.execute("UPDATE execution SET lease_owner = 'h/b/1/2', lease_until = 1"))
    store.rows.write(lambda db: db.execute("DELETE FROM log_line"))
    assert ["a"] == ids(remove(store, removable(store, before=9 * DAY)[0]))
    assert [] == store.executions()


def test_named_ones_are_all_there_and_none_is_under_way(store):
    add(store, "a")
    add(store, "b", state="FAILED", at=2 * DAY)
    add(store, "busy", state="RUNNING", lease=Lease(owner="elsewhere/b/1/2", until=store.leases.now() + DAY))
    assert ["a", "b"] == ids(named(store, ["a", "b", "a"]))
    assert ["b"] == ids(named(store, ["latest"]))
    with pytest.raises(ExecutionNotFoundError, match="no execution 'zzz'"):
        named(store, ["a", "zzz"])
    with pytest.raises(ExecutionBusyError, match="'busy' is under way") as caught:
        named(store, ["a", "busy"])
    assert "stop it first: workflow execution cancel busy" == caught.value.hint


def files(folder):
    return b"".join(each.read_bytes() for each in folder.iterdir())


def size(folder):
    return sum(each.stat().st_size for each in folder.iterdir())


def spread(store, count):
    """Executions with outputs of all sizes, written in an order that moves rows about; return id -> output."""
    chance = random.Random(7)
    outputs = {}
    for number in range(count):
        id_ = f"{chance.getrandbits(40):010x}{number}"
        outputs[id_] = chance.randbytes(chance.choice([40, 200, 900, 3000, 20_000]))
        add(store, id_, tasks=("a", "b", "c"), output=outputs[id_], lines=chance.randrange(30))
    return outputs


def test_nothing_of_what_was_removed_is_left_in_any_file(filed, tmp_path):
    outputs = spread(filed, 60)
    gone = sorted(outputs)[::2]
    before = size(tmp_path)
    assert all(outputs[id_][:32] in files(tmp_path) for id_ in outputs)
    assert gone == sorted(ids(remove(filed, named(filed, gone))))
    space = give_back(filed, size=lambda: size(tmp_path))
    left = files(tmp_path)
    assert [] == [
        id_ for id_ in gone
        for start in range(0, len(outputs[id_]) - 16, 16) if outputs[id_][start : start + 16] in left
    ]  # fmt: skip
    assert [] == [id_ for id_ in gone if id_.encode() in left]
    assert (True, before, size(tmp_path)) == (space.is_rewritten, space.before, space.after)
    assert space.after < before / 1.5
    assert 0 == (tmp_path / "state.db-wal").stat().st_size
    kept = sorted(outputs)[1]
    assert (1, StoredOutput(sealed=outputs[kept], clear=None)) == filed.output(kept, "a")


def test_a_large_database_is_not_rewritten_while_others_run_and_yet_gives_space_back(filed, tmp_path):
    outputs = spread(filed, 40)
    add(filed, "running", state="RUNNING", lease=own_lease(filed.leases.now))
    list(remove(filed, named(filed, outputs)))
    before = size(tmp_path)
    space = give_back(filed, size=lambda: size(tmp_path), rewrite_bytes=0)
    assert (False, 0) == (space.is_rewritten, (tmp_path / "state.db-wal").stat().st_size)
    assert space.after < before / 4
    assert 0 == filed.rows.read(lambda db: db.execute("PRAGMA freelist_count").fetchone()[0])


def test_an_idle_database_is_rewritten_whatever_its_size(filed, tmp_path):
    add(filed, "orphan", state="RUNNING", lease=DEAD)
    assert give_back(filed, size=lambda: size(tmp_path), rewrite_bytes=0).is_rewritten


def test_a_database_of_an_earlier_version_learns_to_give_space_back(tmp_path):
    path = tmp_path / "state.db"
    with ExecutionStore.open(path) as store:
        add(store, "running", state="RUNNING", lease=own_lease(store.leases.now))
    with sqlite3.connect(path, isolation_level=None) as plain:
        plain.execute("PRAGMA journal_mode = DELETE")
        plain.execute("PRAGMA auto_vacuum = NONE")
        plain.execute("VACUUM")
        assert 0 == plain.execute("PRAGMA auto_vacuum").fetchone()[0]
    plain.close()
    with ExecutionStore.open(path) as store:
        assert not give_back(store, size=lambda: size(tmp_path), rewrite_bytes=0).is_rewritten  # nothing it could do
        assert give_back(store, size=lambda: size(tmp_path)).is_rewritten
        assert 2 == store.rows.read(lambda db: db.execute("PRAGMA auto_vacuum").fetchone()[0])
