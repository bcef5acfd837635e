"""The maskers of a worker process: one for each execution, one below it for each attempt, and what they have seen."""

import threading
from collections.abc import Callable, Mapping
from copy import deepcopy

from autokestra_secrets import SecretMasker


class ExecutionMaskers:
    """One masker for each execution, made when it is first asked for and cleared when the execution is over.

    With `borrowed` it is the masker of a task: its workflow runs as a part of that task. What its tasks register for
    themselves counts for the task too, whose log and output repeat theirs, and nothing is cleared.
    """

    def __init__(
        self, make: Callable[[], SecretMasker] = SecretMasker, *, borrowed: SecretMasker | None = None
    ) -> None:
        self._make = make
        self._borrowed = borrowed
        self._lock = threading.Lock()
        self._maskers: dict[str, SecretMasker] = {}
        self._used: dict[str, dict[str, str]] = {}
        self._masked: dict[str, dict[str, dict[str, dict[str, int]]]] = {}

    def of(self, execution: str) -> SecretMasker:
        """Return the masker of `execution`."""
        with self._lock:
            if execution not in self._maskers:
                self._maskers[execution] = self._borrowed or self._make()
            return self._maskers[execution]

    def for_task(self, execution: str, told: Callable[[bytes, str], None] | None = None) -> SecretMasker:
        """Return a masker for one attempt, which knows what that of `execution` knows; `told` hears what is added."""
        return self.of(execution).child(shares=self._borrowed is not None, told=told)

    def note_used(self, execution: str, used: Mapping[str, str]) -> None:
        """Remember which secrets tasks have read, and from where."""
        with self._lock:
            self._used.setdefault(execution, {}).update(used)

    def note_masked(self, execution: str, task: str, counts: Mapping[str, Mapping[str, int]]) -> None:
        """Remember what was masked in the log of one attempt; attempts of a task add up."""
        with self._lock:
            total = self._masked.setdefault(execution, {})
            for name, forms in counts.items():
                sums = total.setdefault(task, {}).setdefault(name, {})
                for form, count in forms.items():
                    sums[form] = sums.get(form, 0) + count

    def used(self, execution: str) -> dict[str, str]:
        """Return name -> store | environment of every secret that a task of `execution` has read."""
        with self._lock:
            return dict(self._used.get(execution, {}))

    def masked(self, execution: str) -> dict[str, dict[str, dict[str, int]]]:
        """Return task -> secret name -> form -> how often it was replaced in the task's log."""
        with self._lock:
            return deepcopy(self._masked.get(execution, {}))

    def drop(self, execution: str) -> None:
        """Forget all values of an execution that is over."""
        with self._lock:
            self._used.pop(execution, None)
            self._masked.pop(execution, None)
            masker = self._maskers.pop(execution, None)
        if masker is not None and self._borrowed is None:
            masker.clear()
