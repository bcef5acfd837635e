"""A new data key for a store: everything that the old one sealed is sealed again, in one transaction.

Which keys there are and who may ask is the matter of `keyslots`.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from autokestra_secrets.backends import KEY_RETIRE, SLOT_ADD, Backend, Header, JournalRow, SecretRow, SlotRow
from autokestra_secrets.errors import ConflictError, DamagedError
from autokestra_secrets.journal import VERIFY_HINT, chain_end, written, written_retired, written_slots
from autokestra_secrets.keyring import change_data_key
from autokestra_secrets.keytext import MasterKey
from autokestra_secrets.session import Writing
from autokestra_secrets.slots import is_whole, open_slots, slot_tags

_BATCH_ROWS: Final = 500  # versions written at once
_BATCH_BYTES: Final = 8 << 20  # of values, so that large ones are not all in memory at once


def reencrypt(
    writing: Writing,
    keys: Sequence[MasterKey],
    *,
    random: Callable[[int], bytes],
    progress: Callable[[int, int], None] | None,
    drop_others: bool,
) -> int:
    """Do what `KeySlots.reencrypt` promises (R24), within a transaction; return the number of versions."""
    backend, former, journal = writing
    slots, header = backend.slots(), journal.header
    whole = [slot for slot in slots if is_whole(slot, header)]
    owners = {slot.slot: key for slot in whole for key in keys if open_slots([slot], key, header=header) is not None}
    _check_owners(slots, owners, drop_others=drop_others)
    entries = list(backend.journal())
    expected = {name: tags for name, tags in written(entries).items() if tags}
    _check_all(backend, former.journal_key, header, entries, slots)
    if set(expected) != set(backend.names()):
        raise _not_as_written("its secrets are")
    retired = backend.retired()
    total, done = sum(map(len, expected.values())), 0

    header, keyring = change_data_key(header, random=random)
    journal.restart(keyring.journal_key, header)
    for slot in slots:
        backend.remove_slot(slot.slot)
        if slot.slot in owners:
            wrapped = keyring.seal_slot(
                owners[slot.slot],
                header=header,
                slot=slot.slot,
                label=slot.label,
                kind=slot.kind,
                created_at=slot.created_at,
            )
            backend.put_slot(wrapped)
            journal.append(SLOT_ADD, wrapped.label, wrapped.slot, wrapped.checksum)
    backend.remove_retired()
    for old in (*(keyring.retire_again(row, former) for row in retired), keyring.retire(former, at=journal.at)):
        backend.put_retired(old)
        journal.append(KEY_RETIRE, old.key_id.hex(), 0, old.auth_tag)
    for rows in _batches(backend, expected):
        for name, newest in {row.name: row.version for row in rows}.items():
            backend.remove_versions(name, up_to=newest)
        sealed = []
        for row in rows:
            sealed.append(keyring.seal_row(row, former.open_row(row)))
            done += 1
            if progress is not None:
                progress(done, total)
        backend.put_secret(*sealed)
        journal.append_puts(sealed)
    return done


def _batches(backend: Backend, expected: dict[str, dict[int, bytes]]) -> Iterator[list[SecretRow]]:
    """Yield all versions of all secrets, many at a time, those of a secret together."""
    batch: list[SecretRow] = []
    size = 0
    for name in sorted(expected):
        rows = backend.versions(name)
        # A row put back from an older copy opens too: it must not become genuine by being sealed again.
        if sorted(expected[name].items()) != [(row.version, row.auth_tag) for row in rows]:
            raise _not_as_written(f"secret '{name}' is")
        batch += rows
        size += sum(len(row.encrypted_value) for row in rows)
        if len(batch) >= _BATCH_ROWS or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    yield batch


def _check_owners(slots: Sequence[SlotRow], owners: dict[int, MasterKey], *, drop_others: bool) -> None:
    lost = [f"{slot.slot} ({slot.label!r})" for slot in slots if slot.slot not in owners]
    if lost and not drop_others:
        raise ConflictError(
            f"the keys of these slots are not at hand and would not open the store any more: {', '.join(lost)}",
            hint="give these keys too, or give the slots up with --drop-others",
        )


def _check_all(
    backend: Backend, key: bytes, header: Header, entries: list[JournalRow], slots: Sequence[SlotRow]
) -> None:
    """Raise DamagedError unless journal, slots and retired keys are those that were written."""
    if chain_end(key, header, entries) != (header.generation, header.journal_mac):
        raise _not_as_written("its journal is")
    tags = written_slots(entries)
    if set(tags) != {slot.slot for slot in slots} or any(tags[slot.slot] not in slot_tags(slot) for slot in slots):
        raise _not_as_written("its key slots are")
    if written_retired(entries) != {row.key_id.hex(): row.auth_tag for row in backend.retired()}:
        raise _not_as_written("its retired keys are")


def _not_as_written(what: str) -> DamagedError:
    return DamagedError(f"nothing was re-encrypted: {what} not what was written", hint=VERIFY_HINT)
