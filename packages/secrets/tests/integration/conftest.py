"""What tests on real files need: a home, its environment, and a way to be a user whom permissions bind."""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

import pytest

NOBODY = 65534


@pytest.fixture
def home(tmp_path):
    """The path of a home directory that does not exist yet."""
    return tmp_path / "home"


@pytest.fixture
def environ(home):
    """An environment in which that home is the only source of keys and stores."""
    return {"AUTOKESTRA_HOME": str(home)}


@pytest.fixture
def bound_directory():
    """A directory of the user that `as_bound_user` makes us, reachable for that user."""
    path = Path(tempfile.mkdtemp(prefix="autokestra-test-"))
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)
    yield path
    for directory, _, _ in os.walk(path):
        os.chmod(directory, 0o700)
    shutil.rmtree(path)


@pytest.fixture
def as_bound_user():
    """A context in which permissions bind us: root is nobody there, others are themselves already."""
    import hmac  # noqa: F401  # nobody may not be able to read the standard library, so what comes late comes now
    import secrets  # noqa: F401
    import shlex  # noqa: F401
    import sqlite3  # noqa: F401

    @contextlib.contextmanager
    def context():
        if os.geteuid() != 0:
            yield
            return
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
        try:
            yield
        finally:
            os.seteuid(0)
            os.setegid(0)

    return context
