"""Attempts as rows: claimed once, kept alive, ended once, or given up."""

import json
from collections.abc import Iterable
from typing import Any

from autokestra.errors import ExecutionNotFoundError
from autokestra.executions.reading import read_attempt, row_is, row_key, to_json, to_text
from autokestra.executions.records import Account, Attempt, AttemptKey, AttemptState, Lease, StoredOutput
from autokestra.executions.rows import Table


class AttemptTable(Table):
    """The attempts of all executions: the part of the store that workers write."""

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
            "message": to_text(message) if message else None,
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

    def these_attempts(self, execution: str, keys: Iterable[tuple[str, int]]) -> list[Attempt]:
        """Return the attempts with these tasks and numbers, in this order and in one look.

        Raises ExecutionNotFoundError when one of them does not exist.
        """
        wanted = list(keys)
        found = {"execution_id": execution, "keys": to_json(wanted)}
        rows = self._rows.read(lambda db: list(self._sql.select_these_attempts(db, **found)))
        attempts = {(row["task_id"], row["number"]): read_attempt(row) for row in rows}
        for task, number in wanted:
            if (task, number) not in attempts:
                raise ExecutionNotFoundError(f"no attempt '{execution}/{task}/{number}'")
        return [attempts[key] for key in wanted]

    def attempts(self, execution: str) -> list[Attempt]:
        """Return all attempts of an execution, by task and number."""
        rows = self._rows.read(lambda db: list(self._sql.select_attempts(db, execution_id=execution)))
        return [read_attempt(row) for row in rows]
