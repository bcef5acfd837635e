"""`workflow secrets`: values go in by prompt, pipe, file or argument, and come out by `get` alone.

The library is imported when a command runs. No value is shown, quoted or measured here.
"""

import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import click

from autokestra.cli import console
from autokestra.cli.completion.suggestions import file_paths, secret_names
from autokestra.cli.groups import Entry, LazyGroup
from autokestra.cli.stores import accept_option, opened_store, store_option
from autokestra.errors import UsageError

if TYPE_CHECKING:
    from autokestra_secrets import SecretValue

INPUT_BYTES: Final = 16 << 20  # bytes read from a file or a pipe before it is refused; keeps /dev/zero out of memory

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


# The commands that everybody uses are here; what is needed seldom has modules of its own.
COMMANDS: Final[Mapping[str, Entry]] = {
    "set": Entry(f"{__name__}:set_", "Store a secret."),
    "get": Entry(f"{__name__}:get", "Print the value of a secret, byte for byte."),
    "list": Entry(f"{__name__}:list_", "List the names of all secrets, with their times; needs no key."),
    "delete": Entry(f"{__name__}:delete", "Delete secrets for good."),
    "rename": Entry(f"{__name__}:rename", "Give a secret another name."),
    "history": Entry(
        "autokestra.cli.versions:history", "List the kept versions of a secret, newest first; needs no key."
    ),
    "rollback": Entry("autokestra.cli.versions:rollback", "Store an earlier version of a secret again, as the newest."),
    "describe": Entry("autokestra.cli.versions:describe", "Change what is said about a secret, and not its value."),
    "import": Entry(
        "autokestra.cli.transfer:import_", "Store all secrets of a dotenv, JSON or shell file, or of the environment."
    ),
    "export": Entry("autokestra.cli.transfer:export", "Write secrets in clear, for another program."),
    "exec": Entry(
        "autokestra.cli.exec.command:exec_", "Run a program with secrets in its environment, and mask its output."
    ),
    "scan": Entry("autokestra.cli.scan:scan", "Look for stored values in files, in any form that a masker knows."),
    "verify": Entry(
        "autokestra.cli.care:verify", "Check that nothing was changed, dropped or put back behind our back."
    ),
    "backup": Entry(
        "autokestra.cli.care:backup", "Copy the store to a file, whole and encrypted, while others use it."
    ),
    "restore": Entry(
        "autokestra.cli.care:restore",
        "Put a backup in the place of the store, if it is whole and opens with the key at hand.",
    ),
    "copy": Entry(
        "autokestra.cli.care:copy", "Copy all secrets to another store, with their versions, times and descriptions."
    ),
    "key": Entry("autokestra.cli.keys:key", "Look at the keys that open the store, and change them."),
}

secrets: Final = LazyGroup("secrets", COMMANDS, help="Store, show and remove secrets.")
store_option(secrets)


# --- in -----------------------------------------------------------------------------------------------------------


