"""Key slots: the data key of a store, wrapped under the key-encryption key of each master key that opens it.

Pure: rows and keys in, rows and keys out.
"""

from collections.abc import Callable, Iterable
from typing import Final

from autokestra_secrets.backends import Header, SlotRow
from autokestra_secrets.encryption import (
    FORMAT,
    ITERATIONS_MAX,
    ITERATIONS_MIN,
    SALT_BYTES,
    Sealed,
    SecretEncryption,
    encode_fields,
    sha256,
)
from autokestra_secrets.errors import DamagedError
from autokestra_secrets.keytext import MasterKey

SLOTS_MAX: Final = 8  # each may cost a derivation when a store is opened
_KINDS: Final = {"key": ("key", "recovery"), "passphrase": ("passphrase",)}


def seal_slot(
    data_key: bytes,
    master_key: MasterKey,
    *,
    header: Header,
    slot: int,
    label: str,
    kind: str,
    created_at: int,
    random: Callable[[int], bytes],
    salt: bytes = b"",
) -> SlotRow:
    """Return a slot in which `master_key` wraps `data_key` (R13). Costs a derivation, none for a `salt` used before."""
    empty = SlotRow(
        slot=slot,
        label=label,
        kind=kind,
        key_id=header.key_id,
        created_at=created_at,
        salt=salt or random(SALT_BYTES),
        iterations=master_key.iterations,
        iv=b"",
        wrapped_key=b"",
        auth_tag=b"",
        checksum=b"",
    )
    kek = master_key.derive(salt=empty.salt, iterations=empty.iterations)
    sealed = SecretEncryption(kek, random=random).seal(data_key, aad=_slot_aad(empty, header))
    row = empty._replace(iv=sealed.iv, wrapped_key=sealed.ciphertext, auth_tag=sealed.auth_tag)
    return row._replace(checksum=_checksum(row, header))


def open_slots(slots: Iterable[SlotRow], master_key: MasterKey, *, header: Header) -> bytes | None:
    """Return the data key from the first slot that `master_key` opens, or None when every intact slot refuses it.

    Raises DamagedError when no slot opens and a slot that might have is damaged.
    """
    damaged: DamagedError | None = None
    for slot in slots:
        try:
            check_slot(slot, header)  # before anything else is believed of it, its kind included
        except DamagedError as error:
            damaged = error
            continue
        if slot.kind not in _KINDS[master_key.kind]:
            continue
        kek = master_key.derive(salt=slot.salt, iterations=slot.iterations)
        try:
            return SecretEncryption(kek).open(
                Sealed(slot.iv, slot.wrapped_key, slot.auth_tag), aad=_slot_aad(slot, header)
            )
        except DamagedError:
            continue  # intact, as its checksum says: another master key's slot
    if damaged is not None:
        raise damaged
    return None


def check_slot(slot: SlotRow, header: Header) -> None:
    """Raise DamagedError when the fields of a slot are not those that were written (R14), or ask for absurd work (R4).

    The checksum has no key: it tells accidents from wrong keys. Against an attacker the slot's own tag counts.
    """
    if slot.checksum != _checksum(slot, header):
        raise DamagedError(
            f"key slot {slot.slot} is damaged: its checksum does not match", hint="restore the store from a backup"
        )
    if not ITERATIONS_MIN <= slot.iterations <= ITERATIONS_MAX:
        raise DamagedError(
            f"key slot {slot.slot} asks for {slot.iterations:,} iterations; "
            f"{ITERATIONS_MIN:,} to {ITERATIONS_MAX:,} are allowed",
            hint="restore the store from a backup",
        )


def is_whole(slot: SlotRow, header: Header) -> bool:
    """Return whether `check_slot` finds nothing wrong."""
    try:
        check_slot(slot, header)
    except DamagedError:
        return False
    return True


def slot_tags(slot: SlotRow) -> tuple[bytes, bytes]:
    """Return what the journal may say of a slot: its checksum, which covers all of it, or, as at first, its tag."""
    return slot.checksum, slot.auth_tag


def _slot_aad(slot: SlotRow, header: Header) -> bytes:
    return encode_fields("autokestra slot", FORMAT, header.store_id, *_fields(slot))


def _checksum(slot: SlotRow, header: Header) -> bytes:
    sealed = (slot.iv, slot.wrapped_key, slot.auth_tag)
    return sha256(encode_fields("autokestra slot checksum", FORMAT, header.store_id, *_fields(slot), *sealed))


def _fields(slot: SlotRow) -> tuple[bytes | str | int, ...]:
    return (slot.key_id, slot.slot, slot.label, slot.kind, slot.created_at, slot.salt, slot.iterations)
