"""`workflow secrets key`: which keys open the store, and how they are changed; no key that is in use is ever shown."""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import click

from autokestra.cli import console
from autokestra.cli.completion.suggestions import file_paths
from autokestra.cli.groups import Entry, LazyGroup
from autokestra.cli.stores import accept_option, key_provider, opened_store, say, store_option
from autokestra.errors import UsageError

if TYPE_CHECKING:
    from autokestra_secrets import KeySlot, MasterKey, SecretStore

COMMANDS: Final[Mapping[str, Entry]] = {
    "show": Entry(f"{__name__}:show", "Print source, path and fingerprint of the master key; never the key."),
    "list": Entry(f"{__name__}:list_", "List the keys that open the store; needs none of them."),
    "create": Entry(f"{__name__}:create", "Make a new key file, for a store that several machines share."),
    "add": Entry(f"{__name__}:add", "Let a further key open the store."),
    "remove": Entry(f"{__name__}:remove", "Let a key open the store no longer."),
    "reencrypt": Entry(f"{__name__}:reencrypt", "Encrypt everything again, so that who once had a key is shut out."),
}

key: Final = LazyGroup("key", COMMANDS, help="Look at the keys that open the store, and change them.")

_PAGE: Final = """\
RECOVERY KEY of the Autokestra store {location}

    {text}

made on {date}, key slot {slot}. It opens the store when all other keys are
lost. Print or copy this page, keep it where you keep papers that matter, and
apart from the store. It is not shown again and not stored anywhere.

To try it, and to use it in place of the lost key, type it in one line:

    export AUTOKESTRA_SECRET_KEY='THE KEY ABOVE'
    workflow secrets verify

Capitals, spaces and dashes do not matter. A group that was mistyped is named."""


@click.command("show")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(as_json: bool) -> None:  # noqa: FBT001  # click calls by name
    """Print source, path and fingerprint of the master key; never the key."""
    found = key_provider().describe()
    if as_json:
        console.out_json({"source": found.source, "path": found.path, "fingerprint": found.fingerprint})
    else:
        console.out(f"source: {console.visible(found.source)}")
        console.out(f"path: {console.visible(found.path or '-')}")
        console.out(f"fingerprint: {found.fingerprint}")


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@store_option
def list_(as_json: bool) -> None:  # noqa: FBT001  # click calls by name
    """List the keys that open the store; needs none of them.

    With a key at hand, the list says which one it is.
    """
    from autokestra.cli.times import local_time, utc_time  # noqa: PLC0415

    with opened_store() as store:
        slots = store.keys.list()
    if as_json:
        console.out_json([slot._asdict() | {"created_at": utc_time(slot.created_at)} for slot in slots])
    elif slots:
        rows = [
            (str(slot.id), slot.kind, slot.label, local_time(slot.created_at), "yes" if slot.current else "")
            for slot in slots
        ]
        console.out(console.table(("ID", "KIND", "LABEL", "ADDED", "AT HAND"), rows))
    else:
        console.notice("there is no store yet, and so no key")


@click.command("create")
@click.argument("file", required=False, shell_complete=file_paths)
def create(file: str | None) -> None:
    """Make a new key file, for a store that several machines share.

    FILE is the key file of this machine unless it is given. A store in a file gets its key by itself; for PostgreSQL
    one is made here and copied to each machine that needs it, over a channel that you trust.
    """
    from autokestra_secrets import home_directory, make_home  # noqa: PLC0415

    provider = key_provider()
    if file is None:
        make_home(home_directory(os.environ))
    made = provider.write_key_file(file if file is not None else provider.key_file)
    console.notice(f"made a new key in {made.path}, fingerprint {made.fingerprint}")
    console.notice("without it what it encrypts is lost: keep a copy in a safe place")


# --- changes ------------------------------------------------------------------------------------------------------


@click.command("add")
@click.option(
    "--key-file",
    "file",
    metavar="FILE",
    shell_complete=file_paths,
    help="The key in FILE; a new one is made when there is no FILE.",
)
@click.option("--passphrase", is_flag=True, help="A passphrase, which is asked for or read from a pipe.")
@click.option("--recovery", is_flag=True, help="A new key to print and keep, shown once on stdout.")
@click.option("--label", metavar="TEXT", help="A word for the list of keys.")
@accept_option
@store_option
def add(file: str | None, passphrase: bool, recovery: bool, label: str | None) -> None:  # noqa: FBT001
    """Let a further key open the store.

    Nothing is encrypted again; the keys that there are go on working.
    """
    if (file is not None) + passphrase + recovery != 1:
        raise UsageError("expected one kind of key", hint="give one of --key-file FILE, --passphrase, --recovery")
    if recovery:
        _add_recovery(label)
        return
    # The key is read, or made and on the disk, before the store is told: from then on secrets may depend on it.
    new = _from_file(file) if file is not None else _asked_passphrase()
    with opened_store() as store:
        slot = store.keys.add(new, label=label)
    console.notice(f"the store opens with this key too, as key {slot.id}")
    if not slot.current:
        console.notice(f"when it is in place: workflow secrets key remove ID takes the old one away ({_see()})")


