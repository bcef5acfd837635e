"""Sealed outputs of tasks, for a database that is not the store: self-describing blobs under its data key."""

from collections.abc import Callable
from typing import Final, NoReturn

from autokestra_secrets.encryption import IV_BYTES, TAG_BYTES, Sealed, SecretEncryption, encode_fields, token_bytes
from autokestra_secrets.errors import DamagedError, UnknownFormatError, WrongKeyError

ID_BYTES: Final = 16  # of store ids and key ids: random, so that two never meet
_MAGIC: Final = b"AKO1"  # "Autokestra output", version 1
_HEADER_BYTES: Final = len(_MAGIC) + 2 * ID_BYTES
_LEAST_BYTES: Final = _HEADER_BYTES + IV_BYTES + TAG_BYTES


class OutputCipher:
    """Seals and opens outputs with `key`, the subkey of a store's data key that is for nothing else.

    A blob is magic and version (4 bytes), store id (16), key id (16), IV (12), tag (16), ciphertext.
    """

    __slots__ = ("_cipher", "_header")

    def __init__(
        self, key: bytes, *, store_id: bytes, key_id: bytes, random: Callable[[int], bytes] = token_bytes
    ) -> None:
        self._cipher = SecretEncryption(key, random=random)
        self._header = _MAGIC + store_id + key_id

    def seal(self, plaintext: bytes, *, context: tuple[str, ...]) -> bytes:
        """Return `plaintext` sealed and bound to `context`, such as (execution id, task id)."""
        sealed = self._cipher.seal(plaintext, aad=self._aad(context))
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
        if not blob.startswith(self._header):
            raise WrongKeyError(
                "a stored output was sealed by another secret store", hint="give that store with --store LOCATION"
            )
        body = blob[_HEADER_BYTES:]
        iv, auth_tag, ciphertext = body[:IV_BYTES], body[IV_BYTES : IV_BYTES + TAG_BYTES], body[IV_BYTES + TAG_BYTES :]
        return self._cipher.open(Sealed(iv, ciphertext, auth_tag), aad=self._aad(context))

    def _aad(self, context: tuple[str, ...]) -> bytes:
        return encode_fields("autokestra output", self._header, len(context), *context)

    def __repr__(self) -> str:
        return "OutputCipher(***)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a key cannot be pickled")
