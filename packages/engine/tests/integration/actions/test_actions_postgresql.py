"""Statements on a real PostgreSQL."""

import threading
import time

import pytest


@pytest.fixture
def address(postgres_server):
    """A database of its own, whose connections ask for no schema but the server's own."""
    name = postgres_server.create_database()
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture
def query(run, address):
    return lambda text, context=None, **inputs: run(
        "core/sql.query", {"database": address, "sql": text, **inputs}, **(context or {})
    )


def test_values_are_parameters_and_rows_are_objects(query):
    query("CREATE TABLE IF NOT EXISTS t (id int, word text, data jsonb, exact numeric)")
    given = {"id": 1, "word": "x' OR '1'='1", "data": {"a": [1]}}
    assert 1 == query("INSERT INTO t VALUES (:id, :word, :data, 1.10)", parameters=given).output["rowCount"]
    found = query("SELECT *, word LIKE '100%' AS p, '5'::int AS five FROM t WHERE id = :id", parameters={"id": 1})
    assert [{**given, "exact": "1.10", "p": False, "five": 5}] == found.output["rows"]


def test_there_is_one_statement_and_a_failure_is_explained(query):
    assert "cannot insert multiple commands" in query("SELECT 1; SELECT 2").message
    assert query("SELECT nope").message.startswith('PostgreSQL: column "nope" does not exist')
    assert "too-large" == query("SELECT generate_series(1, 100000) AS n", maxRows=5).reason


def test_a_statement_ends_with_its_time_its_task_or_a_cancel(query):
    assert "timeout" == query("SELECT pg_sleep(60)", timeout="1s").reason
    assert "timeout" == query("SELECT pg_sleep(60)", {"deadline": time.monotonic() + 0.5}).reason
    cancelled = threading.Event()
    threading.Timer(0.5, cancelled.set).start()
    assert "cancelled" == query("SELECT pg_sleep(60)", {"cancelled": cancelled}).reason


def test_nothing_is_taken_from_the_engines_environment(query, monkeypatch):
    monkeypatch.setenv("PGOPTIONS", "-c search_path=elsewhere")
    assert [{"search_path": '"$user", public'}] == query("SHOW search_path").output["rows"]


def test_a_server_that_is_not_there_is_named_without_the_password(run):
    inputs = {"database": "postgresql://nobody:canary@127.0.0.1:1/x", "sql": "SELECT 1", "timeout": "2s"}
    message = run("core/sql.query", inputs).message
    assert "127.0.0.1" in message
    assert "canary" not in message
