"""What an observer of a running execution is told: values, in order of time, masked like everything that is shown."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from autokestra.executions.records import ExecutionState, LogLine, Masked, TaskState


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionStarted:
    """The execution is RUNNING; `tasks` in the order of the document, `kept` those that had ended before a resume."""

    execution_id: str
    workflow_id: str
    time: int
    tasks: tuple[str, ...]
    kept: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskChanged:
    """A task run entered a state; `message` says in words why it did not end well.

    A task that runs once for each item of a list is RUNNING with `items` when the list is known; each item then has
    events of its own, as `task[3]`, but for the `items_kept` that had ended before a resume.
    """

    execution_id: str
    task_id: str
    time: int
    state: TaskState
    reason: str | None = None
    attempt: int | None = None
    message: str | None = None
    seconds: float | None = None  # of the attempt that ended
    items: int | None = None
    items_kept: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionEnded:
    """The execution is over."""

    execution_id: str
    workflow_id: str
    time: int
    state: ExecutionState
    reason: str | None = None
    message: str | None = None
    masked: Masked = field(default_factory=dict)
    secrets_used: Mapping[str, str] = field(default_factory=dict)
    unmaskable: Mapping[str, str] = field(default_factory=dict)  # secret name -> reason


Event = ExecutionStarted | TaskChanged | ExecutionEnded | LogLine
Observer = Callable[[Event], None]  # called from any thread; must not raise
