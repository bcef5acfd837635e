# Descriptors on purpose, so that what is judged is what is used.
# ruff: noqa: PTH115, PTH116, PTH123
"""`core/file.read` and `core/file.write`, in the engine itself, so within the bounds that children have.

The engine may read what tasks must not: its keys, its databases, its own `/proc`. A path may come from a task, through
a symbolic link that changes while it is looked at. So the file is opened first, and what was opened is judged.
"""

import base64
import binascii
import json
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from pydantic import BaseModel, JsonValue

from autokestra.actions.inputs import FileReadInputs, FileWriteInputs
from autokestra.actions.protocol import MAX_RESULT_BYTES, ActionContext, ActionError, check_json, read_json

_SYSTEM: Final = ("/proc/", "/sys/", "/dev/")  # no files, although some say so


class FileRead:
    """Reads a file; output: `content`, `size` (bytes) and `path` (absolute)."""

    type: Final = "core/file.read"
    input_model: Final = FileReadInputs

    def run(self, inputs: BaseModel, context: ActionContext) -> JsonValue:
        """Read it. Raises ActionError."""
        assert isinstance(inputs, FileReadInputs)
        path = absolute(inputs.path, context)
        try:
            # Not blocking: opening a pipe that nobody writes to would wait for ever.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
            with open(descriptor, "rb") as file:
                refuse_private(descriptor, path, context)
                data = file.read(MAX_RESULT_BYTES + 1)
        except OSError as error:
            raise ActionError(f"cannot read '{inputs.path}': {_reason(error)}", reason="bad-input") from None
        if len(data) > MAX_RESULT_BYTES:
            raise ActionError(f"'{inputs.path}' is larger than {MAX_RESULT_BYTES:,} bytes", reason="too-large")
        return {"content": _decoded(data, inputs), "size": len(data), "path": _shown(path)}


class FileWrite:
    """Writes a whole file or nothing; output: `path` (absolute) and `size` (bytes)."""

    type: Final = "core/file.write"
    input_model: Final = FileWriteInputs

    def run(self, inputs: BaseModel, context: ActionContext) -> JsonValue:
        """Write it. Raises ActionError."""
        assert isinstance(inputs, FileWriteInputs)
        data = _encoded(inputs)
        path = absolute(inputs.path, context)
        try:
            if inputs.create_directories:
                refuse_private_path(path, context)
                path.parent.mkdir(parents=True, exist_ok=True)
            path = Path(os.path.realpath(path))  # a link is followed, as an editor does, and stays a link
            directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                refuse_private(directory, path, context, name=path.name)
                _replace(directory, path.name, data, int(inputs.mode, 8))
            finally:
                os.close(directory)
        except OSError as error:
            raise ActionError(f"cannot write '{inputs.path}': {_reason(error)}", reason="bad-input") from None
        return {"path": _shown(path), "size": len(data)}


def _replace(directory: int, name: str, data: bytes, mode: int) -> None:
    """Write beside it, sync, and rename over it: a reader finds the old file or the new one, whole."""
    try:
        if not stat.S_ISREG(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
            raise FileExistsError(0, "it is there, and no file")
    except FileNotFoundError:
        pass
    beside = f".{name[:200]}.{os.urandom(6).hex()}"
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=directory)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        os.rename(beside, name, src_dir_fd=directory, dst_dir_fd=directory)
    except OSError:
        with suppress(OSError):
            os.unlink(beside, dir_fd=directory)
        raise
    os.fsync(directory)


def absolute(path: str, context: ActionContext) -> Path:
    """Return `path` relative to the workflow file's directory. Raises ActionError for what can be no path."""
    if "\0" in path:
        raise ActionError("a path contains a NUL byte", reason="bad-input")
    return Path(os.path.abspath(context.workdir / path))  # noqa: PTH100  # keeps symlinks


def _shown(path: Path) -> str:
    """Return `path` as an output can hold it: a name that is no UTF-8 has no place in JSON, and is no failure."""
    return str(path).encode(errors="backslashreplace").decode()


def refuse_private(descriptor: int, path: Path, context: ActionContext, *, name: str | None = None) -> None:
    """Raise ActionError if what is open under `descriptor` is not for tasks; with `name`, that entry of a directory."""
    real = _place_of(descriptor, path if name is None else path.parent)
    found = os.fstat(descriptor)
    if name is None and not stat.S_ISREG(found.st_mode):
        raise OSError(0, "it is a directory" if stat.S_ISDIR(found.st_mode) else "it is no file")
    refuse_private_path(Path(real) if name is None else Path(real) / name, context, shown=path)
    if context.isolation.remembered.holds_open(descriptor, real):
        raise ActionError(f"'{path}' is not for tasks", reason="bad-input")
    for place in context.isolation.hidden:  # a hard link is the same file under another name
        with suppress(OSError):
            if os.path.samestat(os.stat(place), found) and name is None:
                raise ActionError(f"'{path}' is not for tasks", reason="bad-input")


def refuse_private_path(path: Path, context: ActionContext, *, shown: Path | None = None) -> None:
    """Raise ActionError if `path`, resolved, is not for tasks; `shown` is how the message names it.

    Raises IsolationRefusedError where a hidden place has moved.
    """
    context.isolation.refuse_moved()
    real = os.path.realpath(path)
    if context.isolation.hides(real) or real.startswith(_SYSTEM):
        raise ActionError(f"'{shown or path}' is not for tasks", reason="bad-input")


def _place_of(descriptor: int, path: Path) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:  # no Linux
        return os.path.realpath(path)


def _decoded(data: bytes, inputs: FileReadInputs) -> JsonValue:
    if inputs.encoding == "base64":
        return base64.b64encode(data).decode()
    if inputs.encoding == "json":
        return read_json(data, name=f"'{inputs.path}'")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ActionError(
            f"'{inputs.path}' is no text in UTF-8; read it with encoding: base64", reason="bad-output"
        ) from None


def _encoded(inputs: FileWriteInputs) -> bytes:
    check_json(inputs.content, name="content", reason="bad-input")
    if inputs.encoding == "json":
        return json.dumps(inputs.content, ensure_ascii=False, indent=2).encode() + b"\n"
    if not isinstance(inputs.content, str):
        raise ActionError("content is no text; write it with encoding: json", reason="bad-input")
    if inputs.encoding == "text":
        return inputs.content.encode()
    try:
        return base64.b64decode(inputs.content, validate=True)
    except (binascii.Error, ValueError):
        raise ActionError("content is no base64", reason="bad-input") from None


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
