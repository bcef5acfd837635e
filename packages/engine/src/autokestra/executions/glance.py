"""A glance at a state database, for the completion of a command line: ids and tasks, and the file stays as it is.

`ExecutionStore` would bring the file up to date and wait for writers. Here a file of an unknown form, a busy one and
none at all are the same: nothing to show. PostgreSQL is not asked. The statements stand here and not in `sql/`: reading
those takes longer than a key may.
"""

import os
import sqlite3
from contextlib import closing
from typing import Final

from autokestra.executions.records import LATEST

WAIT_SECONDS: Final = 0.2


def newest(path: str, most: int) -> list[str]:
    """Return the ids of at most `most` executions, newest first."""
    return _column(path, "SELECT id FROM execution ORDER BY created_at DESC, id DESC LIMIT ?", most)


def tasks(path: str, execution: str) -> list[str]:
    """Return the tasks of one execution, or of the `latest`, in the order of its document."""
    ids = [execution]
    if execution == LATEST:
        latest = "SELECT id FROM execution WHERE caller_execution IS NULL ORDER BY created_at DESC, id DESC LIMIT 1"
        ids = _column(path, latest)
    order = "SELECT task_id FROM task_run WHERE execution_id = ? AND parent IS NULL ORDER BY position"
    return _column(path, order, *ids) if ids else []


def _column(path: str, statement: str, *values: object) -> list[str]:
    if not os.path.isfile(path):  # noqa: PTH113  # importing pathlib costs 5 ms
        return []
    # Where no WAL waits to be read the file is all there is, and may be taken as it stands: opened in any other way, a
    # WAL and its index would be made beside it.
    mode = "mode=ro" if os.path.lexists(path + "-wal") else "mode=ro&immutable=1"
    place = os.path.abspath(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")  # noqa: PTH100
    try:
        with closing(sqlite3.connect(f"file:{place}?{mode}", uri=True, timeout=WAIT_SECONDS)) as database:
            return [row[0] for row in database.execute(statement, values) if isinstance(row[0], str)]
    except sqlite3.Error:
        return []
