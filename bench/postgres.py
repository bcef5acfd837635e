"""Rows in PostgreSQL: log lines one by one and by COPY, claims, and whole attempts with the local pool.

The server is started here, on a socket, and waits for the disk and tidies up as it would in earnest. The yardstick for
attempts is a plain ThreadPoolExecutor on the same tables, a connection for each thread, which does the least that is
durable: insert, claim and end each attempt, a commit each. That of log lines is an `INSERT` and a commit for each.
"""

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from autokestra.app import App
from autokestra.executions.plan import Start
from autokestra.executions.records import AttemptState, Execution, ExecutionState, Lease, LogLine, execution_id
from autokestra.executions.store import ExecutionStore
from bench.results import Found, Row
from servers.postgresql import PostgresServer

SIZES: Final = (2_000, 300_000, 2_000)  # lines row by row, lines by COPY, attempts
QUICK: Final = (100, 5_000, 100)
THREADS: Final = 2

LINES_A_SECOND: Final = 100_000.0
ATTEMPTS_A_SECOND: Final = 400.0


SINGLY: Final = "log lines, row by row"
EXECUTOR: Final = "ThreadPoolExecutor on the same rows"
LINES: Final = "log lines, as the log writer batches them"
CLAIMS: Final = "claims, eight threads"


def measure(*, quick: bool = False) -> Found:
    """Return all of it, measured once."""
    singles, lines, attempts = QUICK if quick else SIZES
    server = PostgresServer.started({"fsync": "on", "autovacuum": "on"})
    try:
        url = server.url()
        with ExecutionStore.open(url) as store:
            singly = _rate(singles, lambda: _singly(server, _begun(store, []), singles))
            copied = _rate(lines, lambda: _copied(store, lines, 500))
            written = _rate(lines, lambda: _written(store, lines))
            claims = {threads: _claims(store, attempts, threads) for threads in (1, 8)}
        executor = executor_rate(server, attempts)
        with tempfile.TemporaryDirectory(prefix="autokestra-bench-") as folder:
            pool = _engine(Path(folder), attempts, state=url)
            on_sqlite = _engine(Path(folder), attempts, state=None)
    finally:
        server.stop()
    return [
        _row(SINGLY, singly, SINGLY, singly),
        _row("log lines, COPY in batches of 500", copied, SINGLY, singly),
        _row(LINES, written, SINGLY, singly, LINES_A_SECOND),
        _row("claims, one thread", claims[1], EXECUTOR, executor),
        _row(CLAIMS, claims[8], EXECUTOR, executor),
        _row(f"attempts, {EXECUTOR}", executor, EXECUTOR, executor),
        _row("attempts, local pool on the same rows", pool, EXECUTOR, executor, ATTEMPTS_A_SECOND),
        _row("attempts, local pool on SQLite", on_sqlite, EXECUTOR, executor),
    ]


def _row(name: str, rate: float, yardstick: str, beside: float, target: float | None = None) -> Row:
    return Row(
        name=name, value=rate, unit="/s", better="higher", yardstick=yardstick, ratio=rate / beside, target=target
    )


def executor_rate(server: PostgresServer, count: int, threads: int = THREADS) -> float:
    """Return how many attempts a second a ThreadPoolExecutor does, on the tables that a store has made."""
    return _rate(count, lambda: _yardstick(server, count, threads))


