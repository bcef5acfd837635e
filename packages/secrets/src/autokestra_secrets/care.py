# `os.path` on purpose: importing pathlib costs every start-up 5 ms.
# ruff: noqa: PTH100, PTH111
"""The care of a store: its keys, its checks and its copies. What is stored in it is the matter of `store`."""

import os
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from autokestra_secrets.backends.location import is_postgres_url
from autokestra_secrets.errors import StoreUnavailableError
from autokestra_secrets.masterkey import MasterKeyProvider
from autokestra_secrets.session import Session

# Each method imports the room that does the work: whoever only reads a secret needs none of them.
# ruff: noqa: PLC0415

if TYPE_CHECKING:
    from autokestra_secrets.copying import CopyReport
    from autokestra_secrets.keyslots import KeySlots
    from autokestra_secrets.verification import Report


class StoreCare:
    """What can be done with a store as a whole; the base of `SecretStore`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def location(self) -> str:
        """Where the store is, for messages."""
        return self._session.location

    @property
    def keys(self) -> "KeySlots":
        """The key slots: which keys open this store, and the way to change them."""
        from autokestra_secrets.keyslots import KeySlots

        return KeySlots(self._session)

    def verify(self) -> "Report":
        """Return whether this is what was written: the journal replayed, every row opened, in one snapshot.

        Also compares with what this machine has seen last, which tells an older copy of the whole store. Raises
        UnknownFormatError, KeyMissingError or WrongKeyError; everything else that is wrong is in the report.
        """
        from autokestra_secrets.verification import verify

        return verify(self._session)

    @classmethod
    def verify_file(
        cls,
        path: str | os.PathLike[str],
        *,
        keys: MasterKeyProvider | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> "Report":
        """Return what `verify` finds in a file such as a backup, which may well be older than the store.

        Raises what `verify` raises, and StoreUnavailableError when there is no such file.
        """
        from autokestra_secrets.backup import verify_file

        return verify_file(_path(path), keys=keys or MasterKeyProvider(environ))

    def backup(self, path: str | os.PathLike[str], *, force: bool = False) -> None:
        """Write a copy of this moment to a file, whole or not at all, while others may write. Needs no key.

        The file has mode 0600 and opens with the same keys. Raises ConflictError when it is there already, unless
        `force` overwrites it, PermissionRefusedError, or StoreUnavailableError.
        """
        from autokestra_secrets.backup import backup_store

        backup_store(self._session, os.path.abspath(_path(path)), force=force)

    @classmethod
    def restore(
        cls,
        source: str | os.PathLike[str],
        location: str | os.PathLike[str] | None = None,
        *,
        force: bool = False,
        keys: MasterKeyProvider | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> "Report":
        """Put a backup in the place of the store at `location`, in one step, and return what `verify` said of it.

        Nothing is touched unless the backup opens with the key at hand and is whole: else DamagedError, or what
        `verify` raises. That it is older is accepted. Raises ConflictError when there is a store, unless `force`
        overwrites it, PermissionRefusedError, or StoreUnavailableError.
        """
        from autokestra_secrets.backup import restore_store

        keys = keys or MasterKeyProvider(environ)
        return restore_store(_path(source), location, force=force, keys=keys, environ=environ)

    def copy_to(
        self,
        target: "StoreCare",
        *,
        force: bool = False,
        dry_run: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> "CopyReport":
        """Put all secrets, with their versions, times and metadata, into another, empty store, and verify it there.

        Values are sealed again, under the data key of `target`, which is made if need be; key slots are not copied, so
        a new store opens with the key at hand only. All or nothing. With `force` everything in `target` is replaced;
        `dry_run` only looks. `progress` is told the number of versions done and their total.

        Raises ConflictError when `target` has secrets, or is this same store, and DamagedError when this one is not
        what was written to it.
        """
        from autokestra_secrets.copying import copy_store

        session = target._session  # noqa: SLF001  # one of our own kind
        return copy_store(self._session, session, force=force, dry_run=dry_run, progress=progress)

    def close(self) -> None:
        """Close the backend and forget the keys. A closed store raises ValueError when it is used."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.location!r})"


def _path(path: str | os.PathLike[str]) -> str:
    """Return the path of a file. Raises StoreUnavailableError, which repeats nothing, for a database's URL.

    It stays as it was typed: only that tells whether a message may repeat it.
    """
    text = os.fspath(path)
    if is_postgres_url(text):  # taken for a path it would stand, password and all, in every message
        raise StoreUnavailableError(
            "expected the path of a file, got the address of a PostgreSQL database",
            hint="carry a store from place to place: workflow secrets copy --to LOCATION",
        )
    return os.path.expanduser(text)
