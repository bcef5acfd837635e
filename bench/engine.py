"""How many tasks a second, at what growth, in what memory, and how fast a log becomes rows.

The yardstick of tasks is a loop of `subprocess.run(["true"])` in the same minute: what the machine takes to start a
program that does nothing. That of the log is the same pipe read line by line into a plain SQLite table, with nothing
masked; that of memory is `python -c pass`. Tasks run under `isolation: none` but where `hidden` is said. Every run is a
cold one of `workflow run`, with start-up and durable rows, in a home of its own.
"""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from bench.results import Absent, Found, Row
from servers.nobody import AS_NOBODY, NOBODY

WORKFLOW: Final = str(Path(sys.executable).with_name("workflow"))
TRUES: Final = 300  # runs of the yardstick
LINE: Final = "x" * 99  # and its end makes 100 bytes
SIZES: Final = (1_000, 10_000, 300_000)  # tasks, many tasks, lines
QUICK: Final = (50, 200, 5_000)

# The peak of a process counts from its fork, so what is forked here would begin with all that is imported here.
LAUNCHER: Final = """
import json, os, subprocess, sys, time
begun = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(json.dumps([time.perf_counter() - begun, os.waitstatus_to_exitcode(status), usage.ru_maxrss]))
"""

TASKS_A_SECOND: Final = 200.0
HIDDEN_A_SECOND: Final = 100.0  # tasks under isolation: hidden
GROWTH: Final = 1.5  # time per task with many, as a multiple of that with few
MEMORY: Final = 150.0  # MB of the engine with many
LINES_A_SECOND: Final = 100_000.0

TRUE: Final = "subprocess.run of `true`"


def measure(*, quick: bool = False) -> Found:
    """Return all of it, measured once."""
    small, large, lines = QUICK if quick else SIZES
    with tempfile.TemporaryDirectory(prefix="autokestra-bench-") as name:
        folder = Path(name)
        return list(_measured(folder, small, large, lines))


def _measured(folder: Path, small: int, large: int, lines: int) -> Iterator[Row | Absent]:
    first = trues_per_second()
    few, _ = execute(folder, "few", independent(small))
    hidden = _hidden(independent(small))
    many, memory = execute(folder, "many", independent(large))
    items, _ = execute(folder, "items", fan_out(large))
    trues = (first + trues_per_second()) / 2
    yield _rate(TRUE, trues, trues)
    yield _rate(f"tasks, {small:,}", small / few, trues, TASKS_A_SECOND)
    yield _rate(f"tasks, {large:,}", large / many, trues, TASKS_A_SECOND)
    if isinstance(hidden, float):
        yield _rate(f"tasks under hidden, {small:,}", small / hidden, trues, HIDDEN_A_SECOND)
    else:
        yield hidden
    yield _rate(f"items of one forEach, {large:,}", large / items, trues)
    growth = (many / large) / (few / small)
    yield Row(
        name=f"time per task with {large:,}, to that with {small:,}",
        value=growth,
        unit="times",
        better="lower",
        yardstick=f"time per task with {small:,}",
        ratio=growth,
        target=GROWTH,
    )
    _, bare = _waited([sys.executable, "-c", "pass"], {})
    yield Row(
        name=f"memory of the engine at {large:,}",
        value=memory,
        unit="MB",
        better="lower",
        yardstick="python -c pass",
        ratio=memory / bare,
        target=MEMORY,
    )
    loud, _ = execute(folder, "loud", printing(lines))
    plain = _plain_log(folder / "plain.db", lines)
    yield Row(
        name="log, from the pipe to masked rows",
        value=lines / loud,
        unit="lines/s",
        better="higher",
        yardstick="the same pipe into a plain table",
        ratio=plain / loud,
        target=LINES_A_SECOND,
    )


def _rate(name: str, rate: float, trues: float, target: float | None = None) -> Row:
    return Row(name=name, value=rate, unit="/s", better="higher", yardstick=TRUE, ratio=rate / trues, target=target)


def independent(count: int) -> dict[str, Any]:
    """Return a workflow of `count` tasks that need nothing and do nothing."""
    return {"id": "independent", "isolation": "none", "tasks": [_true(f"t{number}") for number in range(count)]}


