"""Autokestra, Prefect and Luigi on the same workflows, one cold run each in the same minutes.

Each task starts the program `true` as a child process, and four tasks run at once. A run is timed from the start of its
process until the end of every task is on disk. What one task takes is mostly the start of the engine, so tasks a second
stand there with it and without it.

* Autokestra: `workflow run --max-parallel 4`, `isolation: none`, in an empty home; rows in SQLite, and a log, of which
  the others keep none here.
* Prefect: a flow with `ThreadPoolTaskRunner(max_workers=4)` and a server (`prefect server start`) with SQLite, in an
  empty `PREFECT_HOME`. The server runs before the clock starts, as is meant; its start has a line of its own.
  A run has ended when its process has, and the server's database has every task run as `COMPLETED`: they are written
  after the fact. With the server that Prefect starts by itself where none runs, most of these rows were missing in the
  end, so that is not what is measured. Telemetry and logs are off; results are not kept, as is its default.
* Luigi: `luigi.build(local_scheduler=True, workers=4)`, a file for each finished task, logs off. No server and no
  database; it keeps neither times nor output.

The yardstick is a loop of `subprocess.run(["true"])`.
"""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.engine import TRUE, execute, independent, layers, trues_per_second
from bench.results import OURS, Absent, Found, Row

ROOT: Final = Path(__file__).parents[1]
PYTHON: Final = Path(os.environ.get("BENCH_ENGINES_PYTHON", ROOT / ".venv-bench-engines" / "bin" / "python"))
SIZES: Final = (1_000, 100)  # independent tasks, tasks of a layer
QUICK: Final = (20, 4)
PARALLEL: Final = 4
SECONDS: Final = 900  # what takes longer has no figure

START_SECONDS: Final = 120  # for a server
KEEP_SECONDS: Final = 120  # for the last states to be on disk, once a flow has ended

QUIET: Final = {  # of Prefect
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "ERROR",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
}

