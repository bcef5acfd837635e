"""The child's side of `core/python.run`: runs one script and hands its output over. `python` is the engine's side.

Its source travels to the child together with the script, because the interpreter may be one where Autokestra is not
installed; so this file needs nothing but the standard library of Python 3.8. What goes to the result descriptor
begins with one character: `=` and the output as JSON, `!` and what is wrong with the output, `^` and the exception
that ended the script.
"""

# `typing` and `traceback` would cost every task a quarter of its start-up; the second is imported when it is needed.
from __future__ import annotations

import json
import linecache
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FILE_NAME = "<script>"
MAX_DEPTH = 200  # as protocol.MAX_JSON_DEPTH
RESERVE = 2 << 20  # bytes: given back when memory is used up, so that a traceback can still be made
MAX_MESSAGE = 1000  # of a longer exception only the name is repeated; all of it is in the log


def main(script: str, inputs: Any, *, limit: int, result: int) -> int:
    """Run `script`, hand over what it left in `output`, and return the exit code."""
    os.set_inheritable(result, False)  # programs that the script starts cannot answer in its place
    process = os.getpid()
    own_path = list(sys.path)
    sys.path.insert(0, os.getcwd())  # noqa: PTH109  # pathlib is not needed here
    sys.argv = [FILE_NAME]
    for stream in (sys.stdout, sys.stderr):
        # UTF-8 whatever the locale says, since that is how the log is read, and secrets are looked for in it.
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    # A module of its own under the name that dataclasses, pickle and `if __name__ == "__main__"` look for.
    reserve = [bytearray(RESERVE)]
    module = type(sys)("__main__")
    module.__dict__.update(inputs=inputs, output=None)
    sys.modules["__main__"] = module
    linecache.cache[FILE_NAME] = (len(script), None, script.splitlines(True), FILE_NAME)
    code = 0
    try:
        exec(compile(script, FILE_NAME, "exec", dont_inherit=True), module.__dict__)  # noqa: S102  # the user's own
    except SystemExit as stop:
        if stop.code is not None and not isinstance(stop.code, int):
            print(stop.code, file=sys.stderr)  # noqa: T201  # as Python does
        code = 0 if stop.code is None else stop.code if isinstance(stop.code, int) else 1
        answer = _answer(module.__dict__.get("output"), limit) if code == 0 else b""
    except BaseException as error:  # noqa: BLE001  # every way to end is reported
        sys.path[:] = own_path  # so that no `traceback.py` of the user's gets between
        reserve.clear()
        code, answer = 1, b"^" + _report(error)
    else:
        answer = _answer(module.__dict__.get("output"), limit)
    if os.getpid() != process:  # a fork of the script that ran to the end has nothing to hand over
        return code
    _write(result, answer)
    return code or int(answer.startswith(b"!"))


def _answer(output: Any, limit: int) -> bytes:
    try:
        problem = find_problem(output)
        if problem is None:
            data = json.dumps(output, allow_nan=False, ensure_ascii=False).encode()
            if len(data) <= limit:
                return b"=" + data
            problem = "output is {:,} bytes long as JSON, more than {:,}".format(len(data), limit)  # noqa: UP032
    except MemoryError:
        problem = "writing output as JSON took more memory than there is"
    return b"!" + problem.encode("utf-8", "backslashreplace")


def find_problem(output: Any) -> str | None:
    """Say why `output` cannot be written as JSON and read back the same, None if it can. A tuple counts as a list."""
    pending: list[tuple[Any, str, int]] = [(output, "output", 0)]
    while pending:
        item, place, depth = pending.pop()
        if depth > MAX_DEPTH:
            return f"output is nested more than {MAX_DEPTH} levels deep"
        if item is None or isinstance(item, (bool, int)):
            continue
        if isinstance(item, str):
            if not _encodable(item):
                return f"{place} cannot be written as UTF-8"
        elif isinstance(item, float):
            if item - item != 0:  # true of infinities and of what is not a number
                return f"{place} is {item}, which JSON cannot hold"
        elif isinstance(item, (list, tuple)):
            pending.extend((element, f"{place}[{index}]", depth + 1) for index, element in enumerate(item))
        elif isinstance(item, dict):
            for key, element in item.items():
                if not isinstance(key, str):
                    return f"{place} has a key that is {_kind(key)} instead of text"
                if not _encodable(key):
                    return f"{place} has a key that cannot be written as UTF-8"
                pending.append((element, f"{place}.{key}", depth + 1))
        else:
            return f"{place} is {_kind(item)}, which is no JSON value"
    return None


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _kind(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _report(error: BaseException) -> bytes:
    """Print the traceback from the script's first line on (the frame above it is this file's); return its last line."""
    try:
        import traceback  # noqa: PLC0415

        frames = error.__traceback__.tb_next if error.__traceback__ else None
        traceback.print_exception(type(error), error, frames)
        text = "".join(traceback.format_exception_only(type(error), error)).strip().rpartition("\n")[2]
    except MemoryError:  # the name alone is enough to know what happened; frames of this file would tell nobody more
        text = _kind(error)
    return (text if len(text) <= MAX_MESSAGE else _kind(error)).encode("utf-8", "backslashreplace")


def _write(descriptor: int, data: bytes) -> None:
    try:
        with open(descriptor, "wb") as stream:
            stream.write(data)
    except OSError:
        return  # the script has closed it; the engine says that nothing came
