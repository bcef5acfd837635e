"""What PostgreSQL's and libpq's errors mean for the person who meets them: which of ours, and what to type next.

Only libpq's own words and the server's primary message are repeated: details may hold values of rows. Passwords are in
neither, for an address that `postgres_address` has let pass.
"""

import re
from typing import Final

import psycopg

from autokestra_secrets.backends.postgres_address import PostgresAddress
from autokestra_secrets.errors import (
    DamagedError,
    PermissionRefusedError,
    SecretsError,
    StoreUnavailableError,
    UnknownFormatError,
)
from autokestra_secrets.home import shell_word

# A failed connection has no SQLSTATE, only words, which libpq and servers may say in other languages: then the last
# entry of `_connection` answers, with libpq's words as they are.
_TLS: Final = re.compile(r"SSL|TLS|certificate|sslmode|channel binding", re.IGNORECASE)
_PREFIX: Final = re.compile(
    r'connection (failed|to server)[^:]*?( at "[^"]*"(, port \d+)?)?( failed)?: |FATAL:\s+|\n.*'
)


def explain(error: psycopg.Error, *, address: PostgresAddress, what: str, timeout: float) -> SecretsError:
    """Return the error of ours that names the remedy; `what` is what the database holds, such as `secret store`."""
    place, state = f"the {what} {address.location}", error.sqlstate or ""
    words = error.diag.message_primary or _first_words(error)
    match state[:2], state:
        case ("55", "55P03") | ("40", "40P01"):
            return StoreUnavailableError(
                f"{place} has been locked by another process for {timeout:g} s",
                hint="see who holds it: psql -c 'SELECT pid, state, query FROM pg_stat_activity'",
            )
        case _, "25006":
            return PermissionRefusedError(
                f"{place} is read-only: a standby, or a database set so",
                hint="connect to the primary: add target_session_attrs=read-write to the URL",
            )
        case _, "42501":
            return PermissionRefusedError(
                f"the user of {place} may not do this: {words}",
                hint=f"as the owner: GRANT USAGE, CREATE ON SCHEMA {address.schema} TO USER, and its tables likewise",
            )
        case ("53", "53100"):
            return StoreUnavailableError(
                f"no space left for {place}; nothing was changed", hint="free some space on the database server"
            )
        case ("42", "42P07") | ("42", "42809"):
            return UnknownFormatError(
                f"schema {address.schema} has a table of another program where {place} would have its own",
                hint="name a schema of its own in the URL: ?schema=NAME",
            )
        case ("22", "22P05") | ("22", "22021"):
            return StoreUnavailableError(
                f"{place} cannot hold this text: the database has another encoding than UTF-8",
                hint="make one that has: createdb --encoding UTF8 --template template0 NAME",
            )
        case (("" | "08" | "28" | "3D" | "57" | "53"), _):
            return _connection(words, state, place, address)
        case _:
            return DamagedError(f"{place} is damaged: {words} ({state})", hint="restore it from a backup")


def _connection(words: str, state: str, place: str, address: PostgresAddress) -> SecretsError:
    if state in ("28P01", "28000") or re.search(
        "authentication failed|no password supplied|pg_hba|valid client certificate", words
    ):
        certificate = "certificate" in words
        return PermissionRefusedError(
            f"{place} refused the connection: {words}",
            hint="give a client certificate: add sslcert=FILE and sslkey=FILE to the URL"
            if certificate
            else "give the right user in the URL and its password in ~/.pgpass, mode 0600",
        )
    missing = re.search('database "(.*)" does not exist', words)  # also where the URL names none, or escapes it
    if missing:
        hint = f"make it: createdb {shell_word(missing[1])}"
        return StoreUnavailableError(f"{place} has no such database", hint=hint)
    if re.search("invalid (URI query parameter|connection option)", words):
        return StoreUnavailableError(
            f"the URL of {place} has an option that libpq does not know: {words}",
            hint="they are listed under: Parameter Key Words, in PostgreSQL's documentation of libpq",
        )
    if _TLS.search(words):
        return StoreUnavailableError(
            f"no secure connection to {place}: {words}",
            hint="look at sslmode, sslrootcert, sslcert and sslkey in the URL; they are those of libpq",
        )
    if state in ("57P03", "53300") or re.search("starting up|shutting down|not yet accepting|too many|slots", words):
        return StoreUnavailableError(f"{place} does not take connections now: {words}", hint="try again in a moment")
    return StoreUnavailableError(
        f"cannot reach {place}: {words}", hint=f"see whether it runs: pg_isready -d {shell_word(address.location)}"
    )


def _first_words(error: psycopg.Error) -> str:
    text = str(error).strip()
    return " ".join(_PREFIX.sub("", text, count=8).split()) or text.partition("\n")[0] or type(error).__name__
