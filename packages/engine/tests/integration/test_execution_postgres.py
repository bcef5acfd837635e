"""Executions in PostgreSQL alone: what is lost and found again, who waits for whom, and what errors say."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import psycopg
import pytest

from autokestra.errors import StateFormatError, StatePermissionError, StateUnavailableError
from autokestra.executions.lease import own_lease, this_process
from autokestra.executions.plan import Start
from autokestra.executions.postgres import DatabaseLeases, PostgresRows
from autokestra.executions.records import AttemptState, Execution, ExecutionState, Lease, LogLine, execution_id
from autokestra.executions.store import ExecutionStore


def an_execution(now=1_000_000, lease=None):
    return Execution(
        id=execution_id(now),
        workflow_id="w",
        workflow='{"id":"w"}',
        workflow_path="w.yaml",
        workflow_sha256="0" * 64,
        inputs={},
        state=ExecutionState.PENDING,
        reason=None,
        message=None,
        created_at=now,
        started_at=None,
        finished_at=None,
        lease=lease,
    )


def a_line(execution, task, sequence):
    return LogLine(
        execution_id=execution,
        task_id=task,
        attempt=1,
        sequence=sequence,
        time=1,
        stream="stdout",
        level="info",
        message="m",
    )


@pytest.fixture
def store(postgres_url):
    with ExecutionStore.open(postgres_url) as opened:
        yield opened


@pytest.fixture
def admin(postgres_url, postgres_server):
    """Somebody else at the same schema."""
    with postgres_server.connect() as connection:
        connection.execute(f"SET search_path TO {postgres_url.partition('schema=')[2]}")
        yield connection


def begun(store, tasks=("a",), lease=None):
    row = an_execution(lease=lease)
    store.create(row, tasks)
    starts = [Start(task=task, number=1) for task in tasks]
    assert store.advance(row.id, owner=lease and lease.owner, now=2, starts=starts)
    return row


def cut(admin):
    """End every other connection to the database, as a server that restarts does."""
    admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
    )


# -- lost and found -----------------------------------------------------------------------------------------------


def test_a_connection_that_was_cut_is_made_again_for_reads_and_writes(store, admin):
    row = begun(store, "ab")
    for work in (
        lambda: store.execution(row.id),
        lambda: store.claim(row.id, "a", 1, lease=Lease(owner="w", until=9), now=3),
        lambda: store.append_log([a_line(row.id, "a", 0)]),
        lambda: store.append_log(a_line(row.id, "b", n) for n in range(500)),
        lambda: store.advance(row.id, owner=None, now=4),
        lambda: store.request_cancel(row.id, 5),
        lambda: store.leases.is_dead(Lease(owner="elsewhere/b/1/2", until=1)),
    ):
        cut(admin)
        assert work() is not False
    assert 501 == len(store.log_lines(row.id))


class Deaf:
    """A connection on which the answer to one statement is never heard: it is cut after it was carried out."""

    def __init__(self, store, admin, when):
        self._admin = admin
        self._when = when
        self._links = [*store._rows._links, store._rows._log]

    def __enter__(self):
        for link in self._links:
            link.database.connection()
        execute = psycopg.Connection.execute

        def and_cut(connection, query, *args, **options):
            done = execute(connection, query, *args, **options)
            if connection is not self._admin and query == self._when:
                self._when = None
                cut(self._admin)
                connection.close()
                raise psycopg.OperationalError("server closed the connection unexpectedly")
            return done

        self._execute, psycopg.Connection.execute = execute, and_cut

    def __exit__(self, *_):
        psycopg.Connection.execute = self._execute


def test_a_commit_whose_answer_was_lost_is_not_done_twice(store, admin):
    row = begun(store)
    old, new = None, own_lease(store.leases.now)
    with Deaf(store, admin, "COMMIT"):
        assert store.take_over(row.id, old, new, now=7)
    assert new == store.execution(row.id).lease
    with Deaf(store, admin, "COMMIT"):
        assert store.end(row.id, ExecutionState.FAILED, owner=new.owner, now=8)
    other = an_execution(2_000_000)
    with Deaf(store, admin, "COMMIT"):
        store.create(other, ["a"])
    assert other == store.execution(other.id)
    with Deaf(store, admin, "COMMIT"):
        store.append_log(a_line(other.id, "a", n) for n in range(500))
    assert 500 == len(store.log_lines(other.id))


def test_a_transaction_that_was_lost_before_its_commit_begins_anew(store, admin):
    with Deaf(store, admin, "BEGIN; SELECT pg_current_xact_id()::text AS xid"):
        row = begun(store)
    assert AttemptState.PENDING is store.attempt(row.id, "a", 1).state


def test_an_answer_to_one_statement_that_was_lost_is_confirmed_by_the_row(store, admin):
    row = begun(store)
    lease, other = Lease(owner="w", until=9), Lease(owner="v", until=9)

    def deaf(work):
        """Let `work` be carried out and its answer be lost."""
        lost = []

        def once(db):
            done = work(db)
            if not lost:
                lost.append(done)
                cut(admin)
                db.close()
                raise psycopg.OperationalError("server closed the connection unexpectedly")
            return done

        return once

    one = store._rows.write_one

    def losing(work, confirm, **options):
        return one(deaf(work), confirm, **options)

    store._rows.write_one = losing
    assert store.claim(row.id, "a", 1, lease=lease, now=3)
    assert not store.claim(row.id, "a", 1, lease=other, now=3)
    assert not store.end_attempt(row.id, "a", 1, owner="v", state=AttemptState.SUCCESS, now=4)
    assert store.end_attempt(row.id, "a", 1, owner="w", state=AttemptState.SUCCESS, now=4)
    assert not store.lose(row.id, "a", 1, lease=lease, now=5)


def test_two_that_lock_rows_in_opposite_orders_both_get_there(store, postgres_url):
    row = begun(store, "ab")
    other = PostgresRows(postgres_url, create=False)
    together = threading.Barrier(2)
    tries = []

    def change(first, second):
        def work(db):
            tries.append(first)
            for task in (first, second):
                db.execute("UPDATE attempt SET message = 'm' WHERE execution_id = %s AND task_id = %s", (row.id, task))
                if task == first and len(tries) <= 2:
                    together.wait(10)

        return work

    thread = threading.Thread(target=lambda: other.write(change("b", "a")))
    thread.start()
    store._rows.write(change("a", "b"))
    thread.join()
    other.close()
    assert len(tries) >= 3
    assert {"m"} == {attempt.message for attempt in store.attempts(row.id)}


def test_patience_ends_with_an_error_that_names_the_server(tmp_path):
    from servers.postgresql import PostgresServer

    server = PostgresServer.started()
    try:
        rows = PostgresRows(server.url(), create=True, patience=0.5)
        store = ExecutionStore(rows)
        row = an_execution()
        store.create(row, [])
        server.kill()
        for use in (
            lambda: store.execution(row.id),
            lambda: store.start(row.id, 2),
            lambda: store.append_log([a_line(row.id, "a", 0)]),
        ):
            began = time.monotonic()
            with pytest.raises(StateUnavailableError, match="cannot reach the state database postgresql://"):
                use()
            assert time.monotonic() - began < 5
        rows.close()
    finally:
        server.stop()


def test_lines_of_logs_wait_for_no_disk_whatever_their_connection_was_used_for_first(store):
    store.leases.now()
    row = begun(store)
    for lines in ([a_line(row.id, "a", 0)], [a_line(row.id, "a", n) for n in range(1, 500)]):
        store.append_log(lines)
        assert (
            "off"
            == store.rows._log.run(lambda db: db.execute("SHOW synchronous_commit").fetchone())["synchronous_commit"]
        )
    assert "on" == store.rows.read(lambda db: db.execute("SHOW synchronous_commit").fetchone())["synchronous_commit"]


# -- who waits for whom -------------------------------------------------------------------------------------------


def test_of_eight_that_take_over_at_once_one_wins(store, postgres_url):
    dead = Lease(owner="elsewhere/b/1/2", until=5)
    row = begun(store, lease=dead)
    won = []

    def take(number):
        with ExecutionStore.open(postgres_url) as mine:
            if mine.take_over(row.id, dead, Lease(owner=f"n{number}/b/1/2", until=10**18), now=7):
                won.append(number)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 == len(won)
    assert f"n{won[0]}/b/1/2" == store.execution(row.id).lease.owner


def test_a_coordinator_that_was_replaced_in_the_middle_of_a_write_writes_nothing(store, postgres_url):
    """Its look at the lease holds the row: whoever takes over waits until it has written, or it finds itself replaced."""
    old, new = Lease(owner="elsewhere/b/1/2", until=5), Lease(owner="n/b/1/2", until=10**18)
    row = begun(store, "ab", lease=old)
    with ExecutionStore.open(postgres_url) as other:
        outcomes = []

        def take():
            outcomes.append(other.take_over(row.id, old, new, now=7))

        thread = threading.Thread(target=take)

        def work(db):
            assert store._sql.is_coordinator(db, id=row.id, owner=old.owner) is not None
            thread.start()
            thread.join(0.3)
            assert thread.is_alive()
            return True

        assert store._rows.write(work)
        thread.join()
        assert [True] == outcomes
        assert not store.advance(row.id, owner=old.owner, now=8, starts=[Start(task="a", number=2)])
    assert [1, 1] == [attempt.number for attempt in store.attempts(row.id)]


def test_of_executions_that_ask_at_once_no_more_than_allowed_are_admitted(store, postgres_url):
    rows = []
    for number in range(6):
        row = an_execution(1_000_000 + number, lease=own_lease(store.leases.now))
        store.create(row, [])
        rows.append(row)
    admitted = []

    def ask(row):
        with ExecutionStore.open(postgres_url) as mine:
            if not mine.admit(row, most=2, now=9):
                admitted.append(row.id)

    threads = [threading.Thread(target=ask, args=(row,)) for row in reversed(rows)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= len(admitted) <= 2


# -- leases -------------------------------------------------------------------------------------------------------


def test_leases_are_measured_by_the_servers_clock_which_is_asked_now_and_then():
    ticks, server, asked = [0], [1_000_000_000], []

    def ask():
        asked.append(ticks[0])
        return server[0] + ticks[0]

    leases = DatabaseLeases(ask, ticks=lambda: ticks[0])
    assert 1_000_000_000 == leases.now()
    ticks[0] = 4_000_000
    assert 1_004_000_000 == leases.now()
    assert [0] == asked
    ticks[0] = 9_000_000
    server[0] += 50  # it was corrected
    assert 1_009_000_050 == leases.now()
    assert [0, 9_000_000] == asked
    assert leases.is_dead(Lease(owner="elsewhere/b/1/2", until=1_009_000_049))
    assert not leases.is_dead(Lease(owner="elsewhere/b/1/2", until=1_009_000_051))


def test_another_machine_of_the_same_name_is_not_taken_for_this_one_after_a_reboot(store):
    far = store.leases.now() + 10**9
    host, _, pid, start = this_process(1).rsplit("/", 3)
    assert not store.leases.is_dead(Lease(owner=f"{host}/another-boot:1/{pid}/{start}", until=far))
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    owner = this_process.__wrapped__(process.pid)
    process.wait()
    assert store.leases.is_dead(Lease(owner=owner, until=far))
    elsewhere = owner.replace(owner.split("/")[1], owner.split("/")[1].split(":")[0] + ":12345")
    assert not store.leases.is_dead(Lease(owner=elsewhere, until=far))  # a container of this machine


# -- beginnings and errors ----------------------------------------------------------------------------------------


def test_many_that_open_it_at_once_make_its_tables_once(postgres_url):
    errors = []

    def open_it():
        try:
            ExecutionStore.open(postgres_url).close()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [] == errors


def test_a_missing_database_of_executions_is_not_made_by_reading(postgres_url, admin):
    with pytest.raises(StateUnavailableError, match="no state database at postgresql://") as caught:
        ExecutionStore.open(postgres_url, create=False)
    assert "workflow run FILE" in caught.value.hint
    assert [] == admin.execute("SELECT 1 FROM pg_namespace WHERE nspname = current_schema()").fetchall()


def test_a_newer_format_is_left_alone(postgres_url, store, admin):
    admin.execute("UPDATE state_version SET version = 99")
    with pytest.raises(StateFormatError, match="has format 99, this version knows up to 4"):
        ExecutionStore.open(postgres_url)


def test_a_user_who_may_not_is_told_so(postgres_url, postgres_server, admin, store):
    admin.execute("CREATE ROLE stranger LOGIN")
    schema = postgres_url.partition("schema=")[2]
    with pytest.raises(StatePermissionError, match="may not do this"):
        ExecutionStore.open(postgres_server.url(user="stranger", schema=schema))
    admin.execute("DROP ROLE stranger")


def test_a_table_that_is_gone_is_damage(store, admin):
    admin.execute("DROP TABLE cancel")
    with pytest.raises(StateFormatError, match='relation "cancel" does not exist'):
        store.cancel_requested("x")


def test_a_bug_in_a_statement_is_not_hidden(store):
    with pytest.raises(psycopg.IntegrityError):
        store._rows.write(
            lambda db: db.execute(
                "INSERT INTO task_run (execution_id, task_id, position, state) VALUES ('no', 'a', 1, 'WAITING')"
            )
        )
    with pytest.raises(ZeroDivisionError):
        store._rows.write(lambda db: 1 / 0)
    assert [] == store.executions()


def test_the_lines_of_an_execution_that_is_removed_go_with_it(store, admin):
    row = begun(store)
    store.append_log([a_line(row.id, "a", 0)])
    schema = admin.execute("SELECT current_schema()").fetchone()[0]
    admin.execute("SET search_path TO public")  # whoever removes it by hand
    admin.execute(f"DELETE FROM {schema}.execution")
    admin.execute(f"SET search_path TO {schema}")
    assert [(0, 0, 0)] == admin.execute(
        "SELECT (SELECT count(*) FROM log_line), (SELECT count(*) FROM attempt), (SELECT count(*) FROM task_run)"
    ).fetchall()


def test_a_driver_that_is_not_installed_is_said_with_the_line_to_type():
    program = """
import sys
sys.modules["psycopg"] = None
from autokestra.errors import StateUnavailableError
from autokestra.executions.store import ExecutionStore
try:
    ExecutionStore.open("postgresql://host/db")
except StateUnavailableError as error:
    print(error.message, error.hint, sep="|")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "PostgreSQL needs a driver that is not installed|pip install 'autokestra[postgres]'\n" == done.stdout


def test_the_statements_are_in_files_that_are_shipped():
    folder = Path(sys.modules["autokestra.executions.rows"].SQL)
    assert {"0001_initial.sql", "0002_callers.sql", "0003_workers.sql", "0004_workflow_seal.sql", "statements.sql"} == {
        path.name for path in (folder / "postgres").iterdir()
    }
