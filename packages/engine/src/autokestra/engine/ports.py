"""What the engine asks of others, what it knows of an execution under way, and the reasons that it writes down."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from autokestra.errors import ExecutionBusyError, PoolUnavailableError
from autokestra.executions.cancel import CANCELLED
from autokestra.executions.plan import CONCURRENCY, TIMEOUT
from autokestra.executions.records import Lease, Masked
from autokestra.workflow.model import Task, Workflow
from autokestra_secrets import SecretMasker

INTERRUPTED: Final = "interrupted"
STOPPED: Final = "stopped"  # with the task of which it is a part
MISSING_SECRETS: Final = "missing-secrets"
UNREADABLE_SECRETS: Final = "unreadable-secrets"  # the key is missing or wrong, or the store is damaged or busy

BUSY: Final = CONCURRENCY  # others of the workflow are under way, and it was not to wait

_WORDS: Final[Mapping[str, str]] = {
    CANCELLED: "cancelled by: workflow execution cancel",
    INTERRUPTED: "interrupted",
    STOPPED: "stopped with the task that it is a part of",
    TIMEOUT: "the workflow's timeout has passed",
}


class Worker(Protocol):
    """What the engine asks of its workers, in this process or elsewhere."""

    def cancel(self, execution: str, task: str, number: int) -> None:
        """Stop one attempt; it may not have started yet."""
        ...

    def forget(self, execution: str) -> None:
        """Drop what is kept in memory for an execution that is over."""
        ...


class Maskers(Protocol):
    """Where an execution's masker, and what its tasks have read, are found."""

    def of(self, execution: str) -> SecretMasker:
        """Return the masker of an execution."""
        ...

    def used(self, execution: str) -> Mapping[str, str]:
        """Return secret name -> source of every secret that a task has read."""
        ...

    def masked(self, execution: str) -> Masked:
        """Return what was masked in the logs of its tasks."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """An execution under way."""

    id: str
    workflow: Workflow
    path: Path
    arguments: Mapping[str, Any]
    lease: Lease
    tasks: Mapping[str, Task]


def words_for(reason: str | None) -> str | None:
    """Say in words why an execution did not end well."""
    if reason is None:
        return None
    kind, _, task = reason.partition(":")
    return f"task '{task}' did not succeed" if kind == "task" else _WORDS.get(reason, reason)


def taken_over(execution: str) -> ExecutionBusyError:
    """Return the error for a coordinator that finds itself replaced."""
    return ExecutionBusyError(
        f"execution '{execution}' was taken over by another process while this one was not heard of",
        hint=f"look at it with: workflow execution show {execution}",
    )


def no_worker(task: str, tags: Sequence[str]) -> PoolUnavailableError:
    """Return the error for tags that no worker of the pool has."""
    names = ",".join(tags)
    word = "tag" if len(tags) == 1 else "tags"
    return PoolUnavailableError(
        f"task '{task}' needs a worker with the {word} {names}, and none has {'it' if len(tags) == 1 else 'them'}",
        hint=f"start one with: workflow worker --pool URL --tags {names}, and name the same pool with: --pool URL",
    )