def _see() -> str:
    return "see workflow secrets key list"


def _from_file(file: str) -> "MasterKey":
    from autokestra_secrets import MasterKeyProvider  # noqa: PLC0415

    if os.path.lexists(file):
        return MasterKeyProvider({"AUTOKESTRA_SECRET_KEY_FILE": file}, notify=say).load()
    made = MasterKeyProvider().write_key_file(file)
    console.notice(f"made a new key in {file}")
    return made


def _asked_passphrase() -> str:
    if console.can_ask():
        first, second = console.ask_hidden("New passphrase (not shown): ", "Once more: ")
        if first != second:
            raise UsageError("the two entries differ")
    else:
        if sys.stdin is None:
            raise UsageError("stdin is closed, and there is a passphrase to read from it")
        first = sys.stdin.buffer.read(4097)
        first = first.removesuffix(b"\n").removesuffix(b"\r")
    try:
        return first.decode()
    except UnicodeDecodeError:
        raise UsageError("the passphrase is not UTF-8 text") from None


def _add_recovery(label: str | None) -> None:
    from autokestra.cli.times import local_time  # noqa: PLC0415

    with opened_store() as store:
        slot, text = store.keys.add_recovery() if label is None else store.keys.add_recovery(label)
        page = _PAGE.format(
            location=console.visible(store.location),
            text=_in_lines(text),
            date=local_time(slot.created_at)[:10],
            slot=slot.id,
        )
        try:
            console.out(page)
            console.flush()
        except BaseException:  # nobody has the key, and the next page needs the slot
            _take_back(store, slot.id)
            raise


def _take_back(store: "SecretStore", slot: int) -> None:
    from autokestra_secrets import SecretsError  # noqa: PLC0415

    try:
        store.keys.remove(slot)
    except SecretsError:
        hint = f"workflow secrets key remove {slot}"
        console.warn(f"nobody has the new key {slot}, for its page was not written", hint=hint)
    else:
        console.notice(f"the page was not written, so its key {slot} was taken away again")


def _in_lines(text: str) -> str:
    groups = text.split("-")
    return "\n    ".join(
        "-".join(groups[start : start + 5]) + ("-" if start + 5 < len(groups) else "")
        for start in range(0, len(groups), 5)
    )


@click.command("remove")
@click.argument("slot", metavar="ID", type=click.IntRange(0))
@click.option("-f", "--force", is_flag=True, help="Even when it is the only one at hand.")
@accept_option
@store_option
def remove(slot: int, force: bool) -> None:  # noqa: FBT001  # click calls by name
    """Let a key open the store no longer.

    Who had the key and a copy of the store can open that copy still; `reencrypt` shuts them out of what follows.
    """
    with opened_store() as store:
        store.keys.remove(slot, force=force)
    console.notice(f"key {slot} no longer opens the store")


@click.command("reencrypt")
@click.option(
    "--key-file",
    "files",
    multiple=True,
    metavar="FILE",
    shell_complete=file_paths,
    help="A further key to keep; may be given again.",
)
@click.option("--drop-others", is_flag=True, help="Remove the keys that are not at hand; they cannot be kept.")
@accept_option
@store_option
def reencrypt(files: Sequence[str], drop_others: bool) -> None:  # noqa: FBT001  # click calls by name
    """Encrypt everything again, so that who once had a key is shut out.

    It is done whole or not at all. Keys that are not at hand (a recovery key on paper) cannot be kept: make new ones.
    """
    from autokestra_secrets import MasterKeyProvider  # noqa: PLC0415

    others = [MasterKeyProvider({"AUTOKESTRA_SECRET_KEY_FILE": file}, notify=say).load() for file in files]
    with opened_store() as store:
        before = store.keys.list()
        count = store.keys.reencrypt(drop_others=drop_others, others=others)
        after = store.keys.list()
    console.notice(f"{count} {'version' if count == 1 else 'versions'} encrypted again under a new key of the store")
    _say_dropped(before, after)


def _say_dropped(before: "Sequence[KeySlot]", after: "Sequence[KeySlot]") -> None:
    kept = {slot.id for slot in after}
    for slot in before:
        if slot.id not in kept:
            console.warn(f"key {slot.id} ({slot.label}) no longer opens the store", hint="workflow secrets key add")
