"""Task runs as rows, what they have handed on, and the lists over which some of them run."""

from collections.abc import Iterable, Sequence
from typing import Any

from autokestra.executions.plan import Change, Start
from autokestra.executions.reading import to_text
from autokestra.executions.records import ItemList, StoredOutput, TaskRun, TaskState
from autokestra.executions.rows import Table


class TaskRunTable(Table):
    """The task runs of all executions: the part of the store that coordinators write."""

    def advance(
        self,
        execution: str,
        *,
        owner: str | None,
        now: int,
        changes: Sequence[Change] = (),
        starts: Sequence[Start] = (),
        lists: Sequence[ItemList] = (),
    ) -> bool:
        """Write all that a coordinator has decided at one moment, in one transaction; False when it is not `owner`.

        The attempts of `starts` are committed by this, so that they may be submitted; their task runs are RUNNING.
        `lists` are the lists of tasks that run once for each item; `changes` then make the rows of these.
        """
        runs = [
            {
                "execution_id": execution,
                "task_id": change.task,
                "state": change.state.value,
                "reason": change.reason,
                "message": to_text(change.message) if change.message else None,
                "not_before": change.not_before,
                "started_at": now if change.state is TaskState.RUNNING else None,
                "finished_at": now if change.state.ended else None,
            }
            for change in changes
            if change.item is None
        ]
        key = {"execution_id": execution}
        items = [
            {
                **key,
                "task_id": change.task,
                "parent": change.parent,
                "item": change.item,
                "state": change.state.value,
                "reason": change.reason,
            }
            for change in changes
            if change.item is not None
        ]
        attempts = [{**key, "task_id": each.task, "number": each.number, "created_at": now} for each in starts]
        started = [{**key, "task_id": each.task, "attempts": each.number, "started_at": now} for each in starts]

        def advanced(db: Any) -> bool:
            if self._sql.is_coordinator(db, id=execution, owner=owner or "") is None:
                return False
            for each in lists:
                self._sql.update_item_list(
                    db,
                    execution_id=execution,
                    task_id=each.task,
                    items=each.count,
                    sealed=each.stored.sealed,
                    clear=each.stored.clear,
                )
            if items:  # first, since one may be skipped by the same decision that has made it
                self._sql.upsert_item_run(db, items)
            if runs:
                self._sql.change_task_run(db, runs)
            if attempts:
                self._sql.insert_attempt(db, attempts)
                self._sql.start_task_run(db, started)
            return True

        return self._rows.write_blind(advanced)

    def task_runs(self, execution: str) -> list[TaskRun]:
        """Return the task runs in the order of the document."""
        rows = self._rows.read(lambda db: list(self._sql.select_task_runs(db, execution_id=execution)))
        return [TaskRun(**{**dict(row), "state": TaskState(row["state"])}) for row in rows]

    def output(self, execution: str, task: str) -> tuple[int, StoredOutput] | None:
        """Return the number and the stored output of the task's successful attempt; None when there is none."""
        row = self._rows.read(lambda db: self._sql.select_output(db, execution_id=execution, task_id=task))
        return None if row is None else (row["number"], StoredOutput(sealed=row["sealed"], clear=row["clear"]))

    def item_outputs(self, execution: str, task: str) -> list[tuple[int, int | None, StoredOutput]] | None:
        """Return item, number of the successful attempt (or None) and its output, in order; None if it has no list."""

        def work(db: Any) -> list[Any] | None:
            found = self._sql.select_item_list(db, execution_id=execution, task_id=task)
            if found is None or found["items"] is None:
                return None
            return list(self._sql.select_item_outputs(db, execution_id=execution, parent=task))

        rows = self._rows.read(work)
        return rows and [
            (row["item"], row["number"], StoredOutput(sealed=row["sealed"], clear=row["clear"])) for row in rows
        ]

    def item_list(self, execution: str, task: str) -> ItemList | None:
        """Return the list over which a task runs; None where it has none, or none yet."""
        row = self._rows.read(lambda db: self._sql.select_item_list(db, execution_id=execution, task_id=task))
        if row is None or row["items"] is None:
            return None
        stored = StoredOutput(sealed=row["sealed"], clear=row["clear"])
        return ItemList(task=task, count=row["items"], stored=stored)

    def forget_items(self, execution: str, tasks: Iterable[str]) -> None:
        """Make tasks run for each item of a new list, when they run again; attempts and logs of the old ones stay."""

        def work(db: Any) -> None:
            for task in tasks:
                self._sql.reset_item_list(db, execution_id=execution, task_id=task)
                self._sql.reset_items(db, execution_id=execution, parent=task)

        self._rows.write(work)
