"""Threads that write at once share a commit, each gets its own answer, and one that fails spoils no other."""

import sqlite3
import threading
from contextlib import contextmanager

import pytest

from autokestra.executions.commits import GroupCommit


class Turns:
    """One connection and a lock, and how often it was committed."""

    def __init__(self, path):
        self.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.db.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)")
        self.lock = threading.Lock()
        self.commits = 0
        self.db.set_trace_callback(lambda sql: setattr(self, "commits", self.commits + (sql == "COMMIT")))

    @contextmanager
    def __call__(self):
        with self.lock:
            yield self.db


@pytest.fixture
def turns(tmp_path):
    found = Turns(tmp_path / "t.db")
    yield found
    found.db.close()


def transact(db, works, durable):
    with db:
        db.execute("BEGIN IMMEDIATE")
        return [work(db) for work in works]


def insert(number):
    return lambda db: db.execute("INSERT INTO t VALUES (?)", (number,)).rowcount


def together(group, turns, works):
    """Let all of them arrive while the turn is taken, and return their results and errors by place."""
    answers = {}

    def run(place, work):
        try:
            answers[place] = group.run(work)
        except Exception as error:
            answers[place] = type(error).__name__

    threads = [threading.Thread(target=run, args=item) for item in enumerate(works)]
    with turns.lock:
        for thread in threads:
            thread.start()
        while len(group._requests) < len(works):
            pass
    for thread in threads:
        thread.join()
    return [answers[place] for place in range(len(works))]


def test_those_that_wait_share_one_commit(turns):
    group = GroupCommit(turns, transact, conflict=sqlite3.IntegrityError)
    assert [1] * 20 == together(group, turns, [insert(number) for number in range(20)])
    assert 1 == turns.commits
    assert 20 == turns.db.execute("SELECT count(*) FROM t").fetchone()[0]


def test_one_that_breaks_a_constraint_spoils_no_other(turns):
    group = GroupCommit(turns, transact, conflict=sqlite3.IntegrityError)
    group.run(insert(7))
    assert [1, "IntegrityError", 1] == together(group, turns, [insert(1), insert(7), insert(3)])
    assert [1, 3, 7] == [row[0] for row in turns.db.execute("SELECT n FROM t")]


def test_a_database_that_fails_fails_for_all(turns):
    group = GroupCommit(turns, transact, conflict=sqlite3.IntegrityError)

    def broken(db):
        raise sqlite3.OperationalError("disk I/O error")

    assert ["OperationalError"] * 3 == together(group, turns, [insert(1), broken, insert(2)])
    assert 0 == turns.db.execute("SELECT count(*) FROM t").fetchone()[0]
    assert 1 == group.run(insert(1))
