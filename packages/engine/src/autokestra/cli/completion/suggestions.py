"""What may stand in the place of an argument: names of secrets, ids of executions, tasks, actions, files.

Pressing a key is no decision. Nothing here unlocks, creates or migrates anything, says anything, or speaks with a
server: where names are in PostgreSQL there are none. Values are not read at all.
"""

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    Suggestions = list[CompletionItem[str]]

MOST: Final = 100  # executions, the newest


def file_paths(_: click.Context, __: click.Parameter, incomplete: str) -> "Suggestions":
    """Leave it to the shell, which knows the files."""
    from click.shell_completion import CompletionItem  # noqa: PLC0415  # only when a key is pressed

    return [CompletionItem(incomplete, type="file")]


def folder_paths(_: click.Context, __: click.Parameter, incomplete: str) -> "Suggestions":
    """Leave it to the shell, which knows the folders."""
    from click.shell_completion import CompletionItem  # noqa: PLC0415

    return [CompletionItem(incomplete, type="dir")]


def secret_names(ctx: click.Context, _: click.Parameter, incomplete: str) -> "Suggestions":
    """Return the names in the store that the line or the configuration names, which needs no key."""
    from autokestra.cli.stores import named_location  # noqa: PLC0415  # it imports this module
    from autokestra.settings import load_settings  # noqa: PLC0415
    from autokestra_secrets import SecretStore  # noqa: PLC0415

    location = named_location(ctx) or load_settings().values["store"].value
    if _is_elsewhere(location):
        return []
    with SecretStore.open(None if location is None else str(location)) as store:
        return _words(sorted(store.names()), incomplete)


def execution_ids(ctx: click.Context, _: click.Parameter, incomplete: str) -> "Suggestions":
    """Return `latest` and the ids of the newest executions."""
    from autokestra.executions.glance import newest  # noqa: PLC0415
    from autokestra.executions.records import LATEST  # noqa: PLC0415

    ids = newest(state, MOST) if (state := _state_file(ctx)) else []
    return _words([*([LATEST] if ids else []), *ids], incomplete)


def task_names(ctx: click.Context, _: click.Parameter, incomplete: str) -> "Suggestions":
    """Return the tasks of the execution whose id stands in the line already."""
    from autokestra.executions.glance import tasks  # noqa: PLC0415

    # Behind an option that waits for its value, click has not yet told arguments apart.
    state, execution = _state_file(ctx), ctx.params.get("id_") or next(iter(ctx.args), None)
    return _words(tasks(state, execution) if state and execution else [], incomplete)


def action_types(_: click.Context, __: click.Parameter, incomplete: str) -> "Suggestions":
    """Return the built-in actions: those of plugins would have to be imported."""
    from autokestra.actions.registry import core_actions  # noqa: PLC0415

    return _words(sorted(core_actions()), incomplete)


Completer = Callable[[click.Context, click.Parameter, str], "Suggestions"]


def _words(words: Iterable[str], incomplete: str) -> "Suggestions":
    from click.shell_completion import CompletionItem  # noqa: PLC0415

    # A word that begins with `-` would be taken for an option.
    return [CompletionItem(word) for word in words if word.startswith(incomplete) and not word.startswith("-")]


def _state_file(ctx: click.Context) -> str | None:
    from autokestra.settings import load_settings  # noqa: PLC0415
    from autokestra_secrets import home_directory  # noqa: PLC0415

    location = ctx.params.get("state") or load_settings().state
    if location is None:
        return os.path.join(home_directory(os.environ), "state.db")  # noqa: PTH118  # importing pathlib costs 5 ms
    return None if _is_elsewhere(location) else str(location).removeprefix("sqlite:///")


def _is_elsewhere(location: object) -> bool:
    text = str(location or "")
    return "://" in text and not text.startswith("sqlite:///")
