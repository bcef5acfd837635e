"""One PostgreSQL database: connecting, transactions, and what is wrong when something is. It knows no tables.

Both kinds of rows that several machines may share, secrets and executions, come through here.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

try:
    import psycopg
except ImportError:
    from autokestra_secrets.errors import StoreUnavailableError

    raise StoreUnavailableError(
        "PostgreSQL needs a driver that is not installed", hint="pip install 'autokestra-secrets[postgres]'"
    ) from None

from psycopg import sql

from autokestra_secrets.backends.postgres_address import PostgresAddress, parse_address
from autokestra_secrets.backends.postgres_errors import explain
from autokestra_secrets.errors import SecretsError

LOCK_SECONDS: Final = 10.0  # to wait for another writer
CONNECT_SECONDS: Final = 10  # for each host of the address, unless it or PGCONNECT_TIMEOUT says otherwise
IDLE_SECONDS: Final = 60  # after which the server ends a transaction whose owner was stopped, and lets others write


class PostgresDatabase:
    """A database at a URL, connected to when it is first needed, and again after the connection was lost.

    `what` is the word for it in messages, such as `secret store`. Not for several threads at once.
    """

    def __init__(
        self,
        url: str,
        *,
        what: str,
        lock_seconds: float = LOCK_SECONDS,
        environ: Mapping[str, str] = os.environ,
        check: Callable[["psycopg.Connection[Any]"], None] = lambda _: None,
    ) -> None:
        self.address: PostgresAddress = parse_address(url)
        self.what = what
        self.lock_seconds = lock_seconds
        self._environ = environ
        self._check = check
        self._connection: psycopg.Connection[Any] | None = None

    @property
    def location(self) -> str:
        """The URL as messages show it: without password and options."""
        return self.address.location

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is under way."""
        link = self._connection
        return (
            link is not None and not link.closed and link.info.transaction_status != psycopg.pq.TransactionStatus.IDLE
        )

    @property
    def is_lost(self) -> bool:
        """Whether there was a connection and it is gone."""
        return self._connection is not None and self._connection.closed

    def connection(self) -> "psycopg.Connection[Any]":
        """Return the connection, in autocommit mode: transactions are begun by hand. Raises what `explain` returns."""
        if self._connection is None or self._connection.closed:
            self._connection = None
            with self.explained():
                link = psycopg.connect(self.address.conninfo, autocommit=True, **self._parameters())
            try:
                with self.explained():
                    self._check(link)
            except BaseException:
                link.close()
                raise
            self._connection = link
        return self._connection

    def execute(self, statement: Any, parameters: Any = None) -> "psycopg.Cursor[Any]":
        """Run one statement. A connection that turns out to be dead is made anew, once, outside of transactions."""
        old = None if self.in_transaction else self._connection
        link = self.connection()
        try:
            with self.explained():
                return link.execute(statement, parameters)
        except SecretsError:
            if link is not old or not link.closed:
                raise
        # The server was restarted while we were idle. Nothing of ours was under way: the statement begins anew.
        with self.explained():
            return self.connection().execute(statement, parameters)

    def execute_many(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Run a statement within `transaction`, once for each of the rows, in few round trips."""
        with self.explained(), self.connection().cursor() as cursor:
            cursor.executemany(statement, rows)

    @contextmanager
    def transaction(self, begin: str = "BEGIN") -> Iterator[None]:
        """Commit at the end, or undo everything if an exception passes."""
        self.execute(begin)
        try:
            yield
        except BaseException:
            self.roll_back()
            raise
        self.execute("COMMIT")

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all reads inside see one state."""
        self.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            yield
        finally:
            self.roll_back()

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn an error of PostgreSQL into one of ours."""
        try:
            yield
        except psycopg.Error as error:
            raise self.explain(error) from None

    def explain(self, error: "psycopg.Error") -> SecretsError:
        """Return the error of ours that says what happened."""
        return explain(error, address=self.address, what=self.what, timeout=self.lock_seconds)

    def make_schema(self) -> None:
        """Make the schema of the address unless it is there; needs no right on the database where it is."""
        found = self.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (self.address.schema,)).fetchone()
        if found is None:
            self.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(self.address.schema)))

    def lock_migrations(self) -> None:
        """Let one process at a time make or change tables of this schema, to the end of the transaction."""
        self.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('autokestra migrations ' || %s, 0))", (self.address.schema,)
        )

    def close(self) -> None:
        """Close the connection; harmless when done twice."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def roll_back(self) -> None:
        """Undo the transaction under way, if there is one."""
        if self.in_transaction:
            self.execute("ROLLBACK")

    def _parameters(self) -> dict[str, Any]:
        given = self.address.options
        wanted = [given.get("options", self._environ.get("PGOPTIONS", ""))]
        wanted.append(f"-c search_path={self.address.schema},pg_temp")
        wanted.append(f"-c lock_timeout={int(self.lock_seconds * 1000)}")
        wanted.append(f"-c idle_in_transaction_session_timeout={IDLE_SECONDS * 1000}")
        parameters: dict[str, Any] = {"options": " ".join(wanted).strip(), "client_encoding": "UTF8"}
        if "connect_timeout" not in given and "PGCONNECT_TIMEOUT" not in self._environ:
            parameters["connect_timeout"] = CONNECT_SECONDS
        if "application_name" not in given and "PGAPPNAME" not in self._environ:
            parameters["application_name"] = "autokestra"
        if "tcp_user_timeout" not in given:
            parameters["tcp_user_timeout"] = CONNECT_SECONDS * 1000  # a server that is cut off is noticed
        return parameters
