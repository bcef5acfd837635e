"""What a coordinator has in the place of workers of its own process: the rows, by which others are told and heard."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from autokestra.errors import AutokestraError
from autokestra.executions.records import Account
from autokestra.worker.maskers import ExecutionMaskers
from autokestra.worker.outputs import OutputVault
from autokestra_secrets import SecretMasker


class StopRows(Protocol):
    """Where a worker looks for the wish that an attempt stops."""

    def stop_attempt(self, execution: str, task: str, number: int, now: int) -> None:
        """Ask one attempt to stop."""
        ...


class RemoteWorkers:
    """All workers of a cluster, as the engine sees them; `look` tells the pool that an attempt may have ended."""

    def __init__(
        self,
        rows: StopRows,
        *,
        maskers: ExecutionMaskers,
        outputs: OutputVault,
        clock: Callable[[], int],
        look: Callable[[str, str, int], None],
    ) -> None:
        self._rows = rows
        self._maskers = maskers
        self._outputs = outputs
        self._clock = clock
        self._look = look

    def cancel(self, execution: str, task: str, number: int) -> None:
        """Stop one attempt: its worker sees the row, and one that nobody has claimed is over at once."""
        with suppress(AutokestraError):  # rows that cannot be written: the leases of those who run there run out
            self._rows.stop_attempt(execution, task, number, self._clock())
        self._look(execution, task, number)

    def forget(self, execution: str) -> None:
        """Drop what is kept in memory here; workers do so by themselves when their last attempt has ended."""
        self._outputs.forget(execution)
        self._maskers.drop(execution)


class RemoteMaskers(ExecutionMaskers):
    """Maskers of a coordinator that runs no task; what was masked and read is told by `accounts`, from the rows."""

    def __init__(
        self, make: Callable[[], SecretMasker], accounts: Callable[[str], Sequence[tuple[str, Account]]]
    ) -> None:
        super().__init__(make)
        self._accounts = accounts

    def used(self, execution: str) -> dict[str, str]:
        """Return name -> store | environment of every secret that a task of `execution` has read."""
        return {name: source for _, account in self._accounts(execution) for name, source in account.used.items()}

    def masked(self, execution: str) -> dict[str, dict[str, dict[str, int]]]:
        """Return task -> secret name -> form -> how often it was replaced in the task's log; attempts add up."""
        sums: dict[str, dict[str, dict[str, int]]] = {}
        for task, account in self._accounts(execution):
            for name, forms in account.masked.items():
                counts = sums.setdefault(task, {}).setdefault(name, {})
                for form, count in forms.items():
                    counts[form] = counts.get(form, 0) + count
        return sums
