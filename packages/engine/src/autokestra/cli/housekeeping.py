"""`workflow execution prune` and `delete`: old executions go for good, with their logs and outputs."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autokestra.cli import console
from autokestra.cli.completion.suggestions import execution_ids
from autokestra.cli.states import found_state, opened_state, state_option
from autokestra.cli.stores import say
from autokestra.cli.times import local_time, utc_time
from autokestra.errors import UsageError

if TYPE_CHECKING:
    from autokestra.executions.housekeeping import Removable
    from autokestra.executions.store import ExecutionStore

json_option = click.option("--json", "as_json", is_flag=True, help="Print what was removed as a JSON array.")
dry_option = click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Print only what went wrong.")


@click.command("prune")
@click.option("--older-than", metavar="AGE", help="Those that ended longer ago than this: 12h, 30d.")
@click.option("--keep-last", type=click.IntRange(0), metavar="N", help="Keep the newest N of each workflow.")
@click.option("--failed", is_flag=True, help="Also those that could still be resumed: FAILED, CANCELLED, process gone.")
@dry_option
@json_option
@quiet_option
@state_option
def prune(
    older_than: str | None,
    keep_last: int | None,
    failed: bool,  # noqa: FBT001  # click calls by name
    dry_run: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
    quiet: bool,  # noqa: FBT001
    state: str | None,
) -> None:
    """Remove old executions for good, with their logs and outputs, and give the disk space back.

    Executions that succeeded go; what `resume` could still finish stays, unless --failed says otherwise. What is
    under way is never removed. Without --older-than and --keep-last the settings keep_for and keep_last count.
    """
    from autokestra.app import App, now  # noqa: PLC0415
    from autokestra.executions.housekeeping import removable  # noqa: PLC0415

    app = App(state=state, notify=say)
    age = None if older_than is None else _age(older_than)
    if age is None and keep_last is None:
        age, keep_last = app.settings.keep_for, app.settings.keep_last
    if age is None and keep_last is None:
        raise UsageError(
            "prune needs --older-than or --keep-last, or the settings keep_for or keep_last",
            hint="workflow execution prune --older-than 30d",
        )
    before = now() - int((age or 0) * 1_000_000)
    with opened_state(state, app=app) as store:
        if store is None:
            _report([], as_json=as_json, dry_run=dry_run, quiet=quiet)
            return
        found, kept = removable(store, before=before, keep_last=keep_last or 0, with_failed=failed)
        _remove(store, found, dry_run=dry_run, as_json=as_json, quiet=quiet)
    if kept and not quiet:
        console.notice(f"{_count(len(kept))} that could be resumed {_are(len(kept))} kept; --failed removes them too")


@click.command("delete")
@click.argument("ids", metavar="ID...", nargs=-1, required=True, shell_complete=execution_ids)
@dry_option
@json_option
@quiet_option
@state_option
def delete(
    ids: Sequence[str],
    dry_run: bool,  # noqa: FBT001  # click calls by name
    as_json: bool,  # noqa: FBT001
    quiet: bool,  # noqa: FBT001
    state: str | None,
) -> None:
    """Remove these executions for good, with their logs and outputs.

    All of them or none: one that is not there or is under way is an error.
    """
    from autokestra.executions.housekeeping import named  # noqa: PLC0415

    with found_state(state) as store:
        _remove(store, named(store, ids), dry_run=dry_run, as_json=as_json, quiet=quiet)


def _remove(
    store: "ExecutionStore", found: "Sequence[Removable]", *, dry_run: bool, as_json: bool, quiet: bool
) -> None:
    from autokestra.executions.housekeeping import give_back, remove  # noqa: PLC0415

    removed = list(found) if dry_run else list(remove(store, found))
    _report(removed, as_json=as_json, dry_run=dry_run, quiet=quiet)
    if dry_run or not removed:
        return
    space = give_back(store, size=lambda: _bytes(Path(store.location)))
    if space is not None and not quiet:
        console.notice(f"{store.location} has {_size(space.after)}, {_size(max(0, space.before - space.after))} less")
        if not space.is_rewritten:
            console.notice(
                "traces of what was removed may remain in its pages until the next prune at which nothing is running"
            )


def _report(removed: "Sequence[Removable]", *, as_json: bool, dry_run: bool, quiet: bool) -> None:
    if as_json:
        console.out_json([_object(each) for each in removed])
    elif dry_run and removed:
        headers = ("ID", "WORKFLOW", "STATE", "ENDED")
        rows = ((each.id, each.workflow_id, each.state.value, local_time(each.touched_at)) for each in removed)
        console.out(console.table(headers, rows))
    if not quiet:
        counts = Counter(each.state.value for each in removed)
        states = f": {', '.join(f'{count} {state}' for state, count in sorted(counts.items()))}" if removed else ""
        console.notice(f"{'would remove' if dry_run else 'removed'} {_count(len(removed))}{states}")


def _object(each: "Removable") -> dict[str, object]:
    return {
        "id": each.id,
        "workflow": each.workflow_id,
        "state": each.state.value,
        "ended_at": utc_time(each.touched_at),
    }


def _age(text: str) -> float:
    """Return seconds."""
    from autokestra.workflow.durations import parse_duration  # noqa: PLC0415

    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--older-than: {error}", hint="workflow execution prune --older-than 30d") from None


def _bytes(path: Path) -> int:
    """Return the size of the database with what SQLite keeps beside it."""
    return sum(each.stat().st_size for each in path.parent.glob(f"{path.name}*") if each.is_file())


def _count(number: int) -> str:
    return f"{number:,} execution{'' if number == 1 else 's'}"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _size(number: int) -> str:
    return f"{number / (1 << 20):,.1f} MiB" if number >= 1 << 20 else f"{number / (1 << 10):.0f} KiB"
