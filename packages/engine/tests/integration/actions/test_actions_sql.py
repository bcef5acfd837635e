"""Statements on databases: SQLite here; PostgreSQL where there is one to talk to."""

import os
import sqlite3
import threading
import time

import pytest

from autokestra.actions import sql
from autokestra.actions.isolation import Isolation


@pytest.fixture
def query(run, tmp_path):
    """Query a database with one table, `t(id, word, data)`, of three rows."""
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, word TEXT, data BLOB)")
        connection.executemany(
            "INSERT INTO t (word, data) VALUES (?, ?)", [("one", b"\xff"), ("two", None), ("ü", b"")]
        )
    connection.close()

    def call(text, *, database="sqlite:///a.db", context=None, **inputs):
        return run("core/sql.query", {"database": database, "sql": text, **inputs}, **(context or {}))

    return call


def test_rows_are_a_list_of_objects(query):
    rows = [{"id": 1, "word": "one", "data": "/w=="}, {"id": 2, "word": "two", "data": None}]
    assert {"rows": rows, "rowCount": 2} == query("SELECT * FROM t WHERE id < 3 ORDER BY id").output
    assert {"rows": [], "rowCount": 0} == query("SELECT * FROM t WHERE id > 3").output


@pytest.mark.parametrize("word", ["ü", "x' OR '1'='1", "'; DROP TABLE t; --", ":word"])
def test_values_are_parameters_and_never_text(query, word):
    found = query("SELECT count(*) AS n FROM t WHERE word = :word", parameters={"word": word}).output
    assert [{"n": int(word == "ü")}] == found["rows"]
    assert [{"n": 3}] == query("SELECT count(*) AS n FROM t").output["rows"]


def test_changes_are_kept_when_the_statement_succeeds(query):
    assert {"rows": [], "rowCount": 2} == query("UPDATE t SET word = :w WHERE id < 3", parameters={"w": "x"}).output
    assert [{"id": 4}] == query("INSERT INTO t (word) VALUES ('new') RETURNING id").output["rows"]
    assert {"rows": [], "rowCount": 0} == query("CREATE TABLE u (a)").output
    assert [{"n": 2}] == query("SELECT count(*) AS n FROM t WHERE word = 'x'").output["rows"]


@pytest.mark.parametrize(
    ("text", "more", "said"),
    [
        ("SELEC 1", {}, 'SQLite: near "SELEC": syntax error'),
        ("SELECT 1; SELECT 2", {}, "SQLite: You can only execute one statement at a time."),
        ("SELECT :a", {}, "SQLite: You did not supply a value for binding parameter :a."),
        ("SELECT id, id FROM t", {}, "two columns are called 'id': name them with AS"),
        ("SELECT * FROM t", {"maxRows": 2}, "more than 2 rows: add a LIMIT, or raise maxRows"),
        ("SELECT :a", {"parameters": {"a": [1]}}, "parameter 'a' is no single value; give it as text: tojson"),
        ("SELECT :a", {"parameters": {"a": 1 << 70}}, "SQLite: Python int too large to convert to SQLite INTEGER"),
        ("SELECT 9e999 AS a", {}, "output.rows[0].a is inf, which JSON cannot hold"),
        ("SELECT 1", {"database": "sqlite:///no.db"}, "cannot open the database 'no.db': no such file or directory"),
        ("SELECT 1", {"database": "sqlite:///."}, "cannot open the database '.': it is a directory"),
        ("SELECT 1", {"database": "mysql://u:p@h"}, "database begins with neither sqlite:/// nor postgresql://"),
    ],
)
def test_failures_are_explained(query, text, more, said):
    assert said == query(text, **more).message


def test_a_file_is_made_when_asked(query, tmp_path):
    assert query("CREATE TABLE t (a)", database="sqlite:///new.db", create=True).error is None
    assert (tmp_path / "new.db").exists()
    assert [{"a": 1}] == query("SELECT 1 AS a", database="sqlite:///:memory:").output["rows"]


@pytest.mark.parametrize("text", ["ATTACH 'b.db' AS b", "VACUUM INTO 'c.db'"])
def test_sql_opens_no_other_file(query, tmp_path, text):
    (tmp_path / "b.db").touch()
    assert "authoriz" in query(text).message
    assert not (tmp_path / "c.db").exists()


def test_what_tasks_may_not_see_is_refused(query, tmp_path):
    os.link(tmp_path / "a.db", tmp_path / "hard.db")
    (tmp_path / "link.db").symlink_to("a.db")
    hidden = {"isolation": Isolation(hidden=(str(tmp_path / "a.db"),))}
    for name in ("a.db", "hard.db", "link.db"):
        ran = query("SELECT * FROM t", database=f"sqlite:///{name}", context=hidden)
        assert ran.message.endswith("is not for tasks")


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) AS m FROM n"


def test_a_statement_ends_with_its_time_its_task_or_a_cancel(query):
    assert ("timeout", "no result within 0.2 s") == (
        (ran := query(ENDLESS, timeout=0.2)).reason, ran.message)  # fmt: skip
    assert "timeout" == query(ENDLESS, context={"deadline": time.monotonic() + 0.2}).reason
    cancelled = threading.Event()
    threading.Timer(0.2, cancelled.set).start()
    assert "cancelled" == query(ENDLESS, context={"cancelled": cancelled}).reason


def test_postgresql_without_its_package_is_explained(query, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    message = query("SELECT 1", database="postgresql://u:canary@h/d").message
    assert "PostgreSQL needs a driver that is not installed; pip install 'autokestra[postgres]'" == message


@pytest.mark.parametrize("password", ["can@ary", "canary/x", "a:canary/x", "canary?x", "%zzcanary", "a@b/canary"])
def test_a_password_that_libpq_would_misread_is_refused_without_a_part_of_it(query, password):
    ran = query("SELECT 1", database=f"postgresql://u:{password}@127.0.0.1:1/d")
    assert ("bad-input", False) == (ran.reason, "canary" in ran.message)
    assert ran.message.endswith("{{ secrets.NAME | urlencode }}")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("SELECT :a, :b_1", "SELECT %(a)s, %(b_1)s"),
        ("SELECT ':a', \":a\", x::text -- :a\n/* :a */", "SELECT ':a', \":a\", x::text -- :a\n/* :a */"),
        ("SELECT $$ :a $$, $x$ :a $x$", "SELECT $$ :a $$, $x$ :a $x$"),
        ("SELECT 5 % 2, '100%' LIKE :a", "SELECT 5 %% 2, '100%%' LIKE %(a)s"),
        ("SELECT 'it''s :a'", "SELECT 'it''s :a'"),
    ],
)
def test_names_become_parameters_of_psycopg(text, written):
    assert written == sql._percent(text)
