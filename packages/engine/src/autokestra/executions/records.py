"""The words of an execution: states, the rows as values, and ids.

Times are integer microseconds since 1970 in UTC. Nothing here reads a clock or a database.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal

Stream = Literal["stdout", "stderr", "system"]
AttemptKey = tuple[str, str, int]  # execution, task, number
Masked = Mapping[str, Mapping[str, Mapping[str, int]]]  # task -> secret name -> form -> times in the task's log

LATEST: Final = "latest"  # in the place of an id: the newest execution that no task began

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base32: no i, l, o, u to misread
_TIME_DIGITS: Final = 9  # of 5 bits: milliseconds until the year 3084
_RANDOM_DIGITS: Final = 7  # of 5 bits: 2**35 ids within one millisecond


class ExecutionState(StrEnum):
    """Where an execution stands."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen unless a person resumes it."""
        return self not in (ExecutionState.PENDING, ExecutionState.RUNNING)


class TaskState(StrEnum):
    """Where a task run stands.

    WAITING has a reason: dependency, backoff, concurrency; so has SKIPPED: upstream, condition, no-failure, removed.
    """

    WAITING = "WAITING"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    SKIPPED = "SKIPPED"

    @property
    def ended(self) -> bool:
        """Whether the task run is over."""
        return self not in (TaskState.WAITING, TaskState.PENDING, TaskState.RUNNING)


class AttemptState(StrEnum):
    """Where an attempt stands. LOST: its worker is gone and nobody knows how far it came."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    LOST = "LOST"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Who coordinates an execution, and until when.

    `owner` is `host/boot id:namespace/pid/start time`; `until` is CLOCK_BOOTTIME in microseconds of that boot, so that
    a wall clock that jumps moves no lease, or where machines share the rows the time of their database.
    """

    owner: str
    until: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOf:
    """A task of an execution, or an item of one: the caller of a workflow that runs within it."""

    execution: str
    task: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One run of a workflow: an immutable copy of the document and its inputs, and how it went."""

    id: str
    workflow_id: str
    workflow: str  # JSON
    workflow_path: str
    workflow_sha256: str
    inputs: Mapping[str, object]
    state: ExecutionState
    reason: str | None
    message: str | None
    created_at: int
    started_at: int | None
    finished_at: int | None
    lease: Lease | None
    secrets_used: Mapping[str, str] = field(default_factory=dict)  # name -> store | environment
    masked: Masked = field(default_factory=dict)
    caller: TaskOf | None = None  # the task as a part of which it runs
    workflow_seal: bytes | None = field(default=None, repr=False)  # proves what it began with, see OutputVault
    orphan: bool = field(default=False, compare=False)  # not ended, and nobody was at work on it when it was read


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRun:
    """One task of an execution, or one item of a task with `forEach`: then `task_id` is `parent[item]`."""

    execution_id: str
    task_id: str
    position: int
    state: TaskState
    reason: str | None
    attempts: int
    not_before: int | None
    started_at: int | None
    finished_at: int | None
    parent: str | None = None
    item: int | None = None  # from 0
    message: str | None = None  # why it ended badly where no attempt can say it
    items: int | None = None  # of the task itself: how many there are, once that is known


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredOutput:
    """An output at rest: sealed with the data key, in clear (no key, no secrets), or neither (kept in memory)."""

    sealed: bytes | None = None
    clear: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What a worker of another process has to say of the secrets of one attempt."""

    used: Mapping[str, str]  # name -> store | environment
    masked: Mapping[str, Mapping[str, int]]  # name -> form -> times in the log


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemList:
    """The list over which a task runs, as it is kept: how many items, and the list at rest."""

    task: str
    count: int
    stored: StoredOutput


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try of a task. `shown` is its output masked, for people; the output itself is read by the worker only."""

    execution_id: str
    task_id: str
    number: int
    state: AttemptState
    reason: str | None
    message: str | None
    exit_code: int | None
    owner: str | None
    created_at: int
    claimed_at: int | None
    finished_at: int | None
    shown: StoredOutput
    lease_until: int | None = None  # until when its worker is taken to be alive, as in Lease

    @property
    def id(self) -> str:
        """`execution/task/n`."""
        return attempt_id(self.execution_id, self.task_id, self.number)

    @property
    def lease(self) -> Lease | None:
        """Who runs it and until when it is taken to be alive; None before it is claimed."""
        if self.owner is None or self.lease_until is None:
            return None
        return Lease(owner=self.owner, until=self.lease_until)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One masked line of a task's log; `stream` is stdout, stderr or system (words of the engine or an action)."""

    execution_id: str
    task_id: str
    attempt: int
    sequence: int
    time: int
    stream: Stream
    level: str
    message: str

    @property
    def is_debug(self) -> bool:
        """Whether only those who look for a fault want to see it."""
        return self.stream == "system" and self.level == "debug"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogExcerpt:
    """One of the first or last lines of a task's log, its message perhaps cut.

    `task` is the task of the document, whose items share a log; this is line `place` of `total` of it, from 1.
    `length` is how many characters the whole message has.
    """

    line: LogLine
    task: str
    place: int
    total: int
    length: int


def execution_id(now: int) -> str:
    """Return a new id: 16 characters of base32 that sort by time; `now` in microseconds."""
    number = (now // 1000) << (5 * _RANDOM_DIGITS) | secrets.randbits(5 * _RANDOM_DIGITS)
    digits = []
    for _ in range(_TIME_DIGITS + _RANDOM_DIGITS):
        number, digit = divmod(number, 32)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


def attempt_id(execution: str, task: str, number: int) -> str:
    """Return `execution/task/n`; no part holds a slash."""
    return f"{execution}/{task}/{number}"
