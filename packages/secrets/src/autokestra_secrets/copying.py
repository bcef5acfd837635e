"""A store carried to another place: every version sealed again there, under the other store's own key, and verified.

The two have nothing in common afterwards but names, times, values and what is said beside them. So one may be written
to without the other looking like an older copy of it. Key slots stay behind: they wrap another data key.
"""

from collections.abc import Callable
from typing import NamedTuple

from autokestra_secrets.backends import PUT, SecretRow
from autokestra_secrets.errors import ConflictError, DamagedError
from autokestra_secrets.home import shell_word
from autokestra_secrets.journal import VERIFY_HINT
from autokestra_secrets.session import Session, Writing
from autokestra_secrets.verification import verify, verify_snapshot
from autokestra_secrets.versions import drop_versions, stored_name


class CopyReport(NamedTuple):
    """What was copied, or with `dry_run` would be: secrets, their versions, and how many secrets it replaced."""

    secrets: int
    versions: int
    replaced: int


def copy_store(
    source: Session,
    target: Session,
    *,
    force: bool,
    dry_run: bool,
    progress: Callable[[int, int], None] | None,
) -> CopyReport:
    """Do what `SecretStore.copy_to` promises."""
    there_id, there = _look(target)
    with source.using() as rows, rows.snapshot():
        # In the snapshot that is copied: what was changed behind our back must not become genuine over there.
        report = verify_snapshot(source, anchored=True)
        if not report.ok:
            raise DamagedError(f"nothing was copied: {report.problems[0].message}", hint=VERIFY_HINT)
        header = source.header()
        kept = {stored_name(name): [row.version for row in rows.history(name)] for name in sorted(rows.names())}
        total = sum(map(len, kept.values()))
        if header is not None and there_id == header.store_id:
            raise ConflictError(
                f"{target.location} is this store itself, or a copy of its file", hint="name another place"
            )
        if there and not force:
            raise ConflictError(
                f"{target.location} has {len(there)} {'secret' if len(there) == 1 else 'secrets'} already",
                hint="copy to an empty place, or replace everything there with --force",
            )
        copied = CopyReport(len(kept), total, len(there))
        if dry_run or header is None:
            return copied
        keyring, done = source.keyring(), 0
        with target.writing() as writing:
            for name in sorted(writing.backend.names()):
                if not force:  # it was empty a moment ago
                    raise ConflictError(f"somebody else has just written to {target.location}", hint="look at it first")
                drop_versions(writing, stored_name(name), writing.backend.newest(name))
            for name, versions in kept.items():
                for row in rows.versions(name):
                    _seal(writing, row, keyring.open_row(row))
                    done += 1
                    if progress is not None:
                        progress(done, total)
                assert versions == [row.version for row in writing.backend.versions(name)]
    report = verify(target)
    if not report.ok or report.secrets != copied.secrets:
        found = report.problems[0].message if report.problems else f"it has {report.secrets} secrets"
        raise DamagedError(
            f"the copy in {target.location} is not what was copied: {found}",
            hint=f"look at it, and copy again: workflow secrets verify --store {shell_word(target.location)}",
        )
    return copied


def _look(target: Session) -> tuple[bytes | None, list[str]]:
    """Return id and names of a store, None and none where there is none yet. Raises what reading raises."""
    with target.using() as backend:
        if not backend.exists():
            return None, []
        with backend.snapshot():
            header = target.header()
            return (None, []) if header is None else (header.store_id, backend.names())


def _seal(writing: Writing, row: SecretRow, plaintext: bytes) -> None:
    sealed = writing.keyring.seal_row(row, plaintext)
    writing.backend.put_secret(sealed)
    writing.journal.append(PUT, sealed.name, sealed.version, sealed.auth_tag)
