"""The tables of both databases: as they are after all migrations, and the migrations themselves with their comments.

A further dialect is found by itself: `backends/*_schema.py` in the library, `executions/sql/*` in the engine.
"""

import pkgutil
import sqlite3
from collections.abc import Iterable
from importlib import import_module
from importlib.resources import files
from textwrap import dedent
from typing import Final

from autokestra_secrets import backends

OPENING: Final = """# The databases

There are two, by default SQLite files in WAL mode in `$AUTOKESTRA_HOME`: `secrets.db` holds the secrets, `state.db` the
executions. Neither is an interface to write to: a store that was edited by hand fails its check, and the rows of an
execution belong to the process that holds its lease. Times are microseconds UTC, unless a comment says otherwise.

A file that has not had all migrations gets those that are missing, in one transaction, before it is written to. One
that has had more of them than a version knows is refused, with exit code 7.
"""
NAMES: Final = {"sqlite": "SQLite", "postgres": "PostgreSQL"}
SPECIFICATION: Final = "[the specification of the envelope](../spec/envelope.md)"


def page() -> str:
    """Return the page."""
    parts = [OPENING]
    for dialect, migrations in secret_migrations().items():
        parts.append(f"\n## Secrets in {NAMES[dialect]}\n\nWhat the bytes mean is in {SPECIFICATION}.\n\n")
        if dialect == "sqlite":
            parts.append(tables(statement for migration in migrations for statement in migration))
        for number, migration in enumerate(migrations, start=1):
            parts.append(_block(f"Version {number}", ";\n\n".join(map(_evened, migration)) + ";"))
    for dialect, scripts in state_migrations().items():
        parts.append(f"\n## Executions in {NAMES[dialect]}\n\n")
        if dialect == "sqlite":
            parts.append(tables(scripts.values()))
        parts += [_block(f"`{name}`", text.strip()) for name, text in scripts.items()]
    return "".join(parts)


def secret_migrations() -> dict[str, tuple[tuple[str, ...], ...]]:
    """Return the migrations of a store, by dialect."""
    names = [module.name for module in pkgutil.iter_modules(backends.__path__) if module.name.endswith("_schema")]
    found = {name.removesuffix("_schema"): import_module(f"{backends.__name__}.{name}").MIGRATIONS for name in names}
    return {dialect: found[dialect] for dialect in NAMES if dialect in found}


def state_migrations() -> dict[str, dict[str, str]]:
    """Return the migrations of the state database, by dialect and name of the file."""
    folder = files("autokestra.executions") / "sql"
    return {
        dialect: {
            file.name: file.read_text(encoding="utf-8")
            for file in sorted((folder / dialect).iterdir(), key=lambda file: file.name)
            if file.name[:4].isdigit()
        }
        for dialect in NAMES
        if (folder / dialect).is_dir()
    }


def tables(scripts: Iterable[str]) -> str:
    """Return a table of the tables that exist after `scripts`, with their columns in order."""
    with sqlite3.connect(":memory:") as database:
        for script in scripts:
            database.executescript(script)
        listed = database.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY rowid")
        names = [row[0] for row in listed]
        columns = {
            name: [row[0] for row in database.execute("SELECT name FROM pragma_table_info(?) ORDER BY cid", (name,))]
            for name in names
        }
    database.close()
    rows = [f"| `{name}` | {', '.join(f'`{column}`' for column in columns[name])} |" for name in names]
    return "\n".join(["| table | columns |", "|---|---|", *rows]) + "\n"


def _evened(statement: str) -> str:
    """Return a statement that stands indented in the code without its indentation."""
    first, newline, rest = statement.partition("\n")
    return first + newline + dedent(rest).replace("\n    )", "\n)") if newline else first


def _block(title: str, text: str) -> str:
    return f"\n### {title}\n\n```sql\n{text}\n```\n"
