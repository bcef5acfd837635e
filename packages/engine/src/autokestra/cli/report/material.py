"""What the page is made from: the rows of an execution, read once, and bounded whatever the tasks have printed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from autokestra.cli import timeline
from autokestra.executions.records import Attempt, Execution, LogExcerpt, TaskRun
from autokestra.executions.store import ExecutionStore
from autokestra.workflow.model import Task, Workflow

MOST_LINES: Final = 20_000  # of all logs together; a browser shows and searches these at once
MOST_LINE_CHARACTERS: Final = 2_000
LAST_PART: Final = 0.75  # of the lines of a log that is cut: how it ended says more than how it began
MOST_TASKS: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """An execution with all that the page says of it.

    `tasks` are those that are shown, with their place in the document; `runs` and `attempts` are by id, `items` by the
    task that they belong to. `log` is in order of time.
    """

    execution: Execution
    workflow: Workflow
    tasks: Sequence[tuple[int, Task]]
    runs: Mapping[str, TaskRun]
    items: Mapping[str, Sequence[TaskRun]]
    attempts: Mapping[str, Sequence[Attempt]]
    timeline: Sequence[timeline.Row]
    log: Sequence[LogExcerpt]
    until: int

    @classmethod
    def read(cls, store: ExecutionStore, id_: str, *, now: int) -> Self:
        """Read it from the state database. Raises ExecutionNotFoundError."""
        execution = store.execution(id_)
        workflow = Workflow.model_validate_json(execution.workflow)
        runs, attempts = store.task_runs(execution.id), store.attempts(execution.id)
        by_id = {run.task_id: run for run in runs if run.parent is None}
        items: dict[str, list[TaskRun]] = {}
        for run in runs:
            if run.parent is not None:
                items.setdefault(run.parent, []).append(run)
        tries: dict[str, list[Attempt]] = {}
        for attempt in attempts:
            tries.setdefault(attempt.task_id, []).append(attempt)
        until = execution.finished_at or now
        most = max(2, MOST_LINES // max(1, len(by_id)))
        last = round(most * LAST_PART)
        return cls(
            execution=execution,
            workflow=workflow,
            tasks=_shown(workflow, by_id),
            runs=by_id,
            items=items,
            attempts=tries,
            timeline=timeline.rows(runs, attempts, now=until),
            log=store.log_ends(execution.id, first=most - last, last=last, longest=MOST_LINE_CHARACTERS),
            until=until,
        )


def _shown(workflow: Workflow, runs: Mapping[str, TaskRun]) -> Sequence[tuple[int, Task]]:
    """Return the tasks of the page in the order of the document; of too many those that went wrong come first."""
    tasks = list(enumerate(workflow.all_tasks))
    if len(tasks) <= MOST_TASKS:
        return tasks

    def is_fine(numbered: tuple[int, Task]) -> bool:
        run = runs.get(numbered[1].id)
        return run is None or run.state.value in ("SUCCESS", "SKIPPED")

    return sorted(sorted(tasks, key=is_fine)[:MOST_TASKS], key=lambda numbered: numbered[0])
