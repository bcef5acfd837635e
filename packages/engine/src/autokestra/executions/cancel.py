"""Cancelling from outside: a row that the coordinator and its workers see, or the end of what nobody coordinates."""

from enum import Enum
from typing import Final

from autokestra.executions.lease import own_lease
from autokestra.executions.plan import Change
from autokestra.executions.records import AttemptState, ExecutionState, TaskState
from autokestra.executions.store import ExecutionStore

CANCELLED: Final = "cancelled"  # the reason of what a `cancel` has stopped


class Cancelled(Enum):
    """What became of the wish."""

    ASKED = "asked"  # somebody is at work on it and will see the row
    DONE = "done"  # nobody was: it is CANCELLED now
    ENDED = "ended"  # it had ended before


def cancel(store: ExecutionStore, execution: str, *, now: int) -> Cancelled:
    """Have an execution stopped. Raises ExecutionNotFoundError."""
    row = store.execution(execution)
    if row.state.ended:
        return Cancelled.ENDED
    if row.orphan:
        lease = own_lease(store.leases.now)
        if store.take_over(row.id, row.lease, lease, now):
            stop_running(store, row.id, now)  # workers of other machines do not end with their coordinator
            changes = [
                Change(task=run.task_id, state=TaskState.CANCELLED, reason=CANCELLED)
                for run in store.task_runs(row.id)
                if not run.state.ended
            ]
            store.advance(row.id, owner=lease.owner, now=now, changes=changes)
            store.end(
                row.id,
                ExecutionState.CANCELLED,
                owner=lease.owner,
                now=now,
                reason=CANCELLED,
                message="cancelled after its process was gone",
                secrets_used=row.secrets_used,
                masked=row.masked,
            )
            return Cancelled.DONE
    store.request_cancel(row.id, now)
    return Cancelled.ASKED


def stop_running(store: ExecutionStore, execution: str, now: int) -> None:
    """Ask every attempt of an execution that runs to stop."""
    for attempt in store.attempts(execution):
        if attempt.state is AttemptState.RUNNING:
            store.stop_attempt(execution, attempt.task_id, attempt.number, now)
