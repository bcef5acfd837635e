"""The secret store: named values, sealed one by one under the data key of the store.

Who may read what is the resolver's matter, where rows lie the backend's, what their bytes mean that of `keyring`,
`slots` and `journal`; keys, checks and copies are in `care`. There is no way to read a value that was not sealed here.
"""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from autokestra_secrets.anchors import Anchors
from autokestra_secrets.backends import Backend
from autokestra_secrets.backends.location import STORE_VARIABLE, backend_at
from autokestra_secrets.care import StoreCare
from autokestra_secrets.encryption import token_bytes
from autokestra_secrets.errors import SecretNotFoundError, VersionNotFoundError
from autokestra_secrets.masterkey import MasterKeyProvider
from autokestra_secrets.metadata import SecretMetadata, checked_change, checked_expiry, decode_details
from autokestra_secrets.names import SecretName, SecretValue, secret_name
from autokestra_secrets.outputs import OutputCipher
from autokestra_secrets.session import Session
from autokestra_secrets.versions import (
    KEEP,
    drop_versions,
    move_versions,
    newest_version,
    set_version,
    stored_metadata,
    stored_name,
)

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["OutputCipher", "SecretMetadata", "SecretStore"]

Listing: TypeAlias = list[SecretMetadata]  # inside the class, `list` is a method


def _now() -> int:
    return time.time_ns() // 1_000


