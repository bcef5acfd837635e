# `os.path` on purpose, as in the rooms around.
# ruff: noqa: PTH105, PTH108, PTH118, PTH120, PTH121
"""Copies of a store in a file: one that is consistent while others write, and the way back from it.

A copy holds what the store holds, sealed as it is there. Whether it is whole is the matter of `verification`.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from autokestra_secrets.anchors import Anchors
from autokestra_secrets.backends.location import STORE_VARIABLE, backend_at, is_postgres_url
from autokestra_secrets.encryption import token_bytes
from autokestra_secrets.errors import ConflictError, DamagedError, PermissionRefusedError, StoreUnavailableError
from autokestra_secrets.home import FILE_MODE, make_home, shell_word, shown_path
from autokestra_secrets.masterkey import MasterKeyProvider
from autokestra_secrets.session import Session
from autokestra_secrets.verification import Report, verify

_BESIDE = ("-wal", "-shm", "-journal")  # what SQLite would take for the newest part of whatever file stands there


def backup_store(session: Session, path: str, *, force: bool) -> None:
    """Do what `SecretStore.backup` promises."""
    with session.using() as backend:
        _check_other_file(path, backend.location)
        with _copy_beside(path) as copy:
            backend.backup(copy)
            _publish(copy, path, force=force)


def restore_store(
    source: str,
    location: str | os.PathLike[str] | None,
    *,
    force: bool,
    keys: MasterKeyProvider,
    environ: Mapping[str, str],
) -> Report:
    """Do what `SecretStore.restore` promises."""
    target = backend_at(environ.get(STORE_VARIABLE) if location is None else location, home=keys.home)
    _check_other_file(target.location, source)
    shared = is_postgres_url(target.location)
    try:
        taken = target.exists() and not force
        if taken and shared:
            target.header()  # raises what is wrong where nothing can be told
    finally:
        target.close()
    if taken:
        raise _exists(target.location)
    if shared or (location is None and STORE_VARIABLE not in environ):
        make_home(keys.home)
    backup = backend_at(source, home=keys.home)
    with _copy_beside(target.location if not shared else os.path.join(keys.home, "restored")) as copy:
        try:
            # Copied first and then looked at, so that nobody changes it in between.
            backup.backup(copy)
        finally:
            backup.close()
        session = _session(copy, keys)
        try:
            report = verify(session, anchored=False)
            header = session.backend.header()
        finally:
            session.close()
        if not report.ok or header is None:
            found = report.problems[0].message if report.problems else "it holds no secrets and no keys"
            raise DamagedError(
                f"{source} was not restored: {found}",
                hint=f"see what is wrong: workflow secrets verify {shell_word(source)}",
            )
        # Before, not after: cut off in between, a note that is too low does no harm, while one that is too high
        # would make the restored store look like an attack.
        Anchors(keys.home).record(header, location=target.location, lower=True)
        if not shared and not target.exists():
            _publish(copy, target.location, force=False)
        else:
            try:
                # Into the file that is there: others have it open, and a new file would meet the old one's WAL.
                target.overwrite(copy)
            except DamagedError:
                _publish(copy, target.location, force=True)
            finally:
                target.close()
    return report


def verify_file(path: str, *, keys: MasterKeyProvider) -> Report:
    """Do what `SecretStore.verify_file` promises."""
    session = _session(path, keys)
    try:
        return verify(session, anchored=False)
    finally:
        session.close()


def _session(path: str, keys: MasterKeyProvider) -> Session:
    return Session(backend_at(path, home=keys.home), keys, clock=lambda: 0, random=token_bytes)


def _check_other_file(one: str, two: str) -> None:
    with suppress(OSError):  # one of them does not exist, so they are two
        if os.path.samefile(one, two):
            raise ConflictError(f"{one} is the secret store itself", hint="give another file")


def _exists(path: str) -> ConflictError:
    what = "store" if is_postgres_url(path) else "file"
    return ConflictError(f"there is a {what} at {path} already", hint="give another path, or overwrite it with --force")


@contextmanager
def _copy_beside(path: str) -> Iterator[str]:
    """Yield the path of a new, empty, private file in the directory of `path`; it is gone at the end."""
    directory, name = os.path.split(path)
    copy = os.path.join(directory, f".{name}.{token_bytes(8).hex()}")
    try:
        os.close(os.open(copy, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE))
        yield copy
    except PermissionError:
        raise PermissionRefusedError(
            f"cannot write {shown_path(path)}: permission denied", hint=f"ls -ld {shell_word(directory)}"
        ) from None
    except OSError as error:
        raise StoreUnavailableError(
            f"cannot write {shown_path(path)}: {error.strerror}", hint="give another path"
        ) from None
    finally:
        for end in ("", *_BESIDE):
            with suppress(OSError):
                os.unlink(copy + end)


def _publish(copy: str, path: str, *, force: bool) -> None:
    """Give a whole file its name, durably, in one step. Raises ConflictError when the name is taken, and OSError."""
    _sync(copy)
    if force:
        for end in _BESIDE:
            with suppress(FileNotFoundError):
                os.unlink(path + end)
        os.replace(copy, path)
    else:
        try:
            _claim(copy, path)
        except FileExistsError:
            raise _exists(path) from None
    _sync(os.path.dirname(path))


def _claim(copy: str, path: str) -> None:
    """Give a file a name that is free. Raises FileExistsError."""
    try:
        os.link(copy, path)
    except FileExistsError:
        raise
    except OSError:
        # No hard links on this file system: whoever creates the name may replace what stands there.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE))
        os.replace(copy, path)


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
