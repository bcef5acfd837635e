"""`workflow secrets`: values go in by prompt, pipe, file or argument, and come out by `get` alone.

The library is imported when a command runs. No value is shown, quoted or measured here.
"""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import click

from autokestra.cli import console
from autokestra.cli.groups import Entry, LazyGroup
from autokestra.cli.stores import opened_store, store_option
from autokestra.errors import UsageError

if TYPE_CHECKING:
    from autokestra_secrets import SecretValue

INPUT_BYTES: Final = 16 << 20  # bytes read from a file or a pipe before it is refused; keeps /dev/zero out of memory

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


# Commands that print a value or take one are here; what is needed seldom has modules of its own.
COMMANDS: Final[Mapping[str, Entry]] = {
    "set": Entry(f"{__name__}:set_", "Store a secret."),
    "get": Entry(f"{__name__}:get", "Print the value of a secret, byte for byte."),
    "list": Entry(f"{__name__}:list_", "List the names of all secrets, with their times; needs no key."),
    "delete": Entry(f"{__name__}:delete", "Delete secrets for good."),
    "rename": Entry(f"{__name__}:rename", "Give a secret another name."),
    "import": Entry(f"{__name__}:import_", "Store all secrets of a dotenv or JSON file, or none."),
    "exec": Entry(
        "autokestra.cli.exec.command:exec_", "Run a program with secrets in its environment, and mask its output."
    ),
    "key": Entry("autokestra.cli.keys:key", "Look at the master key's place."),
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
@click.argument("name")
@click.argument("value", required=False)
@click.option("--from-file", "file", metavar="FILE", help="Take the bytes of FILE as they are; '-' is stdin.")
@click.option("-q", "--quiet", is_flag=True, help="Do not say that it was stored.")
@store_option
def set_(name: str, value: str | None, file: str | None, quiet: bool) -> None:  # noqa: FBT001  # click calls by name
    """Store a secret.

    Without VALUE you are asked for it twice, or it is read from a pipe, less one line break at the end. A VALUE on
    the command line works, but shells keep it in their history.
    """
    from autokestra_secrets import SecretValue, secret_name  # noqa: PLC0415

    if value is not None and file is not None:
        raise UsageError("a VALUE and --from-file exclude each other", hint="leave one of them out")
    checked = secret_name(name)  # before anybody types a value in vain
    content = SecretValue(_value(name, value, file))
    risky = _unmaskable([(name, content)])
    with opened_store() as store:
        store.set(checked, content)
    if not quiet:
        console.notice(f"secret '{name}' stored")
    _warn_of(risky)


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


@click.command("import")
@click.argument("file")
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["dotenv", "json"]),
    help="What FILE is.  [default: by its extension and content]",
)
@click.option("-q", "--quiet", is_flag=True, help="Do not say what was stored.")
@store_option
def import_(file: str, file_format: str | None, quiet: bool) -> None:  # noqa: FBT001  # click calls by name
    """Store all secrets of a dotenv or JSON file, or none.

    FILE holds lines NAME=VALUE, or a JSON object of strings; '-' is stdin. In dotenv files, quoted values may
    go over several lines, and $NAME stays as it is: nothing is expanded.
    """
    from autokestra.cli import imports  # noqa: PLC0415

    origin = "stdin" if file == "-" else file
    text = imports.decode(read_input(file), origin=origin)
    chosen: imports.Format = "json" if file_format == "json" else "dotenv"
    found = imports.parse(
        text, origin=origin, file_format=chosen if file_format else imports.detect_format(origin, text)
    )
    risky = _unmaskable(found.items())
    with opened_store() as store:
        store.set_many(found)
    if not quiet:
        console.notice(f"{len(found)} {'secret' if len(found) == 1 else 'secrets'} stored: {', '.join(found)}")
    _warn_of(risky)


def _unmaskable(values: Iterable[tuple[str, "SecretValue"]]) -> dict[str, str]:
    """Return the names of values that a log could not be kept free of, each with the reason."""
    from autokestra_secrets import maskability  # noqa: PLC0415

    reasons = ((name, maskability(value.reveal_bytes())) for name, value in values)
    return {name: reason for name, reason in reasons if reason}


def _warn_of(unmaskable: Mapping[str, str]) -> None:
    for name, reason in unmaskable.items():
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
@click.argument("name")
@json_option
@click.option("-q", "--quiet", is_flag=True, help="Do not warn that the value is shown.")
@store_option
def get(name: str, as_json: bool, quiet: bool) -> None:  # noqa: FBT001  # click calls by name
    """Print the value of a secret, byte for byte.

    On a terminal a line break follows. With --json, a value that is no text is in base64.
    """
    with opened_store() as store:
        value = store.get(name)
    if not quiet:
        console.warn(f"this shows the value of '{name}' in clear")
    if as_json:
        console.out_json({"name": name, **_json_value(value)})
    else:
        console.out_bytes(value.reveal_bytes() + (b"\n" if console.stdout_is_terminal() else b""))


def _json_value(value: "SecretValue") -> dict[str, str]:
    if value.is_text:
        return {"encoding": "text", "value": value.reveal()}
    from base64 import b64encode  # noqa: PLC0415

    return {"encoding": "base64", "value": b64encode(value.reveal_bytes()).decode()}


@click.command("list")
@json_option
@store_option
def list_(as_json: bool) -> None:  # noqa: FBT001  # click calls by name
    """List the names of all secrets, with their times; needs no key."""
    from autokestra.cli.times import local_time, utc_time  # noqa: PLC0415

    with opened_store() as store:
        found = store.list()
    if as_json:
        console.out_json(
            [
                {
                    "name": secret.name,
                    "version": secret.version,
                    "created_at": utc_time(secret.created_at),
                    "updated_at": utc_time(secret.updated_at),
                }
                for secret in found
            ]
        )
    elif found:
        rows = [
            (secret.name, str(secret.version), local_time(secret.created_at), local_time(secret.updated_at))
            for secret in found
        ]
        console.out(console.table(("NAME", "VERSION", "CREATED", "UPDATED"), rows))
    else:
        console.notice("no secrets found")


# --- changes ------------------------------------------------------------------------------------------------------


@click.command("delete")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("-f", "--force", is_flag=True, help="Do not ask. Required without a terminal.")
@click.option("-q", "--quiet", is_flag=True, help="Do not say that it was deleted.")
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
@click.argument("old")
@click.argument("new")
@click.option("-q", "--quiet", is_flag=True, help="Do not say that it was renamed.")
@store_option
def rename(old: str, new: str, quiet: bool) -> None:  # noqa: FBT001  # click calls by name
    """Give a secret another name."""
    with opened_store() as store:
        store.rename(old, new)
    if not quiet:
        console.notice(f"secret '{old}' is now '{new}'; workflows that declare '{old}' need the new name")