class ValueTakingCommand(click.Command):
    """A command one of whose arguments is a value, so that no usage error may repeat what was typed."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, and say which kind of thing is wrong instead of quoting it."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption:
            hint = f"a value that begins with '-' comes after '--': {ctx.command_path} NAME -- VALUE"
            raise UsageError("there is an option that does not exist", hint=hint) from None
        except click.UsageError as error:
            if type(error) is not click.UsageError:  # its kinds name an option or argument of ours
                raise
            hint = "put a value with spaces in quotes, or leave it out to be asked for it"
            raise UsageError("there are too many arguments", hint=hint) from None


@click.command("set", cls=ValueTakingCommand)
@click.argument("name", shell_complete=secret_names)
@click.argument("value", required=False)
@click.option(
    "--from-file",
    "file",
    metavar="FILE",
    shell_complete=file_paths,
    help="Take the bytes of FILE as they are; '-' is stdin.",
)
@click.option("--description", metavar="TEXT", help="What it is for. Stored in clear.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="A word to find it by; may be given again.")
@click.option("--expires", metavar="WHEN", help="When it runs out: 30d, 12h, 2026-12-31.")
@click.option("--if-version", type=click.IntRange(0), metavar="N", help="Only if N is its version; 0 is none yet.")
@click.option("--keep", type=click.IntRange(1), metavar="N", help="Versions to keep, this one included.  [default: 10]")
@click.option("-q", "--quiet", is_flag=True, help="Do not say that it was stored.")
@accept_option
@store_option
def set_(
    name: str,
    value: str | None,
    file: str | None,
    description: str | None,
    tags: Sequence[str],
    expires: str | None,
    if_version: int | None,
    keep: int | None,
    quiet: bool,  # noqa: FBT001  # click calls by name
) -> None:
    """Store a secret.

    Without VALUE you are asked for it twice, or it is read from a pipe, less one line break at the end. A VALUE on
    the command line works, but shells keep it in their history. What it replaces stays in its history.
    """
    from autokestra_secrets import SecretValue, secret_name  # noqa: PLC0415

    if value is not None and file is not None:
        raise UsageError("a VALUE and --from-file exclude each other", hint="leave one of them out")
    checked = secret_name(name)  # before anybody types a value in vain
    until = None
    if expires is not None:
        from autokestra.cli.expiry import parse_expiry  # noqa: PLC0415  # dates cost 3 ms

        until = parse_expiry(expires, now=time.time_ns() // 1000)
    content = SecretValue(_value(name, value, file))
    risky = unmaskable([(name, content)])
    kept = {} if keep is None else {"keep": keep}
    with opened_store() as store:
        store.set(
            checked,
            content,
            if_version=if_version,
            description=description,
            tags=tags or None,
            expires=until,
            **kept,
        )
    if not quiet:
        console.notice(f"secret '{name}' stored")
    warn_of(risky)


def _value(name: str, argument: str | None, file: str | None) -> bytes:
    if argument is not None:
        console.warn(
            "a value on the command line stays in the shell's history and shows in the list of processes",
            hint=f"to be asked for it: workflow secrets set {name}",
        )
        return os.fsencode(argument)
    if file is not None:
        return read_input(file)
    if console.can_ask():
        first, second = console.ask_hidden(f"Value of '{name}' (not shown): ", "Once more: ")
        if first != second:
            raise UsageError("the two entries differ", hint="for a value of several lines use a pipe or --from-file")
        return first
    piped = read_input("-")
    return piped.removesuffix(b"\r\n") if piped.endswith(b"\r\n") else piped.removesuffix(b"\n")


def unmaskable(values: Iterable[tuple[str, "SecretValue"]]) -> dict[str, str]:
    """Return the names of values that a log could not be kept free of, each with the reason."""
    from autokestra_secrets import maskability  # noqa: PLC0415

    reasons = ((name, maskability(value.reveal_bytes())) for name, value in values)
    return {name: reason for name, reason in reasons if reason}


def warn_of(reasons: Mapping[str, str]) -> None:
    """Warn of each value that `unmaskable` returned."""
    for name, reason in reasons.items():
        console.warn(f"secret '{name}' cannot be masked in logs: {reason}")


def read_input(file: str) -> bytes:
    """Return the bytes of a file, or of stdin for `-`. Raises UsageError beyond 16 MiB, and OSError."""
    if file != "-":
        with open(file, "rb") as stream:  # noqa: PTH123  # pathlib costs 10 ms
            data = stream.read(INPUT_BYTES + 1)
    elif sys.stdin is None:
        raise UsageError("stdin is closed, and there is something to read from it")
    else:
        data = sys.stdin.buffer.read(INPUT_BYTES + 1)
    if len(data) > INPUT_BYTES:
        raise UsageError(f"{'stdin' if file == '-' else file} holds more than {INPUT_BYTES:,} bytes")
    return data


# --- out ----------------------------------------------------------------------------------------------------------


@click.command("get")
@click.argument("name", shell_complete=secret_names)
@click.option("--version", type=click.IntRange(1), metavar="N", help="An earlier version; see `history`.")
@json_option
@click.option("-q", "--quiet", is_flag=True, help="Do not warn that the value is shown.")
@store_option
def get(name: str, version: int | None, as_json: bool, quiet: bool) -> None:  # noqa: FBT001  # click calls by name
    """Print the value of a secret, byte for byte.

    On a terminal a line break follows. With --json, a value that is no text is in base64.
    """
    with opened_store() as store:
        value = store.get(name, version=version)
    if not quiet:
        console.warn(f"this shows the value of '{name}' in clear")
    if as_json:
        console.out_json({"name": name, **json_value(value)})
    else:
        console.out_bytes(value.reveal_bytes() + (b"\n" if console.stdout_is_terminal() else b""))


def json_value(value: "SecretValue") -> dict[str, str]:
    """Return what JSON says of a value: text as it is, other bytes in base64."""
    if value.is_text:
        return {"encoding": "text", "value": value.reveal()}
    from base64 import b64encode  # noqa: PLC0415

    return {"encoding": "base64", "value": b64encode(value.reveal_bytes()).decode()}


@click.command("list")
@json_option
@store_option
def list_(as_json: bool) -> None:  # noqa: FBT001  # click calls by name
    """List the names of all secrets, with their times; needs no key."""
    from autokestra.cli.expiry import warnings  # noqa: PLC0415
    from autokestra.cli.times import local_time  # noqa: PLC0415
    from autokestra.cli.versions import metadata_object, metadata_table, now  # noqa: PLC0415

    with opened_store() as store:
        found = store.list()
    if as_json:  # it has a field for what is due
        console.out_json([metadata_object(secret) for secret in found])
        return
    if found:
        rows = [
            (secret.name, str(secret.version), local_time(secret.created_at), local_time(secret.updated_at))
            for secret in found
        ]
        console.out(metadata_table(found, ("NAME", "VERSION", "CREATED", "UPDATED"), rows))
    else:
        console.notice("no secrets found")
    for line in warnings(found, now=now()):
        console.warn(line)


# --- changes ------------------------------------------------------------------------------------------------------


@click.command("delete")
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=secret_names)
@click.option("-f", "--force", is_flag=True, help="Do not ask. Required without a terminal.")
@click.option("-q", "--quiet", is_flag=True, help="Do not say that it was deleted.")
@accept_option
@store_option
def delete(names: Sequence[str], force: bool, quiet: bool) -> None:  # noqa: FBT001  # click calls by name
    """Delete secrets for good."""
    from autokestra_secrets import SecretNotFoundError, secret_name  # noqa: PLC0415

    wanted = [secret_name(name) for name in dict.fromkeys(names)]
    if not force and not console.can_ask():
        raise UsageError(
            "there is no terminal to ask, so nothing was deleted", hint="to delete without asking: --force"
        )
    with opened_store() as store:
        present = store.names()
        for name in wanted:  # all are looked for before the first one goes
            if name not in present:
                raise SecretNotFoundError(name, hint="see which there are: workflow secrets list")
        if not force and not console.confirm(f"Delete {_listed(wanted)} for good?"):
            console.notice("nothing was deleted")
            return
        for name in wanted:
            store.delete(name)
    if not quiet:
        console.notice(f"{_listed(wanted)} deleted")


def _listed(names: Sequence[str]) -> str:
    return f"{'secret' if len(names) == 1 else 'secrets'} {', '.join(map(repr, names))}"


@click.command("rename")
@click.argument("old", shell_complete=secret_names)
@click.argument("new")
@click.option("-q", "--quiet", is_flag=True, help="Do not say that it was renamed.")
@accept_option
@store_option
def rename(old: str, new: str, quiet: bool) -> None:  # noqa: FBT001  # click calls by name
    """Give a secret another name."""
    with opened_store() as store:
        store.rename(old, new)
    if not quiet:
        console.notice(f"secret '{old}' is now '{new}'; workflows that declare '{old}' need the new name")
