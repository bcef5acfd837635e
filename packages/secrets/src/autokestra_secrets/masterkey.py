# `os.path` on purpose: importing pathlib costs every start-up 5 ms.
# ruff: noqa: PTH100, PTH111, PTH118
"""Where the master key comes from: the environment, a file that it names, or the key file of this machine.

A key is made here when a writing caller asks for one, exactly once per home, however many processes ask at the
same moment. Nothing here opens a store.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from autokestra_secrets.errors import ConflictError, InvalidKeyError, KeyMissingError, SecretsError
from autokestra_secrets.home import home_directory, make_home, shell_word
from autokestra_secrets.keyfile import (
    KEY_FILE_SOURCE,
    KEY_FILE_VARIABLE,
    KEY_VARIABLE,
    OTHERS,
    check_directory,
    is_there,
    read_file,
    read_own_file,
    write_new_key,
)
from autokestra_secrets.keytext import MasterKey

__all__ = ["KEY_FILE_VARIABLE", "KEY_VARIABLE", "KeyDescription", "MasterKey", "MasterKeyProvider"]

KEY_FILE: Final = "secret.key"


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
        return read_own_file(self.key_file)

    def others(self) -> Iterator[MasterKey]:
        """Yield the keys of the sources after the first, skipping those that are unusable.

        For an error message that names the key which would have opened a store.
        """
        for read in list(self._sources())[1:]:
            try:
                yield read()
            except SecretsError:
                continue

    def write_key_file(self, path: str | os.PathLike[str], *, replace: bool = False) -> MasterKey:
        """Make a key file with a new random key at `path`, durable when this returns, and return the key.

        For a key that is to become a further key slot of a store: it opens nothing yet. Of several processes that ask
        for one path at once, one succeeds. `replace` overwrites the file, which loses the key in it for good. Raises
        ConflictError when the file is there, and what `load_or_create` raises.
        """
        target = os.path.abspath(os.path.expanduser(os.fspath(path)))
        if not write_new_key(target, replace=replace):
            raise ConflictError(
                f"there is a file at {target} already, and a key that is overwritten is lost", hint="give another path"
            )
        return MasterKey.parse(read_file(target, source=KEY_FILE_SOURCE)[0], source=KEY_FILE_SOURCE, path=target)

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
        if is_there(self.key_file):
            yield lambda: read_own_file(self.key_file)

    def _read_named_file(self, path: str) -> MasterKey:
        if not path.strip():
            raise InvalidKeyError(
                f"{KEY_FILE_VARIABLE} is empty", hint=f"unset {KEY_FILE_VARIABLE}, or set it to the path of a key file"
            )
        # Kubernetes mounts secrets as symlinks and Docker as 0444, so neither is refused here.
        text, status = read_file(path, source=KEY_FILE_VARIABLE)
        if status.st_mode & OTHERS:
            self._say(
                f"warning: others can read the key file {path}; unless that is meant: chmod 600 {shell_word(path)}"
            )
        return MasterKey.parse(text, source=KEY_FILE_VARIABLE, path=path)

    def _create(self) -> None:
        """Make the key file, unless another process has just made it: then that one is right."""
        make_home(self.home)
        check_directory(self.home)
        if write_new_key(self.key_file):
            self._say(
                f"created the master key {self.key_file}: without it your secrets are lost; keep a copy in a safe place"
            )

    def _say(self, line: str) -> None:
        if self._notify is not None and line not in self._said:
            self._said.add(line)  # a command may read the same key file several times
            self._notify(line)
