"""Attempts through a cluster of two workers on this machine, beside the local pool on the same rows in PostgreSQL.

Coordinator, scheduler, both workers and the database share the processors here, so the ratio says what the way through
a scheduler costs, and not what a cluster gains. The yardstick is the local pool in the same minute.
"""

import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from autokestra.actions.registry import catalog
from autokestra.app import App
from autokestra.cluster import cluster_engine
from autokestra.worker.address import PoolAddress
from autokestra.workflow.loader import load_workflow
from servers.cluster import ClusterWorker, Scheduler
from servers.postgresql import PostgresServer

ATTEMPTS: Final = 2_000
LAYER: Final = 100
SLOTS: Final = 4  # of each of two workers

ATTEMPTS_A_SECOND: Final = 120.0
DAG_SECONDS: Final = 3.0

_COMMAND: Final = (str(Path(sys.executable).with_name("workflow")),)


def main() -> None:
    """Print the figures with their targets."""
    found = run()
    local = found["local"]
    for name, rate, least in (
        ("attempts, local pool (the yardstick)", local, None),
        ("attempts, two workers of a cluster", found["cluster"], ATTEMPTS_A_SECOND),
    ):
        verdict = "" if least is None else f"   {'met' if rate >= least else 'MISSED'}: at least {least:,.0f}"
        print(f"{name:44} {rate:10,.0f} /s {rate / local:8.2f}{verdict}")
    for name, seconds, most in (
        ("three layers of 100, local pool", found["local_dag"], None),
        ("three layers of 100, cluster", found["cluster_dag"], DAG_SECONDS),
    ):
        verdict = "" if most is None else f"   {'met' if seconds <= most else 'MISSED'}: at most {most:,.0f}"
        print(f"{name:44} {seconds:10.2f} s  {seconds / found['local_dag']:8.2f}{verdict}")
    print(f"{'first result of a new coordinator':44} {found['first']:10.2f} s")


def run(*, attempts: int = ATTEMPTS, layer: int = LAYER, slots: int = SLOTS) -> dict[str, float]:
    """Measure all of it once; rates are per second, the rest in seconds."""
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
                str(slots),
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
        dag = _loaded(folder, "dag", _layers(layer))
        address = PoolAddress.parse(scheduler.url)

        def local(workflow: Any) -> float:
            with app.engine(max_parallel=2 * slots, observer=lambda _: None) as engine:
                return _seconds(engine, workflow)

        def remote(workflow: Any) -> float:
            with cluster_engine(app, address, max_parallel=None, observer=lambda _: None) as engine:
                return _seconds(engine, workflow)

        begun = time.perf_counter()
        remote(one)
        first = time.perf_counter() - begun
        return {
            "first": first,
            "local": attempts / local(many),
            "cluster": attempts / remote(many),
            "local_dag": local(dag),
            "cluster_dag": remote(dag),
        }


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
