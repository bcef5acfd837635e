"""What a master key looks like as text, and the `MasterKey` that it becomes.

Four forms: `akey1-` with a checksum, `akey2-` as it is typed from paper, 64 hexadecimal digits, or a passphrase. Where
the text comes from is no matter of this room.
"""

import binascii
import threading
from typing import Final, Literal, NoReturn, Self

from autokestra_secrets.encryption import KEY_BYTES, derive_key, sha256
from autokestra_secrets.errors import InvalidKeyError

KEY_PREFIX: Final = "akey1-"
CHECKSUM_BYTES: Final = 4  # a mistyped key passes once in four thousand million times
PASSPHRASE_LENGTH: Final = 12  # characters; fewer are refused
KEY_TEXT_BYTES: Final = 4096  # more is not a key but a wrong file
GENERATED_KEY_ITERATIONS: Final = 100_000  # nobody guesses 256 random bits; R13 asks for no fewer
PASSPHRASE_ITERATIONS: Final = 600_000  # OWASP Password Storage Cheat Sheet, PBKDF2-HMAC-SHA256

KeyKind = Literal["key", "passphrase"]

_HEX_DIGITS: Final = frozenset("0123456789ABCDEFabcdef")
_FINGERPRINT_SALT: Final = sha256(b"autokestra/fingerprint/1")
_FORMS: Final = (
    f"a key is `{KEY_PREFIX}...`, 64 hexadecimal digits, or a passphrase of at least {PASSPHRASE_LENGTH} characters"
)

# A derivation costs 12 to 75 ms; a process that opens a store ten times, or from ten threads, pays once for each salt.
_derived: dict[tuple[bytes, bytes, int], bytes] = {}
_deriving = threading.Lock()


class MasterKey:
    """What the user holds: a generated 256-bit key or a passphrase. Shows nothing of itself and cannot be pickled.

    `kind` is "key" or "passphrase"; `source` and `path` say where it came from, for messages.
    """

    __slots__ = ("_secret", "kind", "path", "source")

    def __init__(self, secret: bytes, *, kind: KeyKind, source: str, path: str | None = None) -> None:
        self._secret = secret
        self.kind: KeyKind = kind
        self.source = source
        self.path = path

    @classmethod
    def parse(cls, text: bytes, *, source: str, path: str | None = None) -> Self:
        """Return the key that `text` writes down (R7, R8, R9, R10); one trailing newline is ignored.

        Raises InvalidKeyError, which never repeats the text.
        """
        origin = _origin(source, path)
        if len(text) > KEY_TEXT_BYTES:
            raise InvalidKeyError(f"{origin} holds more than {KEY_TEXT_BYTES:,} bytes, which is no key", hint=_FORMS)
        try:
            line = text.decode()
        except UnicodeDecodeError:
            raise InvalidKeyError(f"{origin} holds binary data, not the text of a key", hint=_FORMS) from None
        line = line.removesuffix("\n").removesuffix("\r")
        if not line.strip():
            raise InvalidKeyError(f"{origin} is empty", hint=_FORMS)
        if any(sign < " " or sign == "\x7f" for sign in line):
            raise InvalidKeyError(f"{origin} holds several lines or control characters, which no key has", hint=_FORMS)
        if len(line) == 2 * KEY_BYTES and _HEX_DIGITS.issuperset(line):
            return cls(bytes.fromhex(line), kind="key", source=source, path=path)
        if line[:6].lower() in ("akey2-", "akey2 "):
            from autokestra_secrets.recovery import parse_recovery  # noqa: PLC0415  # once in years

            return cls(parse_recovery(line, origin=origin), kind="key", source=source, path=path)
        head, dash, _ = line.partition("-")
        if dash and head[:4].lower() == "akey" and head[4:].isdecimal():
            return cls(_decode(line, origin), kind="key", source=source, path=path)
        if len(line) < PASSPHRASE_LENGTH:
            raise InvalidKeyError(
                f"passphrase in {origin} is too short: expected {PASSPHRASE_LENGTH} characters, got {len(line)}",
                hint=_FORMS,
            )
        return cls(line.encode(), kind="passphrase", source=source, path=path)

    @property
    def origin(self) -> str:
        """Where the key came from, in words: its source, and the path of its file if it has one."""
        return _origin(self.source, self.path)

    @property
    def iterations(self) -> int:
        """The PBKDF2 iterations that a new key slot for this key gets."""
        return GENERATED_KEY_ITERATIONS if self.kind == "key" else PASSPHRASE_ITERATIONS

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits by which two people can see that they hold the same key.

        Safe to show: it is derived as slowly as the key itself is (75 ms for a passphrase), so it is no short cut
        for guessing a passphrase.
        """
        derived = self.derive(salt=_FINGERPRINT_SALT, iterations=self.iterations)
        return sha256(b"autokestra/fingerprint/1" + derived).hex()[:16]

    def derive(self, *, salt: bytes, iterations: int) -> bytes:
        """Return the 32-byte key-encryption key for a slot's salt, derived once per process.

        Raises ValueError when `iterations` is out of the bounds of `derive_key`.
        """
        wanted = (self._secret, salt, iterations)
        with _deriving:
            if wanted not in _derived:
                _derived[wanted] = derive_key(self._secret, salt=salt, iterations=iterations)
            return _derived[wanted]

    def __eq__(self, other: object) -> bool:
        from hmac import compare_digest  # noqa: PLC0415  # see `encryption.mac`

        return isinstance(other, MasterKey) and self.kind == other.kind and compare_digest(self._secret, other._secret)

    __hash__ = None  # type: ignore[assignment]  # a hash would be a fingerprint that is fast to guess from

    def __repr__(self) -> str:
        return f"MasterKey(kind={self.kind!r}, origin={self.origin!r})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a master key cannot be pickled")


def key_text(key: bytes) -> str:
    """Return the text of a generated key: `akey1-`, then base64url of its 32 bytes and 4 checksum bytes."""
    return KEY_PREFIX + binascii.b2a_base64(key + _checksum(key), newline=False).decode().translate(_TO_URL)


_TO_URL: Final = str.maketrans("+/", "-_")
_FROM_URL: Final = str.maketrans("-_", "+/")


def _decode(line: str, origin: str) -> bytes:
    if not line.startswith(KEY_PREFIX):
        raise InvalidKeyError(
            f"key in {origin} is of an unknown version: expected it to begin with `{KEY_PREFIX}`",
            hint="copy the whole key again, or install the version of autokestra that made it",
        )
    try:
        data = binascii.a2b_base64(line.removeprefix(KEY_PREFIX).translate(_FROM_URL))
    except ValueError:
        data = b""
    key = data[:KEY_BYTES]
    if line != key_text(key):  # the checksum, and also that a key has exactly one text, whatever base64 lets pass
        raise InvalidKeyError(
            f"key in {origin} is mistyped or cut short: its checksum does not match", hint="copy the whole key again"
        )
    return key


def _origin(source: str, path: str | None) -> str:
    return source if path is None else f"{source} {path}"


def _checksum(key: bytes) -> bytes:
    return sha256(b"akey1" + key)[:CHECKSUM_BYTES]
