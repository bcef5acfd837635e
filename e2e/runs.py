"""Workflows as a test runs them: saved, left running, waited for, and looked at afterwards."""

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

from autokestra_secrets.testing import assert_no_leak

if TYPE_CHECKING:
    from e2e.conftest import Workflow

SECONDS = 60  # what takes longer hangs
SECRET = "cn-7Rq+/w91=kZ0&dX4"  # of the examples' stores; each encoding writes it differently


def saved(workflow: "Workflow", text: str, name: str = "flow.yaml") -> Path:
    """Write a workflow, whose indentation in the test does not count, into the user's directory."""
    path = workflow.user / name
    path.write_text(dedent(text), encoding="utf-8")
    return path


def shell(task: str, script: str, **more: object) -> dict[str, object]:
    """Return a task that runs a script; `more` are further keys of it."""
    return {"id": task, "type": "core/shell.run", "inputs": {"script": script}, **more}


@contextmanager
def running(workflow: "Workflow") -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Give a function that starts the command and goes on; what still runs in the end is killed.

    Its `before` is a command that starts ours, `env` changes the environment, `streams` are those of `Popen`.
    """
    processes: list[subprocess.Popen[str]] = []

    def begin(
        *arguments: str | Path,
        before: tuple[str, ...] = (),
        env: Mapping[str, str | None] | None = None,
        **streams: int,
    ) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*before, *workflow.prefix, workflow.executable, *arguments],
            env=workflow.environment({**workflow.changes, **(env or {})}),
            cwd=workflow.user,
            text=True,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},
        )
        processes.append(process)
        return process

    try:
        yield begin
    finally:
        for process in processes:
            with process:
                process.kill()


def told(workflow: "Workflow", *arguments: str | Path, code: int = 0, **options: Any) -> str:
    """Run, expect this exit code and that SECRET is in no output and in no file; return what was shown."""
    done = workflow(*arguments, **options)
    shown = done.stdout + done.stderr
    assert code == done.returncode, shown
    assert_no_leak([SECRET], shown, workflow.home, workflow.user)
    return shown


@contextmanager
def served(program: Path, *arguments: str, token: str, log: Path | None = None) -> Iterator[str]:
    """Start the server of an example and give its address; it reads a token, and its stderr becomes the file `log`."""
    with (
        (log or Path("/dev/null")).open("wb") as talk,
        subprocess.Popen(
            [sys.executable, program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=talk, text=True
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(token + "\n")
            process.stdin.close()
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def wait_for(what: Callable[[], object], why: str | Callable[[], str], seconds: float = SECONDS) -> None:
    """Return when `what` is true; after `seconds` the test fails and says `why`, which may be found out then."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, why() if callable(why) else why
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def pids(workflow: "Workflow", count: int) -> list[int]:
    """Wait until `count` processes have written their number to the file `pids`, and return them."""
    file = workflow.user / "pids"
    wait_for(lambda: file.exists() and file.read_text().count("\n") >= count, "the tasks did not start")
    return [int(line) for line in file.read_text().split()]


def processes_of(workflow: "Workflow") -> list[int]:
    """Return what has the user's home in its environment: the command and the programs of its tasks, no zombie."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if f"HOME={workflow.user}\0".encode() in (path / "environ").read_bytes():
                found.append(int(path.name))
        except OSError:
            continue
    return found


def last(workflow: "Workflow") -> dict[str, Any]:
    """Return the latest execution, as `execution show --json` gives it."""
    row: dict[str, Any] = json.loads(workflow.ok("execution", "show", "latest", "--json"))
    return row


def diary(workflow: "Workflow") -> list[str]:
    """Return the lines that tasks have written to the file `diary`; none when there is no such file."""
    file = workflow.user / "diary"
    return file.read_text().splitlines() if file.exists() else []


def rows(workflow: "Workflow", sql: str) -> list[tuple[Any, ...]]:
    """Return what a query finds in the state database."""
    database = sqlite3.connect(workflow.home / "state.db", timeout=30)
    try:
        return database.execute(sql).fetchall()
    finally:
        database.close()
