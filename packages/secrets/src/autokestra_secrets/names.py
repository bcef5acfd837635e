"""What a secret is called and what it holds, checked once at the door.

A `SecretName` has been checked; a `SecretValue` shows nothing of itself unless `reveal` is called. Nothing here
stores, encrypts or masks.
"""

import re
from typing import Final, NewType, NoReturn, Self

from autokestra_secrets.errors import InvalidSecretNameError, InvalidSecretValueError

SecretName = NewType("SecretName", str)

NAME_LENGTH: Final = 128  # characters (R12)
VALUE_BYTES: Final = 1 << 20  # bytes; 1 MiB

_NAME: Final = re.compile(rf"[A-Za-z0-9_-]{{1,{NAME_LENGTH}}}")
_HINT: Final = f"a name has 1 to {NAME_LENGTH} of: letters A-Z a-z, digits, '_' and '-'"


def secret_name(text: str) -> SecretName:
    """Return `text` as a name: 1 to 128 ASCII letters, digits, `_` or `-`.

    Raises InvalidSecretNameError. The message repeats no part of `text`, not even its length: people put values
    where names belong, most of all as `NAME=VALUE`.
    """
    if _NAME.fullmatch(text):
        return SecretName(text)
    if "=" in text:
        hint = "a value is no part of the name; to be asked for it: workflow secrets set NAME"
        raise InvalidSecretNameError("invalid secret name: it has a '='", hint=hint)
    raise InvalidSecretNameError(f"invalid secret name: {_fault(text)}", hint=_HINT)


def _fault(text: str) -> str:
    if not text:
        return "it is empty"
    if _NAME.fullmatch(text[:NAME_LENGTH]):
        return "it is too long"
    if any(map(str.isspace, text)):
        return "it has a space in it"
    return "it has a dot in it" if "." in text else "it has a character that no name has"


class SecretValue:
    """The value of a secret: 1 byte to 1 MiB, text or bytes; `repr`, `str`, `format` and `pickle` reveal nothing.

    Values compare in constant time. Raises InvalidSecretValueError when empty, too large or not encodable.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str | bytes) -> None:
        try:
            data = value.encode() if isinstance(value, str) else bytes(value)
        except UnicodeEncodeError:
            raise InvalidSecretValueError("secret value is not valid Unicode text", hint="pass it as bytes") from None
        if not data:
            raise InvalidSecretValueError("secret value cannot be empty", hint="to remove a secret, delete it")
        if len(data) > VALUE_BYTES:
            raise InvalidSecretValueError(
                f"secret value has {len(data):,} bytes, at most {VALUE_BYTES:,} are allowed",
                hint="keep large data in a file and store the key that encrypts it",
            )
        self._value = data

    def reveal(self) -> str:
        """Return the value as text. Raises InvalidSecretValueError when it is not UTF-8."""
        try:
            return self._value.decode()
        except UnicodeDecodeError:
            raise InvalidSecretValueError(
                "secret value is not UTF-8 text", hint="use a filter that takes bytes, such as b64encode"
            ) from None

    def reveal_bytes(self) -> bytes:
        """Return the value as bytes, exactly as stored."""
        return self._value

    @property
    def is_text(self) -> bool:
        """Whether `reveal` works."""
        try:
            self._value.decode()
        except UnicodeDecodeError:
            return False
        return True

    def __repr__(self) -> str:
        return "SecretValue(***)"

    def __str__(self) -> str:
        return "***SECRET***"

    def __format__(self, spec: str) -> str:
        return "***SECRET***"

    def __eq__(self, other: object) -> bool:
        from hmac import compare_digest  # noqa: PLC0415  # loads OpenSSL's hashes, 3 ms: only those who compare

        return isinstance(other, SecretValue) and compare_digest(self._value, other._value)

    __hash__ = None  # type: ignore[assignment]  # a hash would be a fingerprint of the value

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a SecretValue cannot be pickled")
