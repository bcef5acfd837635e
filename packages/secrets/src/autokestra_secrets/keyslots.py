"""The key slots of a store as people see them: which keys open it, another one added, one taken away.

A slot costs the same whatever the store holds; only `reencrypt` touches the secrets. How a slot looks is the matter of
`slots`.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple, TypeAlias

from autokestra_secrets.backends import KEY_FORGET, SLOT_ADD, SLOT_REMOVE, Header, SlotRow
from autokestra_secrets.encryption import KEY_BYTES, SALT_BYTES
from autokestra_secrets.errors import (
    ConflictError,
    DamagedError,
    InvalidMetadataError,
    KeySlotNotFoundError,
    SecretsError,
)
from autokestra_secrets.keytext import MasterKey
from autokestra_secrets.metadata import checked_label, is_time
from autokestra_secrets.recovery import recovery_text
from autokestra_secrets.session import Session
from autokestra_secrets.slots import SLOTS_MAX, is_whole, open_slots

__all__ = ["KeySlot", "KeySlots"]

SlotKind = Literal["key", "passphrase", "recovery"]


class KeySlot(NamedTuple):
    """One key that opens a store, and nothing of the key itself.

    `kind` is "key", "passphrase" or "recovery"; `created_at` is in microseconds UTC. `current` says whether the key at
    hand opens this slot, and is None when there is no usable key at hand.
    """

    id: int
    label: str
    kind: str
    iterations: int
    created_at: int
    current: bool | None


Slots: TypeAlias = list[KeySlot]  # inside the class, `list` is a method


class KeySlots:
    """The key slots of one store; get them from `SecretStore.keys`. Each change is one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def list(self) -> Slots:
        """Return all slots by number. Needs no key; with one at hand it costs a derivation (12 to 75 ms) for each."""
        with self._session.using() as backend, backend.snapshot():
            header, slots = self._session.header(), backend.slots()
        if header is None:
            self._session.watch()
            return []
        key = self._at_hand()
        return [_shown(slot, current=None if key is None else _opens(slot, key, header)) for slot in slots]

    def add(self, new: MasterKey | str, *, label: str | None = None) -> KeySlot:
        """Let another key, or the text of one, open the store as well.

        The key must be kept safely, and written durably, before this is called: afterwards secrets may depend on it.
        Raises InvalidKeyError, InvalidMetadataError for a label that is no short line, ConflictError when the key
        opens the store already or all 8 slots are taken, and what `SecretStore.set` raises of keys.
        """
        key = _master_key(new)
        return self._add(key, kind=key.kind, label=checked_label(key.kind if label is None else label))

    def add_recovery(self, label: str = "recovery") -> tuple[KeySlot, str]:
        """Make a new key that opens the store, and return its slot and its text, which is shown nowhere again.

        The text is made to be typed from paper and tells which group was mistyped. It works wherever a key does, such
        as in `AUTOKESTRA_SECRET_KEY`. Raises what `add` raises.
        """
        label = checked_label(label)
        secret = self._session.random(KEY_BYTES)
        return self._add(_master_key(recovery_text(secret)), kind="recovery", label=label), recovery_text(secret)

    def remove(self, slot: int, *, force: bool = False) -> None:
        """Take a key away. Who has used it before may know the data key: only `reencrypt` shuts them out for good.

        Raises KeySlotNotFoundError, and ConflictError when no other slot can open the store, or, without `force`, when
        the key at hand opens no other slot.
        """
        key = self._session.keys.load()
        with self._session.writing(create=False) as (backend, _, journal):
            header, slots = journal.header, backend.slots()
            row = next((row for row in slots if row.slot == slot), None)
            if row is None:
                raise KeySlotNotFoundError(
                    f"there is no key slot {slot}", hint="see which there are: workflow secrets key list"
                )
            rest = [other for other in slots if other.slot != slot and is_whole(other, header)]
            if not rest:
                raise ConflictError(
                    f"key slot {slot} is the last one that can open the store",
                    hint="add another key first: workflow secrets key add",
                )
            if not force and _opens(row, key, header) and not any(_opens(other, key, header) for other in rest):
                raise ConflictError(
                    f"key slot {slot} is the only one that the key at hand opens, from {key.origin}",
                    hint="put another key in its place first, or remove it all the same with --force",
                )
            backend.remove_slot(slot)
            journal.append_removal(SLOT_REMOVE, row.label, slot)

    def reencrypt(
        self,
        *,
        progress: Callable[[int, int], None] | None = None,
        drop_others: bool = False,
        others: Iterable[MasterKey | str] = (),
    ) -> int:
        """Make a new data key and seal every version of every secret again under it; return how many there were.

        One transaction: when it is cut off, nothing has changed. Slots are wrapped anew for the keys at hand and those
        in `others`; a slot of any other key cannot be, and is removed with `drop_others`, else a ConflictError names
        it. The journal begins anew. The former data key stays, for reading sealed outputs, until `prune_retired`.

        `progress` is called with the number of versions done and of all. Raises DamagedError, and changes nothing,
        when the store is not what was written.
        """
        from autokestra_secrets.reencryption import reencrypt  # noqa: PLC0415  # the one that needs it

        keys = [*self._keys_at_hand(), *map(_master_key, others)]
        with self._session.writing(create=False) as writing:
            return reencrypt(writing, keys, random=self._session.random, progress=progress, drop_others=drop_others)

    def prune_retired(self) -> int:
        """Forget the retired data keys: outputs that were sealed under them cannot be read again. Return how many."""
        with self._session.writing(create=False) as (backend, _, journal):
            rows = backend.retired()
            backend.remove_retired()
            for row in rows:
                journal.append_removal(KEY_FORGET, row.key_id.hex(), 0)
        return len(rows)

    # -- inside -------------------------------------------------------------------------------------------------

    def _add(self, key: MasterKey, *, kind: SlotKind, label: str) -> KeySlot:
        salt = self._session.random(SALT_BYTES)
        key.derive(salt=salt, iterations=key.iterations)  # slow, hence before others are locked out
        with self._session.writing() as (backend, keyring, journal):
            header, slots = journal.header, backend.slots()
            for slot in slots:
                if _opens(slot, key, header):
                    raise ConflictError(
                        f"this key opens the store already, in slot {slot.slot}",
                        hint="see which keys there are: workflow secrets key list",
                    )
            if len(slots) >= SLOTS_MAX:
                raise ConflictError(
                    f"all {SLOTS_MAX} key slots are taken", hint="remove one first: workflow secrets key remove ID"
                )
            number = max(slot.slot for slot in slots) + 1
            row = keyring.seal_slot(
                key, header=header, slot=number, label=label, kind=kind, created_at=journal.at, salt=salt
            )
            backend.put_slot(row)
            journal.append(SLOT_ADD, row.label, row.slot, row.checksum)
        return _shown(row, current=None)._replace(current=self._at_hand() == key)

    def _at_hand(self) -> MasterKey | None:
        return next(iter(self._keys_at_hand()), None)

    def _keys_at_hand(self) -> Sequence[MasterKey]:
        """Return the keys of all sources, that of the first one first; none when that one is unusable."""
        keys = self._session.keys
        try:
            return [keys.load(), *keys.others()]
        except SecretsError:
            return []


def _master_key(key: MasterKey | str) -> MasterKey:
    return key if isinstance(key, MasterKey) else MasterKey.parse(key.encode(), source="the new key")


def _opens(slot: SlotRow, key: MasterKey, header: Header) -> bool:
    try:
        return open_slots([slot], key, header=header) is not None
    except DamagedError:
        return False


def _shown(row: SlotRow, *, current: bool | None) -> KeySlot:
    """Return a slot as it may be shown: a database that somebody else wrote may hold any text."""
    try:
        label, kind = checked_label(row.label), checked_label(row.kind)
    except InvalidMetadataError:
        label, kind = "(damaged)", "(damaged)"
    created_at = row.created_at if is_time(row.created_at) else 0
    return KeySlot(row.slot, label, kind, row.iterations, created_at, current)
