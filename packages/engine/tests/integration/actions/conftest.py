"""What an executor gives to an action, as real parts: a log that keeps everything, and a context around it."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from autokestra.actions import process
from autokestra.actions.protocol import ActionContext, ActionError
from autokestra.actions.registry import core_actions
from autokestra.actions.spawner import Spawner


@dataclass
class Log:
    """Keeps what an action writes; the bytes only up to a limit, so that a flood stays measurable."""

    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    messages: list[tuple[str, str]] = field(default_factory=list)
    debug: list[tuple[str, str]] = field(default_factory=list)
    total: int = 0

    def write(self, stream: str, data: bytes) -> None:
        kept = getattr(self, stream)
        kept += data[: (1 << 20) - len(kept)]
        self.total += len(data)

    def message(self, text: str, level: str = "info", *, limit: int | None = None) -> None:
        kept = self.debug if level == "debug" else self.messages
        kept.append((level, text if limit is None else text[:limit]))


@dataclass
class Ran:
    """How a run ended: its output or its error, and its log."""

    output: Any
    error: ActionError | None
    log: Log

    @property
    def reason(self) -> str | None:
        return self.error and self.error.reason

    @property
    def message(self) -> str | None:
        return self.error and self.error.message


@pytest.fixture
def make_context(tmp_path: Path) -> Callable[..., ActionContext]:
    def make(**given: Any) -> ActionContext:
        return ActionContext(
            **{
                "output": Log(),
                "workdir": tmp_path,
                "environ": {"PATH": os.environ["PATH"]},
                "deadline": None,
                "cancelled": threading.Event(),
                "mask": lambda value: None,
                "task_id": "task",
                "execution_id": "execution",
                "attempt": 1,
            }
            | given
        )

    return make


@pytest.fixture
def run(make_context: Callable[..., ActionContext]) -> Callable[..., Ran]:
    def run_action(type_: str, inputs: dict[str, Any], **given: Any) -> Ran:
        action = core_actions()[type_]
        context = make_context(**given)
        try:
            output = action.run(action.input_model.model_validate(inputs), context)
        except ActionError as error:
            return Ran(output=error.output, error=error, log=context.output)
        return Ran(output=output, error=None, log=context.output)

    return run_action


@pytest.fixture(scope="session", autouse=True)
def measured_keepers() -> Iterator[None]:
    """Under coverage, have keepers measured too: the real command line keeps every foreign module out."""
    measuring = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_PROCESS_")}
    if not measuring:
        yield
        return
    spawner = Spawner((sys.executable, "-m", "autokestra.actions.keeper"), measuring)
    original, process.SPAWNER = process.SPAWNER, spawner
    yield
    process.SPAWNER = original
    spawner.close()


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in (b"Z", b"X")


def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


@dataclass
class Family:
    """The processes of a script, which wrote their ids into files of `directory`."""

    directory: Path

    def pids(self) -> list[int]:
        return [int(text) for path in self.directory.glob("pid.*") if (text := path.read_text().strip())]

    def is_complete(self, count: int) -> bool:
        return _within(10, lambda: len(self.pids()) == count)

    def is_gone(self) -> bool:
        return _within(10, lambda: not any(map(_is_alive, self.pids())))


@pytest.fixture
def family(tmp_path: Path) -> Family:
    return Family(tmp_path)
