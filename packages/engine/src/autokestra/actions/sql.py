"""`core/sql.query`: one statement on SQLite or PostgreSQL, with its values as parameters.

It runs in the engine, so a SQLite file may not be one that children cannot see, nor can SQL open another. For
PostgreSQL nothing is taken from the engine's environment: neither `PGPASSWORD` nor `~/.pgpass`.
"""

import base64
import os
import re
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, JsonValue

from autokestra.actions.file import absolute, refuse_private, refuse_private_path
from autokestra.actions.inputs import SqlInputs
from autokestra.actions.protocol import ActionContext, ActionError, check_json, check_time

_POLL_SECONDS: Final = 0.1
_NO_FILE: Final = os.path.join(os.devnull, "none")  # noqa: PTH118  # libpq warns of what is there, and no plain file
_STEPS: Final = 10_000  # of SQLite's virtual machine, between two looks at the clock; well under a millisecond
_PARAMETER: Final = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" | --[^\n]* | /\*.*?\*/ | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$ | ::
    | :(?P<name>[A-Za-z_][A-Za-z0-9_]*) | %""",
    re.VERBOSE | re.DOTALL,
)

Rows = tuple[list[dict[str, Any]], int]


class SqlQuery:
    """Runs a statement; output: `rows` (a list of objects) and `rowCount` (rows found, or changed)."""

    type: Final = "core/sql.query"
    input_model: Final = SqlInputs

    def run(self, inputs: BaseModel, context: ActionContext) -> JsonValue:
        """Run it in a transaction of its own. Raises ActionError; what the statement did is then undone."""
        assert isinstance(inputs, SqlInputs)
        until = time.monotonic() + inputs.timeout
        scheme = inputs.database.partition(":")[0]
        if inputs.database.startswith("sqlite:///"):
            rows, count = _sqlite(inputs, context, until)
        elif scheme in ("postgresql", "postgres"):
            rows, count = _postgresql(inputs, context, until)
        else:  # the rest may hold a password
            raise ActionError("database begins with neither sqlite:/// nor postgresql://", reason="bad-input")
        output: JsonValue = {"rows": [_plain(row) for row in rows], "rowCount": count}
        check_json(output)
        return output


def _sqlite(inputs: SqlInputs, context: ActionContext, until: float) -> Rows:
    name = inputs.database.removeprefix("sqlite:///")
    parameters = {key: _bound(key, value) for key, value in inputs.parameters.items()}
    try:
        with closing(_open_sqlite(name, context, until, create=inputs.create)) as connection:
            cursor = connection.execute(inputs.sql, parameters)
            rows = _fetched(cursor, inputs.max_rows, [column[0] for column in cursor.description or ()])
            count = len(rows) if cursor.description else max(cursor.rowcount, 0)
            connection.commit()
            return rows, count
    except (sqlite3.Error, sqlite3.Warning, OverflowError) as error:
        _check_clock(context, until, inputs.timeout)
        raise ActionError(f"SQLite: {error}", reason="database") from None


def _open_sqlite(name: str, context: ActionContext, until: float, *, create: bool) -> sqlite3.Connection:
    if name != ":memory:":
        path = absolute(name, context)
        try:
            refuse_private_path(path, context)
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (os.O_CREAT if create else 0)
            descriptor = os.open(path, flags, 0o666)
        except OSError as error:
            raise ActionError(
                f"cannot open the database '{name}': {(error.strerror or '').lower()}", reason="bad-input"
            ) from None
        try:
            refuse_private(descriptor, path, context)
        except OSError as error:
            raise ActionError(f"cannot open the database '{name}': {error.strerror}", reason="bad-input") from None
        finally:
            os.close(descriptor)
        # By its resolved name, so that a link that changes now leads nowhere else.
        name = os.path.realpath(path)
    connection = sqlite3.connect(name, timeout=max(0.1, until - time.monotonic()))
    connection.set_authorizer(_authorize)
    connection.set_progress_handler(lambda: _is_over(context, until), _STEPS)
    return connection


def _authorize(action: int, first: str | None, *_: str | None) -> int:
    """No other file: ATTACH and VACUUM INTO name one. VACUUM itself attaches one without a name."""
    return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_ATTACH and first else sqlite3.SQLITE_OK


def _postgresql(inputs: SqlInputs, context: ActionContext, until: float) -> Rows:
    try:
        import psycopg  # noqa: PLC0415  # an extra
        from psycopg.types.json import Jsonb  # noqa: PLC0415

        from autokestra_secrets import PostgresDatabase, SecretsError  # noqa: PLC0415  # the first needs psycopg
    except ImportError:
        raise ActionError(
            "PostgreSQL needs a driver that is not installed; pip install 'autokestra[postgres]'", reason="start"
        ) from None
    try:  # what libpq would misread, since its message would show a piece of the password
        PostgresDatabase(inputs.database, what="database")
    except SecretsError as error:
        message = f"{error.message}; write a password in it as {{{{ secrets.NAME | urlencode }}}}"
        raise ActionError(message, reason="bad-input") from None
    parameters = {
        key: Jsonb(value) if isinstance(value, dict | list) else value for key, value in inputs.parameters.items()
    }
    try:
        seconds = max(1, int(until - time.monotonic()))
        arguments = _without_environment(psycopg, inputs.database)
        with (
            psycopg.connect(**{"connect_timeout": seconds, **arguments}) as connection,
            _watched(connection, context, until),
        ):
            # Prepared, since only then the server takes one statement and no more.
            cursor = connection.execute(_percent(inputs.sql), parameters, prepare=True)
            if cursor.description is None:
                return [], max(cursor.rowcount, 0)
            rows = _fetched(cursor, inputs.max_rows, [column.name for column in cursor.description])
            return rows, len(rows)
    except psycopg.Error as error:
        _check_clock(context, until, inputs.timeout)
        raise ActionError(f"PostgreSQL: {str(error).strip()}", reason="database") from None


def _without_environment(psycopg: Any, conninfo: str) -> dict[str, Any]:
    """Return the arguments for a connection that takes nothing from the engine's environment or home."""
    given: dict[str, Any] = psycopg.conninfo.conninfo_to_dict(conninfo)
    arguments = {"passfile": _NO_FILE, **given}
    for option in psycopg.pq.Conninfo.get_defaults():
        keyword, variable = option.keyword.decode(), option.envvar
        if keyword not in arguments and variable and variable.decode() in os.environ:
            arguments[keyword] = (option.compiled or b"").decode()
    return arguments


