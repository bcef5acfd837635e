"""Which state database a command uses: the `--state` option, and the database it names, opened for a command."""

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from autokestra.cli.completion.suggestions import file_paths
from autokestra.cli.stores import say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autokestra.app import App
    from autokestra.executions.store import ExecutionStore

state_option = click.option(
    "--state",
    metavar="LOCATION",
    shell_complete=file_paths,
    help="State database: path or postgresql:// URL.  [default: $AUTOKESTRA_STATE, else $AUTOKESTRA_HOME/state.db]",
)


@contextmanager
def opened_state(state: str | None, *, app: "App | None" = None) -> "Iterator[ExecutionStore | None]":
    """Open the state database; None where `--state` named none and there is none yet.

    `app` is the one that the command has already. Raises StateUnavailableError where a named one is missing.
    """
    from autokestra.app import App  # noqa: PLC0415  # not for a help text

    app = app or App(state=state, notify=say)
    path = app.state_path
    if state is None and path is not None and not path.exists():
        yield None
        return
    with app.executions(create=False) as store:
        yield store


@contextmanager
def found_state(state: str | None, *, app: "App | None" = None) -> "Iterator[ExecutionStore]":
    """Open the state database for a command that needs an execution. Raises ExecutionNotFoundError without any."""
    from autokestra.errors import ExecutionNotFoundError  # noqa: PLC0415  # not for a help text

    with opened_state(state, app=app) as store:
        if store is None:
            raise ExecutionNotFoundError("there is no execution yet", hint="start one with: workflow run FILE")
        yield store
