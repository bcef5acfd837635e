"""What a child process is given and how it ended, as values; `process` is what starts one and stays with it."""

import os
import shutil
import signal
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from autokestra.actions.isolation import POWERLESS_HINT
from autokestra.actions.protocol import ActionError, Reason

_BASIC_VARIABLES: Final = ("PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR")
_OWN_PREFIX: Final = "AUTOKESTRA_"

# Signals that end a program unless it handles them; codes above 128 that mean anything else stay codes.
_FATAL: Final = frozenset(
    (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGILL, signal.SIGTRAP, signal.SIGABRT, signal.SIGBUS,
     signal.SIGFPE, signal.SIGKILL, signal.SIGSEGV, signal.SIGPIPE, signal.SIGALRM, signal.SIGTERM, signal.SIGUSR1,
     signal.SIGUSR2, signal.SIGXCPU, signal.SIGXFSZ, signal.SIGSYS)
)  # fmt: skip

_HINTS: Final[Mapping[int, str]] = {
    signal.SIGKILL: ", perhaps for lack of memory",
    signal.SIGXCPU: ": its processor time (limits.cpu) is used up",
}


def child_environment(
    parent: Mapping[str, str], pass_env: Collection[str], task_env: Mapping[str, str]
) -> dict[str, str]:
    """Return the whole environment of a task's child: basic variables, those of `passEnv`, the task's own `env`.

    Later ones win. Variables of the engine (`AUTOKESTRA_…`) are never inherited, listed or not. Raises ActionError
    for a name or value that no process can have; the message names the variable, never its value.
    """
    environment = {
        name: value
        for name, value in parent.items()
        if (name in _BASIC_VARIABLES or name.startswith("LC_") or name in pass_env) and not name.startswith(_OWN_PREFIX)
    }
    environment.update(task_env)
    for name, value in task_env.items():
        if name.startswith(_OWN_PREFIX):
            raise ActionError(
                f"environment variable '{name}' belongs to the engine and cannot be set for a task", reason="bad-input"
            )
        if not name or "=" in name or "\0" in name:
            raise ActionError(f"'{name}' cannot be the name of an environment variable", reason="bad-input")
        if "\0" in value:
            raise ActionError(
                f"environment variable '{name}' contains a NUL byte, which no process can be given", reason="bad-input"
            )
        if not _encodable(name) or not _encodable(value):
            raise ActionError(f"environment variable '{name}' cannot be written as UTF-8", reason="bad-input")
    return environment


def _encodable(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """What to start.

    `program` is an absolute path. `feeds` become the descriptors 3, 4 … which the child reads; each is a file in
    memory, or a pipe where the system has none. With `result_limit` the next descriptor takes what the child hands
    back, at most that many bytes; with `result_is_stdout` that is standard output. The first `keep_stdout` bytes of
    stdout are kept besides going to the log. `stdin` is what it can read there.
    """

    program: str
    arguments: Sequence[str]
    directory: Path
    feeds: Sequence[bytes] = ()
    result_limit: int | None = None
    result_is_stdout: bool = False
    stdin: bytes = b""
    keep_stdout: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a child ended: `exit_code`, or `signal` (a number), or neither when that could not be learned.

    `stopped` says that it was terminated from here. `result` is what came on the result descriptor, cut off after
    the limit plus one byte. `is_enclosed` says that bubblewrap stood between, which knows signals by their exit code
    only; `is_powerless`, that a set-uid program complained of it.
    """

    exit_code: int | None
    signal: int | None
    stopped: Literal["timeout", "cancelled"] | None
    stdout: bytes
    stdout_truncated: bool
    result: bytes
    is_enclosed: bool = False
    is_powerless: bool = False

    def failure(self) -> tuple[str, Reason, int | None] | None:
        """Return message, reason and exit code of a failure, None after exit code 0."""
        signalled = self.signal
        if signalled is None and self.is_enclosed and self.exit_code is not None and self.exit_code - 128 in _FATAL:
            signalled = self.exit_code - 128
        code = self.exit_code if signalled is None else 128 + signalled
        if self.stopped == "timeout":
            return "stopped, because its timeout has passed", "timeout", code
        if self.stopped == "cancelled":
            return "cancelled", "cancelled", code
        if signalled is not None:
            hint = _HINTS.get(signalled, "")
            return f"killed by {_signal_name(signalled)}{hint}", "signal", code
        if self.exit_code is None:
            return "lost: the process that watched over it was killed", "lost", None
        if self.exit_code:
            hint = f"; {POWERLESS_HINT}" if self.is_powerless else ""
            return f"exited with code {self.exit_code}{hint}", "exit-code", code
        return None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


def find_program(name: str, environ: Mapping[str, str]) -> str | None:
    """Return where the child's PATH has `name`, None if nowhere.

    Relative entries do not count: they would mean one directory here and another one in the child.
    """
    entries = environ.get("PATH", os.defpath).split(os.pathsep)
    return shutil.which(name, path=os.pathsep.join(entry for entry in entries if entry.startswith("/")))


def existing_directory(base: Path, relative: str | None) -> Path:
    """Return the working directory that a task asks for, relative to the workflow's. Raises ActionError."""
    directory = Path(os.path.abspath(base if relative is None else base / relative))  # noqa: PTH100  # keeps symlinks
    if not directory.is_dir():
        problem = "is no directory" if directory.exists() else "does not exist"
        raise ActionError(f"working directory '{directory}' {problem}", reason="bad-input")
    return directory
