"""The keys of one store: unlocking its data key with a master key, and making one for a store that has none.

Rows come in and go out; who reads and writes them is the store's matter.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, NoReturn, Self

from autokestra_secrets.backends import Header, RetiredRow, SecretRow, SlotRow
from autokestra_secrets.encryption import (
    FORMAT,
    KEY_BYTES,
    Sealed,
    SecretEncryption,
    associated_data,
    derive_subkey,
    encode_fields,
)
from autokestra_secrets.errors import DamagedError, KeyMissingError, UnknownFormatError, WrongKeyError
from autokestra_secrets.journal import VERIFY_HINT, check_header, first_link
from autokestra_secrets.keytext import MasterKey
from autokestra_secrets.masterkey import KEY_FILE_VARIABLE, KEY_VARIABLE, MasterKeyProvider
from autokestra_secrets.outputs import ID_BYTES, OutputCipher
from autokestra_secrets.slots import open_slots, seal_slot

_TABLE: Final = "secrets"
_OUTPUTS: Final = "outputs"


class Keyring:
    """The data key of an unlocked store, as the subkeys that its uses get. Shows nothing of itself."""

    __slots__ = ("_data_key", "_random", "_values", "journal_key", "key_id", "store_id")

    def __init__(self, data_key: bytes, *, header: Header, random: Callable[[int], bytes]) -> None:
        self._data_key = data_key
        self._random = random
        self.key_id = header.key_id
        self.store_id = header.store_id
        self._values = SecretEncryption(self._subkey("values"), random=random)
        self.journal_key = self._subkey("journal")

    def seal_row(self, row: SecretRow, plaintext: bytes) -> SecretRow:
        """Return `row` with `plaintext` sealed in it, bound to all its other columns."""
        row = row._replace(key_id=self.key_id)
        sealed = self._values.seal(plaintext, aad=self._aad(row))
        return row._replace(iv=sealed.iv, auth_tag=sealed.auth_tag, encrypted_value=sealed.ciphertext)

    def open_row(self, row: SecretRow) -> bytes:
        """Return the plaintext of a row, or raise DamagedError when any column is not what was sealed."""
        try:
            return self._values.open(Sealed(row.iv, row.encrypted_value, row.auth_tag), aad=self._aad(row))
        except DamagedError:
            raise DamagedError(
                f"secret '{row.name}' fails authentication: its row was edited or moved", hint=VERIFY_HINT
            ) from None

    def seal_slot(
        self,
        master_key: MasterKey,
        *,
        header: Header,
        slot: int,
        label: str,
        kind: str,
        created_at: int,
        salt: bytes = b"",
    ) -> SlotRow:
        """Return a slot in which `master_key` wraps this data key."""
        return seal_slot(
            self._data_key,
            master_key,
            header=header,
            slot=slot,
            label=label,
            kind=kind,
            created_at=created_at,
            random=self._random,
            salt=salt,
        )

    def retire(self, former: Self, *, at: int) -> RetiredRow:
        """Return the data key of `former`, wrapped under this one: to read with, not to seal with (R15)."""
        return self._seal_retired(former._data_key, RetiredRow(former.key_id, self.key_id, at, b"", b"", b""))

    def retire_again(self, row: RetiredRow, former: Self) -> RetiredRow:
        """Return a retired key that `former` has kept, wrapped under this one. Raises DamagedError."""
        return self._seal_retired(former.open_retired(row), row._replace(wrapped_by=self.key_id))

    def open_retired(self, row: RetiredRow) -> bytes:
        """Return a retired data key, or raise DamagedError when its row is not what was sealed."""
        try:
            return SecretEncryption(self._subkey("retired")).open(
                Sealed(row.iv, row.wrapped_key, row.auth_tag), aad=self._retired_aad(row)
            )
        except DamagedError:
            raise DamagedError(
                f"retired data key {row.key_id.hex()} fails authentication: its row was edited", hint=VERIFY_HINT
            ) from None

    def output_cipher(self, retired: Sequence[RetiredRow] = ()) -> OutputCipher:
        """Return what seals outputs under this data key, and opens those of the retired ones too."""
        former = {
            row.key_id: derive_subkey(self.open_retired(row), store_id=self.store_id, purpose=_OUTPUTS)
            for row in retired
        }
        return OutputCipher(
            self._subkey(_OUTPUTS), store_id=self.store_id, key_id=self.key_id, random=self._random, retired=former
        )

    def _seal_retired(self, data_key: bytes, row: RetiredRow) -> RetiredRow:
        cipher = SecretEncryption(self._subkey("retired"), random=self._random)
        sealed = cipher.seal(data_key, aad=self._retired_aad(row))
        return row._replace(iv=sealed.iv, wrapped_key=sealed.ciphertext, auth_tag=sealed.auth_tag)

    def _retired_aad(self, row: RetiredRow) -> bytes:
        return encode_fields(
            "autokestra retired key", FORMAT, self.store_id, row.key_id, row.wrapped_by, row.retired_at
        )

    def wrote(self, header: Header) -> bool:
        """Return whether a holder of this data key wrote the header."""
        try:
            check_header(self.journal_key, header)
        except DamagedError:
            return False
        return True

    def _subkey(self, purpose: str) -> bytes:
        return derive_subkey(self._data_key, store_id=self.store_id, purpose=purpose)

    def _aad(self, row: SecretRow) -> bytes:
        return associated_data(
            key_id=row.key_id,
            store_id=self.store_id,
            table=_TABLE,
            name=row.name,
            version=row.version,
            created_at=row.created_at,
            updated_at=row.updated_at,
            state=row.state,
            metadata=row.metadata,
        )

    def __repr__(self) -> str:
        return "Keyring(***)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a key cannot be pickled")


class NewStore(NamedTuple):
    """What a store begins with: a header without its MAC, the first slot, and the keys."""

    header: Header
    slot: SlotRow
    keyring: Keyring


def create_store(master_key: MasterKey, *, at: int, random: Callable[[int], bytes]) -> NewStore:
    """Return a new data key, wrapped in a first slot for `master_key`. Costs one derivation."""
    data_key = random(KEY_BYTES)
    header = Header(
        format=FORMAT,
        store_id=random(ID_BYTES),
        key_id=random(ID_BYTES),
        generation=0,
        journal_base=0,
        journal_mac=b"",
        header_mac=b"",
    )
    keyring = Keyring(data_key, header=header, random=random)
    slot = keyring.seal_slot(
        master_key, header=header, slot=1, label=master_key.kind, kind=master_key.kind, created_at=at
    )
    return NewStore(header._replace(journal_mac=first_link(keyring.journal_key, header)), slot, keyring)


def change_data_key(header: Header, *, random: Callable[[int], bytes]) -> tuple[Header, Keyring]:
    """Return a new data key for an existing store, and its header with the id of that key."""
    changed = header._replace(key_id=random(ID_BYTES))
    return changed, Keyring(random(KEY_BYTES), header=changed, random=random)


def unlock_store(
    header: Header,
    slots: Sequence[SlotRow],
    keys: MasterKeyProvider,
    *,
    location: str,
    random: Callable[[int], bytes],
) -> Keyring:
    """Return the keys of a store whose header is genuine. Raises what `open_keyring` raises, and DamagedError."""
    keyring = open_keyring(header, slots, keys, location=location, random=random)
    check_header(keyring.journal_key, header)
    return keyring


def open_keyring(
    header: Header,
    slots: Sequence[SlotRow],
    keys: MasterKeyProvider,
    *,
    location: str,
    random: Callable[[int], bytes],
) -> Keyring:
    """Return the keys of a store, found with the master key that `keys` loads. Costs a derivation for each slot tried.

    The header is not believed yet. Raises UnknownFormatError, KeyMissingError, what loading the key raises,
    WrongKeyError (which says so when a later key source would open the store), or DamagedError when slots are.
    """
    if header.format != FORMAT:
        raise UnknownFormatError(
            f"the secret store {location} has format {header.format}, expected {FORMAT}",
            hint="upgrade autokestra: pip install --upgrade autokestra",
        )
    if not slots:
        raise DamagedError(f"the secret store {location} has lost its key slots", hint="restore it from a backup")
    if keys.absent:
        raise KeyMissingError(
            f"no master key found for the secret store {location}",
            hint=f"put the key file back at {keys.key_file}, or set {KEY_VARIABLE} or {KEY_FILE_VARIABLE}",
        )
    master_key = keys.load()
    data_key = open_slots(slots, master_key, header=header)
    if data_key is None:
        raise _wrong_key(header, slots, keys, master_key, location)
    return Keyring(data_key, header=header, random=random)


def _wrong_key(
    header: Header, slots: Sequence[SlotRow], keys: MasterKeyProvider, tried: MasterKey, location: str
) -> WrongKeyError:
    message = f"the master key from {tried.origin} does not open the secret store {location}"
    for other in keys.others():
        if open_slots(slots, other, header=header) is not None:
            return WrongKeyError(f"{message}, but the one from {other.origin} does", hint=f"unset {tried.source}")
    return WrongKeyError(
        message, hint="give the key that the store was made with; see which one is used: workflow secrets key show"
    )
