"""Attempts through a cluster of two workers on this machine, beside the local pool on the same rows in PostgreSQL.

Coordinator, scheduler, both workers and the database share the processors here, so the figures say what the way through
a scheduler costs, and not what a cluster gains. The yardstick of attempts is a plain ThreadPoolExecutor with as many
threads as the workers have slots, on the same tables, which does the least that is durable; that of layers is the local
pool. Processor time is what each part took for the same run through the cluster, for one attempt; that of the yardstick
has PostgreSQL's in it. Other work on the machine moves it less than rates.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from autokestra.actions.registry import catalog
from autokestra.app import App
from autokestra.cluster import cluster_engine
from autokestra.worker.address import PoolAddress
from autokestra.workflow.loader import load_workflow
from bench.postgres import EXECUTOR, executor_rate
from bench.processes import processor_seconds
from bench.results import Found, Row
from servers.cluster import ClusterWorker, Scheduler
from servers.postgresql import PostgresServer

SIZES: Final = (2_000, 100)  # attempts, tasks of a layer
QUICK: Final = (50, 5)
SLOTS: Final = 4  # of each of two workers

ATTEMPTS: Final = "attempts, two workers of a cluster"
LOCAL: Final = "attempts, local pool"
FIRST: Final = "first result of a new coordinator"
TIME: Final = "processor time for an attempt"
WRITES: Final = "writing transactions for an attempt"
PARTS: Final = ("coordinator", "scheduler", "workers", "PostgreSQL")

ATTEMPTS_A_SECOND: Final = 120.0
DAG_SECONDS: Final = 3.0

_COMMAND: Final = (str(Path(sys.executable).with_name("workflow")),)


def measure(*, quick: bool = False) -> Found:
    """Return all of it, measured once."""
    attempts, width = QUICK if quick else SIZES
    found = _figures(attempts, width)
    executor, local_layers = found["executor"], found["local layers"]
    rows = [
        _rate(f"attempts, {EXECUTOR}", executor, executor),
        _rate(LOCAL, found["local"], executor),
        _rate(ATTEMPTS, found["cluster"], executor, ATTEMPTS_A_SECOND),
    ]
    pool = f"three layers of {width}, local pool"
    for name, key, target in (
        (pool, "local layers", None),
        (f"three layers of {width}, cluster", "cluster layers", DAG_SECONDS),
    ):
        ratio = found[key] / local_layers
        rows.append(
            Row(name=name, value=found[key], unit="s", better="lower", yardstick=pool, ratio=ratio, target=target)
        )
    rows.append(Row(name=FIRST, value=found["first"], unit="s", better="lower"))
    rows += [
        _processor_time(part, found[f"{TIME}, {part}"], found[f"{TIME}, {EXECUTOR}"]) for part in (EXECUTOR, *PARTS)
    ]
    rows.append(Row(name=WRITES, value=found["writes"], unit="", better="lower"))
    return rows


def _processor_time(part: str, seconds: float, executor: float) -> Row:
    ratio = seconds / executor
    name = f"{TIME}, {part}"
    return Row(name=name, value=seconds, unit="s", better="lower", yardstick=EXECUTOR, ratio=ratio)


def _rate(name: str, rate: float, executor: float, target: float | None = None) -> Row:
    return Row(
        name=name, value=rate, unit="/s", better="higher", yardstick=EXECUTOR, ratio=rate / executor, target=target
    )


def _figures(attempts: int, width: int) -> dict[str, float]:
    """Return rates a second, and seconds of the rest."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="autokestra-bench-")))
        server = PostgresServer.started({"fsync": "on"})
        stack.callback(server.stop)
        scheduler = Scheduler(folder)
        stack.callback(scheduler.stop)
        environ = {
            "PATH": os.environ["PATH"],
            "AUTOKESTRA_HOME": str(folder / "home"),
            "AUTOKESTRA_STATE": server.url(),
        }
        workers = [
            ClusterWorker(
                _COMMAND,
                "--slots",
                str(SLOTS),
                pool=scheduler.url,
                env=environ,
                directory=folder,
                name=f"worker{number}",
            )
            for number in range(2)
        ]
        for worker in workers:
            stack.callback(worker.stop)
        for worker in workers:
            worker.joined()
        app = App(environ=environ)
        many = _loaded(
            folder, "many", [f"{{id: t{n}, type: core/console.log, inputs: {{message: x}}}}" for n in range(attempts)]
        )
        one = _loaded(folder, "one", ["{id: t, type: core/console.log, inputs: {message: x}}"])
        dag = _loaded(folder, "dag", _layers(width))
        address = PoolAddress.parse(scheduler.url)

        def local(workflow: Any) -> float:
            with app.engine(max_parallel=2 * SLOTS, observer=lambda _: None) as engine:
                return _seconds(engine, workflow)

        def remote(workflow: Any) -> float:
            with cluster_engine(app, address, max_parallel=None, observer=lambda _: None) as engine:
                return _seconds(engine, workflow)

        begun = time.perf_counter()
        remote(one)
        first = time.perf_counter() - begun
        clocks = {
            "coordinator": time.process_time,
            "scheduler": lambda: processor_seconds(scheduler.pid),
            "workers": lambda: sum(processor_seconds(worker.process.pid) for worker in workers),
            "PostgreSQL": lambda: processor_seconds(server.pid),
        }
        executor, of_executor = _timed(lambda: executor_rate(server, attempts, 2 * SLOTS), clocks)
        written = _transactions(server)
        cluster, of_cluster = _timed(lambda: attempts / remote(many), clocks)
        written = _transactions(server) - written
        return {
            "first": first,
            "executor": executor,
            "local": attempts / local(many),
            "cluster": cluster,
            "local layers": local(dag),
            "cluster layers": remote(dag),
            f"{TIME}, {EXECUTOR}": (of_executor["coordinator"] + of_executor["PostgreSQL"]) / attempts,
            **{f"{TIME}, {part}": of_cluster[part] / attempts for part in PARTS},
            "writes": written / attempts,
        }


def _timed(work: Callable[[], float], clocks: Mapping[str, Callable[[], float]]) -> tuple[float, Mapping[str, float]]:
    """Return what `work` returns, and what each clock went on by meanwhile."""
    before = {name: clock() for name, clock in clocks.items()}
    result = work()
    return result, {name: clock() - before[name] for name, clock in clocks.items()}


def _transactions(server: PostgresServer) -> int:
    """Return the number of the next transaction that writes; those that only read have none."""
    with server.connect() as connection:
        return int(connection.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text").fetchone()[0])


def _seconds(engine: Any, workflow: Any) -> float:
    begun = time.perf_counter()
    row = engine.run(workflow, {})
    assert row.state == "SUCCESS", row
    return time.perf_counter() - begun


def _loaded(folder: Path, name: str, tasks: list[str]) -> Any:
    file = folder / f"{name}.yaml"
    file.write_text(f"id: {name}\ntasks: [{', '.join(tasks)}]\n", encoding="utf-8")
    return load_workflow(file, catalog=catalog())


def _layers(width: int) -> list[str]:
    """Each task of a layer waits for all of the layer before."""
    tasks = []
    for layer in range(3):
        needs = ", ".join(f"t{layer - 1}_{n}" for n in range(width)) if layer else ""
        tasks += [
            f"{{id: t{layer}_{n}, type: core/console.log, needs: [{needs}], inputs: {{message: x}}}}"
            for n in range(width)
        ]
    return tasks
