"""`workflow secrets verify`, `backup`, `restore`: whether a store is what was written, and copies of it."""

from shlex import quote
from typing import TYPE_CHECKING

import click

from autokestra.cli import console
from autokestra.cli.codes import EXIT_FOUND
from autokestra.cli.completion.suggestions import file_paths
from autokestra.cli.stores import accept_option, key_provider, opened_store, say, store_location, store_option

if TYPE_CHECKING:
    from autokestra_secrets import Report

force_option = click.option("-f", "--force", is_flag=True, help="Overwrite what is there.")


@click.command("verify")
@click.argument("file", required=False, shell_complete=file_paths)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Do not say that all is well.")
@store_option
def verify(file: str | None, as_json: bool, quiet: bool) -> int:  # noqa: FBT001  # click calls by name
    """Check that nothing was changed, dropped or put back behind our back.

    FILE is a backup to check instead of the store. Exit code 12 when something is wrong.
    """
    from autokestra_secrets import SecretStore  # noqa: PLC0415

    if file is not None:
        report, place = SecretStore.verify_file(file, keys=key_provider()), file
    else:
        with opened_store() as store:
            report, place = store.verify(), store.location
    if as_json:
        console.out_json(_report_object(report))
    else:
        for problem in report.problems:
            about = f" (secret '{problem.name}'{f', version {problem.version}' if problem.version else ''})"
            console.out(f"{problem.kind}: {console.visible(problem.message)}{about if problem.name else ''}")
        if report.ok and not quiet:
            console.notice(f"{place} is whole: {_counted(report)}")
        elif not report.ok:
            console.error(f"{place} is not what was written", hint="put back a backup: workflow secrets restore FILE")
    return 0 if report.ok else EXIT_FOUND


def _report_object(report: "Report") -> dict[str, object]:
    return {
        "ok": report.ok,
        "secrets": report.secrets,
        "generation": report.generation,
        "problems": [problem._asdict() for problem in report.problems],
    }


def _counted(report: "Report") -> str:
    return f"{report.secrets} {'secret' if report.secrets == 1 else 'secrets'}, {report.generation} changes so far"


@click.command("backup")
@click.argument("file", shell_complete=file_paths)
@force_option
@click.option("-q", "--quiet", is_flag=True, help="Do not say that it was written.")
@store_option
def backup(file: str, force: bool, quiet: bool) -> None:  # noqa: FBT001  # click calls by name
    """Copy the store to a file, whole and encrypted, while others use it."""
    with opened_store() as store:
        store.backup(file, force=force)
    if not quiet:
        console.notice(f"wrote {file}; it opens with the same keys as the store, so keep it apart from them")


@click.command("restore")
@click.argument("file", shell_complete=file_paths)
@force_option
@click.option("-q", "--quiet", is_flag=True, help="Do not say that it was put back.")
@store_option
def restore(file: str, force: bool, quiet: bool) -> None:  # noqa: FBT001  # click calls by name
    """Put a backup in the place of the store, if it is whole and opens with the key at hand."""
    from autokestra_secrets import SecretStore  # noqa: PLC0415

    report = SecretStore.restore(file, store_location(), force=force, keys=key_provider())
    if not quiet:
        console.notice(f"restored {file}: {_counted(report)}")


@click.command("copy")
@click.option(
    "--to",
    "target",
    metavar="LOCATION",
    required=True,
    shell_complete=file_paths,
    help="Path, sqlite:/// or postgresql:// URL.",
)
@click.option("-f", "--force", is_flag=True, help="Replace everything that is there.")
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would be copied.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Do not say what was copied.")
@accept_option
@store_option
def copy(target: str, force: bool, dry_run: bool, as_json: bool, quiet: bool) -> None:  # noqa: FBT001  # click's way
    """Copy all secrets to another store, with their versions, times and descriptions.

    Values are encrypted again there and everything is verified; the two stores are independent from then on. A new
    store opens with the key at hand only, and for PostgreSQL no key is made.
    """
    from autokestra_secrets import SecretStore  # noqa: PLC0415

    with opened_store() as source, SecretStore.open(target, keys=key_provider(), notify=say) as other:
        report, slots = source.copy_to(other, force=force, dry_run=dry_run), source.keys.list()
        place = other.location
    if as_json:
        console.out_json({"location": place, "dry_run": dry_run, **report._asdict()})
        return
    if quiet:
        return
    versions = f"{report.versions} {'version' if report.versions == 1 else 'versions'}"
    secrets = f"{report.secrets} {'secret' if report.secrets == 1 else 'secrets'} in {versions}"
    console.notice(f"{'would copy' if dry_run else 'copied and verified'} {secrets} to {console.visible(place)}")
    if report.replaced:
        verb = "this replaces" if dry_run else "replaced"
        console.notice(f"{verb} {report.replaced} that {'was' if report.replaced == 1 else 'were'} there")
    if len(slots) > 1 and not dry_run:
        console.warn(
            "only the key at hand opens the copy, and not the other keys of this store",
            hint=f"add them again: workflow secrets key add --recovery --store {quote(place)}",
        )
