# `os.path` on purpose: importing pathlib costs every start-up 5 ms.
# ruff: noqa: PTH100, PTH108, PTH116, PTH118, PTH120
"""Where the master key comes from: the environment, a file that it names, or the key file of this machine.

A key is made here when a writing caller asks for one, exactly once per home, however many processes ask at the
same moment. Nothing here opens a store.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Final, NamedTuple

from autokestra_secrets.encryption import KEY_BYTES
from autokestra_secrets.errors import (
    InvalidKeyError,
    KeyMissingError,
    PermissionRefusedError,
    SecretsError,
    StoreUnavailableError,
)
from autokestra_secrets.home import DIRECTORY_MODE, FILE_MODE, home_directory, make_home, shell_word
from autokestra_secrets.keytext import KEY_TEXT_BYTES, MasterKey, key_text

__all__ = ["KeyDescription", "MasterKey", "MasterKeyProvider"]

KEY_VARIABLE: Final = "AUTOKESTRA_SECRET_KEY"
KEY_FILE_VARIABLE: Final = "AUTOKESTRA_SECRET_KEY_FILE"
KEY_FILE: Final = "secret.key"
KEY_FILE_SOURCE: Final = "key file"  # what messages call the one at home

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


class KeyDescription(NamedTuple):
    """Where the key in use comes from.

    `source` is `AUTOKESTRA_SECRET_KEY`, `AUTOKESTRA_SECRET_KEY_FILE` or `key file`; `path` that of its file, if any.
    """

    source: str
    path: str | None
    fingerprint: str


class MasterKeyProvider:
    """Finds the master key: in `AUTOKESTRA_SECRET_KEY`, `AUTOKESTRA_SECRET_KEY_FILE`, or the key file at home.

    `environ` is read at each call; `home` is `$AUTOKESTRA_HOME`, by default `~/.autokestra`. `notify` is called with
    one line of text when a key was made or a key file is more open than it should be; without it nothing is said.
    """

    def __init__(
        self,
        environ: Mapping[str, str] = os.environ,
        home: str | os.PathLike[str] | None = None,
        *,
        notify: Callable[[str], None] | None = None,
    ) -> None:
        self._environ = environ
        self._home = None if home is None else os.path.abspath(os.fspath(home))
        self._notify = notify
        self._said: set[str] = set()

    @property
    def home(self) -> str:
        """The absolute path of the home directory, which need not exist."""
        return self._home or home_directory(self._environ)

    @property
    def key_file(self) -> str:
        """The path of the key file of this machine, which need not exist."""
        return os.path.join(self.home, KEY_FILE)

    @property
    def absent(self) -> bool:
        """Whether no source is there at all, so that `load_or_create` would make a key."""
        return next(self._sources(), None) is None

    def load(self) -> MasterKey:
        """Return the key of the first source that is there. Makes none.

        Raises KeyMissingError when no source is there, InvalidKeyError when the first one holds no usable key, and
        PermissionRefusedError when its file cannot be read or others can read it.
        """
        for read in self._sources():
            return read()
        raise KeyMissingError(
            "no master key found",
            hint=f"set {KEY_VARIABLE} or {KEY_FILE_VARIABLE}, or put the key file back at {self.key_file}",
        )

    def load_or_create(self) -> MasterKey:
        """Return the key of the first source that is there, or make the key file at home and return what it holds.

        Only for a caller that writes to a store without any key slot: a new key opens nothing that exists. Raises
        what `load` raises, and StoreUnavailableError when the file cannot be made.
        """
        for read in self._sources():
            return read()
        self._create()
        return _read_own_file(self.key_file)

    def others(self) -> Iterator[MasterKey]:
        """Yield the keys of the sources after the first, skipping those that are unusable.

        For an error message that names the key which would have opened a store.
        """
        for read in list(self._sources())[1:]:
            try:
                yield read()
            except SecretsError:
                continue

    def describe(self) -> KeyDescription:
        """Return source, path and fingerprint of the key that `load` returns. Raises what `load` raises."""
        key = self.load()
        return KeyDescription(key.source, key.path, key.fingerprint)

    def _sources(self) -> Iterator[Callable[[], MasterKey]]:
        """Yield a reader for every source that is there, the first to win first."""
        text = self._environ.get(KEY_VARIABLE)
        if text is not None:
            yield lambda: MasterKey.parse(os.fsencode(text), source=KEY_VARIABLE)
        path = self._environ.get(KEY_FILE_VARIABLE)
        if path is not None:
            yield lambda: self._read_named_file(path)
        if _is_there(self.key_file):
            yield lambda: _read_own_file(self.key_file)

    def _read_named_file(self, path: str) -> MasterKey:
        if not path.strip():
            raise InvalidKeyError(
                f"{KEY_FILE_VARIABLE} is empty", hint=f"unset {KEY_FILE_VARIABLE}, or set it to the path of a key file"
            )
        # Kubernetes mounts secrets as symlinks and Docker as 0444, so neither is refused here.
        text, status = _read_file(path, source=KEY_FILE_VARIABLE, flags=0)
        if status.st_mode & _OTHERS:
            self._say(
                f"warning: others can read the key file {path}; unless that is meant: chmod 600 {shell_word(path)}"
            )
        return MasterKey.parse(text, source=KEY_FILE_VARIABLE, path=path)

    def _create(self) -> None:
        """Make the key file, unless another process has just made it: then that one is right."""
        make_home(self.home)
        _check_directory(self.home)
        scratch = os.path.join(self.home, f".{KEY_FILE}.{os.urandom(8).hex()}")
        made = True
        try:
            try:
                _write_file(scratch, key_text(os.urandom(KEY_BYTES)).encode() + b"\n")
                # A hard link appears whole or not at all and never replaces another key. Measured with 4 processes:
                # look-then-write, O_EXCL and rename each lost or emptied keys, this did not.
                os.link(scratch, self.key_file, follow_symlinks=False)
            except FileExistsError:
                made = False
            finally:
                _remove(scratch)
            _sync_directory(self.home)  # by the loser too, who may otherwise seal secrets before the winner gets here
        except PermissionError:
            raise PermissionRefusedError(
                f"cannot create the key file {self.key_file}: permission denied, or no hard links on this file system",
                hint=f"set AUTOKESTRA_HOME to a directory of yours on a local disk, or give a key in {KEY_VARIABLE}",
            ) from None
        except OSError as error:
            raise StoreUnavailableError(
                f"cannot create the key file {self.key_file}: {error.strerror}",
                hint=f"set AUTOKESTRA_HOME to a directory of yours on a local disk, or give a key in {KEY_VARIABLE}",
            ) from None
        if made:
            self._say(
                f"created the master key {self.key_file}: without it your secrets are lost; keep a copy in a safe place"
            )

    def _say(self, line: str) -> None:
        if self._notify is not None and line not in self._said:
            self._said.add(line)  # a command may read the same key file several times
            self._notify(line)


def _is_there(path: str) -> bool:
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # it cannot be looked at, which reading it will explain; "no key" would be the wrong answer
    return True


def _read_own_file(path: str) -> MasterKey:
    # A symlink here was not made by us; whoever made it would choose the key.
    text, status = _read_file(path, source=KEY_FILE_SOURCE, flags=os.O_NOFOLLOW)
    mode = stat.S_IMODE(status.st_mode)
    if mode & _OTHERS:
        raise PermissionRefusedError(
            f"others can read the key file {path}: expected mode {FILE_MODE:04o}, got {mode:04o}",
            hint=f"chmod {FILE_MODE:o} {shell_word(path)}",
        )
    _check_directory(os.path.dirname(path))
    return MasterKey.parse(text, source=KEY_FILE_SOURCE, path=path)


def _check_directory(path: str) -> None:
    mode = stat.S_IMODE(os.stat(path).st_mode)
    if mode & _OTHERS_WRITE:
        raise PermissionRefusedError(
            f"others can replace the key file in {path}: expected mode {DIRECTORY_MODE:04o}, got {mode:04o}",
            hint=f"chmod {DIRECTORY_MODE:o} {shell_word(path)}",
        )


def _read_file(path: str, *, source: str, flags: int) -> tuple[bytes, os.stat_result]:
    """Return content and status of a regular file, both from one descriptor, so that nobody swaps it in between."""
    try:
        # O_NONBLOCK: opening a FIFO must not wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | flags)
    except FileNotFoundError:
        raise KeyMissingError(f"{source} {path} does not exist", hint=f"put the key file back at {path}") from None
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
        raise InvalidKeyError(f"cannot read {source} {path!r}: {reason}", hint=f"ls -ld {shell_word(path)}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise InvalidKeyError(f"{source} {path} is not a regular file", hint=f"ls -ld {shell_word(path)}")
        return os.read(descriptor, KEY_TEXT_BYTES + 1), status
    finally:
        os.close(descriptor)


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
