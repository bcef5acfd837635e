"""Executions, task runs, attempts and logs as rows, in SQLite or in PostgreSQL.

Every method is one transaction and may be called from any thread. What comes in is masked or sealed already.
Statements stand in `sql/`; no SQL is built here. How a transaction is made is the matter of `sqlite` and `postgres`.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, Final, Self

from autokestra.errors import ExecutionNotFoundError, StateUnavailableError
from autokestra.executions.logs import LogWriter
from autokestra.executions.plan import Change, Start
from autokestra.executions.reading import read_attempt, read_excerpt, read_execution, row_is, row_key, to_json
from autokestra.executions.records import (
    Account,
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
from autokestra.executions.rows import Rows
from autokestra.executions.sqlite import SQLiteRows
from autokestra_secrets import is_postgres_url

LATEST: Final = "latest"
_ALL_SEEN: Final = 2**62  # of an attempt that has ended and whose lines were all read


class ExecutionStore:
    """Executions, task runs, attempts and log lines.

    Raises StateUnavailableError, StatePermissionError or StateFormatError from every method.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._sql = rows.sql
        self.leases = rows.leases

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

    def log_writer(self) -> LogWriter:
        """Return what writes lines of logs in batches, of the size that suits the database."""
        return LogWriter(self.append_log, lines=self._rows.log_lines, seconds=self._rows.log_seconds)

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
                workflow_path=execution.workflow_path,
                workflow_sha256=execution.workflow_sha256,
                inputs=to_json(execution.inputs),
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
                if row["lease_owner"] is not None
                and not self.leases.is_dead(Lease(owner=row["lease_owner"], until=row["lease_until"]))
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
                message=message,
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

    def run_elsewhere(self, execution: str, now: int) -> int:
        """Return how many attempts workers have taken with them from an earlier coordinator and still run.

        Those whose worker has died meanwhile are LOST, and tasks whose attempt has ended well have succeeded.
        """

        def work(db: Any) -> int:
            left = self._lose_the_dead(db, execution, now)
            self._sql.settle_task_runs(db, execution_id=execution)
            return left

        return self._rows.write(work)

    def _lose_the_dead(self, db: Any, execution: str, now: int, *, of: str = "") -> int:
        left = 0
        for row in list(self._sql.select_running_attempts(db, execution_id=execution)):
            if row["owner"] != of and not self.leases.is_dead(Lease(owner=row["owner"], until=row["lease_until"])):
                left += 1
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

    # --- attempts

    def claim(self, execution: str, task: str, number: int, *, lease: Lease, now: int) -> bool:
        """Claim an attempt for the owner of `lease`; False when somebody has it already."""
        row = {"execution_id": execution, "task_id": task, "number": number}
        return self._rows.write_one(
            lambda db: int(self._sql.claim_attempt(db, **row, owner=lease.owner, until=lease.until, now=now)),
            lambda db: row_is(self._sql.select_attempt(db, **row), owner=lease.owner, claimed_at=now),
            durable=self._rows.claims_wait,
        )

    def beat(self, lease: Lease) -> set[AttemptKey]:
        """Move the end of the leases of all attempts that the owner of `lease` runs; return these attempts."""

        def renewed(db: Any) -> set[AttemptKey]:
            self._sql.renew_attempts(db, owner=lease.owner, until=lease.until)
            return {row_key(row) for row in self._sql.select_attempts_of_owner(db, owner=lease.owner)}

        return self._rows.write(renewed, durable=False)

    def cancelled_attempts(self, owner: str) -> set[AttemptKey]:
        """Return the attempts that `owner` runs and somebody has asked to stop."""
        return {
            row_key(row)
            for row in self._rows.read(lambda db: list(self._sql.select_cancelled_of_owner(db, owner=owner)))
        }

    def lose(self, execution: str, task: str, number: int, *, lease: Lease, now: int) -> bool:
        """Give up an attempt whose worker was last seen with `lease`; False when it has been heard of since."""
        row = {"execution_id": execution, "task_id": task, "number": number}
        return self._rows.write_one(
            lambda db: int(self._sql.lose_attempt(db, **row, owner=lease.owner, until=lease.until, now=now)),
            lambda db: row_is(self._sql.select_attempt(db, **row), state="LOST", finished_at=now),
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
        account: Account | None = None,
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
            "account": None if account is None else to_json({"used": account.used, "masked": account.masked}),
        }
        key = {"execution_id": execution, "task_id": task, "number": number}
        return self._rows.write_one(
            lambda db: int(self._sql.end_attempt(db, **row)),
            lambda db: row_is(self._sql.select_attempt(db, **key), owner=owner, state=state.value, finished_at=now),
        )

    def stop_attempt(self, execution: str, task: str, number: int, now: int) -> None:
        """Ask one attempt to stop; one that nobody has claimed is CANCELLED at once."""
        row = {"execution_id": execution, "task_id": task, "number": number}
        self._rows.write(lambda db: self._sql.stop_attempt(db, **row, now=now))

    def accounts(self, execution: str) -> list[tuple[str, Account]]:
        """Return task and what its worker had to say of secrets, for each attempt that left word of it."""
        rows = self._rows.read(lambda db: list(self._sql.select_accounts(db, execution_id=execution)))
        return [(row["task_id"], Account(**json.loads(row["account"]))) for row in rows]

    def attempt_states(self, execution: str) -> dict[tuple[str, int], AttemptState]:
        """Return the state of every attempt by task and number."""
        rows = self._rows.read(lambda db: list(self._sql.select_attempt_states(db, execution_id=execution)))
        return {(row["task_id"], row["number"]): AttemptState(row["state"]) for row in rows}

    def attempt(self, execution: str, task: str, number: int) -> Attempt:
        """Return one attempt. Raises ExecutionNotFoundError."""
        row = self._rows.read(
            lambda db: self._sql.select_attempt(db, execution_id=execution, task_id=task, number=number)
        )
        if row is None:
            raise ExecutionNotFoundError(f"no attempt '{execution}/{task}/{number}'")
        return read_attempt(row)

    def attempts(self, execution: str) -> list[Attempt]:
        """Return all attempts of an execution, by task and number."""
        rows = self._rows.read(lambda db: list(self._sql.select_attempts(db, execution_id=execution)))
        return [read_attempt(row) for row in rows]

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

    # --- logs

    def lines_after(self, seen: dict[tuple[str, int], int], execution: str) -> tuple[list[LogLine], bool]:
        """Return what the log has more than was `seen`, and whether no attempt there is can add to it.

        `seen` is brought up to date: task and number of each attempt with the sequence of its last line. Attempts that
        have ended, and whose lines were all seen, are not asked about again. Lines of one attempt come in order.
        """

        def work(db: Any) -> tuple[list[Any], dict[tuple[str, int], int], bool]:
            found: list[Any] = []
            last, quiet = dict(seen), True
            for attempt in list(self._sql.select_attempt_states(db, execution_id=execution)):
                key = (attempt["task_id"], attempt["number"])
                ended = AttemptState(attempt["state"]) not in (AttemptState.PENDING, AttemptState.RUNNING)
                quiet = quiet and ended
                if last.get(key) == _ALL_SEEN:
                    continue
                ids = {"execution_id": execution, "task_id": key[0], "attempt": key[1]}
                lines = list(self._sql.select_lines_after(db, **ids, sequence=last.get(key, -1)))
                found += lines
                # The state was read first: a worker writes its last line before it says that it has ended.
                last[key] = _ALL_SEEN if ended else lines[-1]["sequence"] if lines else last.get(key, -1)
            return found, last, quiet

        rows, last, quiet = self._rows.read(work)
        seen.update(last)
        return sorted((LogLine(**dict(row)) for row in rows), key=lambda line: line.time), quiet

    def append_log(self, lines: Iterable[LogLine]) -> None:
        """Write a batch of masked lines in one transaction."""
        self._rows.append(list(lines))

    def lines_of(self, execution: str, task: str, number: int, after: int) -> list[LogLine]:
        """Return the lines of one attempt after a sequence number, in order."""
        ids = {"execution_id": execution, "task_id": task, "attempt": number}
        rows = self._rows.read(lambda db: list(self._sql.select_lines_after(db, **ids, sequence=after)))
        return [LogLine(**dict(row)) for row in rows]

    def log_lines(self, execution: str, *, task: str | None = None) -> list[LogLine]:
        """Return the log of an execution, or of one of its tasks, in order."""
        rows = self._rows.read(lambda db: list(self._sql.select_log_lines(db, execution_id=execution, task_id=task)))
        return [LogLine(**dict(row)) for row in rows]

    def log_ends(self, execution: str, *, first: int, last: int, longest: int) -> list[LogExcerpt]:
        """Return the `first` and `last` lines of each task's log in order, messages cut at `longest` characters."""
        return self._rows.read(
            lambda db: [
                read_excerpt(row, longest)
                for row in self._sql.select_log_ends(db, execution_id=execution, first=first, last=last)
            ]
        )

    @property
    def rows(self) -> Rows:
        """The database; for the modules of this room."""
        return self._rows
