"""Where rows are kept: the port that every backend implements, and the rows that go through it.

Rows in, rows out: a backend never sees a key or a plaintext, and decides nothing about them.
"""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from autokestra_secrets.errors import DamagedError

# What a journal row says was done.
PUT: Final = "put"  # a version was written; `tag` is its auth tag
PRUNE: Final = "prune"  # the versions up to and including `version` were removed, newer ones were kept
DELETE: Final = "delete"  # all versions of a name were removed; `version` was the newest
SLOT_ADD: Final = "slot-add"  # `name` is the slot's label, `version` its number, `tag` its checksum
SLOT_REMOVE: Final = "slot-remove"  # likewise, with an empty tag
KEY_RETIRE: Final = "key-retire"  # `name` is the retired data key's id in hex, `tag` the auth tag of its row
KEY_FORGET: Final = "key-forget"  # likewise, with an empty tag


class Header(NamedTuple):
    """The one row that says what a store is and where its journal ends.

    `generation` counts the journal's rows since the store began; `journal_mac` is the end of the chain that began at
    `journal_base`; `header_mac` covers all the other fields.
    """

    format: int
    store_id: bytes
    key_id: bytes
    generation: int
    journal_base: int
    journal_mac: bytes
    header_mac: bytes


class SlotRow(NamedTuple):
    """A data key, wrapped for one master key. Times are microseconds UTC."""

    slot: int
    label: str
    kind: str
    key_id: bytes
    created_at: int
    salt: bytes
    iterations: int
    iv: bytes
    wrapped_key: bytes
    auth_tag: bytes
    checksum: bytes


class RetiredRow(NamedTuple):
    """A data key of former times, wrapped under the data key `wrapped_by`. Times are microseconds UTC."""

    key_id: bytes
    wrapped_by: bytes
    retired_at: int
    iv: bytes
    wrapped_key: bytes
    auth_tag: bytes


class SecretRow(NamedTuple):
    """One version of one secret, sealed. `created_at` is that of its first version; times are microseconds UTC."""

    name: str
    version: int
    state: str
    key_id: bytes
    created_at: int
    updated_at: int
    metadata: str
    iv: bytes
    auth_tag: bytes
    encrypted_value: bytes


class Misfit(NamedTuple):
    """A row of a secret in which a column holds another type than was written, as far as it can be named."""

    name: str
    version: int


class MetadataRow(NamedTuple):
    """What is readable without a key about the current version of a secret."""

    name: str
    version: int
    state: str
    created_at: int
    updated_at: int
    metadata: str


class JournalRow(NamedTuple):
    """One thing that was done to a store, at a time in microseconds UTC."""

    generation: int
    at: int
    operation: str
    name: str
    version: int
    tag: bytes


