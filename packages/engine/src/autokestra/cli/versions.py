"""`workflow secrets history`, `rollback`, `describe`: earlier versions of a secret, and what is said about one."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from autokestra.cli import console
from autokestra.cli.completion.suggestions import secret_names
from autokestra.cli.expiry import due, parse_expiry
from autokestra.cli.stores import accept_option, opened_store, store_option
from autokestra.cli.times import local_time, utc_time
from autokestra.errors import UsageError

if TYPE_CHECKING:
    from autokestra_secrets import SecretMetadata


def now() -> int:
    """Return microseconds since 1970 in UTC."""
    return time.time_ns() // 1000


def metadata_object(secret: "SecretMetadata") -> dict[str, object]:
    """Return what `--json` shows of a version."""
    return {
        "name": secret.name,
        "version": secret.version,
        "created_at": utc_time(secret.created_at),
        "updated_at": utc_time(secret.updated_at),
        "description": secret.description,
        "tags": list(secret.tags),
        "expires_at": None if secret.expires_at is None else utc_time(secret.expires_at),
        "due": due(secret.expires_at, now=now()),
    }


def metadata_table(
    secrets: "Sequence[SecretMetadata]", headers: tuple[str, ...], rows: Sequence[tuple[str, ...]]
) -> str:
    """Return a table of `rows`, each with what is said about its secret behind it; empty columns are left out."""
    columns = {
        "EXPIRES": ["" if one.expires_at is None else local_time(one.expires_at) for one in secrets],
        "TAGS": [", ".join(one.tags) for one in secrets],
        "DESCRIPTION": [one.description for one in secrets],
    }
    filled = {header: cells for header, cells in columns.items() if any(cells)}
    more = list(zip(*filled.values(), strict=True)) if filled else [()] * len(rows)
    return console.table((*headers, *filled), [(*row, *extra) for row, extra in zip(rows, more, strict=True)])


@click.command("history")
@click.argument("name", shell_complete=secret_names)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@store_option
def history(name: str, as_json: bool) -> None:  # noqa: FBT001  # click calls by name
    """List the kept versions of a secret, newest first; needs no key."""
    with opened_store() as store:
        found = store.history(name)
    if as_json:
        console.out_json([metadata_object(version) | {"current": version.current} for version in found])
        return
    rows = [
        (str(version.version) + (" (current)" if version.current else ""), local_time(version.updated_at))
        for version in found
    ]
    console.out(metadata_table(found, ("VERSION", "STORED"), rows))


@click.command("rollback")
@click.argument("name", shell_complete=secret_names)
@click.option("--to", "version", type=click.IntRange(1), required=True, metavar="N", help="The version to go back to.")
@click.option("-q", "--quiet", is_flag=True, help="Do not say that it was stored.")
@accept_option
@store_option
def rollback(name: str, version: int, quiet: bool) -> None:  # noqa: FBT001  # click calls by name
    """Store an earlier version of a secret again, as the newest."""
    with opened_store() as store:
        stored = store.rollback(name, version)
    if not quiet:
        console.notice(f"secret '{name}' has the value of version {version} again, as version {stored.version}")


@click.command("describe")
@click.argument("name", shell_complete=secret_names)
@click.option("--description", metavar="TEXT", help="What it is for; an empty text takes it away.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="May be given again; an empty one takes all away.")
@click.option("--expires", metavar="WHEN", help="30d, 12h, 2026-12-31, or never.")
@click.option("-q", "--quiet", is_flag=True, help="Do not say that it was stored.")
@accept_option
@store_option
def describe(
    name: str,
    description: str | None,
    tags: Sequence[str],
    expires: str | None,
    quiet: bool,  # noqa: FBT001  # click calls by name
) -> None:
    """Change what is said about a secret, and not its value.

    What is not given stays. Description, tags and times are stored in clear: nothing secret belongs there.
    """
    if description is None and not tags and expires is None:
        raise UsageError("there is nothing to change", hint="give --description, --tag or --expires")
    until = ... if expires is None else parse_expiry(expires, now=now())
    with opened_store() as store:
        stored = store.describe(
            name,
            description=... if description is None else description or None,
            tags=[tag for tag in tags if tag] if tags else ...,
            expires=until,
        )
    if not quiet:
        console.notice(f"secret '{name}' is described anew, as version {stored.version}")
