"""The frame around every use of a store: one lock, the keys once they are found, the header before and after a write.

What is read or written inside the frame is the matter of `store` and of the rooms that it asks.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import RLock
from typing import NamedTuple

from autokestra_secrets.anchors import Anchors, is_older
from autokestra_secrets.backends import SLOT_ADD, Backend, Header, SecretRow
from autokestra_secrets.errors import DamagedError, KeyMissingError, RolledBackError, StoreUnavailableError
from autokestra_secrets.journal import VERIFY_HINT, JournalWriter, chain_fault, check_header, genuine, seal_header
from autokestra_secrets.keyring import Keyring, create_store, unlock_store
from autokestra_secrets.keytext import MasterKey
from autokestra_secrets.masterkey import MasterKeyProvider
from autokestra_secrets.names import SecretName, SecretValue


class Writing(NamedTuple):
    """What a writer holds for the length of one transaction."""

    backend: Backend
    keyring: Keyring
    journal: JournalWriter


class Session:
    """A backend with the keys that open it, for any number of threads, one at a time."""

    def __init__(
        self,
        backend: Backend,
        keys: MasterKeyProvider,
        *,
        clock: Callable[[], int],
        random: Callable[[int], bytes],
        anchors: Anchors | None = None,
        notify: Callable[[str], None] | None = None,
        accept_rollback: bool = False,
    ) -> None:
        self.backend = backend
        self.keys = keys
        self.clock = clock
        self.random = random
        self.anchors = anchors
        self._notify = notify
        self._accept_rollback = accept_rollback
        self._watched = anchors is None or accept_rollback
        self._lock = RLock()  # one connection, many threads
        self._keyring: Keyring | None = None
        self._vouched: Header | None = None  # the last one whose journal was replayed, or written here
        self._closed = False

    @property
    def location(self) -> str:
        """Where the store is, for messages."""
        return self.backend.location

    @contextmanager
    def using(self) -> Iterator[Backend]:
        """Hold the lock of this process. Raises ValueError when the session was closed."""
        with self._lock:
            if self._closed:
                raise ValueError(f"the secret store {self.location} is closed")
            yield self.backend

    @contextmanager
    def writing(self, *, create: bool = True) -> Iterator[Writing]:
        """Hold the writer's lock of the store, and write the header when all has gone well (R16).

        Creates the store if need be, or, without `create`, raises StoreUnavailableError. Raises DamagedError when the
        journal is not the one that the header vouches for: what is appended would cover up for it.
        """
        with self.using() as backend:
            self._prepare(create=create)
            with backend.transaction():
                found = self.header()
                header, keyring = self._create() if found is None else (found, self.unlock(found))
                self._keyring = keyring
                self._refuse_older(header)
                if found is not None:
                    self._vouch(found, keyring)
                writing = Writing(
                    backend, keyring, JournalWriter(backend, keyring.journal_key, header, at=self.clock())
                )
                yield writing
                header = seal_header(writing.journal.key, writing.journal.header)
                backend.put_header(header)
            self._vouched = header
            if self.anchors is not None:
                self.anchors.record(header, location=self.location, lower=self._accept_rollback)
                self._accept_rollback = False  # from here on the store is as new as can be
            if writing.journal.removed:
                backend.purge()

    def close(self) -> None:
        """Close the backend and forget the keys."""
        with self._lock:
            self._closed = True
            self._keyring = None
            self.backend.close()

    # -- reading, inside `using` --------------------------------------------------------------------------------

    def read(self, name: SecretName) -> SecretValue | None:
        """Return the current value of a secret, None when there is none. Raises DamagedError."""
        row = genuine(name, *self.backend.current(name))
        if row is None:
            self.watch()  # it may be absent because the store is an older one, or gone
            return None
        keyring, vouched = self._keyring, self._vouched
        # No snapshot for these two reads: a header that is still the one whose journal was replayed says that nobody
        # wrote in between.
        if (
            keyring is not None
            and vouched is not None
            and vouched.key_id == keyring.key_id
            and vouched == self.backend.header()
        ):
            return SecretValue(keyring.open_row(row))
        # Keys or journal are unknown yet, or no longer those of the store: all must be of one moment.
        with self.backend.snapshot():
            return self.read_many([name]).get(name)

    def read_many(self, names: list[SecretName]) -> dict[str, SecretValue]:
        """Return the current values of those that exist, within a snapshot or a transaction. Raises DamagedError."""
        rows = {name: genuine(name, *self.backend.current(name)) for name in names}
        found = {name: row for name, row in rows.items() if row is not None}
        if not found:
            self.watch()
            return {}
        keyring = self.keyring(vouched=True)
        return {name: SecretValue(keyring.open_row(row)) for name, row in found.items()}

    def open_version(self, name: SecretName, version: int) -> tuple[SecretRow, SecretValue] | None:
        """Return one kept version, within a snapshot or a transaction; None if it is not. Raises DamagedError."""
        row = genuine(name, *self.backend.version(name, version))
        if row is None:
            return None
        return row, SecretValue(self.keyring(vouched=True).open_row(row))

    def header(self) -> Header | None:
        """Return the header, None when there is no store yet. A store that lost its header is not taken for that."""
        header = self.backend.header()
        if header is None and (self.backend.slots() or self.backend.names()):
            raise self._headless()
        return header

    def keyring(self, *, vouched: bool = False) -> Keyring:
        """Return the keys of a store that has rows, within a snapshot or a transaction.

        With `vouched`, as for reading values, only if the journal is the one that the header vouches for (R22): else
        DamagedError, since a value could be one that somebody put back.
        """
        header = self.backend.header()
        if header is None:
            raise self._headless()
        keyring = self.unlock(header)
        if vouched:
            self._vouch(header, keyring)
        self._watch(header, genuine=True)
        return keyring

    def _vouch(self, header: Header, keyring: Keyring) -> None:
        """Replay the journal, once for each header, which must be genuine and of the same moment."""
        if header == self._vouched:
            return
        try:
            entries = list(self.backend.journal())
        except DamagedError as error:
            raise DamagedError(f"the journal cannot be read: {error.message}", hint=VERIFY_HINT) from None
        fault = chain_fault(keyring.journal_key, header, entries)
        if fault:
            raise DamagedError(fault, hint=VERIFY_HINT)
        self._vouched = header

    def watch(self) -> None:
        """Say it, once, if this is an older copy of a store that this machine has seen, or nothing is left of one.

        Needs no key.
        """
        if not self._watched:
            with suppress(DamagedError):  # a listing needs no header
                header = self.backend.header()
                if header is not None:
                    self._watch(header, genuine=False)
                else:
                    self._watched = True
                    vanished = self.vanished()
                    if vanished and self._notify is not None:
                        self._notify(f"warning: {vanished}")

    def vanished(self) -> str:
        """Return what to say when there is nothing where this machine has seen a store; "" when it has seen none."""
        anchor = None if self.anchors is None else self.anchors.seen_at(self.location)
        if anchor is None:
            return ""
        return (
            f"there is nothing in {self.location}, where this machine has seen a secret store "
            f"at generation {anchor.generation}"
        )

    def _watch(self, header: Header, *, genuine: bool) -> None:
        if self._watched or self.anchors is None:
            return
        self._watched = True
        wrong = self.unexpected(header)
        if wrong:
            if self._notify is not None:
                self._notify(f"warning: {wrong}")
        elif genuine and self.anchors.read(header.store_id) is not None:  # reading creates nothing
            self.anchors.record(header, location=self.location)

    def _refuse_older(self, header: Header) -> None:
        wrong = "" if self._accept_rollback else self.unexpected(header)
        if wrong:
            raise RolledBackError(
                f"nothing was written: {wrong}",
                hint="put the newest copy back, or accept this one with --accept-rollback",
            )

    def unexpected(self, header: Header) -> str:
        """Return what to say when this machine has seen a newer copy, or another store here; else ""."""
        if self.anchors is None:
            return ""
        anchor = self.anchors.read(header.store_id)
        if anchor is not None and is_older(header, anchor):
            return (
                f"{self.location} is an older copy of the secret store: it is at generation {header.generation}, "
                f"and this machine has seen {anchor.generation}"
            )
        if self.anchors.is_stranger(header.store_id, self.location):
            return f"{self.location} is another secret store than the one that this machine has seen there"
        return ""

    def unlock(self, header: Header) -> Keyring:
        """Return the keys that belong to `header`, deriving them at the first call only."""
        if self._keyring is None or self._keyring.key_id != header.key_id:
            self._keyring = unlock_store(
                header, self.backend.slots(), self.keys, location=self.location, random=self.random
            )
        else:
            check_header(self._keyring.journal_key, header)
        return self._keyring

    # -- the beginning of a write -------------------------------------------------------------------------------

    def _prepare(self, *, create: bool) -> None:
        """Find out what can fail, and do what is slow, before a file is created or others are locked out."""
        if not self.backend.exists():
            header = None
        else:
            with self.backend.snapshot():
                header = self.header()
                if header is not None:
                    self.unlock(header)
        if header is None and not create:
            raise StoreUnavailableError(
                "there is no secret store yet",
                hint="create it by storing a secret: workflow secrets set NAME",
            )
        vanished = "" if header is not None or self._accept_rollback else self.vanished()
        if vanished:
            # Truncated, or removed: a new store in its place would hide that, and the loss would be found out late.
            raise RolledBackError(
                f"nothing was written: {vanished}",
                hint="put it back, or restore a backup; to begin with an empty store: --accept-rollback",
            )
        if header is None and not (self.backend.may_mint and self.keys.absent):
            self._load_key()

    def _create(self) -> tuple[Header, Keyring]:
        """Write the first slot. Called under the writer's lock, when there is neither header nor slot nor secret."""
        # Only here is a key ever made: where there is nothing yet that it could fail to open.
        master_key = self.keys.load_or_create() if self.backend.may_mint else self._load_key()
        at = self.clock()
        header, slot, keyring = create_store(master_key, at=at, random=self.random)
        self.backend.put_slot(slot)
        journal = JournalWriter(self.backend, keyring.journal_key, header, at=at)
        journal.append(SLOT_ADD, slot.label, slot.slot, slot.checksum)
        return journal.header, keyring

    def _load_key(self) -> MasterKey:
        """Return the key for a store that is about to begin, without making one."""
        if not self.backend.may_mint and self.keys.absent:
            raise KeyMissingError(
                f"no master key found, and none is made by itself for a store that machines share: {self.location}",
                hint="make one, and copy it to each machine that needs it: workflow secrets key create",
            )
        return self.keys.load()

    def _headless(self) -> DamagedError:
        return DamagedError(f"the secret store {self.location} has lost its header", hint="restore it from a backup")
