"""The versions of a secret: adding one, keeping the last few, carrying all of them to another name.

Everything here happens inside one transaction; values come in and rows go out.
"""

from collections.abc import Mapping
from typing import Any, Final

from autokestra_secrets.backends import DELETE, PRUNE, MetadataRow, SecretRow
from autokestra_secrets.errors import ConflictError, DamagedError, InvalidSecretNameError
from autokestra_secrets.journal import VERIFY_HINT, genuine, written
from autokestra_secrets.metadata import Details, SecretMetadata, decode_details, encode_details, is_time
from autokestra_secrets.names import SecretName, SecretValue, secret_name
from autokestra_secrets.session import Writing

KEEP: Final = 10  # versions of a secret that stay, the current one included

_ACTIVE: Final = "active"
_VERSION_MAX: Final = 2**62  # far from overflow; nobody writes that often, but somebody may edit the column


def set_version(
    writing: Writing, name: SecretName, value: SecretValue, *, change: Mapping[str, Any], keep: int, last: int
) -> SecretMetadata:
    """Write version `last + 1`, remove those beyond `keep`, and return what is known about the new one.

    What is said beside the value stays as it was, but for `change`, checked fields of Details. A current version that
    is damaged is replaced, and its history goes with it: nobody could tell what else in there is genuine.
    """
    backend, keyring, journal = writing
    if last >= _VERSION_MAX:
        raise DamagedError(f"secret '{name}' has the impossible version {last}", hint=f"workflow secrets delete {name}")
    version = last + 1
    current = _current_row(writing, name) if last else None
    beyond = last if current is None else version - keep
    if beyond > 0:
        backend.remove_versions(name, up_to=beyond)
        journal.append_removal(PRUNE, name, beyond)
    details = Details() if current is None else decode_details(current.metadata, name=name)
    details = details._replace(**change)
    row = SecretRow(
        name=name,
        version=version,
        state=_ACTIVE,
        key_id=keyring.key_id,
        created_at=journal.at if current is None else current.created_at,
        updated_at=journal.at,
        metadata=encode_details(details),
        iv=b"",
        auth_tag=b"",
        encrypted_value=b"",
    )
    _seal(writing, row, value.reveal_bytes())
    return SecretMetadata(name, version, row.created_at, row.updated_at, *details)


def newest_version(writing: Writing, name: SecretName, *, if_version: int | None) -> int:
    """Return the number of the current version, 0 for none. Raises ConflictError when it is not `if_version`."""
    last = writing.backend.newest(name)
    if if_version is not None and last != if_version:
        if not if_version:
            raise ConflictError(f"secret '{name}' already exists, in version {last}", hint=_look_hint(name))
        state = f"is at version {last}" if last else "does not exist"
        raise ConflictError(
            f"secret '{name}' {state}, expected version {if_version}: somebody else was first", hint=_look_hint(name)
        )
    return last


def drop_versions(writing: Writing, name: SecretName, last: int) -> None:
    """Remove every version of a secret for good. Works on damaged rows too."""
    writing.backend.remove_versions(name, up_to=last)
    writing.journal.append_removal(DELETE, name, last)


def move_versions(writing: Writing, source: SecretName, target: SecretName, *, last: int) -> None:
    """Seal every version of a secret again under another name.

    Raises ConflictError or DamagedError.
    """
    backend, keyring, _ = writing
    if backend.newest(target):
        raise ConflictError(f"secret '{target}' already exists", hint="choose another name, or delete that one first")
    rows = backend.versions(source)
    expected = written(backend.journal(source)).get(source, {})
    # What was dropped or put back from an older copy must not become genuine by being sealed again.
    if sorted(expected.items()) != [(row.version, row.auth_tag) for row in rows]:
        genuine(source, *backend.current(source))  # says it better when it is the current version
        raise DamagedError(f"the history of secret '{source}' is not what was written", hint=VERIFY_HINT)
    for row in rows:
        # A name is part of what a row is bound to, so each version is opened and sealed again.
        _seal(writing, row._replace(name=target), keyring.open_row(row))
    drop_versions(writing, source, last)


def stored_name(text: object) -> SecretName:
    """Return a name from the database: anything, terminal escapes included, if somebody else wrote it."""
    try:
        return secret_name(str(text))
    except InvalidSecretNameError:
        raise DamagedError("the store holds a row under an impossible name", hint=VERIFY_HINT) from None


def stored_metadata(row: MetadataRow, *, current: bool = True) -> SecretMetadata:
    """Return what a row says without its value, in a form that is safe to show. Raises DamagedError."""
    name = stored_name(row.name)
    if not (is_time(row.created_at) and is_time(row.updated_at)):
        raise DamagedError(f"secret '{name}' was stored at an impossible time", hint=VERIFY_HINT)
    details = decode_details(row.metadata, name=name)
    return SecretMetadata(name, row.version, row.created_at, row.updated_at, *details, current)


def _current_row(writing: Writing, name: SecretName) -> SecretRow | None:
    """Return the current row if it is genuine and opens, else None: what a damaged row says is not believed."""
    try:
        row = genuine(name, *writing.backend.current(name))
        return row if row is not None and writing.keyring.open_row(row) else None
    except DamagedError:
        return None


def _seal(writing: Writing, row: SecretRow, plaintext: bytes) -> None:
    sealed = writing.keyring.seal_row(row, plaintext)
    writing.backend.put_secret(sealed)
    writing.journal.append_puts([sealed])


def _look_hint(name: SecretName) -> str:
    return f"look at it first: workflow secrets history {name}"
