"""The address of a PostgreSQL database: taken apart so that no message ever shows its password or its options.

libpq reads the address again when it connects, with all its options. What it would misread, a password with an `@`
or a `/` in it above all, is refused here, since libpq's own message would show a piece of that password.
"""

import re
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlencode

from autokestra_secrets.errors import StoreUnavailableError

SCHEMES: Final = ("postgresql", "postgres")
DEFAULT_SCHEMA: Final = "autokestra"

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^:/@\[\]\s]*)(:[0-9]{0,5})?")
_SCHEMA: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")  # PostgreSQL cuts longer names; others would have to be quoted


class PostgresAddress(NamedTuple):
    """An address in parts. `conninfo` is for libpq and may hold a password; `location` is for people and holds none."""

    conninfo: str
    location: str
    schema: str
    options: dict[str, str]  # of the query, but for `schema`

    def __repr__(self) -> str:
        return f"PostgresAddress({self.location!r})"


def parse_address(url: str) -> PostgresAddress:
    """Take apart `postgresql://[user[:password]@][host[:port],…][/database][?option=value&…]`.

    Our own option `schema` names the schema that holds the tables, `autokestra` unless it is given; all others are
    libpq's. Raises StoreUnavailableError, which repeats nothing of the address.
    """
    scheme, separator, rest = url.partition("://")
    if scheme not in SCHEMES or not separator:
        raise _malformed("it does not begin with postgresql://")
    main, _, query = rest.partition("?")
    authority, slash, database = main.partition("/")
    login, at, hosts = authority.rpartition("@")
    if "@" in login or "@" in database or not all(_HOST.fullmatch(host) for host in hosts.split(",")):
        raise _malformed("it cannot be told where the password ends")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
        user = unquote(login.partition(":")[0], errors="strict")
        unquote(rest, errors="strict")
    except ValueError:
        raise _malformed("its options are no name=value pairs, or its %-escapes are wrong") from None
    if re.search("%(?![0-9A-Fa-f]{2})", rest):
        raise _malformed("its %-escapes are wrong")
    options = dict(pairs)
    schema = options.pop("schema", DEFAULT_SCHEMA)
    if not _SCHEMA.fullmatch(schema):
        raise _malformed("its schema is none of small letters, digits and _")
    head = f"{scheme}://{login}{at}{hosts}{slash}{database}"
    shown_hosts = hosts or _shown_host(options)
    shown_user = user or options.get("user", "")
    return PostgresAddress(
        conninfo=f"{head}?{urlencode(options, quote_via=quote)}" if options else head,
        location=f"postgresql://{quote(shown_user)}{'@' if shown_user else ''}{shown_hosts}"
        f"/{database or quote(options.get('dbname', ''))}{f'?schema={schema}' if schema != DEFAULT_SCHEMA else ''}",
        schema=schema,
        options=options,
    )


def _shown_host(options: dict[str, str]) -> str:
    host, port = quote(options.get("host", ""), safe=""), options.get("port", "")
    return f"{host}:{quote(port)}" if port else host


def _malformed(why: str) -> StoreUnavailableError:
    return StoreUnavailableError(
        f"the PostgreSQL URL is malformed: {why}",
        hint="write it as postgresql://USER@HOST:5432/DATABASE, with %40 for @, %2F for /, %3F for ? and %25 for %;"
        " a password is better kept in ~/.pgpass",
    )
