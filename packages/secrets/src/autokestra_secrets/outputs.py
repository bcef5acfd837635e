"""Sealed outputs of tasks, for a database that is not the store: self-describing blobs under its data key.

A blob opens only for the context that it was sealed for, such as one attempt of one task. Nothing here knows that
database, or what an output means.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NoReturn

from autokestra_secrets.encryption import IV_BYTES, TAG_BYTES, Sealed, SecretEncryption, encode_fields, token_bytes
from autokestra_secrets.errors import DamagedError, UnknownFormatError, WrongKeyError

ID_BYTES: Final = 16  # of store ids and key ids: random, so that two never meet
_MAGIC: Final = b"AKO1"  # "Autokestra output", version 1
_HEADER_BYTES: Final = len(_MAGIC) + 2 * ID_BYTES
_LEAST_BYTES: Final = _HEADER_BYTES + IV_BYTES + TAG_BYTES


class OutputCipher:
    """Seals and opens outputs with `key`, the subkey of a store's data key that is for nothing else.

    `retired` has the keys of that kind by which outputs were sealed before, by key id: they open and never seal. A
    blob is magic and version (4 bytes), store id (16), key id (16), IV (12), tag (16), ciphertext (R26).
    """

    __slots__ = ("_cipher", "_header", "_retired")

    def __init__(
        self,
        key: bytes,
        *,
        store_id: bytes,
        key_id: bytes,
        random: Callable[[int], bytes] = token_bytes,
        retired: Mapping[bytes, bytes] = MappingProxyType({}),
    ) -> None:
        self._cipher = SecretEncryption(key, random=random)
        self._header = _MAGIC + store_id + key_id
        self._retired = {old_id: SecretEncryption(old_key) for old_id, old_key in retired.items()}

    def seal(self, plaintext: bytes, *, context: tuple[str, ...]) -> bytes:
        """Return `plaintext` sealed and bound to `context`, such as (execution id, task id)."""
        sealed = self._cipher.seal(plaintext, aad=_aad(self._header, context))
        return b"".join((self._header, sealed.iv, sealed.auth_tag, sealed.ciphertext))

    def open(self, blob: bytes, *, context: tuple[str, ...]) -> bytes:
        """Return the plaintext of a blob that `seal` made for the same `context`.

        Raises UnknownFormatError when it is no such blob or of another version, WrongKeyError when another store or
        data key sealed it, DamagedError when it was changed, cut, or moved to another context.
        """
        blob = bytes(blob)
        if not blob.startswith(_MAGIC):
            raise UnknownFormatError(
                "a stored output is in an unknown format", hint="open it with the version of autokestra that wrote it"
            )
        if len(blob) < _LEAST_BYTES:
            raise DamagedError(f"a stored output is cut short: expected at least {_LEAST_BYTES} bytes, got {len(blob)}")
        header, body = blob[:_HEADER_BYTES], blob[_HEADER_BYTES:]
        if header[:-ID_BYTES] != self._header[:-ID_BYTES]:
            raise WrongKeyError(
                "a stored output was sealed by another secret store", hint="give that store with --store LOCATION"
            )
        cipher = self._cipher if header == self._header else self._retired.get(header[-ID_BYTES:])
        if cipher is None:
            raise WrongKeyError(
                "a stored output was sealed with a data key that this secret store no longer has",
                hint="restore a backup of the store from before that key was removed, or run the task again",
            )
        iv, auth_tag, ciphertext = body[:IV_BYTES], body[IV_BYTES : IV_BYTES + TAG_BYTES], body[IV_BYTES + TAG_BYTES :]
        return cipher.open(Sealed(iv, ciphertext, auth_tag), aad=_aad(header, context))

    def __repr__(self) -> str:
        return "OutputCipher(***)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a key cannot be pickled")


def _aad(header: bytes, context: tuple[str, ...]) -> bytes:
    return encode_fields("autokestra output", header, len(context), *context)
