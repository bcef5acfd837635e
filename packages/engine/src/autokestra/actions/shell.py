"""`core/shell.run`: a script for bash or sh, in a child process.

The script travels in a file in memory, so that it is on no disk and in no argument list, and standard input stays
empty (from there, the first `ssh` or `cat` of a script would swallow the rest of it). The shell opens that file as
`/dev/fd/3`. It keeps a private copy open, so the prologue can close number 3, which would otherwise be open, script
and all, in every program that the script starts. The prologue stands on the script's first line, so line numbers
in the shell's messages are right.
"""

import re
from typing import Final

from pydantic import BaseModel, JsonValue

from autokestra.actions import process
from autokestra.actions.child import Child, existing_directory, find_program
from autokestra.actions.inputs import ShellInputs
from autokestra.actions.protocol import ActionContext, ActionError

# How much of stdout becomes the output. All of it goes to the log, up to the log's own limit.
MAX_STDOUT_BYTES: Final = 1024 * 1024

_PROLOGUE: Final = b"exec 3<&-; "
_COMMANDS: Final = re.compile(rb"^::add-mask::[^\n]*(?:\n|\Z)", re.MULTILINE)

# What fails in the middle fails the task, as a Makefile and every CI do it: a dump that failed must not be followed
# by the removal of the last good one. A script that wants it otherwise says `set +e`.
_STRICT: Final = {"bash": ("-eo", "pipefail"), "sh": ("-e",)}


class ShellRun:
    """Runs a script; output: `exitCode`, `stdout` (text, as printed, line end included), `stdoutTruncated`.

    Lines with `::add-mask::` are for the log and not in `stdout`. Bytes that are no UTF-8 become U+FFFD. Of more than
    1 MiB the whole lines within the first MiB are kept and `stdoutTruncated` is true.
    """

    type: Final = "core/shell.run"
    input_model: Final = ShellInputs

    def run(self, inputs: BaseModel, context: ActionContext) -> JsonValue:
        """Run the script to its end. Raises ActionError when it exits with a code other than 0."""
        assert isinstance(inputs, ShellInputs)
        if "\0" in inputs.script:
            raise ActionError("script contains a NUL byte, which no shell can read", reason="bad-input")
        ending = process.run(
            Child(
                program=_shell(inputs.shell, context),
                arguments=(*_STRICT[inputs.shell], "/dev/fd/3"),
                directory=existing_directory(context.workdir, inputs.workdir),
                feeds=(_PROLOGUE + inputs.script.encode(),),
                keep_stdout=MAX_STDOUT_BYTES,
            ),
            context,
        )
        output: dict[str, JsonValue] = {
            "exitCode": ending.exit_code,
            "stdout": _text(ending.stdout, cut=ending.stdout_truncated),
            "stdoutTruncated": ending.stdout_truncated,
        }
        failure = ending.failure()
        if failure is not None:
            message, reason, exit_code = failure
            raise ActionError(message, reason=reason, exit_code=exit_code, output={**output, "exitCode": exit_code})
        return output


def _shell(name: str, context: ActionContext) -> str:
    found = find_program(name, context.environ)
    if found is None:
        raise ActionError(f"no '{name}' on the PATH", reason="start")
    return found


def _text(data: bytes, *, cut: bool) -> str:
    # Half a line may hold half a secret, which nothing would recognise, so of a single huge line nothing stays.
    whole = data[: data.rfind(b"\n") + 1] if cut else data
    return _COMMANDS.sub(b"", whole).decode(errors="replace")