class Backend(Protocol):
    """Keeps the rows of one store. Not for use by several threads at once; the store sees to that.

    Reading creates nothing: a store that is not there yet reads as empty where that is allowed. Every method raises
    the errors of this library only: StoreUnavailableError, PermissionRefusedError, UnknownFormatError, DamagedError.
    """

    @property
    def location(self) -> str:
        """Where the rows are, for messages."""
        ...

    @property
    def may_mint(self) -> bool:
        """Whether a first write may make a master key: not on a database that several machines share."""
        ...

    def exists(self) -> bool:
        """Whether there is anything to read from; never raises."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """Hold the writer's lock; commit at the end, or undo everything if an exception passes."""
        ...

    def snapshot(self) -> AbstractContextManager[None]:
        """Let all reads inside see one state of the store."""
        ...

    def header(self) -> Header | None:
        """Return the header, or None when nothing has been written yet."""
        ...

    def slots(self) -> list[SlotRow]:
        """Return the key slots in the order of their numbers."""
        ...

    def retired(self) -> list[RetiredRow]:
        """Return the retired data keys, oldest first."""
        ...

    def current(self, name: str) -> tuple[SecretRow | None, JournalRow | None]:
        """Return the newest version of a secret and the last journal row that wrote or deleted it, from one moment."""
        ...

    def version(self, name: str, version: int) -> tuple[SecretRow | None, JournalRow | None]:
        """Return one version of a secret and the last journal row that wrote or removed it, from one moment."""
        ...

    def newest(self, name: str) -> int:
        """Return the highest version that rows or journal know of a secret, 0 when it does not exist.

        Works on damaged rows too.
        """
        ...

    def versions(self, name: str) -> list[SecretRow]:
        """Return all kept versions of a secret, oldest first."""
        ...

    def scan(self) -> Iterator[SecretRow | Misfit]:
        """Yield every version of every secret, one at a time, within a snapshot; rows of wrong types do not end it."""
        ...

    def names(self) -> list[str]:
        """Return the names of all secrets."""
        ...

    def metadata(self) -> list[MetadataRow]:
        """Return what is readable about the current version of every secret, sorted by name."""
        ...

    def history(self, name: str) -> list[MetadataRow]:
        """Return what is readable about the kept versions of a secret, oldest first."""
        ...

    def journal(self, name: str | None = None) -> Iterable[JournalRow]:
        """Return the journal in order, or its rows under one name."""
        ...

    def put_header(self, header: Header) -> None:
        """Write or replace the header. Inside `transaction` only, as all that follow."""
        ...

    def put_slot(self, row: SlotRow) -> None:
        """Add a key slot."""
        ...

    def remove_slot(self, slot: int) -> None:
        """Remove a key slot."""
        ...

    def put_retired(self, row: RetiredRow) -> None:
        """Add a retired data key."""
        ...

    def remove_retired(self) -> None:
        """Remove all retired data keys."""
        ...

    def put_secret(self, *rows: SecretRow) -> None:
        """Add versions of secrets; many at once cost less than one by one."""
        ...

    def remove_versions(self, name: str, *, up_to: int) -> None:
        """Remove the versions of a secret up to and including `up_to`, and rows of it that have no proper version."""
        ...

    def put_journal(self, *rows: JournalRow) -> None:
        """Append to the journal; many at once cost less than one by one."""
        ...

    def clear_journal(self) -> None:
        """Remove all rows of the journal, before a new chain begins."""
        ...

    def purge(self) -> None:
        """After the commit of a removal: leave no copy of removed rows in any file, as far as readers allow."""
        ...

    def backup(self, path: str) -> None:
        """Write a copy of one moment into the empty file at `path`. Raises StoreUnavailableError also if it cannot."""
        ...

    def overwrite(self, path: str) -> None:
        """Replace everything by what the copy at `path` holds, in one transaction.

        Raises DamagedError when what is there now is no database, so that the file itself must be replaced.
        """
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


_Row = TypeVar("_Row", Header, SlotRow, RetiredRow, SecretRow, MetadataRow, JournalRow)

_TYPES: dict[type[Any], tuple[type[Any], ...]] = {
    row: tuple(row.__annotations__.values())
    for row in (Header, SlotRow, RetiredRow, SecretRow, MetadataRow, JournalRow)
}


def typed(row: type[_Row], values: tuple[Any, ...]) -> _Row:
    """Return `values` as a row, or raise DamagedError when a column holds another type than was written.

    SQLite keeps whatever type it is given, so text may stand where sealed bytes should.
    """
    if tuple(map(type, values)) != _TYPES[row]:
        raise DamagedError("a row of the store holds values of the wrong type", hint="restore the store from a backup")
    return row(*values)


def row_and_entry(rows: list[tuple[Any, ...]]) -> tuple[SecretRow | None, JournalRow | None]:
    """Return secret and journal entry of the only row of a join that may lack either; neither without a row."""
    if not rows:
        return None, None
    columns = len(SecretRow._fields)
    secret, entry = rows[0][:columns], rows[0][columns:]
    return (
        None if secret[0] is None else typed(SecretRow, secret),
        None if entry[0] is None else typed(JournalRow, entry),
    )
