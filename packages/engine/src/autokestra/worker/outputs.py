"""Outputs of tasks between their tasks: unmasked for those, sealed at rest, or in memory only.

Where there is a data key every output is sealed. Without one, outputs of a workflow that declares no secrets are
kept in clear, and those of a workflow that does declare some never leave this process.
"""

import json
from typing import Any, Final, Protocol

from autokestra.errors import AutokestraError
from autokestra.executions.records import Attempt, StoredOutput
from autokestra_secrets import OutputCipher

MAX_OUTPUT_BYTES: Final = 10 << 20  # JSON, 10 MiB


class OutputError(AutokestraError):
    """An output is no JSON value, is too large, or is no longer there."""


class OutputRows(Protocol):
    """Where stored outputs are read from."""

    def output(self, execution: str, task: str) -> tuple[int, StoredOutput] | None:
        """Return attempt number and stored output of the successful attempt."""
        ...


class OutputVault:
    """Keeps and reads outputs; `cipher` is None when there is no data key."""

    def __init__(self, rows: OutputRows, cipher: OutputCipher | None) -> None:
        self._rows = rows
        self._cipher = cipher
        self._memory: dict[tuple[str, str], str] = {}

    def keep(self, execution: str, task: str, number: int, text: str, *, has_secrets: bool) -> StoredOutput:
        """Return what may be written to the row for the output whose JSON is `text`."""
        stored = self._at_rest(text, _context(execution, task, number), has_secrets=has_secrets)
        if stored == StoredOutput():
            self._memory[execution, task] = text
        return stored

    def keep_shown(self, execution: str, task: str, number: int, text: str, *, has_secrets: bool) -> StoredOutput:
        """Return the same for the masked copy that people are shown; where there is no key it is not kept at all.

        Masked is not harmless: a task may hand on a token that it minted itself and told no masker of.
        """
        return self._at_rest(text, _context(execution, task, number, shown=True), has_secrets=has_secrets)

    def _at_rest(self, text: str, context: tuple[str, ...], *, has_secrets: bool) -> StoredOutput:
        if self._cipher is not None:
            return StoredOutput(sealed=self._cipher.seal(text.encode(), context=context))
        return StoredOutput() if has_secrets else StoredOutput(clear=text)

    def read(self, execution: str, task: str, *, has_secrets: bool) -> Any:
        """Return the output of `task`, None when the task has none (it failed and was allowed to).

        `has_secrets`: whether the workflow declares any, as for `keep`; no path then accepts an output in clear.

        Raises OutputError, and SecretsError when a sealed one does not open.
        """
        found = self._rows.output(execution, task)
        if found is None:
            return None
        number, stored = found
        if stored.clear is not None:
            if has_secrets:  # never written so: somebody else has
                raise OutputError(f"the output of task '{task}' is in clear where it must be sealed")
            return json.loads(stored.clear)
        if stored.sealed is not None:
            if self._cipher is None:
                raise _no_key(task)
            return json.loads(self._cipher.open(stored.sealed, context=_context(execution, task, number)))
        try:
            return json.loads(self._memory[execution, task])
        except KeyError:
            raise OutputError(f"the output of task '{task}' was only kept in memory and is gone") from None

    def has(self, execution: str, task: str) -> bool:
        """Whether `read` would find the output of a task that succeeded."""
        found = self._rows.output(execution, task)
        if found is None:
            return False
        stored = found[1]
        return (
            stored.clear is not None
            or (stored.sealed is not None and self._cipher is not None)
            or (execution, task) in self._memory
        )

    def forget(self, execution: str) -> None:
        """Drop what is kept in memory for an execution that is over."""
        for key in [key for key in self._memory if key[0] == execution]:
            del self._memory[key]


def to_json(value: object) -> str:
    """Return `value` as strict JSON of at most 10 MiB. Raises OutputError, which never shows the value."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise OutputError(f"the output is not JSON: {type(error).__name__}") from None
    if size > MAX_OUTPUT_BYTES:
        raise OutputError(
            f"the output has {size:,} bytes of JSON, at most {MAX_OUTPUT_BYTES:,} are kept",
            hint="write large data to a file and return its path",
        )
    return text


def shown_output(attempt: Attempt, cipher: OutputCipher | None) -> Any:
    """Return the masked copy of an attempt's output; None when there is none.

    Raises OutputError when it is sealed and there is no key, and SecretsError when it does not open.
    """
    if attempt.shown.clear is not None:
        return json.loads(attempt.shown.clear)
    if attempt.shown.sealed is None:
        return None
    if cipher is None:
        raise _no_key(attempt.task_id)
    context = _context(attempt.execution_id, attempt.task_id, attempt.number, shown=True)
    return json.loads(cipher.open(attempt.shown.sealed, context=context))


def _no_key(task: str) -> OutputError:
    return OutputError(
        f"the output of task '{task}' is sealed and there is no key to open it",
        hint="see which key is used: workflow secrets key show",
    )


def _context(execution: str, task: str, number: int, *, shown: bool = False) -> tuple[str, ...]:
    return ("shown-output" if shown else "task-output", execution, task, str(number))
