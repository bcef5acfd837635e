"""`workflow secrets scan`: which files hold a stored value, in any form that a masker knows. No value is shown."""

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import click

from autokestra.cli import console
from autokestra.cli.codes import EXIT_FOUND, EXIT_PERMISSION
from autokestra.cli.completion.suggestions import file_paths
from autokestra.cli.stores import opened_store, store_option
from autokestra.errors import UsageError

if TYPE_CHECKING:
    from autokestra_secrets import SecretStore, SecretValue

STDIN: Final = "stdin"


@click.command("scan")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", shell_complete=file_paths)
@click.option("--all-versions", is_flag=True, help="Look for the kept earlier versions of each secret too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Do not say how many files were read.")
@store_option
def scan(
    paths: Sequence[str],
    all_versions: bool,  # noqa: FBT001  # click calls by name
    as_json: bool,  # noqa: FBT001
    quiet: bool,  # noqa: FBT001
) -> int:
    """Look for stored values in files, in any form that a masker knows.

    PATH is a file, a directory with all below it, or '-' for stdin. Symbolic links below a directory are not followed,
    and only regular files are read. Exit code 12 when a value was found. Without --all-versions only the current value
    of each secret is looked for.
    """
    from autokestra.cli.findings import PIECE, Finder  # noqa: PLC0415

    with opened_store() as store:
        values = store.get_many(sorted(store.names()))
        if all_versions:
            values |= _earlier(store, values)
    finder = Finder(values)
    for name, reason in finder.unmaskable.items():
        console.warn(f"secret '{name}' cannot be looked for: {reason}")
    found: list[dict[str, object]] = []
    files = unread = 0
    for path in paths:
        for file, descriptor in _opened(path):
            if descriptor is None:
                unread += 1
                continue
            with open(descriptor, "rb", buffering=0, closefd=file != STDIN) as stream:
                pieces = iter(lambda stream=stream: stream.read(PIECE), b"")  # type: ignore[misc]
                try:
                    for finding in finder.search(pieces):
                        found.append({"file": file, "line": finding.line, "name": finding.name, "form": finding.form})
                        if not as_json:
                            console.out(f"{console.visible(file)}:{finding.line}: {finding.name} ({finding.form})")
                except OSError as error:  # a disk that fails, a file of /proc that cannot be read after all
                    console.warn(f"{file} was not read to its end: {(error.strerror or '').lower()}")
                    unread += 1
            files += 1
    if as_json:
        console.out_json(found)
    if not quiet:
        places = f"{len(found)} {'place' if len(found) == 1 else 'places'}"
        console.notice(f"stored values found in {places} of {files} {'file' if files == 1 else 'files'}")
    if found:
        return EXIT_FOUND
    return EXIT_PERMISSION if unread else 0


def _earlier(store: "SecretStore", current: "Mapping[str, SecretValue]") -> "dict[str, SecretValue]":
    """Return the values of earlier versions, as `NAME version N`, but for those that are the current value again."""
    found = {}
    for name, value in current.items():
        for version in store.history(name)[1:]:
            earlier = store.get(name, version=version.version)
            if earlier != value:
                found[f"{name} version {version.version}"] = earlier
    return found


def _opened(path: str) -> Iterator[tuple[str, int | None]]:
    """Yield each regular file of `path` with a descriptor to read from, None for one that cannot be read."""
    if path == "-":
        yield STDIN, 0
        return
    # What somebody names may be a link; below it, a link may lead anywhere, and what it leads to is read by itself.
    status = os.stat(path)  # noqa: PTH116
    if stat.S_ISDIR(status.st_mode):
        for directory, names, files in os.walk(path, onerror=_say_unread):
            names.sort()
            for file in sorted(files):
                yield from _open_file(os.path.join(directory, file), os.O_NOFOLLOW)  # noqa: PTH118
    elif stat.S_ISREG(status.st_mode):
        yield from _open_file(path, 0)
    else:
        raise UsageError(
            f"{path} is neither a file nor a directory", hint="to search a pipe: … | workflow secrets scan -"
        )


def _open_file(path: str, flags: int) -> Iterator[tuple[str, int | None]]:
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode) and flags:
            return
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | flags)
    except FileNotFoundError:  # gone since it was listed
        return
    except OSError as error:
        _say_unread(error)
        yield path, None
        return
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        yield path, descriptor
    else:  # it became something else in between, from which reading might not end
        os.close(descriptor)


def _say_unread(error: OSError) -> None:
    console.warn(f"cannot read {os.fsdecode(error.filename)}: {(error.strerror or '').lower()}")
