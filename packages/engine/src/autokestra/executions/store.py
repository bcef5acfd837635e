"""Executions, task runs, attempts and logs as rows, in SQLite or in PostgreSQL.

Every method is one transaction and may be called from any thread. What comes in is masked or sealed already.
Statements stand in `sql/`; no SQL is built here. How a transaction is made is the matter of `sqlite` and `postgres`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, Self

from autokestra.errors import ExecutionNotFoundError, StateUnavailableError
from autokestra.executions.attempts import AttemptTable
from autokestra.executions.lines import LineTable
from autokestra.executions.reading import is_text, path_to_text, read_execution, row_lease, to_json, to_text
from autokestra.executions.records import LATEST, Execution, ExecutionState, Lease, Masked, TaskOf
from autokestra.executions.sqlite import SQLiteRows
from autokestra.executions.taskruns import TaskRunTable
from autokestra_secrets import is_postgres_url


class ExecutionStore(TaskRunTable, AttemptTable, LineTable):
    """Executions, task runs, attempts and log lines.

    Raises StateUnavailableError, StatePermissionError or StateFormatError from every method.
    """

    @classmethod
    def open(cls, place: str | PathLike[str], *, create: bool = True) -> Self:
        """Open the state database at a path or a postgresql:// URL; with `create=False` a missing one is an error.

        Raises StateUnavailableError, StatePermissionError or StateFormatError.
        """
        if isinstance(place, str) and is_postgres_url(place):
            try:
                from autokestra.executions.postgres import PostgresRows  # noqa: PLC0415  # 120 ms, an extra
            except ImportError:
                raise StateUnavailableError(
                    "PostgreSQL needs a driver that is not installed", hint="pip install 'autokestra[postgres]'"
                ) from None
            return cls(PostgresRows(place, create=create))
        return cls(SQLiteRows(Path(place), create=create))

    @property
    def location(self) -> str:
        """Where the rows are, for messages; no password."""
        return self._rows.location

    @property
    def identity(self) -> str:
        """What no other state database has, and whoever looks at the same rows finds as well."""
        return self._rows.identity

    def close(self) -> None:
        """Let go of the database; harmless when done twice."""
        self._rows.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- executions

    def create(self, execution: Execution, tasks: Sequence[str]) -> None:
        """Write a new execution, PENDING, with a row for each task, all WAITING."""

        def work(db: Any) -> None:
            self._sql.insert_execution(
                db,
                id=execution.id,
                workflow_id=execution.workflow_id,
                workflow=execution.workflow,
                workflow_path=path_to_text(execution.workflow_path),
                workflow_sha256=execution.workflow_sha256,
                inputs=to_json(execution.inputs),
                created_at=execution.created_at,
                lease_owner=execution.lease.owner if execution.lease else None,
                lease_until=execution.lease.until if execution.lease else None,
                caller_execution=execution.caller.execution if execution.caller else None,
                caller_task=execution.caller.task if execution.caller else None,
                workflow_seal=execution.workflow_seal,
            )
            rows = [
                {"execution_id": execution.id, "task_id": task, "position": position}
                for position, task in enumerate(tasks)
            ]
            self._sql.insert_task_run(db, rows)

        self._rows.write(work)

    def start(self, execution: str, now: int) -> None:
        """Set the execution RUNNING; its first start keeps its time."""

        def work(db: Any) -> None:
            self._sql.start_execution(db, id=execution, now=now)

        self._rows.write(work)

    def admit(self, execution: Execution, *, most: int, now: int) -> list[str]:
        """Set the execution RUNNING if fewer than `most` others of its workflow are under way.

        Returns the ids of those it has to wait for: running ones, and older ones that wait too. Those whose process is
        gone do not count.
        """

        def work(db: Any) -> list[str]:
            self._rows.one_at_a_time(db, execution.workflow_id)
            ahead = [
                row["id"]
                for row in self._sql.select_under_way(db, workflow_id=execution.workflow_id, id=execution.id)
                if (lease := row_lease(row)) is not None
                and not self.leases.is_dead(lease)
                and (row["state"] == "RUNNING" or (row["created_at"], row["id"]) < (execution.created_at, execution.id))
            ]
            if len(ahead) < most:
                self._sql.start_execution(db, id=execution.id, now=now)
                return []
            self._sql.hold_execution(db, id=execution.id)
            self._sql.hold_task_runs(db, id=execution.id)
            return ahead

        return self._rows.write(work)

    def end(
        self,
        execution: str,
        state: ExecutionState,
        *,
        owner: str | None,
        now: int,
        reason: str | None = None,
        message: str | None = None,
        secrets_used: Mapping[str, str] | None = None,
        masked: Masked | None = None,
    ) -> bool:
        """Set how the execution ended and give up `owner`'s lease; False where it is not `owner`'s, or has ended."""

        def work(db: Any) -> bool:
            ended = self._sql.end_execution(
                db,
                id=execution,
                owner=owner or "",
                state=state.value,
                reason=reason,
                message=to_text(message) if message else None,
                now=now,
                secrets_used=to_json(secrets_used or {}),
                masked=to_json(masked or {}),
            )
            if ended:
                self._sql.close_items(db, id=execution, now=now)
                self._sql.delete_cancel(db, id=execution)
            return bool(ended)

        return self._rows.write(work)

    def request_cancel(self, execution: str, now: int) -> bool:
        """Ask for the end of an execution that is under way; False when that was asked before, or it has ended."""

        def work(db: Any) -> bool:
            return bool(self._sql.insert_cancel(db, id=execution, now=now))

        return self._rows.write(work)

    def cancel_requested(self, execution: str) -> bool:
        """Whether somebody asked for the end of the execution."""
        return self._rows.read(lambda db: self._sql.select_cancel(db, id=execution)) is not None

    def renew(self, execution: str, lease: Lease) -> bool:
        """Move the end of our lease; False when it is no longer ours."""

        def work(db: Any) -> bool:
            return bool(self._sql.renew_lease(db, id=execution, owner=lease.owner, until=lease.until))

        return self._rows.write(work)

    def take_over(self, execution: str, old: Lease | None, new: Lease, now: int) -> bool:
        """Take the lease that was seen as `old`; of several callers one gets True.

        Attempts that nobody has claimed, or whose worker is dead or was the old coordinator, are LOST; those of other
        workers go on, see `run_elsewhere`. A task whose attempt has ended well has succeeded, whether or not its
        coordinator lived to see it. An earlier cancel no longer counts.
        """

        def work(db: Any) -> bool:
            taken = self._sql.take_lease(
                db,
                id=execution,
                old_owner=old.owner if old else "",
                old_until=old.until if old else 0,
                owner=new.owner,
                until=new.until,
            )
            if taken:
                self._sql.lose_waiting_attempts(db, execution_id=execution, now=now)
                self._lose_the_dead(db, execution, now, of=old.owner if old else "")
                self._sql.settle_task_runs(db, execution_id=execution)
                self._sql.delete_cancel(db, id=execution)
            return bool(taken)

        return self._rows.write(work)

    def run_elsewhere(self, execution: str, now: int) -> set[tuple[str, int]]:
        """Return task and number of attempts that workers took from an earlier coordinator and still run.

        Those whose worker has died meanwhile are LOST, and tasks whose attempt has ended well have succeeded.
        """

        def work(db: Any) -> set[tuple[str, int]]:
            left = self._lose_the_dead(db, execution, now)
            self._sql.settle_task_runs(db, execution_id=execution)
            return left

        return self._rows.write(work)

    def left_running(self, execution: Execution) -> int:
        """Return how many attempts live workers run of an execution whose coordinator is gone; nothing is written."""
        gone = execution.lease.owner if execution.lease else ""
        rows = self._rows.read(lambda db: list(self._sql.select_running_attempts(db, execution_id=execution.id)))
        return sum(self._is_run(row, gone) for row in rows)

    def _is_run(self, row: Any, gone: str) -> bool:
        lease = Lease(owner=row["owner"], until=row["lease_until"])
        return lease.owner != gone and not self.leases.is_dead(lease)

    def _lose_the_dead(self, db: Any, execution: str, now: int, *, of: str = "") -> set[tuple[str, int]]:
        left = set()
        for row in list(self._sql.select_running_attempts(db, execution_id=execution)):
            if self._is_run(row, of):
                left.add((row["task_id"], row["number"]))
                continue
            keys = {"task_id": row["task_id"], "number": row["number"], "owner": row["owner"]}
            self._sql.lose_attempt(db, execution_id=execution, **keys, until=row["lease_until"], now=now)
        return left

    def execution(self, execution: str) -> Execution:
        """Return one execution; `latest` is the newest that no task began. Raises ExecutionNotFoundError."""
        if execution == LATEST:
            newest = self._rows.read(self._sql.select_latest)
            if newest is not None:
                return self._execution(newest)
            raise ExecutionNotFoundError("there is no execution yet", hint="start one with: workflow run FILE")
        row = None
        if is_text(execution):  # what is none cannot be asked for
            row = self._rows.read(lambda db: self._sql.select_execution(db, id=execution))
        if row is None:
            raise ExecutionNotFoundError(f"no execution '{execution}'", hint="list them with: workflow execution list")
        return self._execution(row)

    def latest_of(self, task: TaskOf) -> Execution | None:
        """Return the execution that `task` began last."""
        ids = {"caller_execution": task.execution, "caller_task": task.task}
        row = self._rows.read(lambda db: self._sql.select_latest_of_task(db, **ids))
        return None if row is None else self._execution(row)

    def executions(self, *, most: int = 1000) -> list[Execution]:
        """Return the newest executions first, at most `most`."""
        rows = self._rows.read(lambda db: list(self._sql.select_executions(db, most=most)))
        return [self._execution(row) for row in rows]

    def _execution(self, row: Any) -> Execution:
        found = read_execution(row)
        orphan = not found.state.ended and (found.lease is None or self.leases.is_dead(found.lease))
        return replace(found, orphan=True) if orphan else found