def _rate(count: int, work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return count / (time.perf_counter() - begun)


def _begun(store: ExecutionStore, tasks: list[str]) -> str:
    row = Execution(
        id=execution_id(time.time_ns() // 1000),
        workflow_id="bench",
        workflow="{}",
        workflow_path="bench.yaml",
        workflow_sha256="0" * 64,
        inputs={},
        state=ExecutionState.PENDING,
        reason=None,
        message=None,
        created_at=1,
        started_at=None,
        finished_at=None,
        lease=None,
    )
    store.create(row, tasks)
    return row.id


def _lines(execution: str, count: int) -> list[LogLine]:
    return [
        LogLine(
            execution_id=execution,
            task_id="t",
            attempt=1,
            sequence=n,
            time=n,
            stream="stdout",
            level="info",
            message="x" * 99,
        )
        for n in range(count)
    ]


def _singly(server: PostgresServer, execution: str, count: int) -> None:
    with server.connect() as connection:
        connection.execute("SET search_path TO autokestra")
        for n in range(count):
            connection.execute(
                "INSERT INTO log_line VALUES (%s, 't', 1, %s, 1, 'stdout', 'info', %s)", (execution, n, "x" * 99)
            )


def _copied(store: ExecutionStore, count: int, size: int) -> None:
    lines = _lines(_begun(store, []), count)
    for start in range(0, count, size):
        store.append_log(lines[start : start + size])


def _written(store: ExecutionStore, count: int) -> None:
    lines, writer = _lines(_begun(store, []), count), store.log_writer()
    for start in range(0, count, 100):
        writer.add(lines[start : start + 100])
    writer.close()


def _claims(store: ExecutionStore, count: int, threads: int) -> float:
    tasks = [f"t{n}" for n in range(count)]
    execution = _begun(store, tasks)
    store.advance(execution, owner=None, now=1, starts=[Start(task=task, number=1) for task in tasks])
    lease = Lease(owner="bench", until=store.leases.now() + 10**9)

    def claim(place: int) -> None:
        for task in tasks[place::threads]:
            assert store.claim(execution, task, 1, lease=lease, now=2)

    def all_of_them() -> None:
        workers = [threading.Thread(target=claim, args=(place,)) for place in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    return _rate(count, all_of_them)


def _yardstick(server: PostgresServer, count: int, threads: int) -> None:
    local = threading.local()
    execution = "yardstick"
    with server.connect() as connection:
        connection.execute("SET search_path TO autokestra")
        connection.execute(
            "INSERT INTO execution (id, workflow_id, workflow, workflow_path, workflow_sha256, inputs, state,"
            " created_at) VALUES (%s, 'w', '{}', '', '', '{}', 'RUNNING', 1)",
            (execution,),
        )
        connection.execute(
            "INSERT INTO task_run (execution_id, task_id, position, state)"
            " SELECT %s, 't' || n, n, 'PENDING' FROM generate_series(1, %s) AS n",
            (execution, count),
        )

    def attempt(number: int) -> None:
        if not hasattr(local, "db"):
            local.db = server.connect()
            local.db.execute("SET search_path TO autokestra")
        key = (execution, f"t{number}")
        local.db.execute(
            "INSERT INTO attempt (execution_id, task_id, number, state, created_at) VALUES (%s, %s, 1, 'PENDING', 1)",
            key,
        )
        local.db.execute(
            "UPDATE attempt SET state = 'RUNNING', owner = 'w', claimed_at = 2"
            " WHERE execution_id = %s AND task_id = %s AND number = 1 AND state = 'PENDING'",
            key,
        )
        local.db.execute(
            "UPDATE attempt SET state = %s, finished_at = 3"
            " WHERE execution_id = %s AND task_id = %s AND number = 1 AND owner = 'w'",
            (AttemptState.SUCCESS.value, *key),
        )

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(attempt, range(1, count + 1)))


def _engine(folder: Path, count: int, *, state: str | None) -> float:
    from autokestra.actions.registry import catalog
    from autokestra.workflow.loader import load_workflow

    tasks = ", ".join(f"{{id: t{n}, type: core/console.log, inputs: {{message: x}}}}" for n in range(count))
    file = folder / "flow.yaml"
    file.write_text(f"id: flow\ntasks: [{tasks}]\n", encoding="utf-8")
    loaded = load_workflow(file, catalog=catalog())
    app = App(environ={"AUTOKESTRA_HOME": str(folder / "home")}, state=state)
    with _engine_of(app) as engine:
        return _rate(count, lambda: engine.run(loaded, {}))


@contextmanager
def _engine_of(app: App) -> Iterator[Any]:
    with app.engine(max_parallel=THREADS, observer=lambda _: None) as engine:
        yield engine
