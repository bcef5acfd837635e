"""What is said about a secret beside its value: description, tags, expiry, as people give it and as a row keeps it.

Readable without any key, and bound to the value all the same: the JSON text kept here is part of a row's AAD.
Nothing here reads rows or looks at a clock.
"""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from autokestra_secrets.errors import DamagedError, InvalidMetadataError
from autokestra_secrets.names import SecretName

if TYPE_CHECKING:
    from datetime import datetime

DESCRIPTION_LENGTH: Final = 500  # characters
TAG_LENGTH: Final = 64  # characters
TAGS_MAX: Final = 32
TIME_MAX: Final = 2**53  # microseconds UTC; the year 2255, and the largest integer that every JSON reader keeps exact

# Control characters, line separators and bidirectional overrides: what could change how a terminal shows the rest.
_UNSHOWABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_TAG: Final = re.compile(rf"[^\s,]{{1,{TAG_LENGTH}}}")
_NOTHING: Final = "{}"


class SecretMetadata(NamedTuple):
    """What is known about one version of a secret without any key.

    Times are microseconds UTC; `created_at` is that of the secret's first version, `updated_at` that of this one, and
    `expires_at` is None for a value that stays good. `current` says that no newer version exists.
    """

    name: SecretName
    version: int
    created_at: int
    updated_at: int
    description: str = ""
    tags: tuple[str, ...] = ()
    expires_at: int | None = None
    current: bool = True


class Details(NamedTuple):
    """The part of the metadata that people write. Made by `checked_*` and `decode_details` only, so always valid."""

    description: str = ""
    tags: tuple[str, ...] = ()
    expires_at: int | None = None


def checked_description(text: str | None) -> str:
    """Return a description of at most 500 characters on one line; "" for None. Raises InvalidMetadataError."""
    return _checked_text(text or "", "description", DESCRIPTION_LENGTH)


def checked_label(text: str) -> str:
    """Return the label of a key slot: 1 to 64 characters on one line. Raises InvalidMetadataError."""
    if not text:
        raise InvalidMetadataError("the label of a key slot cannot be empty", hint="leave it out, or give it a word")
    return _checked_text(text, "label", TAG_LENGTH)


def checked_tags(tags: Iterable[str] | None) -> tuple[str, ...]:
    """Return tags sorted and each once: at most 32 words of at most 64 characters. Raises InvalidMetadataError."""
    if isinstance(tags, str):
        raise InvalidMetadataError("expected several tags, got one text", hint="pass a list of tags")
    found = tuple(sorted(set(tags or ())))
    if len(found) > TAGS_MAX:
        raise InvalidMetadataError(f"expected at most {TAGS_MAX} tags, got {len(found)}", hint="leave some out")
    for tag in found:
        if not _TAG.fullmatch(tag) or _UNSHOWABLE.search(tag):
            raise InvalidMetadataError(
                "invalid tag",  # which is not repeated: a value may have been put in its place
                hint=f"a tag has 1 to {TAG_LENGTH} characters, without spaces and commas",
            )
    return found


def checked_expiry(expires: "int | datetime | None") -> int | None:
    """Return microseconds UTC for such a number, an aware datetime, or None. Raises InvalidMetadataError."""
    if expires is None:
        return None
    if not isinstance(expires, int):
        if expires.tzinfo is None:
            raise InvalidMetadataError("a time of expiry needs a time zone", hint="use datetime.now(timezone.utc)")
        from datetime import UTC, datetime, timedelta  # noqa: PLC0415  # only those who pass one have paid for it

        expires = (expires - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    if isinstance(expires, bool) or not 0 < expires <= TIME_MAX:
        raise InvalidMetadataError(
            "a time of expiry is out of range", hint="give microseconds since 1970 UTC, before the year 2255"
        )
    return expires


def checked_change(*, description: str | None, tags: Iterable[str] | None) -> dict[str, Any]:
    """Return the checked fields of Details that were given, that is, are not None. Raises InvalidMetadataError."""
    change: dict[str, Any] = {}
    if description is not None:
        change["description"] = checked_description(description)
    if tags is not None:
        change["tags"] = checked_tags(tags)
    return change


def is_time(microseconds: int) -> bool:
    """Return whether a number of microseconds UTC is a time that clocks show and programs can print (R12)."""
    return -TIME_MAX <= microseconds <= TIME_MAX


def encode_details(details: Details) -> str:
    """Return the one JSON text for `details`: sorted keys, no spaces, absent when empty (R20 of the envelope)."""
    given = {name: value for name, value in details._asdict().items() if value not in ("", (), None)}
    if not given:
        return _NOTHING
    from json import dumps  # noqa: PLC0415  # 3 ms that most secrets need not pay

    return dumps(given, sort_keys=True, separators=(",", ":"))


def decode_details(text: str, *, name: str) -> Details:
    """Return what `encode_details` wrote. Raises DamagedError for anything else, so that it is safe to show."""
    if text == _NOTHING:
        return Details()
    from json import loads  # noqa: PLC0415

    try:
        found = loads(text)
        details = Details(
            checked_description(found.pop("description", None)),
            checked_tags(found.pop("tags", None)),
            checked_expiry(found.pop("expires_at", None)),
        )
        if encode_details(details) == text:
            return details
    except (ValueError, TypeError, AttributeError, RecursionError, InvalidMetadataError):
        pass
    raise DamagedError(
        f"the metadata of secret '{name}' is not what was written",
        hint="see what else was changed: workflow secrets verify",
    )


def _checked_text(text: object, what: str, length: int) -> str:
    if not isinstance(text, str) or len(text) > length:
        raise InvalidMetadataError(f"expected a {what} of at most {length} characters", hint="make it shorter")
    if _UNSHOWABLE.search(text):
        raise InvalidMetadataError(
            f"the {what} holds line breaks or control characters", hint="write it on one line of plain text"
        )
    return text
