# `os.path` on purpose: importing pathlib costs every start-up 5 ms.
# ruff: noqa: PTH105, PTH108, PTH116, PTH118, PTH120
"""A key file on disk: read without being tricked, written whole or not at all, and never over another key.

Which file, and whether there should be one, is the matter of `masterkey`.
"""

import errno
import os
import stat
from contextlib import suppress
from typing import Final

from autokestra_secrets.encryption import KEY_BYTES
from autokestra_secrets.errors import (
    InvalidKeyError,
    KeyMissingError,
    PermissionRefusedError,
    StoreUnavailableError,
)
from autokestra_secrets.home import DIRECTORY_MODE, FILE_MODE, shell_word, shown_path
from autokestra_secrets.keytext import KEY_TEXT_BYTES, MasterKey, key_text

KEY_VARIABLE: Final = "AUTOKESTRA_SECRET_KEY"
KEY_FILE_VARIABLE: Final = "AUTOKESTRA_SECRET_KEY_FILE"
KEY_FILE_SOURCE: Final = "key file"  # what messages call the one at home

OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO  # permission bits of everybody but the owner
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_ELSEWHERE: Final = f"set AUTOKESTRA_HOME to a directory of yours on a local disk, or give a key in {KEY_VARIABLE}"


def is_there(path: str) -> bool:
    """Return whether something stands at the path, or may: only a plain "no" counts as no."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # it cannot be looked at, which reading it will explain; "no key" would be the wrong answer
    return True


def read_own_file(path: str) -> MasterKey:
    """Return the key in the key file of this machine, which nobody else may read or replace.

    Raises PermissionRefusedError, KeyMissingError, or InvalidKeyError.
    """
    # A symlink here was not made by us; whoever made it would choose the key.
    text, status = read_file(path, source=KEY_FILE_SOURCE, flags=os.O_NOFOLLOW)
    mode = stat.S_IMODE(status.st_mode)
    if mode & OTHERS:
        raise PermissionRefusedError(
            f"others can read the key file {path}: expected mode {FILE_MODE:04o}, got {mode:04o}",
            hint=f"chmod {FILE_MODE:o} {shell_word(path)}",
        )
    check_directory(os.path.dirname(path))
    return MasterKey.parse(text, source=KEY_FILE_SOURCE, path=path)


def check_directory(path: str) -> None:
    """Raise PermissionRefusedError when others can replace files in a directory."""
    mode = stat.S_IMODE(os.stat(path).st_mode)
    if mode & _OTHERS_WRITE:
        raise PermissionRefusedError(
            f"others can replace the key file in {path}: expected mode {DIRECTORY_MODE:04o}, got {mode:04o}",
            hint=f"chmod {DIRECTORY_MODE:o} {shell_word(path)}",
        )


def read_file(path: str, *, source: str, flags: int = 0) -> tuple[bytes, os.stat_result]:
    """Return content and status of a regular file, both from one descriptor, so that nobody swaps it in between."""
    try:
        # O_NONBLOCK: opening a FIFO must not wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | flags)
    except FileNotFoundError:
        # Shown with care: the key itself in the variable for its file is a slip that people make.
        shown = shown_path(path)
        hint = f"put the key file back at {shown}" if shown == path else f"{source} expects the path of a file"
        raise KeyMissingError(f"{source} {shown} does not exist", hint=hint) from None
    except PermissionError:
        raise PermissionRefusedError(
            f"cannot read {source} {path}: permission denied", hint=f"ls -ld {shell_word(path)}"
        ) from None
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None) == errno.ELOOP and flags & os.O_NOFOLLOW:
            raise PermissionRefusedError(
                f"{source} {path} is a symbolic link, which is not followed here",
                hint=f"export {KEY_FILE_VARIABLE}={shell_word(path)}",
            ) from None
        reason = getattr(error, "strerror", None) or "not a path"
        shown = shown_path(path)
        hint = f"ls -ld {shell_word(path)}" if shown == path else f"{source} expects the path of a file"
        raise InvalidKeyError(f"cannot read {source} {shown!r}: {reason}", hint=hint) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise InvalidKeyError(f"{source} {path} is not a regular file", hint=f"ls -ld {shell_word(path)}")
        return os.read(descriptor, KEY_TEXT_BYTES + 1), status
    finally:
        os.close(descriptor)


def write_new_key(path: str, *, replace: bool = False) -> bool:
    """Write a new random key to `path` with mode 0600, whole and durable; return whether this call has made it.

    Without `replace`, False means that another process was first, or a file stood there: it is left alone. Raises
    PermissionRefusedError or StoreUnavailableError.
    """
    directory, name = os.path.split(path)
    scratch = os.path.join(directory, f".{name}.{os.urandom(8).hex()}")
    made = True
    try:
        try:
            _write_file(scratch, key_text(os.urandom(KEY_BYTES)).encode() + b"\n")
            if replace:
                os.replace(scratch, path)
            else:
                # A hard link appears whole or not at all and never replaces another key. Measured with 4 processes:
                # look-then-write, O_EXCL and rename each lost or emptied keys, this did not.
                os.link(scratch, path, follow_symlinks=False)
        except FileExistsError:
            made = False
        finally:
            _remove(scratch)
        _sync_directory(directory)  # by the loser too, who may otherwise seal secrets before the winner gets here
    except PermissionError:
        raise PermissionRefusedError(
            f"cannot create the key file {shown_path(path)}: permission denied, or no hard links on this file system",
            hint=_ELSEWHERE,
        ) from None
    except OSError as error:
        raise StoreUnavailableError(
            f"cannot create the key file {shown_path(path)}: {error.strerror}", hint=_ELSEWHERE
        ) from None
    return made


def _write_file(path: str, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    try:
        if os.write(descriptor, content) != len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(descriptor)  # before it gets its name: a power cut must not leave a key file of NUL bytes
    finally:
        os.close(descriptor)


def _remove(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
