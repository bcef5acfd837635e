# `os.path` on purpose: importing pathlib costs every start-up 5 ms.
# ruff: noqa: PTH100, PTH103, PTH111, PTH112, PTH118, PTH120
"""Where Autokestra keeps its things on this machine: `$AUTOKESTRA_HOME`, by default `~/.autokestra`.

Nothing here reads or writes what is kept there.
"""

import os
import re
from collections.abc import Mapping
from typing import Final

from autokestra_secrets.errors import PermissionRefusedError, StoreUnavailableError

HOME_VARIABLE: Final = "AUTOKESTRA_HOME"
DIRECTORY_MODE: Final = 0o700
FILE_MODE: Final = 0o600
NAME_MAX: Final = 255  # bytes in the name of a file, as limits.h of Linux and macOS have it
# `app.env`, `page.html`: what ends like this is meant as a file. Any extension will not do, tokens have dots too.
_FILE_NAME: Final = re.compile(
    r"[A-Za-z0-9_./ -]{0,200}\.(?:env|json|ya?ml|sh|toml|txt|csv|sql|py|html|db|sqlite|backup|key|pem|crt|log)"
)


def home_directory(environ: Mapping[str, str]) -> str:
    """Return the absolute path of the home directory, which need not exist.

    Raises StoreUnavailableError when `AUTOKESTRA_HOME` is set but empty: a script that lost a value must not
    silently read another home.
    """
    path = environ.get(HOME_VARIABLE)
    if path is None:
        return os.path.join(environ.get("HOME") or os.path.expanduser("~"), ".autokestra")
    if not path.strip():
        raise StoreUnavailableError(
            f"{HOME_VARIABLE} is set but empty", hint=f"unset {HOME_VARIABLE}, or give it a path"
        )
    return os.path.abspath(os.path.expanduser(path))


def make_home(path: str) -> None:
    """Create the home directory with mode 0700 if it is missing, and in it a `.gitignore` of `*`.

    Raises PermissionRefusedError or StoreUnavailableError.
    """
    try:
        os.makedirs(path, mode=DIRECTORY_MODE, exist_ok=True)
        # Not in the top directory of a repository, where `*` would hide the user's own files from git.
        if not os.path.lexists(os.path.join(path, ".git")):
            ignore = os.open(os.path.join(path, ".gitignore"), os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
            try:
                os.write(ignore, b"*\n")
            finally:
                os.close(ignore)
    except FileExistsError as error:
        if error.filename == path:
            raise StoreUnavailableError(
                f"{path} is not a directory", hint=f"set {HOME_VARIABLE} to a directory"
            ) from None
    except PermissionError:
        raise PermissionRefusedError(
            f"cannot create files in {path}: permission denied", hint=f"set {HOME_VARIABLE} to a directory of yours"
        ) from None
    except OSError as error:
        raise StoreUnavailableError(
            f"cannot create files in {path}: {error.strerror}", hint=f"set {HOME_VARIABLE} to another directory"
        ) from None


def shown_path(path: str) -> str:
    """Return as much of `path` as a message may repeat: all of what is on the disk, and a new name in a directory.

    People put values where paths belong, and a value is no file in a directory that there is, nor does it
    end like one. Of another path without a directory (`a`, `a/b` without an `a`) and of what looks like `NAME=VALUE`
    only the part on the disk is returned, with `/…` after it.
    """
    try:
        if os.path.lexists(path):
            return path
        directory, name = os.path.split(path)
        if _FILE_NAME.fullmatch(path):
            return path
        if directory.strip("/") and "=" not in name and os.path.isdir(directory) and len(os.fsencode(name)) <= NAME_MAX:
            return path
        while directory and not os.path.isdir(directory):
            directory = os.path.dirname(directory)
    except ValueError:  # what no file system can name
        return "…"
    return os.path.join(directory, "…")


def shell_word(path: str) -> str:
    """Return `path` as a word that a person can paste into a shell, for hints."""
    from shlex import quote  # noqa: PLC0415  # only errors need it

    return quote(path)
