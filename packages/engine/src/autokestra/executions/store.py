"""The rows of executions in SQLite: one file, WAL, mode 0600, migrated when it is opened.

Every method is one transaction and may be called from any thread. What comes in is masked or sealed already.
Statements stand in `sql/`; no SQL is built here.
"""

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from operator import attrgetter
from os import PathLike
from pathlib import Path
from typing import Any, Final, Self, cast

from autokestra.errors import ExecutionNotFoundError, StateFormatError
from autokestra.executions.commits import GroupCommit
from autokestra.executions.database import explain, open_database
from autokestra.executions.lease import is_dead
from autokestra.executions.plan import Change, Start
from autokestra.executions.records import (
    Attempt,
    AttemptKey,
    AttemptState,
    Execution,
    ExecutionState,
    ItemList,
    Lease,
    LogExcerpt,
    LogLine,
    Masked,
    StoredOutput,
    TaskOf,
    TaskRun,
    TaskState,
)

LATEST: Final = "latest"
_LOG_COLUMNS: Final = attrgetter("execution_id", "task_id", "attempt", "sequence", "time", "stream", "level", "message")
_SQL: Final = Path(__file__).parent / "sql" / "common"


class ExecutionStore:
    """Executions, task runs, attempts and log lines.

    Raises StateUnavailableError, StatePermissionError or StateFormatError from every method.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._commits = GroupCommit(self._reading)
        self._sql = _statements()
        self.path = path

    @classmethod
    def open(cls, path: str | PathLike[str], *, create: bool = True) -> Self:
        """Open the state database at `path`; with `create=False` a missing one is StateUnavailableError."""
        where = Path(path)
        return cls(open_database(where, create=create), where)

    def close(self) -> None:
        """Close the file; harmless when done twice."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- executions

    def create(self, execution: Execution, tasks: Sequence[str]) -> None:
        """Write a new execution, PENDING, with a row for each task, all WAITING."""
        with self._transaction() as db:
            self._sql.insert_execution(
                db,
                id=execution.id,
                workflow_id=execution.workflow_id,
                workflow=execution.workflow,
                workflow_path=execution.workflow_path,
                workflow_sha256=execution.workflow_sha256,
                inputs=_to_json(execution.inputs),
                created_at=execution.created_at,
                lease_owner=execution.lease.owner if execution.lease else None,
                lease_until=execution.lease.until if execution.lease else None,
                caller_execution=execution.caller.execution if execution.caller else None,
                caller_task=execution.caller.task if execution.caller else None,
            )
            rows = [
                {"execution_id": execution.id, "task_id": task, "position": position}
                for position, task in enumerate(tasks)
            ]
            self._sql.insert_task_run(db, rows)

    def start(self, execution: str, now: int) -> None:
        """Set the execution RUNNING; its first start keeps its time."""
        with self._transaction() as db:
            self._sql.start_execution(db, id=execution, now=now)

    def admit(self, execution: Execution, *, most: int, now: int) -> list[str]:
        """Set the execution RUNNING if fewer than `most` others of its workflow are under way.

        Returns the ids of those it has to wait for: running ones, and older ones that wait too. Those whose process is
        gone do not count.
        """
        with self._transaction() as db:
            ahead = [
                row["id"]
                for row in self._sql.select_under_way(db, workflow_id=execution.workflow_id, id=execution.id)
                if row["lease_owner"] is not None
                and not is_dead(Lease(owner=row["lease_owner"], until=row["lease_until"]))
                and (row["state"] == "RUNNING" or (row["created_at"], row["id"]) < (execution.created_at, execution.id))
            ]
            if len(ahead) < most:
                self._sql.start_execution(db, id=execution.id, now=now)
                return []
            self._sql.hold_execution(db, id=execution.id)
            self._sql.hold_task_runs(db, id=execution.id)
            return ahead

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
        with self._transaction() as db:
            ended = self._sql.end_execution(
                db,
                id=execution,
                owner=owner or "",
                state=state.value,
                reason=reason,
                message=message,
                now=now,
                secrets_used=_to_json(secrets_used or {}),
                masked=_to_json(masked or {}),
            )
            if ended:
                self._sql.close_items(db, id=execution, now=now)
                self._sql.delete_cancel(db, id=execution)
            return bool(ended)

    def request_cancel(self, execution: str, now: int) -> bool:
        """Ask for the end of an execution that is under way; False when that was asked before, or it has ended."""
        with self._transaction() as db:
            return bool(self._sql.insert_cancel(db, id=execution, now=now))

    def cancel_requested(self, execution: str) -> bool:
        """Whether somebody asked for the end of the execution."""
        with self._reading() as db:
            return self._sql.select_cancel(db, id=execution) is not None

    def renew(self, execution: str, lease: Lease) -> bool:
        """Move the end of our lease; False when it is no longer ours."""
        with self._transaction() as db:
            return bool(self._sql.renew_lease(db, id=execution, owner=lease.owner, until=lease.until))

    def take_over(self, execution: str, old: Lease | None, new: Lease, now: int) -> bool:
        """Take the lease that was seen as `old`; of several callers one gets True.

        Attempts under way are LOST; a task whose attempt has ended well has succeeded, whether or not its coordinator
        lived to see it. An earlier cancel no longer counts.
        """
        with self._transaction() as db:
            taken = self._sql.take_lease(
                db,
                id=execution,
                old_owner=old.owner if old else "",
                old_until=old.until if old else 0,
                owner=new.owner,
                until=new.until,
            )
            if taken:
                self._sql.lose_attempts(db, execution_id=execution, now=now)
                self._sql.settle_task_runs(db, execution_id=execution)
                self._sql.delete_cancel(db, id=execution)
            return bool(taken)

    def execution(self, execution: str) -> Execution:
        """Return one execution; `latest` is the newest. Raises ExecutionNotFoundError."""
        if execution == LATEST:
            newest = self.executions(most=1)
            if newest:
                return newest[0]
            raise ExecutionNotFoundError("there is no execution yet", hint="start one with: workflow run FILE")
        with self._reading() as db:
            row = self._sql.select_execution(db, id=execution)
        if row is None:
            raise ExecutionNotFoundError(f"no execution '{execution}'", hint="list them with: workflow execution list")
        return _execution(row)

    def latest_of(self, task: TaskOf) -> Execution | None:
        """Return the execution that `task` began last."""
        with self._reading() as db:
            row = self._sql.select_latest_of_task(db, caller_execution=task.execution, caller_task=task.task)
        return None if row is None else _execution(row)

    def executions(self, *, most: int = 1000) -> list[Execution]:
        """Return the newest executions first, at most `most`."""
        with self._reading() as db:
            rows = list(self._sql.select_executions(db, most=most))
        return [_execution(row) for row in rows]

    # --- task runs

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
                "message": change.message,
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

        def advanced(db: sqlite3.Connection) -> bool:
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

        return self._commits.run(advanced, durable=False)

    def task_runs(self, execution: str) -> list[TaskRun]:
        """Return the task runs in the order of the document."""
        with self._reading() as db:
            return [
                TaskRun(**{**dict(row), "state": TaskState(row["state"])})
                for row in self._sql.select_task_runs(db, execution_id=execution)
            ]

    # --- attempts

    def claim(self, execution: str, task: str, number: int, *, lease: Lease, now: int) -> bool:
        """Claim an attempt for the owner of `lease`; False when somebody has it already."""
        row = {"execution_id": execution, "task_id": task, "number": number}
        return bool(
            self._commits.run(
                lambda db: self._sql.claim_attempt(db, **row, owner=lease.owner, until=lease.until, now=now),
                durable=False,
            )
        )

    def beat(self, lease: Lease) -> set[AttemptKey]:
        """Move the end of the leases of all attempts that the owner of `lease` runs; return these attempts."""

        def renewed(db: sqlite3.Connection) -> set[AttemptKey]:
            self._sql.renew_attempts(db, owner=lease.owner, until=lease.until)
            return {tuple(row) for row in self._sql.select_attempts_of_owner(db, owner=lease.owner)}

        return self._commits.run(renewed, durable=False)

    def cancelled_attempts(self, owner: str) -> set[AttemptKey]:
        """Return the attempts that `owner` runs and somebody has asked to stop."""
        with self._reading() as db:
            return {tuple(row) for row in self._sql.select_cancelled_of_owner(db, owner=owner)}

    def lose(self, execution: str, task: str, number: int, *, lease: Lease, now: int) -> bool:
        """Give up an attempt whose worker was last seen with `lease`; False when it has been heard of since."""
        row = {"execution_id": execution, "task_id": task, "number": number}
        return bool(
            self._commits.run(
                lambda db: self._sql.lose_attempt(db, **row, owner=lease.owner, until=lease.until, now=now)
            )
        )

    def end_attempt(
        self,
        execution: str,
        task: str,
        number: int,
        *,
        owner: str,
        state: AttemptState,
        now: int,
        reason: str | None = None,
        message: str | None = None,
        exit_code: int | None = None,
        output: StoredOutput | None = None,
        shown: StoredOutput | None = None,
    ) -> bool:
        """Write how a claimed attempt ended, with its output; False when it is not (or no longer) `owner`'s."""
        row = {
            "execution_id": execution,
            "task_id": task,
            "number": number,
            "owner": owner,
            "state": state.value,
            "reason": reason,
            "message": message,
            "exit_code": exit_code,
            "now": now,
            "sealed": output.sealed if output else None,
            "clear": output.clear if output else None,
            "shown_sealed": shown.sealed if shown else None,
            "shown_clear": shown.clear if shown else None,
        }
        return bool(self._commits.run(lambda db: self._sql.end_attempt(db, **row)))

    def attempt(self, execution: str, task: str, number: int) -> Attempt:
        """Return one attempt. Raises ExecutionNotFoundError."""
        with self._reading() as db:
            row = self._sql.select_attempt(db, execution_id=execution, task_id=task, number=number)
        if row is None:
            raise ExecutionNotFoundError(f"no attempt '{execution}/{task}/{number}'")
        return _attempt(row)

    def attempts(self, execution: str) -> list[Attempt]:
        """Return all attempts of an execution, by task and number."""
        with self._reading() as db:
            return [_attempt(row) for row in self._sql.select_attempts(db, execution_id=execution)]

    def output(self, execution: str, task: str) -> tuple[int, StoredOutput] | None:
        """Return the number and the stored output of the task's successful attempt; None when there is none."""
        with self._reading() as db:
            row = self._sql.select_output(db, execution_id=execution, task_id=task)
        return None if row is None else (row["number"], StoredOutput(sealed=row["sealed"], clear=row["clear"]))

    def item_outputs(self, execution: str, task: str) -> list[tuple[int, int | None, StoredOutput]] | None:
        """Return item, number of the successful attempt (or None) and its output, in order; None if it has no list."""
        with self._reading() as db:
            found = self._sql.select_item_list(db, execution_id=execution, task_id=task)
            if found is None or found["items"] is None:
                return None
            rows = self._sql.select_item_outputs(db, execution_id=execution, parent=task)
            return [
                (row["item"], row["number"], StoredOutput(sealed=row["sealed"], clear=row["clear"])) for row in rows
            ]

    def item_list(self, execution: str, task: str) -> ItemList | None:
        """Return the list over which a task runs; None where it has none, or none yet."""
        with self._reading() as db:
            row = self._sql.select_item_list(db, execution_id=execution, task_id=task)
        if row is None or row["items"] is None:
            return None
        stored = StoredOutput(sealed=row["sealed"], clear=row["clear"])
        return ItemList(task=task, count=row["items"], stored=stored)

    def forget_items(self, execution: str, tasks: Iterable[str]) -> None:
        """Make tasks run for each item of a new list, when they run again; attempts and logs of the old ones stay."""
        with self._transaction() as db:
            for task in tasks:
                self._sql.reset_item_list(db, execution_id=execution, task_id=task)
                self._sql.reset_items(db, execution_id=execution, parent=task)

    # --- logs

    def append_log(self, lines: Iterable[LogLine]) -> None:
        """Write a batch of masked lines in one transaction."""
        rows = list(map(_LOG_COLUMNS, lines))
        self._commits.run(lambda db: self._sql.insert_log_line(db, rows), durable=False)

    def log_lines(self, execution: str, *, task: str | None = None) -> list[LogLine]:
        """Return the log of an execution, or of one of its tasks, in order."""
        with self._reading() as db:
            return [
                LogLine(**dict(row)) for row in self._sql.select_log_lines(db, execution_id=execution, task_id=task)
            ]

    def log_ends(self, execution: str, *, first: int, last: int, longest: int) -> list[LogExcerpt]:
        """Return the `first` and `last` lines of each task's log in order, messages cut at `longest` characters."""
        excerpts = []
        with self._reading() as db:
            for found in self._sql.select_log_ends(db, execution_id=execution, first=first, last=last):
                row = dict(found)
                task, place, total = (row.pop(name) for name in ("task", "place", "total"))
                length, row["message"] = len(row["message"]), row["message"][:longest]
                excerpts.append(LogExcerpt(line=LogLine(**row), task=task, place=place, total=total, length=length))
        return excerpts

    # --- transactions

    @property
    def statements(self) -> Any:
        """The statements of `sql/common`, by name; for the modules of this room."""
        return self._sql

    def transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        """Hand out the connection within one durable transaction; for the modules of this room."""
        return self._transaction()

    def connection(self) -> AbstractContextManager[sqlite3.Connection]:
        """Hand out the connection, to one thread at a time; for the modules of this room."""
        return self._reading()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as db:
            self._commits.wait_for_the_disk(db, wanted=True)
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        # One connection, one lock: SQLite has one writer anyway, and a thread that waits here waits without polling.
        with self._lock, explain(self.path):
            yield self._connection


