"""Which store a command uses: the `--store` option, and the store it names, opened for the length of a command."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import click

from autokestra.cli import console
from autokestra.cli.completion.suggestions import file_paths

if TYPE_CHECKING:
    from autokestra_secrets import MasterKeyProvider, SecretStore

# Keys in the context's meta, which groups and their commands share.
_LOCATION: Final = "autokestra.store"
_ACCEPTED: Final = "autokestra.accept_rollback"

_said: Final[set[str]] = set()  # a command may open the same store or read the same settings several times


def remember_store(ctx: click.Context, _: click.Parameter, location: str | None) -> None:
    """Keep `--store`, which may stand before or after the command's name; the one after wins."""
    if location is not None:
        if not location.strip():
            raise click.UsageError("--store needs a location", ctx)
        ctx.meta[_LOCATION] = location


def remember_acceptance(ctx: click.Context, _: click.Parameter, accepted: bool) -> None:  # noqa: FBT001  # click's way
    """Keep `--accept-rollback`."""
    if accepted:
        ctx.meta[_ACCEPTED] = True


store_option = click.option(
    "--store",
    metavar="LOCATION",
    shell_complete=file_paths,
    expose_value=False,
    callback=remember_store,
    help="Path, sqlite:/// or postgresql:// URL.  [default: $AUTOKESTRA_STORE, else $AUTOKESTRA_HOME/secrets.db]",
)
accept_option = click.option(
    "--accept-rollback",
    is_flag=True,
    expose_value=False,
    callback=remember_acceptance,
    help="Write to a store that is older than this machine has seen it, gone, or another.",
)


def named_location(ctx: click.Context | None = None) -> str | None:
    """Return what `--store` said in the running command (or in `ctx`), None where it said nothing."""
    location: str | None = (ctx or click.get_current_context()).meta.get(_LOCATION)
    return location


def store_location() -> str | None:
    """Return what `--store` or the configuration file says, None when the variable or the default decides."""
    from autokestra.configpath import is_configured  # noqa: PLC0415

    location = named_location()
    if location is None and is_configured():
        from autokestra.settings import load_settings  # noqa: PLC0415

        location = load_settings(notify=say).store
    return location


def key_provider() -> "MasterKeyProvider":
    """Return the provider whose remarks (a key was made, others can read it) are said on stderr."""
    from autokestra_secrets import MasterKeyProvider  # noqa: PLC0415

    return MasterKeyProvider(notify=say)


def say(line: str) -> None:
    """Say a remark of the library on stderr, once; one that begins with `warning: ` is a warning."""
    if line in _said:
        return
    _said.add(line)
    kind, _, rest = line.partition("warning: ")
    if rest and not kind:
        console.warn(rest)
    else:
        console.notice(line)


@contextmanager
def opened_store() -> Iterator["SecretStore"]:
    """Open the store that `--store`, the environment or the default names; an absent secret gets the nearest name."""
    from autokestra_secrets import SecretNotFoundError, SecretStore  # noqa: PLC0415

    accepted: bool = click.get_current_context().meta.get(_ACCEPTED, False)
    with SecretStore.open(store_location(), keys=key_provider(), notify=say, accept_rollback=accepted) as store:
        try:
            yield store
        except SecretNotFoundError as error:
            nearest = _nearest(error.name, store.names())
            raise SecretNotFoundError(
                error.name, hint=f"did you mean '{nearest}'?" if nearest else error.hint
            ) from None


def _nearest(name: str, names: Iterable[str]) -> str | None:
    from difflib import get_close_matches  # noqa: PLC0415  # only after a slip

    by_letters = {other.casefold(): other for other in sorted(names)}  # most slips are of case
    found = get_close_matches(name.casefold(), by_letters, n=1)
    return by_letters[found[0]] if found else None
