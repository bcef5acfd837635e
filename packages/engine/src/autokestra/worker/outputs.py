"""Outputs of tasks between their tasks: unmasked for those, sealed at rest, or in memory only.

Where there is a data key every output is sealed. Without one, outputs of a workflow that declares no secrets are
kept in clear, and those of a workflow that does declare some never leave this process.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final, Protocol

from autokestra.errors import AutokestraError, StateFormatError
from autokestra.executions.plan import item_id
from autokestra.executions.records import Attempt, Execution, ItemList, StoredOutput
from autokestra.worker.minted import Learn, Values, with_values, without_values
from autokestra_secrets import DamagedError, OutputCipher, UnknownFormatError, WrongKeyError

MAX_OUTPUT_BYTES: Final = 10 << 20  # JSON, 10 MiB


class OutputError(AutokestraError):
    """An output is no JSON value, is too large, or is no longer there."""


class OutputRows(Protocol):
    """Where stored outputs are read from."""

    def output(self, execution: str, task: str) -> tuple[int, StoredOutput] | None:
        """Return attempt number and stored output of the successful attempt."""
        ...

    def item_outputs(self, execution: str, task: str) -> list[tuple[int, int | None, StoredOutput]] | None:
        """Return item, attempt number and stored output for each item of a task that has a list."""
        ...

    def item_list(self, execution: str, task: str) -> ItemList | None:
        """Return the list over which a task runs."""
        ...


@dataclass(frozen=True, slots=True)
class _List:
    items: list[Any]
    values: Values = ()


class OutputVault:
    """Keeps and reads outputs; `cipher` is None when there is no data key.

    With `workers_open` the tasks that read outputs run elsewhere, where there is a key for the sealed ones.
    """

    def __init__(self, rows: OutputRows, cipher: OutputCipher | None, *, workers_open: bool = False) -> None:
        self._rows = rows
        self._workers_open = workers_open
        self._cipher = cipher
        self._memory: dict[tuple[str, str], str] = {}
        self._guarded: set[str] = set()
        self._lists: dict[tuple[str, str], _List] = {}

    def keep(
        self, execution: str, task: str, number: int, text: str, *, has_secrets: bool, values: Values = ()
    ) -> StoredOutput:
        """Return what may be written to the row for the output whose JSON is `text`.

        `values` are to be masked wherever it is read. An output that may hold one is not kept in clear.
        """
        text, has_secrets = with_values(text, values), has_secrets or bool(values)
        stored = self._at_rest(text, _context(execution, task, number), has_secrets=has_secrets)
        if stored == StoredOutput():
            self._memory[execution, task] = text
        return stored

    def keep_shown(self, execution: str, task: str, number: int, text: str, *, has_secrets: bool) -> StoredOutput:
        """Return the same for the masked copy that people are shown; where there is no key it is not kept at all.

        Masked is not harmless: a task may hand on a token that it minted itself and told no masker of.
        """
        return self._at_rest(text, _context(execution, task, number, kind="shown-output"), has_secrets=has_secrets)

    def _at_rest(self, text: str, context: tuple[str, ...], *, has_secrets: bool) -> StoredOutput:
        if self._cipher is not None:
            return StoredOutput(sealed=self._cipher.seal(text.encode(), context=context))
        return StoredOutput() if has_secrets else StoredOutput(clear=text)

    def guard(self, execution: str) -> None:
        """Accept no output in clear of this execution, whose workflow declares secrets: none is ever written so."""
        self._guarded.add(execution)

    def read(self, execution: str, task: str, *, learn: Learn) -> Any:
        """Return the output of `task`, None when the task has none (it failed and was allowed to).

        Of a task that ran for each item of a list it is the list of their outputs, with None for those that have
        none. `learn` is told first of the values that are to be masked in it. Raises OutputError, SecretsError when a
        sealed one does not open, and StateFormatError when one in clear is damaged.
        """
        found = self._rows.output(execution, task)
        if found is not None:
            return self._opened(execution, task, *found, learn)
        items = self._rows.item_outputs(execution, task)
        if items is None:
            return None
        return [
            None if number is None else self._opened(execution, item_id(task, item), number, stored, learn)
            for item, number, stored in items
        ]

    def has(self, execution: str, task: str) -> bool:
        """Whether `read` would find the output of a task that succeeded."""
        found = self._rows.output(execution, task)
        if found is not None:
            return self._is_there(execution, task, found[1])
        items = self._rows.item_outputs(execution, task)
        return items is not None and len(self._there(execution, task, items)) == len(items)

    def kept_items(self, execution: str, task: str) -> frozenset[int]:
        """Return the items of `task` whose outputs `read` would find."""
        return self._there(execution, task, self._rows.item_outputs(execution, task) or [])

    def keep_items(
        self, execution: str, task: str, items: list[Any], *, has_secrets: bool, values: Values = ()
    ) -> ItemList:
        """Return what may be written to the row for the list over which `task` runs; `values` as in `keep`.

        Raises OutputError.
        """
        text = with_values(to_json(items), values)
        context = _context(execution, task, 0, kind="items")
        stored = self._at_rest(text, context, has_secrets=has_secrets or bool(values))
        self._lists[execution, task] = _List(items, values)
        return ItemList(task=task, count=len(items), stored=stored)

    def items(self, execution: str, task: str, *, learn: Learn) -> list[Any] | None:
        """Return the list over which `task` runs, None where there is none yet or it was in memory only and is gone.

        `learn` as in `read`. Raises SecretsError when a sealed one does not open.
        """
        if (execution, task) not in self._lists:
            found = self._rows.item_list(execution, task)
            if found is None:
                return None
            values: list[tuple[bytes, str]] = []
            if found.stored.clear is not None:
                self._lists[execution, task] = _List(_parsed(found.stored.clear, task))
            elif found.stored.sealed is not None and self._cipher is not None:
                context = _context(execution, task, 0, kind="items")
                text = self._cipher.open(found.stored.sealed, context=context).decode()
                text = without_values(text, lambda value, name: values.append((value, name)))
                self._lists[execution, task] = _List(json.loads(text), values)
        known = self._lists.get((execution, task))
        if known is None:
            return None
        for value, name in known.values:
            learn(value, name)
        return known.items

    def workflow_seal(self, row: Execution) -> bytes | None:
        """Return what proves later with what an execution began; None where there is no key."""
        if self._cipher is None:
            return None
        return self._cipher.seal(_begun_with(row), context=("workflow", row.id))

    def check_workflow(self, row: Execution, *, unproven: bool = False) -> None:
        """Make sure that workflow, place and inputs in the rows are those with which the execution began.

        Who can write rows could otherwise run what they like with a key that is not theirs. Without a key nothing can
        be told. `unproven` allows what has no seal, or one of another store. Raises StateFormatError.
        """
        if self._cipher is None:
            return
        why = "it began without the key"
        if row.workflow_seal is not None:
            try:
                if _begun_with(row) == self._cipher.open(row.workflow_seal, context=("workflow", row.id)):
                    return
            except WrongKeyError:
                why = "another store or key has sealed it"
            except (DamagedError, UnknownFormatError):
                raise _changed(row) from None
            else:
                raise _changed(row)
        if not unproven:
            raise StateFormatError(
                f"nothing proves that execution '{row.id}' would go on with the workflow that it began with: {why}",
                hint="begin anew with: workflow run FILE; or, trusting all who can write the database: --unproven",
            )

    def forget(self, execution: str) -> None:
        """Drop what is kept in memory for an execution that is over."""
        self._guarded.discard(execution)
        for key in [key for key in self._memory if key[0] == execution]:
            del self._memory[key]
        for key in [key for key in self._lists if key[0] == execution]:
            del self._lists[key]

    def _opened(self, execution: str, task: str, number: int, stored: StoredOutput, learn: Learn) -> Any:
        if stored.clear is not None:
            if execution in self._guarded:  # somebody else wrote it
                raise OutputError(f"the output of task '{task}' is in clear where it must be sealed")
            return _parsed(stored.clear, task)
        if stored.sealed is not None:
            if self._cipher is None:
                raise _no_key(task)
            text = self._cipher.open(stored.sealed, context=_context(execution, task, number)).decode()
            return json.loads(without_values(text, learn))
        try:
            text = self._memory[execution, task]
        except KeyError:
            raise OutputError(f"the output of task '{task}' was only kept in memory and is gone") from None
        return json.loads(without_values(text, learn))

    def _is_there(self, execution: str, task: str, stored: StoredOutput) -> bool:
        return (
            stored.clear is not None
            or (stored.sealed is not None and (self._cipher is not None or self._workers_open))
            or (execution, task) in self._memory
        )

    def _there(self, execution: str, task: str, items: list[tuple[int, int | None, StoredOutput]]) -> frozenset[int]:
        return frozenset(
            item
            for item, number, stored in items
            if number is not None and self._is_there(execution, item_id(task, item), stored)
        )


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

    Raises OutputError when it is sealed and there is no key, SecretsError when it does not open, and StateFormatError
    when it is in clear and damaged.
    """
    if attempt.shown.clear is not None:
        return _parsed(attempt.shown.clear, attempt.task_id)
    if attempt.shown.sealed is None:
        return None
    if cipher is None:
        raise _no_key(attempt.task_id)
    context = _context(attempt.execution_id, attempt.task_id, attempt.number, kind="shown-output")
    return json.loads(cipher.open(attempt.shown.sealed, context=context))


def _parsed(text: str, task: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # the parser's words would repeat what stands there
        raise StateFormatError(
            f"the output of task '{task}' is damaged", hint="use another state database: --state FILE"
        ) from None


def _no_key(task: str) -> OutputError:
    return OutputError(
        f"the output of task '{task}' is sealed and there is no key to open it",
        hint="see which key is used: workflow secrets key show",
    )


def _changed(row: Execution) -> StateFormatError:
    return StateFormatError(
        f"workflow or inputs of execution '{row.id}' were changed in the state database",
        hint="begin anew, with the file: workflow run FILE",
    )


def _begun_with(row: Execution) -> bytes:
    parts = [row.workflow_id, row.workflow, row.workflow_path, row.workflow_sha256, dict(row.inputs)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).digest()


def _context(execution: str, task: str, number: int, *, kind: str = "task-output") -> tuple[str, ...]:
    return (kind, execution, task, str(number))