@cache
def _statements() -> Any:
    import aiosql  # noqa: PLC0415  # 55 ms: only where executions are read or written

    return aiosql.from_path(_SQL, "sqlite3")


def _to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _execution(row: sqlite3.Row) -> Execution:
    fields = cast("dict[str, Any]", dict(row))
    owner, until = fields.pop("lease_owner"), fields.pop("lease_until")
    caller, task = fields.pop("caller_execution"), fields.pop("caller_task")
    try:
        for name in ("inputs", "secrets_used", "masked"):
            fields[name] = json.loads(fields[name])
    except ValueError:
        raise StateFormatError(
            f"the row of execution '{fields['id']}' is damaged", hint="use another state database: --state FILE"
        ) from None
    fields["state"] = ExecutionState(fields["state"])
    return Execution(
        **fields,
        lease=None if owner is None else Lease(owner=owner, until=until),
        caller=None if caller is None else TaskOf(execution=caller, task=task),
    )


def _attempt(row: sqlite3.Row) -> Attempt:
    fields = cast("dict[str, Any]", dict(row))
    shown = StoredOutput(sealed=fields.pop("shown_sealed"), clear=fields.pop("shown_clear"))
    fields["state"] = AttemptState(fields["state"])
    return Attempt(**fields, shown=shown)
