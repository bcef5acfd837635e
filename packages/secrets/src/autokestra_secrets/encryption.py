"""AES-256-GCM, PBKDF2 and HKDF behind one narrow door: bytes in, bytes out.

Nothing here knows files, stores, clocks or where keys come from. Randomness is injected, so that a test can fix it.
The byte formats are those of docs/spec/envelope.md, whose rules are cited as R1, R2 and so on, here and in the rooms
around.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple, NoReturn

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from autokestra_secrets.errors import DamagedError

FORMAT: Final = 1  # of every sealed thing; part of its AAD
KEY_BYTES: Final = 32  # AES-256
IV_BYTES: Final = 12  # NIST SP 800-38D, 5.2.1.1: 96 bits is the length that needs no extra hashing
TAG_BYTES: Final = 16  # NIST SP 800-38D, 5.2.1.2: the full 128 bits
SALT_BYTES: Final = 32  # NIST SP 800-132, 5.1 asks for at least 16
ITERATIONS_MIN: Final = 100_000  # below this a store is refused: somebody made guessing cheap
ITERATIONS_MAX: Final = 10_000_000  # above this a store is refused: about a second per slot, somebody else's choice


class Sealed(NamedTuple):
    """One ciphertext with what is needed to open it, besides the key and the AAD.

    `iv` has 12 bytes, `auth_tag` 16, `ciphertext` as many as the plaintext. (A NamedTuple, here and in the rooms
    around: importing `dataclasses` would cost a start-up more than AES does.)
    """

    iv: bytes
    ciphertext: bytes
    auth_tag: bytes


def token_bytes(count: int) -> bytes:
    """Return `count` random bytes from the operating system, as `secrets.token_bytes` does (R2)."""
    # Imported late: `secrets` loads `random` and its tables, and only those who seal need it.
    import secrets  # noqa: PLC0415

    return secrets.token_bytes(count)


class SecretEncryption:
    """AES-256-GCM with a fresh 96-bit IV for each seal and a 128-bit tag (R3).

    `key` has 32 bytes; `random` returns as many random bytes as it is asked for. One key may seal at most 2**32
    plaintexts (NIST SP 800-38D, 8.3). Raises ValueError when the key has another length.
    """

    __slots__ = ("_cipher", "_random")

    def __init__(self, key: bytes, *, random: Callable[[int], bytes] = token_bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"expected a key of {KEY_BYTES} bytes, got {len(key)}")
        self._cipher = AESGCM(key)
        self._random = random

    def seal(self, plaintext: bytes, *, aad: bytes) -> Sealed:
        """Encrypt `plaintext` and bind it to `aad`, which is needed again, byte for byte, to open it."""
        iv = self._random(IV_BYTES)
        if len(iv) != IV_BYTES:
            raise ValueError(f"expected {IV_BYTES} random bytes, got {len(iv)}")
        sealed = self._cipher.encrypt(iv, plaintext, aad)
        return Sealed(iv, sealed[:-TAG_BYTES], sealed[-TAG_BYTES:])

    def open(self, sealed: Sealed, *, aad: bytes) -> bytes:
        """Return the plaintext, or raise DamagedError when it was not sealed with this very key and AAD.

        AES-GCM cannot tell a wrong key from damaged bytes; those who hold several keys check which one is meant first.
        """
        iv, ciphertext, auth_tag = sealed
        # Checked here, since OpenSSL would also take other IV lengths and pyca would cut the tag from the ciphertext.
        if len(iv) != IV_BYTES or len(auth_tag) != TAG_BYTES:
            raise DamagedError(
                f"expected an IV of {IV_BYTES} and a tag of {TAG_BYTES} bytes, got {len(iv)} and {len(auth_tag)}"
            )
        try:
            return self._cipher.decrypt(iv, ciphertext + auth_tag, aad)
        except InvalidTag:
            raise DamagedError("sealed bytes fail authentication: damaged, moved, or sealed with another key") from None

    def __repr__(self) -> str:
        return "SecretEncryption(***)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a key cannot be pickled")


def derive_key(master_key: bytes, *, salt: bytes, iterations: int) -> bytes:
    """Return the 32-byte key-encryption key of a master key: PBKDF2-HMAC-SHA256 (R4; RFC 8018, 5.2).

    Takes about 12 ms for each 100,000 iterations. Raises ValueError when the master key or the salt is empty, or
    `iterations` is below 100,000 or above 10,000,000.
    """
    if not master_key or not salt:
        raise ValueError("the master key and the salt must not be empty")
    if not ITERATIONS_MIN <= iterations <= ITERATIONS_MAX:
        raise ValueError(f"expected {ITERATIONS_MIN:,} to {ITERATIONS_MAX:,} iterations, got {iterations:,}")
    return _pbkdf2(master_key, salt, iterations, KEY_BYTES)


def _pbkdf2(password: bytes, salt: bytes, iterations: int, length: int) -> bytes:
    # pyca, not hashlib: the same OpenSSL underneath, but measured twice as fast, and it releases the GIL.
    return PBKDF2HMAC(algorithm=SHA256(), length=length, salt=salt, iterations=iterations).derive(password)


def derive_subkey(data_key: bytes, *, store_id: bytes, purpose: str) -> bytes:
    """Return the 32-byte key that one `purpose` of one store may use: HKDF-SHA256 (R5; RFC 5869).

    Keys for values, journal and outputs are apart, so that no bytes sealed for one can be presented as another.
    """
    return _hkdf(data_key, store_id, f"autokestra/{purpose}/1".encode(), KEY_BYTES)


def _hkdf(key: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(key)


# MAC and hash are pyca's too: `hmac` and `hashlib` would load OpenSSL a second time, 3 ms of every start-up.


def mac(key: bytes, message: bytes) -> bytes:
    """Return the 32-byte HMAC-SHA256 of `message` (R6; RFC 2104)."""
    state = HMAC(key, SHA256())
    state.update(message)
    return state.finalize()


def keyed_mac(key: bytes) -> Callable[[bytes], bytes]:
    """Return what `mac` does under one key, for many messages: the key is taken in once, a third of the work."""
    keyed = HMAC(key, SHA256())

    def compute(message: bytes) -> bytes:
        state = keyed.copy()
        state.update(message)
        return state.finalize()

    return compute


def check_mac(key: bytes, message: bytes, expected: bytes) -> bool:
    """Return whether `expected` is the MAC of `message`, in constant time."""
    state = HMAC(key, SHA256())
    state.update(message)
    try:
        state.verify(expected)
    except InvalidSignature:
        return False
    return True


def sha256(message: bytes) -> bytes:
    """Return the 32-byte SHA-256 of `message`."""
    state = Hash(SHA256())
    state.update(message)
    return state.finalize()


_NUMBER_LENGTH: Final = (8).to_bytes(4, "big")


def encode_fields(*fields: bytes | str | int) -> bytes:
    """Return the injective encoding R1 of `fields`: each is its length (4 bytes, big-endian) and its bytes.

    Text is UTF-8, a number 8 bytes, signed and big-endian. Different lists of byte strings never encode alike,
    because each length says where the next field begins.
    """
    parts: list[bytes] = []
    add = parts.append  # of what a bulk operation costs, this loop is the largest part
    for field in fields:
        if isinstance(field, int):
            add(_NUMBER_LENGTH)
            add(field.to_bytes(8, "big", signed=True))
            continue
        # Text read from a damaged database must encode, then fail.
        data = field.encode("utf-8", "surrogatepass") if isinstance(field, str) else field
        add(len(data).to_bytes(4, "big"))
        add(data)
    return b"".join(parts)


def associated_data(
    *,
    key_id: bytes,
    store_id: bytes,
    table: str,
    name: str,
    version: int,
    created_at: int,
    updated_at: int,
    state: str,
    metadata: str,
    format: int = FORMAT,  # noqa: A002  # the word of the specification
) -> bytes:
    """Return the AAD that binds a row's ciphertext to everything that stands beside it (R21).

    A row that is moved to another name or store, or edited in any column, no longer opens. Times are microseconds UTC.
    """
    fixed = _fixed_fields("autokestra row", format, key_id, store_id, table)
    return fixed + encode_fields(name, version, created_at, updated_at, state, metadata)


@lru_cache(maxsize=16)
def _fixed_fields(*fields: bytes | str | int) -> bytes:
    """Return the encoding of the fields that all rows of a store have in common; ids and words, nothing secret."""
    return encode_fields(*fields)
