"""`workflow secrets import`, `export`: many secrets at once, from and to files that other programs know."""

import errno
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final, cast

import click

from autokestra.cli import console
from autokestra.cli.completion.suggestions import file_paths, secret_names
from autokestra.cli.secrets import read_input, unmaskable, warn_of
from autokestra.cli.stores import accept_option, opened_store, store_option
from autokestra.errors import UsageError

if TYPE_CHECKING:
    from autokestra.cli.imports import Format
    from autokestra_secrets import SecretValue

MOST_LISTED: Final = 10  # names or lines that one message lists

format_choice = click.Choice(["dotenv", "json", "shell"])


@click.command("import")
@click.argument("file", required=False, shell_complete=file_paths)
@click.option(
    "--format", "file_format", type=format_choice, help="What FILE is.  [default: by its extension and content]"
)
@click.option("--from-env", "prefix", metavar="PREFIX", help="Take the variables that begin with PREFIX instead.")
@click.option("--strip-prefix", is_flag=True, help="Store them without PREFIX.")
@click.option("--skip-existing", is_flag=True, help="Leave secrets that are there as they are.")
@click.option("-q", "--quiet", is_flag=True, help="Do not say what was stored.")
@accept_option
@store_option
def import_(
    file: str | None,
    file_format: str | None,
    prefix: str | None,
    strip_prefix: bool,  # noqa: FBT001  # click calls by name
    skip_existing: bool,  # noqa: FBT001
    quiet: bool,  # noqa: FBT001
) -> None:
    """Store all secrets of a dotenv, JSON or shell file, or of the environment.

    All of them or none. FILE holds lines NAME=VALUE, a JSON object of strings, or lines export NAME='VALUE'; '-' is
    stdin. Nothing is expanded. A secret that is there gets a new version.
    """
    if (file is None) == (prefix is None):
        raise UsageError("expected either a FILE or --from-env PREFIX", hint="workflow secrets import .env")
    found = _from_file(file, file_format) if file is not None else _from_environment(prefix or "", strip=strip_prefix)
    with opened_store() as store:
        present = store.names() if skip_existing else frozenset()
        new = {name: value for name, value in found.items() if name not in present}
        store.set_many(new)
    if not quiet:
        skipped = f", {len(found) - len(new)} left as they are" if len(new) < len(found) else ""
        names = f": {_some([*new])}" if new else ""
        console.notice(f"{len(new)} {'secret' if len(new) == 1 else 'secrets'} stored{skipped}{names}")
    warn_of(unmaskable(new.items()))


def _some(words: Sequence[str]) -> str:
    """Return a list of words in one line, of many the first ones and how many more there are."""
    more = f" and {len(words) - MOST_LISTED:,} more" if len(words) > MOST_LISTED else ""
    return ", ".join(words[:MOST_LISTED]) + more


def _from_file(file: str, file_format: str | None) -> "dict[str, SecretValue]":
    from autokestra.cli import imports  # noqa: PLC0415

    origin = "stdin" if file == "-" else file
    text = imports.decode(read_input(file), origin=origin)
    chosen = cast("Format", file_format) if file_format else imports.detect_format(origin, text)
    unexpanded: list[int] = []
    found = imports.parse(text, origin=origin, file_format=chosen, unexpanded=unexpanded)
    if unexpanded:
        lines = f"{'line' if len(unexpanded) == 1 else 'lines'} {_some([*map(str, unexpanded)])}"
        console.warn(
            f"{origin}: {lines}: a $NAME is stored as it stands, since nothing is expanded",
            hint="write out what it stands for; where a $ is meant, put the value in single quotes",
        )
    return found


def _from_environment(prefix: str, *, strip: bool) -> "dict[str, SecretValue]":
    from autokestra_secrets import SecretsError, SecretValue, secret_name  # noqa: PLC0415

    found: dict[str, SecretValue] = {}
    for variable, value in sorted(os.environ.items()):
        # Our own settings, the master key among them, are no secrets of a workflow.
        if not variable.startswith(prefix) or variable.startswith("AUTOKESTRA_") or not value:
            continue
        try:
            name = secret_name(variable.removeprefix(prefix) if strip else variable)
            found[name] = SecretValue(os.fsencode(value))
        except SecretsError as error:
            raise UsageError(f"a variable that begins with PREFIX: {error.message}", hint=error.hint) from None
    if not found:
        raise UsageError("no variable that begins with PREFIX holds anything", hint="env | grep '^PREFIX'")
    return found


@click.command("export")
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=secret_names)
@click.option("--format", "file_format", type=format_choice, default="dotenv", show_default=True)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    shell_complete=file_paths,
    help="Write FILE, for you alone (0600), instead of stdout (-).",
)
@click.option("-f", "--force", is_flag=True, help="Overwrite FILE.")
@click.option("-q", "--quiet", is_flag=True, help="Do not warn that values are written in clear.")
@store_option
def export(
    names: Sequence[str],
    file_format: str,
    output: str | None,
    force: bool,  # noqa: FBT001  # click calls by name
    quiet: bool,  # noqa: FBT001
) -> None:
    """Write secrets in clear, for another program.

    Without NAME all of them. `import` reads every format back, to the byte. To run a program with secrets, use
    `exec`, which writes no file.
    """
    from autokestra.cli.exports import write  # noqa: PLC0415
    from autokestra_secrets import SecretNotFoundError  # noqa: PLC0415

    if output == "-":
        output = None
    with opened_store() as store:
        values = store.get_many(names or sorted(store.names()))
        for name in names:
            if name not in values:
                raise SecretNotFoundError(name)
    if not values:
        console.notice("no secrets found")
        return
    data = write(values, file_format=cast("Format", file_format)).encode()
    if output is not None:
        write_private(output, data, force=force)
    if not quiet:
        _warn_of_clear(values, output)
    if output is None:
        console.out_bytes(data)


def _warn_of_clear(values: "Mapping[str, SecretValue]", output: str | None) -> None:
    count = f"{len(values)} {'secret' if len(values) == 1 else 'secrets'}"
    if output is None:
        console.warn(f"this shows {count} in clear")
    else:
        console.warn(f"{output} holds {count} in clear", hint="delete it when it has been used")


def write_private(path: str, data: bytes, *, force: bool) -> None:
    """Write a file that only we can read (0600), whole or not at all. Raises ConflictError when it is there already."""
    if os.path.isdir(path):  # noqa: PTH112
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    directory, name = os.path.split(os.path.abspath(path))  # noqa: PTH100  # pathlib costs 10 ms
    scratch = os.path.join(directory, f".{name}.{os.urandom(8).hex()}")  # noqa: PTH118
    try:
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if force:
            os.replace(scratch, path)  # noqa: PTH105
        else:
            _claim(scratch, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None  # nobody has heard of the scratch file
    finally:
        with suppress(OSError):
            os.unlink(scratch)  # noqa: PTH108


def _claim(scratch: str, path: str) -> None:
    from autokestra_secrets import ConflictError  # noqa: PLC0415

    try:
        try:
            os.link(scratch, path)  # a hard link appears whole and never replaces what stands there
        except FileExistsError:
            raise
        except OSError:
            # No hard links on this file system: whoever creates the name may replace what stands there.
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            os.replace(scratch, path)  # noqa: PTH105
    except FileExistsError:
        raise ConflictError(
            f"there is a file at {path} already", hint="give another path, or overwrite it with --force"
        ) from None
