"""What `doctor` looks at of keys, stores and the files around them; the machine is the matter of `machine`.

Nothing is changed, and neither a key nor a value is shown.
"""

import os
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from shlex import quote
from typing import Final

from autokestra.cli.expiry import warnings
from autokestra.cli.machine import Check, check_clock, check_isolation, check_memory, check_place, check_versions
from autokestra.errors import AutokestraError
from autokestra_secrets import (
    KeyMissingError,
    MasterKeyProvider,
    SecretsError,
    SecretStore,
    home_directory,
)

OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
FILES_MOST: Final = 10_000  # looked at in the home directory


def examine(environ: Mapping[str, str], *, store: str | None, state: Path | str) -> Iterator[Check]:
    """Yield all checks, in the order in which a person would mend things."""
    yield from check_versions()
    home = Path(home_directory(environ))
    yield from check_home(home)
    yield from check_key(environ, store)
    yield from check_store(environ, store)
    yield from check_state(state)
    for place in sorted({home, state.parent} if isinstance(state, Path) else {home}):
        yield from check_place(place)
    yield from check_clock(time.time())
    yield from check_memory(environ)
    yield from check_isolation()


def check_home(home: Path) -> Iterator[Check]:
    """The home directory, and whether others can read what is in it."""
    try:
        status = home.stat()
    except FileNotFoundError:
        yield Check("home", "ok", f"{home} is not there yet; the first secret or workflow makes it")
        return
    except OSError as error:
        yield Check("home", "fail", f"{home} cannot be looked at: {error.strerror}", f"ls -ld {quote(str(home))}")
        return
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid != os.geteuid():
        yield Check("home", "fail", f"{home} belongs to another user", "set AUTOKESTRA_HOME to a directory of yours")
    elif mode & OTHERS:
        yield Check("home", "fail", f"{home} is open to others: {mode:04o}", f"chmod 700 {quote(str(home))}")
    else:
        yield Check("home", "ok", f"{home} is for you alone")
    yield from _check_ignored(home)
    yield from _check_files(home)


def _check_ignored(home: Path) -> Iterator[Check]:
    if not (home / ".gitignore").exists() and not (home / ".git").exists():
        path = quote(str(home / ".gitignore"))
        yield Check("git", "warn", f"{home} has no .gitignore: git could take the key along", f"echo '*' > {path}")


def _check_files(home: Path) -> Iterator[Check]:
    open_files = []
    for number, path in enumerate(home.rglob("*")):
        if number >= FILES_MOST:
            yield Check("files", "warn", f"{home} has more than {FILES_MOST:,} files, and not all were looked at")
            break
        try:
            status = path.lstat()
        except OSError:
            continue
        if not stat.S_ISLNK(status.st_mode) and status.st_mode & OTHERS:
            open_files.append(path)
    for path in open_files[:10]:
        yield Check("files", "fail", f"{path} is open to others", f"chmod go= {quote(str(path))}")
    if len(open_files) > 10:
        yield Check(
            "files", "fail", f"{len(open_files) - 10} more are open to others", f"chmod -R go= {quote(str(home))}"
        )
    elif not open_files:
        yield Check("files", "ok", "nothing in it is open to others")


def check_key(environ: Mapping[str, str], location: str | None) -> Iterator[Check]:
    """Where the master key comes from, never what it is."""
    said: list[str] = []
    provider = MasterKeyProvider(environ, notify=said.append)
    try:
        found = provider.describe()
    except KeyMissingError as error:
        if _has_store(environ, location):
            yield Check("key", "fail", f"{error.message}, and there is a store", error.hint)
        else:
            yield Check("key", "ok", "none yet; the first secret makes one")
        return
    except SecretsError as error:
        yield Check("key", "fail", error.message, error.hint)
        return
    place = f"{found.source} {found.path}" if found.path else found.source
    yield Check("key", "ok", f"from {place}, fingerprint {found.fingerprint}")
    for line in said:
        yield Check("key", "warn", line.removeprefix("warning: "), "chmod 600, unless a container mounts it so")
    if found.path is None:
        yield Check(
            "key",
            "warn",
            "every program of yours can read an exported variable",
            "keep the key in a file: AUTOKESTRA_SECRET_KEY_FILE",
        )


def _has_store(environ: Mapping[str, str], location: str | None) -> bool:
    try:
        with SecretStore.open(location, environ=environ) as store:
            return bool(store.keys.list())
    except SecretsError:
        return True


def check_store(environ: Mapping[str, str], location: str | None) -> Iterator[Check]:
    """Whether the store opens with the key, how many keys it has, and what is due."""
    said: list[str] = []
    try:
        with SecretStore.open(location, environ=environ, notify=said.append) as store:
            place, secrets, slots = store.location, store.list(), store.keys.list()
            if slots:
                store.output_cipher()  # opens the data key, and reads no value
    except KeyMissingError:
        yield Check("store", "fail", "it cannot be opened without a key", None)
        return
    except SecretsError as error:
        yield Check("store", "fail", error.message, error.hint)
        return
    if not slots and said:
        yield Check("store", "fail", said[0].removeprefix("warning: "), "workflow secrets restore FILE")
        return
    if not slots:
        yield Check("store", "ok", f"{place} is not there yet; the first secret makes it")
        return
    yield Check("store", "ok", f"{place} opens with the key and has {len(secrets)} secrets")
    yield from _check_mode("store", Path(place))
    for line in said:
        yield Check("store", "warn", line.removeprefix("warning: "), "workflow secrets verify")
    if len(slots) == 1:
        yield Check("recovery", "warn", "only one key opens the store", "workflow secrets key add --recovery")
    else:
        yield Check("recovery", "ok", f"{len(slots)} keys open the store")
    for line in warnings(secrets, now=time.time_ns() // 1000):
        yield Check("expiry", "warn", line, f"workflow secrets set {line.split(chr(39))[1]}")
    latest = max((secret.updated_at for secret in secrets), default=0)
    if latest > time.time_ns() // 1000 + 60_000_000:
        yield Check(
            "clock", "warn", "a secret was stored in the future: a clock was wrong then, or is now", "timedatectl"
        )


def check_state(path: Path | str) -> Iterator[Check]:
    """The state database: executions and their masked logs."""
    if isinstance(path, str):
        yield _check_shared_state(path)
    elif path.exists():
        yield from _check_mode("state", path)
    else:
        yield Check("state", "ok", f"{path} is not there yet; the first run makes it")


def _check_shared_state(url: str) -> Check:
    from autokestra.executions.store import ExecutionStore  # noqa: PLC0415  # only where it is no file

    try:
        with ExecutionStore.open(url, create=False) as store:
            store.executions(most=1)
            return Check("state", "ok", f"{store.location} can be reached")
    except AutokestraError as error:
        return Check("state", "fail", error.message, error.hint)


def _check_mode(name: str, path: Path) -> Iterator[Check]:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:  # a store that is no file
        return
    if mode & OTHERS:
        yield Check(name, "fail", f"{path} is open to others: {mode:04o}", f"chmod 600 {quote(str(path))}")
    elif name == "state":
        yield Check(name, "ok", f"{path} is for you alone")
