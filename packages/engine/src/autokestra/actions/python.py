"""`core/python.run`: a Python script with `inputs` and `output`, in a child interpreter.

The script, its inputs and `runner`, which runs it, travel together in a file in memory (descriptor 3), the output
comes back on a pipe (descriptor 4); the argument list holds the same constant line for every script. Both
descriptors are closed to what the script starts.
"""

import json
import os
import sys
from functools import cache
from pathlib import Path
from typing import Final

from pydantic import BaseModel, JsonValue

from autokestra.actions import process
from autokestra.actions.child import Child, Ending, existing_directory, find_program
from autokestra.actions.inputs import PythonInputs
from autokestra.actions.protocol import MAX_RESULT_BYTES, ActionContext, ActionError, check_json, read_json

_RUNNER: Final = Path(__file__).with_name("runner.py")

# `-c` puts the working directory first in the search path. It goes until our own imports are done (a `json.py` of the
# user's must not get between), and comes back before the script runs. The name is that of the file, for tracebacks.
_BOOTSTRAP: Final = (
    "import sys; sys.path[:1] == [''] and sys.path.pop(0); import json; "
    "f = open(3, encoding='utf-8'); p = json.load(f); f.close(); "
    "r = {'__name__': 'autokestra.actions.runner'}; exec(compile(p['runner'], p['file'], 'exec'), r); "
    "sys.exit(r['main'](p['script'], p['inputs'], limit=p['limit'], result=4))"
)


class PythonRun:
    """Runs a script; the output is what the script assigned to `output`, null if nothing."""

    type: Final = "core/python.run"
    input_model: Final = PythonInputs

    def run(self, inputs: BaseModel, context: ActionContext) -> JsonValue:
        """Run the script to its end.

        Raises ActionError when the script raises, exits with a code other than 0, or answers with no JSON value.
        """
        assert isinstance(inputs, PythonInputs)
        if "\0" in inputs.script:
            raise ActionError("script contains a NUL byte, which Python cannot read", reason="bad-input")
        check_json(inputs.inputs, name="inputs", reason="bad-input")
        payload = {
            "runner": _runner_source(),
            "file": str(_RUNNER),
            "script": inputs.script,
            "inputs": inputs.inputs,
            "limit": MAX_RESULT_BYTES,
        }
        ending = process.run(
            Child(
                program=_interpreter(inputs.python, context),
                arguments=("-c", _BOOTSTRAP),
                directory=existing_directory(context.workdir, inputs.workdir),
                feeds=(json.dumps(payload).encode(),),
                result_limit=1 + MAX_RESULT_BYTES,
            ),
            context,
        )
        return output_of(ending)


@cache
def _runner_source() -> str:
    return _RUNNER.read_text(encoding="utf-8")


def _interpreter(name: str | None, context: ActionContext) -> str:
    if name is None:
        return sys.executable
    if "/" in name:
        # Not resolved: the symbolic link is what tells an interpreter that it belongs to a virtual environment.
        path = os.path.abspath(context.workdir / name)  # noqa: PTH100
        found = path if os.access(path, os.X_OK) and not os.path.isdir(path) else None  # noqa: PTH112
    else:
        found = find_program(name, context.environ)
    if found is None:
        raise ActionError(f"no Python interpreter '{name}'", reason="start")
    return found


def output_of(ending: Ending, *, who: str = "the script") -> JsonValue:
    """Return what a child handed over in the way of `runner`. Raises ActionError, whose message begins with `who`."""
    kind, answer = ending.result[:1], ending.result[1:]
    failure = ending.failure()
    if failure is not None:
        message, reason, exit_code = failure
        if reason == "exit-code" and kind == b"!":
            raise ActionError(_text(answer), reason="bad-output", exit_code=exit_code)
        if reason == "exit-code" and kind == b"^":
            message = f"{who} raised {_text(answer)}"
        raise ActionError(message, reason=reason, exit_code=exit_code)
    if kind != b"=":
        raise ActionError(
            "ended without handing over its output: os._exit, or another program in its place",
            reason="bad-output",
            exit_code=0,
        )
    if len(answer) > MAX_RESULT_BYTES:
        raise ActionError(f"output is larger than {MAX_RESULT_BYTES:,} bytes", reason="too-large", exit_code=0)
    return read_json(answer, name="output")


def _text(answer: bytes) -> str:
    return answer.decode(errors="replace")
