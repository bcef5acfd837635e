# `os.path` on purpose: importing pathlib costs every start-up 5 ms.
# ruff: noqa: PTH100, PTH111, PTH118
"""From what a user writes for a store to the backend that keeps it."""

import os
from typing import Final

from autokestra_secrets.backends import Backend
from autokestra_secrets.errors import StoreUnavailableError

STORE_VARIABLE: Final = "AUTOKESTRA_STORE"
STORE_FILE: Final = "secrets.db"


def is_postgres_url(location: str) -> bool:
    """Whether a location names a PostgreSQL database."""
    return location.startswith(("postgresql://", "postgres://"))


def backend_at(location: str | os.PathLike[str] | None, *, home: str) -> Backend:
    """Return the backend for a path, a `sqlite:///` or `postgresql://` address, or the default file in `home` for None.

    Touches nothing. Raises StoreUnavailableError when the location means nothing.
    """
    from autokestra_secrets.backends.sqlite import SQLiteBackend  # noqa: PLC0415  # a store in memory needs no sqlite3

    if location is None:
        return SQLiteBackend(os.path.join(home, STORE_FILE), home=home)
    path = os.fspath(location)
    if "://" in path:
        scheme, _, rest = path.partition("://")  # repeated by no message: `token://…` may be a value
        if is_postgres_url(path):
            from autokestra_secrets.backends.postgres import PostgresBackend  # noqa: PLC0415  # 120 ms, an extra

            return PostgresBackend(path)
        if scheme != "sqlite":
            raise StoreUnavailableError(
                "no backend for this kind of address of a secret store",
                hint="give the path of a file, sqlite:///PATH or postgresql://USER@HOST/DATABASE",
            )
        path = rest.removeprefix("/")  # the usual convention: sqlite:///relative and sqlite:////absolute
    if not path.strip() or "\0" in path:
        raise StoreUnavailableError(
            f"the location of the secret store is {'empty' if not path.strip() else 'no path'}",
            hint=f"give a path with --store, or unset {STORE_VARIABLE}",
        )
    expanded = os.path.expanduser(path)
    return SQLiteBackend(os.path.abspath(expanded), given=expanded)
