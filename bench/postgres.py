"""Rows in PostgreSQL: log lines one by one and by COPY, claims, and whole attempts with the local pool.

The server is started here, on a socket, and waits for the disk and tidies up as it would in earnest. The yardstick for
attempts is a plain ThreadPoolExecutor on the same tables, a connection for each thread, which does the least that is
durable: insert, claim and end each attempt, a commit each.
"""

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from servers.postgresql import PostgresServer

from autokestra.app import App
from autokestra.executions.plan import Start
from autokestra.executions.records import AttemptState, Execution, ExecutionState, Lease, LogLine, execution_id
from autokestra.executions.store import ExecutionStore

SINGLES: Final = 2_000
LINES: Final = 300_000
ATTEMPTS: Final = 2_000
THREADS: Final = 2

LINES_A_SECOND: Final = 100_000.0
ATTEMPTS_A_SECOND: Final = 400.0


def main() -> None:
    """Print the figures with their targets."""
    found = run()
    singles, yardstick = found["singles"], found["yardstick"]
    _print("log lines, row by row", singles, singles)
    _print("log lines, COPY in batches of 500", found["copied_500"], singles)
    _print("log lines, as the log writer batches them", found["copied"], singles, least=LINES_A_SECOND)
    _print("claims, one thread", found["claims_1"])
    _print("claims, eight threads", found["claims_8"])
    _print("attempts, ThreadPoolExecutor (the yardstick)", yardstick, yardstick)
    _print("attempts, local pool on the same rows", found["attempts"], yardstick, least=ATTEMPTS_A_SECOND)
    _print("attempts, local pool on SQLite", found["attempts_sqlite"], yardstick)


def _print(name: str, rate: float, yardstick: float | None = None, *, least: float | None = None) -> None:
    ratio = "" if yardstick is None else f" {rate / yardstick:8.2f}"
    verdict = "" if least is None else f"   {'met' if rate >= least else 'MISSED'}: at least {least:,.0f}"
    print(f"{name:44} {rate:10,.0f} /s{ratio}{verdict}")


def run(*, singles: int = SINGLES, lines: int = LINES, attempts: int = ATTEMPTS) -> dict[str, float]:
    """Measure all of it once; rates are per second."""
    server = PostgresServer.started({"fsync": "on", "autovacuum": "on"})
    try:
        url = server.url()
        with ExecutionStore.open(url) as store:
            found = {
                "singles": _rate(singles, lambda: _singly(server, _begun(store, []), singles)),
                "copied_500": _rate(lines, lambda: _copied(store, lines, 500)),
                "copied": _rate(lines, lambda: _written(store, lines)),
                "claims_1": _claims(store, attempts, 1),
                "claims_8": _claims(store, attempts, 8),
            }
        found["yardstick"] = _rate(attempts, lambda: _yardstick(server, attempts))
        with tempfile.TemporaryDirectory(prefix="autokestra-bench-") as folder:
            found["attempts"] = _engine(Path(folder), attempts, state=url)
            found["attempts_sqlite"] = _engine(Path(folder), attempts, state=None)
        return found
    finally:
        server.stop()


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


def _yardstick(server: PostgresServer, count: int) -> None:
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

    with ThreadPoolExecutor(THREADS) as pool:
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