def layers(width: int) -> dict[str, Any]:
    """Return a workflow of three layers; each task waits for all of the layer before."""
    tasks = [
        _true(f"t{layer}-{number}", needs=[f"t{layer - 1}-{other}" for other in range(width)] if layer else [])
        for layer in range(3)
        for number in range(width)
    ]
    return {"id": "layers", "isolation": "none", "tasks": tasks}


def fan_out(count: int) -> dict[str, Any]:
    """Return a workflow of one task with `count` items."""
    return {"id": "items", "isolation": "none", "tasks": [_true("each", forEach=list(range(count)))]}


def printing(count: int) -> dict[str, Any]:
    """Return a workflow of one task that prints `count` lines of 100 bytes."""
    return {"id": "printing", "tasks": [{"id": "print", "type": "core/shell.run", "inputs": {"script": loud(count)}}]}


def _true(task: str, **more: object) -> dict[str, Any]:
    return {"id": task, "type": "core/shell.run", "inputs": {"script": "true"}, **more}


def loud(count: int) -> str:
    """Return a script that prints `count` lines of 100 bytes; `yes` ends by SIGPIPE."""
    return f"set +o pipefail; yes {LINE} | head -n {count}"


def execute(
    folder: Path, name: str, workflow: dict[str, Any], *arguments: str, prefix: tuple[str, ...] = ()
) -> tuple[float, float]:
    """Run a workflow in a home of its own; return seconds, start-up included, and the engine's memory in MB."""
    file = folder / f"{name}.json"
    file.write_text(json.dumps(workflow), encoding="utf-8")
    environ = {"HOME": str(folder), "LANG": "C.UTF-8", "AUTOKESTRA_HOME": str(folder / name)}
    return _waited([*prefix, WORKFLOW, "run", str(file), "--quiet", *arguments], environ)


def _waited(command: list[str], environ: dict[str, str]) -> tuple[float, float]:
    """Return the seconds a command took and its memory in MB (10**6 bytes); raises RuntimeError when it fails."""
    variables = {"PATH": os.environ["PATH"], **environ}
    launched = [sys.executable, "-I", "-S", "-c", LAUNCHER, *command]
    done = subprocess.run(launched, env=variables, stdout=subprocess.PIPE, check=True)
    seconds, code, memory = json.loads(done.stdout)
    if code:
        raise RuntimeError(f"a run ended with code {code}")
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2): bytes there, KiB here
    return seconds, memory * unit / 1e6


def _hidden(workflow: dict[str, Any]) -> float | Absent:
    """Return the seconds of a run under `hidden`; for root, who cannot be held, as somebody else."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="autokestra-bench-")))
        prefix: tuple[str, ...] = ()
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
            prefix = (sys.executable, "-c", AS_NOBODY, str(NOBODY))
        asked = {**workflow, "isolation": "hidden"}
        try:
            seconds, _ = execute(folder, "hidden", asked, "--require-isolation", prefix=prefix)
        except RuntimeError:
            return Absent(name="tasks under hidden", reason="bubblewrap does not work here, see `workflow doctor`")
        return seconds


def _plain_log(database: Path, lines: int) -> float:
    """Return the seconds that a pipe of as many lines takes into a plain table, a thousand at a time."""
    begun = time.perf_counter()
    db = sqlite3.connect(database)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("CREATE TABLE log (number INTEGER PRIMARY KEY, message TEXT)")
    with subprocess.Popen(["bash", "-c", loud(lines)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        batch: list[tuple[int, str]] = []
        for number, line in enumerate(process.stdout):
            batch.append((number, line.decode()))
            if len(batch) == 1000:
                db.executemany("INSERT INTO log VALUES (?, ?)", batch)
                db.commit()
                batch.clear()
        db.executemany("INSERT INTO log VALUES (?, ?)", batch)
        db.commit()
    db.close()
    return time.perf_counter() - begun


def trues_per_second() -> float:
    """Return how many programs that do nothing this machine starts a second, one after another."""
    begun = time.perf_counter()
    for _ in range(TRUES):
        subprocess.run(["true"], check=True)
    return TRUES / (time.perf_counter() - begun)
