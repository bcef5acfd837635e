"""A store in memory: for tests, and where nothing may touch a disk. It ends with the process."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from autokestra_secrets.backends import (
    DELETE,
    PRUNE,
    PUT,
    Header,
    JournalRow,
    MetadataRow,
    Misfit,
    RetiredRow,
    SecretRow,
    SlotRow,
)
from autokestra_secrets.errors import StoreUnavailableError


class MemoryBackend:
    """Rows in dictionaries. `location` is what messages call it."""

    may_mint = True

    def __init__(self, location: str = "memory") -> None:
        self._location = location
        self._header: Header | None = None
        self._slots: dict[int, SlotRow] = {}
        self._retired: list[RetiredRow] = []
        self._secrets: dict[str, tuple[SecretRow, ...]] = {}  # oldest version first, never empty
        self._last: dict[str, JournalRow] = {}  # the last row that wrote or deleted a name
        self._journal: list[JournalRow] = []

    @property
    def location(self) -> str:
        """The name that was given to it."""
        return self._location

    def exists(self) -> bool:
        """Return True: memory is always there."""
        return True

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Undo everything that was done inside if an exception passes."""
        before = (
            self._header,
            self._slots.copy(),
            self._retired.copy(),
            self._secrets.copy(),
            self._last.copy(),
            self._journal.copy(),
        )
        try:
            yield
        except BaseException:
            self._header, self._slots, self._retired, self._secrets, self._last, self._journal = before
            raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all reads inside see one state: there is only one user at a time."""
        yield

    def header(self) -> Header | None:
        """Return the header, or None when nothing has been written yet."""
        return self._header

    def slots(self) -> list[SlotRow]:
        """Return the key slots in the order of their numbers."""
        return [self._slots[slot] for slot in sorted(self._slots)]

    def retired(self) -> list[RetiredRow]:
        """Return the retired data keys, oldest first."""
        return self._retired.copy()

    def current(self, name: str) -> tuple[SecretRow | None, JournalRow | None]:
        """Return the newest version of a secret and the last journal row that wrote or deleted it."""
        versions = self._secrets.get(name)
        return versions[-1] if versions else None, self._last.get(name)

    def version(self, name: str, version: int) -> tuple[SecretRow | None, JournalRow | None]:
        """Return one version of a secret and the last journal row that wrote or removed it."""
        rows = [row for row in self._secrets.get(name, ()) if row.version == version]
        entries = [
            entry
            for entry in self.journal(name)
            if entry.operation == DELETE
            or (entry.operation == PUT and entry.version == version)
            or (entry.operation == PRUNE and entry.version >= version)
        ]
        return rows[0] if rows else None, entries[-1] if entries else None

    def newest(self, name: str) -> int:
        """Return the highest version that rows or journal know of a secret, 0 when it does not exist."""
        row, entry = self.current(name)
        return max(row.version if row else 0, entry.version if entry and entry.operation == PUT else 0)

    def versions(self, name: str) -> list[SecretRow]:
        """Return all kept versions of a secret, oldest first."""
        return list(self._secrets.get(name, ()))

    def scan(self) -> Iterator[SecretRow | Misfit]:
        """Yield every version of every secret."""
        for name in sorted(self._secrets):
            yield from self._secrets[name]

    def names(self) -> list[str]:
        """Return the names of all secrets."""
        return list(self._secrets)

    def metadata(self) -> list[MetadataRow]:
        """Return what is readable about the current version of every secret, sorted by name."""
        return [_without_value(self._secrets[name][-1]) for name in sorted(self._secrets)]

    def history(self, name: str) -> list[MetadataRow]:
        """Return what is readable about the kept versions of a secret, oldest first."""
        return [_without_value(row) for row in self._secrets.get(name, ())]

    def journal(self, name: str | None = None) -> Iterable[JournalRow]:
        """Return the journal in order, or its rows under one name."""
        return [row for row in self._journal if name is None or row.name == name]

    def put_header(self, header: Header) -> None:
        """Write or replace the header."""
        self._header = header

    def put_slot(self, row: SlotRow) -> None:
        """Add a key slot."""
        self._slots[row.slot] = row

    def remove_slot(self, slot: int) -> None:
        """Remove a key slot."""
        del self._slots[slot]

    def put_retired(self, row: RetiredRow) -> None:
        """Add a retired data key."""
        self._retired.append(row)

    def remove_retired(self) -> None:
        """Remove all retired data keys."""
        self._retired.clear()

    def put_secret(self, *rows: SecretRow) -> None:
        """Add versions of secrets, each newer than those that are there."""
        for row in rows:
            self._secrets[row.name] = (*self._secrets.get(row.name, ()), row)

    def remove_versions(self, name: str, *, up_to: int) -> None:
        """Remove the versions of a secret up to and including `up_to`."""
        kept = tuple(row for row in self._secrets.pop(name, ()) if row.version > up_to)
        if kept:
            self._secrets[name] = kept

    def put_journal(self, *rows: JournalRow) -> None:
        """Append to the journal."""
        self._journal.extend(rows)
        self._last.update((row.name, row) for row in rows if row.operation in (PUT, DELETE))

    def clear_journal(self) -> None:
        """Remove all rows of the journal."""
        self._journal.clear()
        self._last.clear()

    def purge(self) -> None:
        """Do nothing: there is no file."""

    def backup(self, path: str) -> None:
        """Raise StoreUnavailableError: what is in memory is meant to end with the process."""
        raise StoreUnavailableError(
            f"a secret store in memory cannot be copied to {path}", hint="use a store in a file: --store PATH"
        )

    def overwrite(self, path: str) -> None:
        """Raise StoreUnavailableError."""
        raise StoreUnavailableError(
            f"a secret store in memory cannot be restored from {path}", hint="use a store in a file: --store PATH"
        )

    def close(self) -> None:
        """Keep the rows: a store that is opened again on this backend finds them."""


def _without_value(row: SecretRow) -> MetadataRow:
    return MetadataRow(row.name, row.version, row.state, row.created_at, row.updated_at, row.metadata)