Shape = tuple[str, int]  # "independent" and how many tasks, or "layers" and how many in each of three


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run: seconds, and those that a server took to start before."""

    version: str = ""
    seconds: float
    server: float = 0.0


class Trouble(Exception):  # noqa: N818  # it is told, not raised further
    """One of the others could not run; the message is the reason."""


def measure(*, quick: bool = False) -> Found:
    """Return the figures of each engine; one that cannot run says why and disturbs nobody."""
    count, width = QUICK if quick else SIZES
    before = trues_per_second()
    absent: list[Absent] = []
    runs: dict[str, list[Run]] = {}
    for name, engine in {OURS: _autokestra, "Prefect": _prefect, "Luigi": _luigi}.items():
        try:
            runs[name] = [
                _timed(engine, shape) for shape in (("independent", 1), ("independent", count), ("layers", width))
            ]
        except Trouble as trouble:
            absent.append(Absent(name=name, reason=str(trouble)))
    trues = (before + trues_per_second()) / 2
    rows = [row for name, three in runs.items() for row in _rows(name, three, count, width, trues)]
    return [*rows, *absent]


def _timed(engine: Callable[[Path, Shape], Run], shape: Shape) -> Run:
    with tempfile.TemporaryDirectory(prefix="autokestra-bench-", ignore_cleanup_errors=True) as folder:
        return engine(Path(folder), shape)


def _rows(name: str, runs: list[Run], count: int, width: int, trues: float) -> Iterator[Row]:
    subject = f"{name} {runs[0].version}".strip()
    one, many, layered = (run.seconds for run in runs)
    if runs[0].server:
        yield Row(name="start of the server", value=runs[0].server, unit="s", better="lower", subject=subject)
    yield Row(name="one task", value=one, unit="s", better="lower", subject=subject)
    for text, seconds, tasks in (
        (f"{count:,} independent tasks", many, count),
        (f"three layers of {width}", layered, 3 * width),
    ):
        ratio = seconds * trues / tasks
        yield Row(name=text, value=seconds, unit="s", better="lower", yardstick=TRUE, ratio=ratio, subject=subject)
    rates = {f"{count:,} independent tasks, a second": count / many}
    if many > 1.5 * one:  # else it would be a difference of two starts
        rates[f"{count:,} independent tasks, a second, without the start"] = (count - 1) / (many - one)
    for text, rate in rates.items():
        ratio = rate / trues
        yield Row(name=text, value=rate, unit="/s", better="higher", yardstick=TRUE, ratio=ratio, subject=subject)


def _autokestra(folder: Path, shape: Shape) -> Run:
    workflow = layers(shape[1]) if shape[0] == "layers" else independent(shape[1])
    seconds, _ = execute(folder, "home", workflow, "--max-parallel", str(PARALLEL))
    return Run(seconds=seconds)


def _luigi(folder: Path, shape: Shape) -> Run:
    begun = time.perf_counter()
    version = _subject("luigi_subject.py", shape, {}, folder, str(folder / "done"))
    return Run(version=version, seconds=time.perf_counter() - begun)


def _prefect(folder: Path, shape: Shape) -> Run:
    environ = {"PREFECT_HOME": str(folder / "home"), **QUIET}
    begun = time.perf_counter()
    with _prefect_server(folder, environ) as url:
        started = time.perf_counter()
        version = _subject("prefect_subject.py", shape, {**environ, "PREFECT_API_URL": url}, folder)
        _wait_for_states(folder / "home" / "prefect.db", _tasks(shape))
        return Run(version=version, seconds=time.perf_counter() - started, server=started - begun)


@contextmanager
def _prefect_server(folder: Path, environ: dict[str, str]) -> Iterator[str]:
    """Run a server on a free port of loopback, and give the address of its API once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [_python(), "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, env=_variables(folder, environ), cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
    try:
        url = f"http://127.0.0.1:{port}/api"
        deadline = time.monotonic() + START_SECONDS
        while not _answers(f"{url}/health"):
            if process.poll() is not None or time.monotonic() > deadline:
                sys.stderr.write((folder / "server.log").read_text(encoding="utf-8", errors="replace"))
                raise Trouble("its server did not start")
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # its own session, see above
            process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _wait_for_states(database: Path, expected: int) -> None:
    """Return when the database has so many completed task runs; raises Trouble when it never has."""
    deadline = time.monotonic() + KEEP_SECONDS
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as db:
        question = "SELECT count(*) FROM task_run WHERE state_type = 'COMPLETED'"
        while (kept := db.execute(question).fetchone()[0]) < expected:
            if time.monotonic() > deadline:
                raise Trouble(f"its database has {kept} of {expected} tasks as completed")
            time.sleep(0.05)


def _tasks(shape: Shape) -> int:
    return 3 * shape[1] if shape[0] == "layers" else shape[1]


def _python() -> str:
    if not PYTHON.exists():
        raise Trouble(f"no {PYTHON.parents[1].name}, which `make bench` makes")
    return str(PYTHON)


def _variables(folder: Path, environ: dict[str, str]) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", **environ}


def _subject(program: str, shape: Shape, environ: dict[str, str], folder: Path, *more: str) -> str:
    """Run one of the others and return its version; raises Trouble when it does not do all of its tasks."""
    arguments = [shape[0], str(shape[1]), str(PARALLEL), *more]
    try:
        done = subprocess.run(
            [_python(), str(Path(__file__).with_name(program)), *arguments],
            env=_variables(folder, environ),
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=True,
        )
        said = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired as error:
        raise Trouble(f"takes more than {SECONDS} s") from error
    except subprocess.CalledProcessError as error:
        sys.stderr.write(error.stderr)
        raise Trouble(f"ended with code {error.returncode}") from error
    except (ValueError, IndexError) as error:
        raise Trouble("printed no result") from error
    if said["done"] != _tasks(shape):
        raise Trouble(f"did {said['done']} of {_tasks(shape)} tasks")
    return str(said["version"])
