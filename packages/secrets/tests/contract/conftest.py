"""Every backend there is, behind one fixture: empty, and gone at the end."""

import pytest

from autokestra_secrets.backends.memory import MemoryBackend
from autokestra_secrets.backends.sqlite import SQLiteBackend


@pytest.fixture(params=["sqlite", "memory", "postgres"])
def backend(request, tmp_path):
    """A backend without rows that reads as an empty store."""
    if request.param == "postgres":
        from autokestra_secrets.backends.postgres import PostgresBackend

        backend = PostgresBackend(request.getfixturevalue("postgres_url"))
        with backend.transaction():  # a database without tables is an error for a reader, as a missing named file is
            pass
    elif request.param == "memory":
        backend = MemoryBackend()
    else:
        home = tmp_path / "home"
        backend = SQLiteBackend(str(home / "secrets.db"), home=str(home))
    yield backend
    backend.close()