class SecretStore(StoreCare):
    """Named secrets in a backend. Open one with `SecretStore.open`; it is a context manager and safe between threads.

    Names, times, descriptions and tags are readable without a key; the key is looked for when a value is first read
    or written.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        keys: MasterKeyProvider,
        clock: Callable[[], int] = _now,
        random: Callable[[int], bytes] = token_bytes,
        anchors: Anchors | None = None,
        notify: Callable[[str], None] | None = None,
        accept_rollback: bool = False,
    ) -> None:
        super().__init__(
            Session(
                backend,
                keys,
                clock=clock,
                random=random,
                anchors=anchors,
                notify=notify,
                accept_rollback=accept_rollback,
            )
        )

    @classmethod
    def open(
        cls,
        location: str | os.PathLike[str] | None = None,
        *,
        keys: MasterKeyProvider | None = None,
        environ: Mapping[str, str] = os.environ,
        notify: Callable[[str], None] | None = None,
        accept_rollback: bool = False,
    ) -> Self:
        """Return the store at a path or `sqlite:///` address; by default `$AUTOKESTRA_STORE`, or `secrets.db` at home.

        Creates and reads nothing yet. A missing default store reads as empty, a missing named one is a
        StoreUnavailableError when it is read; the first write creates either.

        An older copy of a store that this machine has seen, or nothing where it has seen one, is read with one warning
        to `notify`, and written to only with `accept_rollback`: else RolledBackError.
        """
        keys = keys or MasterKeyProvider(environ)
        if location is None:
            location = environ.get(STORE_VARIABLE)
        return cls(
            backend_at(location, home=keys.home),
            keys=keys,
            anchors=Anchors(keys.home),
            notify=notify,
            accept_rollback=accept_rollback,
        )

    # -- reading ------------------------------------------------------------------------------------------------

    def get(self, name: str, *, version: int | None = None) -> SecretValue:
        """Return the value of a secret, of its current version unless another one is asked for.

        Raises SecretNotFoundError, VersionNotFoundError, KeyMissingError, WrongKeyError, or DamagedError when the row
        was changed, moved, dropped, or put back from an older copy.
        """
        checked = secret_name(name)
        with self._session.using() as backend:
            if version is None:
                value = self._session.read(checked)
                if value is None:
                    raise SecretNotFoundError(checked)
                return value
            with backend.snapshot():
                found = self._session.open_version(checked, version)
                if found is None:
                    self._require(checked)
                    raise VersionNotFoundError(checked, version)
                return found[1]

    def get_many(self, names: Iterable[str]) -> dict[str, SecretValue]:
        """Return the current values of those `names` that exist, all from one moment. Raises what `get` raises."""
        checked = [secret_name(name) for name in names]
        with self._session.using() as backend, backend.snapshot():
            return self._session.read_many(checked)

    def names(self) -> frozenset[str]:
        """Return the names of all secrets. Needs no key."""
        with self._session.using() as backend:
            self._session.watch()
            return frozenset(map(stored_name, backend.names()))

    def list(self) -> Listing:
        """Return what is known without a key about the current version of every secret, sorted by name."""
        with self._session.using() as backend:
            self._session.watch()
            rows = backend.metadata()
        return [stored_metadata(row) for row in rows]

    def history(self, name: str) -> Listing:
        """Return what is known without a key about the kept versions of a secret, newest first.

        Raises SecretNotFoundError, or DamagedError when a version was edited so that it cannot be shown.
        """
        checked = secret_name(name)
        with self._session.using() as backend:
            self._session.watch()
            rows = backend.history(checked)
        if not rows:
            raise SecretNotFoundError(checked)
        return [stored_metadata(row, current=row is rows[-1]) for row in reversed(rows)]

    def identity(self) -> str | None:
        """Return what no other store has and every copy of this file keeps, None when there is no store yet.

        Needs no key. By it two processes find out whether they use the same store.
        """
        with self._session.using() as backend, backend.snapshot():
            header = self._session.header()
        return None if header is None else header.store_id.hex()

    def output_cipher(self) -> OutputCipher | None:
        """Return what seals outputs under the data key of this store, or None when there is no store yet.

        Raises KeyMissingError or WrongKeyError when there is one that cannot be opened.
        """
        with self._session.using() as backend, backend.snapshot():
            if self._session.header() is None:
                self._session.watch()
                return None
            return self._session.keyring().output_cipher(backend.retired())

    # -- writing ------------------------------------------------------------------------------------------------

    def set(
        self,
        name: str,
        value: str | bytes | SecretValue,
        *,
        keep: int = KEEP,
        if_version: int | None = None,
        description: str | None = None,
        tags: Iterable[str] | None = None,
        expires: "int | datetime | None" = None,
    ) -> SecretMetadata:
        """Store a value under a name, new or not, and return what `list` says about it from now on.

        The last `keep` versions stay, this one included. With `if_version` it is stored only if that is the current
        version, 0 meaning that there is none yet: else ConflictError. `description` and `tags` stay as they were
        unless given; `expires` (microseconds UTC, or an aware datetime) belongs to the value and is not inherited.

        Raises InvalidSecretNameError, InvalidSecretValueError or InvalidMetadataError before anything is touched, and
        ValueError when `keep` is below 1.
        """
        checked, content = secret_name(name), _secret_value(value)
        _check_keep(keep)
        change = checked_change(description=description, tags=tags)
        expires_at = checked_expiry(expires)
        with self._session.writing() as writing:
            last = newest_version(writing, checked, if_version=if_version)
            return set_version(
                writing, checked, content, change={**change, "expires_at": expires_at}, keep=keep, last=last
            )

    def set_many(self, items: Mapping[str, str | bytes | SecretValue], *, keep: int = KEEP) -> Listing:
        """Store all `items` in one transaction, all or none of them, each as `set` does. Raises what `set` raises."""
        checked = {secret_name(name): _secret_value(value) for name, value in items.items()}
        _check_keep(keep)
        if not checked:
            return []
        with self._session.writing() as writing:
            return [
                set_version(
                    writing, name, value, change={"expires_at": None}, keep=keep, last=writing.backend.newest(name)
                )
                for name, value in checked.items()
            ]

    def describe(
        self,
        name: str,
        *,
        description: str | EllipsisType | None = ...,
        tags: Iterable[str] | EllipsisType | None = ...,
        expires: "int | datetime | EllipsisType | None" = ...,
        keep: int = KEEP,
    ) -> SecretMetadata:
        """Write a new version with the same value and other metadata; None takes away, what is not given stays.

        Raises what `get` and `set` raise.
        """
        checked = secret_name(name)
        _check_keep(keep)
        change = checked_change(
            description=None if description is ... else description or "",
            tags=None if tags is ... else tags or (),
        )
        if not isinstance(expires, EllipsisType):
            change["expires_at"] = checked_expiry(expires)
        return self._write_again(checked, None, change, keep)

    def rollback(self, name: str, version: int, *, keep: int = KEEP) -> SecretMetadata:
        """Write a new version with value and metadata of an earlier one. Raises what `get` raises."""
        _check_keep(keep)
        return self._write_again(secret_name(name), version, {}, keep)

    def delete(self, name: str) -> None:
        """Remove a secret with all its versions for good: no file holds its bytes afterwards.

        Its name stays readable in the journal until the next `keys.reencrypt`. Works on a damaged row too. Raises
        SecretNotFoundError.
        """
        checked = secret_name(name)
        self._require(checked)
        with self._session.writing() as writing:
            drop_versions(writing, checked, self._require(checked))

    def rename(self, old: str, new: str) -> None:
        """Give a secret another name; all versions and their times stay.

        Raises SecretNotFoundError, or ConflictError when the new name is taken; and DamagedError, rather than carry on
        a version that was dropped, edited, or put back from an older copy.
        """
        source, target = secret_name(old), secret_name(new)
        self._require(source)
        with self._session.writing() as writing:
            move_versions(writing, source, target, last=self._require(source))

    # -- inside -------------------------------------------------------------------------------------------------

    def _write_again(self, name: SecretName, version: int | None, change: dict[str, Any], keep: int) -> SecretMetadata:
        """Write a kept version, by default the current one, again as the newest, said otherwise by `change`."""
        self._require(name)
        with self._session.writing() as writing:
            last = self._require(name)
            found = self._session.open_version(name, last if version is None else version)
            if found is None:
                raise VersionNotFoundError(name, last if version is None else version)
            row, value = found
            said = {**decode_details(row.metadata, name=name)._asdict(), **change}
            return set_version(writing, name, value, change=said, keep=keep, last=last)

    def _require(self, name: SecretName) -> int:
        with self._session.using() as backend:
            newest = backend.newest(name)
        if not newest:
            raise SecretNotFoundError(name)
        return newest


def _secret_value(value: str | bytes | SecretValue) -> SecretValue:
    return value if isinstance(value, SecretValue) else SecretValue(value)


def _check_keep(keep: int) -> None:
    if keep < 1:
        raise ValueError(f"expected to keep at least 1 version, got {keep}")
