"""The secret store: named values, sealed one by one under the data key of the store.

Who may read what is the resolver's matter, where rows lie the backend's, what their bytes mean that of `keyring`,
`slots` and `journal`. There is no way to read a value that was not sealed here.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from threading import RLock
from types import TracebackType
from typing import Final, NamedTuple, Self, TypeAlias

from autokestra_secrets.backends import DELETE, PRUNE, PUT, SLOT_ADD, Backend, Header, JournalRow, SecretRow
from autokestra_secrets.backends.location import STORE_VARIABLE, backend_at
from autokestra_secrets.encryption import token_bytes
from autokestra_secrets.errors import ConflictError, DamagedError, InvalidSecretNameError, SecretNotFoundError
from autokestra_secrets.journal import (
    VERIFY_HINT,
    JournalWriter,
    check_header,
    genuine,
    seal_header,
)
from autokestra_secrets.keyring import Keyring, create_store, unlock_store
from autokestra_secrets.masterkey import MasterKeyProvider
from autokestra_secrets.names import SecretName, SecretValue, secret_name
from autokestra_secrets.outputs import OutputCipher

__all__ = ["OutputCipher", "SecretMetadata", "SecretStore"]

_ACTIVE: Final = "active"
_NO_METADATA: Final = "{}"
_VERSION_MAX: Final = 2**62  # far from overflow; nobody writes that often, but somebody may edit the column


class SecretMetadata(NamedTuple):
    """What is known about a secret without any key. Times are microseconds UTC."""

    name: SecretName
    version: int
    created_at: int
    updated_at: int


Listing: TypeAlias = list[SecretMetadata]  # inside the class, `list` is a method


def _now() -> int:
    return time.time_ns() // 1_000


class SecretStore:
    """Named secrets in a backend. Open one with `SecretStore.open`; it is a context manager and safe between threads.

    Names and times are readable without a key; the key is looked for when a value is first read or written.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        keys: MasterKeyProvider,
        clock: Callable[[], int] = _now,
        random: Callable[[int], bytes] = token_bytes,
    ) -> None:
        self._backend = backend
        self._keys = keys
        self._clock = clock
        self._random = random
        self._lock = RLock()  # one connection, many threads
        self._keyring: Keyring | None = None
        self._closed = False

    @classmethod
    def open(
        cls,
        location: str | os.PathLike[str] | None = None,
        *,
        keys: MasterKeyProvider | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> Self:
        """Return the store at a path or `sqlite:///` address; by default `$AUTOKESTRA_STORE`, or `secrets.db` at home.

        Creates and reads nothing yet. A missing default store reads as empty, a missing named one is a
        StoreUnavailableError when it is read; the first write creates either.
        """
        keys = keys or MasterKeyProvider(environ)
        if location is None:
            location = environ.get(STORE_VARIABLE)
        return cls(backend_at(location, home=keys.home), keys=keys)

    @property
    def location(self) -> str:
        """Where the store is, for messages."""
        return self._backend.location

    # -- reading ------------------------------------------------------------------------------------------------

    def get(self, name: str) -> SecretValue:
        """Return the current value of a secret.

        Raises SecretNotFoundError, KeyMissingError, WrongKeyError, or DamagedError when the row was changed, moved,
        dropped, or put back from an older copy.
        """
        checked = secret_name(name)
        with self._using() as backend:
            value = self._reveal(checked, *backend.current(checked))
        if value is None:
            raise SecretNotFoundError(checked)
        return value

    def get_many(self, names: Iterable[str]) -> dict[str, SecretValue]:
        """Return the current values of those `names` that exist, all from one moment. Raises what `get` raises."""
        checked = [secret_name(name) for name in names]
        with self._using() as backend, backend.snapshot():
            found = {name: self._reveal(name, *backend.current(name)) for name in checked}
        return {name: value for name, value in found.items() if value is not None}

    def names(self) -> frozenset[str]:
        """Return the names of all secrets. Needs no key."""
        with self._using() as backend:
            return frozenset(map(_stored_name, backend.names()))

    def list(self) -> Listing:
        """Return name, version and times of all secrets, sorted by name. Needs no key."""
        with self._using() as backend:
            rows = backend.metadata()
        return [SecretMetadata(_stored_name(row.name), row.version, row.created_at, row.updated_at) for row in rows]

    def output_cipher(self) -> OutputCipher | None:
        """Return what seals outputs under the data key of this store, or None when there is no store yet.

        Raises KeyMissingError or WrongKeyError when there is one that cannot be opened.
        """
        with self._using():
            header = self._header()
            return None if header is None else self._unlock(header).output_cipher()

    # -- writing ------------------------------------------------------------------------------------------------

    def set(self, name: str, value: str | bytes | SecretValue) -> SecretMetadata:
        """Store a value under a name, new or not, and return what `list` says about it from now on.

        Raises InvalidSecretNameError or InvalidSecretValueError before anything is touched.
        """
        return self.set_many({name: value})[0]

    def set_many(self, items: Mapping[str, str | bytes | SecretValue]) -> Listing:
        """Store all `items` in one transaction, all or none of them. Raises what `set` raises."""
        checked = {
            secret_name(name): value if isinstance(value, SecretValue) else SecretValue(value)
            for name, value in items.items()
        }
        if not checked:
            return []
        with self._writing() as (keyring, journal):
            return [self._put(keyring, journal, name, value) for name, value in checked.items()]

    def delete(self, name: str) -> None:
        """Remove a secret with all its versions for good: no file holds its bytes afterwards.

        Its name stays readable in the journal. Works on a damaged row too. Raises SecretNotFoundError.
        """
        checked = secret_name(name)
        self._require(checked)
        with self._writing() as (_, journal):
            self._drop(journal, checked, self._require(checked))

    def rename(self, old: str, new: str) -> None:
        """Give a secret another name; versions and times stay.

        Raises SecretNotFoundError, or ConflictError when the new name is taken; and what `get` raises.
        """
        source, target = secret_name(old), secret_name(new)
        self._require(source)
        with self._writing() as (keyring, journal):
            newest = self._require(source)
            if self._backend.newest(target):
                raise ConflictError(
                    f"secret '{target}' already exists", hint="choose another name, or delete that one first"
                )
            self._reveal(source, *self._backend.current(source))  # a row put back from an older copy is not carried on
            for row in self._backend.versions(source):
                # A name is part of what a row is bound to, so each version is opened and sealed again.
                self._seal(keyring, journal, row._replace(name=target), keyring.open_row(row))
            self._drop(journal, source, newest)

    def close(self) -> None:
        """Close the backend and forget the keys. A closed store raises ValueError when it is used."""
        with self._lock:
            self._closed = True
            self._keyring = None
            self._backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"SecretStore({self.location!r})"

    # -- keys ---------------------------------------------------------------------------------------------------

    def _header(self) -> Header | None:
        """Return the header, None when there is no store yet. A store that lost its header is not taken for that."""
        header = self._backend.header()
        if header is None and (self._backend.slots() or self._backend.names()):
            raise self._headless()
        return header

    def _headless(self) -> DamagedError:
        return DamagedError(f"the secret store {self.location} has lost its header", hint="restore it from a backup")

    def _unlock(self, header: Header) -> Keyring:
        """Return the keys that belong to `header`, deriving them at the first call only."""
        if self._keyring is None or self._keyring.key_id != header.key_id:
            self._keyring = unlock_store(
                header, self._backend.slots(), self._keys, location=self.location, random=self._random
            )
        else:
            check_header(self._keyring.journal_key, header)
        return self._keyring

    def _create(self) -> tuple[Header, Keyring]:
        """Write the first slot. Called under the writer's lock, when there is neither header nor slot nor secret."""
        # Only here is a key ever made: where there is nothing yet that it could fail to open.
        master_key = self._keys.load_or_create() if self._backend.may_mint else self._keys.load()
        at = self._clock()
        header, slot, keyring = create_store(master_key, at=at, random=self._random)
        self._backend.put_slot(slot)
        journal = JournalWriter(self._backend, keyring.journal_key, header, at=at)
        journal.append(SLOT_ADD, slot.label, slot.slot, slot.auth_tag)
        return journal.header, keyring

    # -- rows ---------------------------------------------------------------------------------------------------

    def _reveal(self, name: SecretName, row: SecretRow | None, entry: JournalRow | None) -> SecretValue | None:
        """Return the value of the current row; None when there is none. Raises DamagedError."""
        row = genuine(name, row, entry)
        if row is None:
            return None
        keyring = self._keyring
        if keyring is None or keyring.key_id != row.key_id:
            header = self._backend.header()
            if header is None:
                raise self._headless()
            keyring = self._unlock(header)
        return SecretValue(keyring.open_row(row))

    def _put(self, keyring: Keyring, journal: JournalWriter, name: SecretName, value: SecretValue) -> SecretMetadata:
        last = self._backend.newest(name)
        if last >= _VERSION_MAX:
            raise DamagedError(
                f"secret '{name}' has the impossible version {last}", hint=f"workflow secrets delete {name}"
            )
        created_at = self._created_at(name)
        row = SecretRow(
            name=name,
            version=last + 1,
            state=_ACTIVE,
            key_id=keyring.key_id,
            created_at=journal.at if created_at is None else created_at,
            updated_at=journal.at,
            metadata=_NO_METADATA,
            iv=b"",
            auth_tag=b"",
            encrypted_value=b"",
        )
        if last:
            self._backend.remove_versions(name, up_to=last)
            journal.append_removal(PRUNE, name, last)
        self._seal(keyring, journal, row, value.reveal_bytes())
        return SecretMetadata(name, row.version, row.created_at, row.updated_at)

    def _created_at(self, name: SecretName) -> int | None:
        """Return since when a secret exists, None when it does not or its row is damaged, which a write repairs."""
        try:
            row, entry = self._backend.current(name)
            return row.created_at if row is not None and self._reveal(name, row, entry) is not None else None
        except DamagedError:
            return None

    def _seal(self, keyring: Keyring, journal: JournalWriter, row: SecretRow, plaintext: bytes) -> None:
        sealed = keyring.seal_row(row, plaintext)
        self._backend.put_secret(sealed)
        journal.append(PUT, sealed.name, sealed.version, sealed.auth_tag)

    def _drop(self, journal: JournalWriter, name: SecretName, newest: int) -> None:
        self._backend.remove_versions(name, up_to=newest)
        journal.append_removal(DELETE, name, newest)

    def _require(self, name: SecretName) -> int:
        with self._using():
            newest = self._backend.newest(name)
        if not newest:
            raise SecretNotFoundError(name)
        return newest

    # -- the frame around every use -----------------------------------------------------------------------------

    @contextmanager
    def _using(self) -> Iterator[Backend]:
        with self._lock:
            if self._closed:
                raise ValueError(f"the secret store {self.location} is closed")
            yield self._backend

    @contextmanager
    def _writing(self) -> Iterator[tuple[Keyring, JournalWriter]]:
        """Hold the writer's lock, and write the header when all has gone well."""
        with self._using() as backend:
            self._prepare()
            with backend.transaction():
                header = self._header()
                header, keyring = self._create() if header is None else (header, self._unlock(header))
                self._keyring = keyring
                journal = JournalWriter(backend, keyring.journal_key, header, at=self._clock())
                yield keyring, journal
                backend.put_header(seal_header(keyring.journal_key, journal.header))
            if journal.removed:
                backend.purge()

    def _prepare(self) -> None:
        """Find out what can fail, and do what is slow, before a file is created or others are locked out."""
        header = self._header() if self._backend.exists() else None
        if header is not None:
            self._unlock(header)
        elif not (self._backend.may_mint and self._keys.absent):
            self._keys.load()


def _stored_name(text: object) -> SecretName:
    """Return a name from the database: anything, terminal escapes included, if somebody else wrote it."""
    try:
        return secret_name(str(text))
    except InvalidSecretNameError:
        raise DamagedError("the store holds a row under an impossible name", hint=VERIFY_HINT) from None