@contextmanager
def _watched(connection: Any, context: ActionContext, until: float) -> Iterator[None]:
    """Have a statement cancelled on the server when the time or somebody's patience is over."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_POLL_SECONDS):
            if _is_over(context, until):
                connection.cancel()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _percent(sql: str) -> str:
    """Write `:name` as psycopg wants it; what stands in quotes and comments, and `::type`, stays."""

    def written(found: re.Match[str]) -> str:
        return f"%({found['name']})s" if found["name"] else found[0].replace("%", "%%")

    return _PARAMETER.sub(written, sql)


def _fetched(cursor: Any, most: int, names: Sequence[str]) -> list[dict[str, Any]]:
    if not names:
        return []
    twice = next((name for number, name in enumerate(names) if name in names[:number]), None)
    if twice is not None:
        raise ActionError(f"two columns are called '{twice}': name them with AS", reason="bad-input")
    rows = cursor.fetchmany(most + 1)
    if len(rows) > most:
        raise ActionError(f"more than {most:,} rows: add a LIMIT, or raise maxRows", reason="too-large")
    return [dict(zip(names, row, strict=True)) for row in rows]


def _bound(name: str, value: JsonValue) -> str | int | float | None:
    if isinstance(value, dict | list):
        raise ActionError(f"parameter '{name}' is no single value; give it as text: tojson", reason="bad-input")
    return value


def _plain(row: Mapping[str, Any]) -> dict[str, JsonValue]:
    return {name: _value(value) for name, value in row.items()}


def _value(value: Any) -> Any:
    """Return a value as JSON can hold it: exact numbers and times as text, bytes as base64."""
    if isinstance(value, bytes | memoryview):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime | date | time_of_day):
        return value.isoformat()
    if isinstance(value, Decimal | UUID | timedelta):
        return str(value)
    if isinstance(value, list):
        return [_value(each) for each in value]
    return value


def _is_over(context: ActionContext, until: float) -> bool:
    now = time.monotonic()
    return context.cancelled.is_set() or now >= until or (context.deadline is not None and now >= context.deadline)


def _check_clock(context: ActionContext, until: float, seconds: float) -> None:
    check_time(context)
    if time.monotonic() >= until:
        raise ActionError(f"no result within {seconds:g} s", reason="timeout")
