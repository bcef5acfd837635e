"""A key as text that a person can type from paper: `akey2-`, then fourteen groups of four letters and a check letter.

The letters are Crockford's base32, in which no two look alike; case, spaces and dashes do not matter. Each group tells
by itself whether it was mistyped, so that a message can say which one (R9 of the envelope).
"""

from typing import Final

from autokestra_secrets.encryption import KEY_BYTES, sha256
from autokestra_secrets.errors import InvalidKeyError

RECOVERY_PREFIX: Final = "akey2"

_LETTERS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford: without I, L, O, U
_VALUES: Final = {letter: value for value, letter in enumerate(_LETTERS)} | {"O": 0, "I": 1, "L": 1}
_CHECKSUM_BYTES: Final = 3  # with the 32 bytes of the key exactly 14 groups of 4 letters of 5 bits
_GROUPS: Final = 14
_LETTERS_EACH: Final = 4
_WEIGHTS: Final = (1, 3, 5, 7)  # odd, hence each single wrong letter changes the check letter


def recovery_text(key: bytes) -> str:
    """Return the text of a 32-byte key, in groups of five separated by dashes."""
    number = int.from_bytes(key + _checksum(key), "big")
    count = _GROUPS * _LETTERS_EACH
    values = [number >> 5 * (count - 1 - place) & 31 for place in range(count)]
    groups = [values[start : start + _LETTERS_EACH] for start in range(0, count, _LETTERS_EACH)]
    texts = ["".join(_LETTERS[value] for value in (*group, _check(place, group))) for place, group in enumerate(groups)]
    return "-".join((RECOVERY_PREFIX, *texts))


def parse_recovery(line: str, *, origin: str) -> bytes:
    """Return the key that a text beginning with `akey2` writes down.

    Raises InvalidKeyError, which says which group to look at and never repeats one.
    """
    letters = [letter for letter in line[len(RECOVERY_PREFIX) :].upper() if letter not in " -"]
    values = [_VALUES.get(letter, -1) for letter in letters]
    size = _LETTERS_EACH + 1
    groups = [values[start : start + size] for start in range(0, len(values), size)]
    for place, group in enumerate(groups[:_GROUPS]):
        if -1 in group or len(group) != size or group[-1] != _check(place, group[:-1]):
            raise _mistyped(origin, f"look at group {place + 1} of {_GROUPS}")
    if len(groups) != _GROUPS:
        raise _mistyped(origin, f"expected {_GROUPS} groups of {size} letters, got {len(groups)}")
    number = 0
    for value in (value for group in groups for value in group[:-1]):
        number = number << 5 | value
    data = number.to_bytes(KEY_BYTES + _CHECKSUM_BYTES, "big")
    key = data[:KEY_BYTES]
    if data[KEY_BYTES:] != _checksum(key):
        raise _mistyped(origin, "two letters may have changed places; type it again")
    return key


def _check(place: int, group: list[int]) -> int:
    # The place counts too: whole groups that changed places are noticed.
    return (sum(map(int.__mul__, _WEIGHTS, group)) + 9 * place) % 32


def _checksum(key: bytes) -> bytes:
    return sha256(b"akey2" + key)[:_CHECKSUM_BYTES]


def _mistyped(origin: str, hint: str) -> InvalidKeyError:
    return InvalidKeyError(f"recovery key in {origin} is mistyped or cut short", hint=hint)
