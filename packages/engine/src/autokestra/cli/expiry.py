"""When a secret runs out: how people write it, and what is said of it when the time comes. Pure; times are given."""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

from autokestra.errors import UsageError
from autokestra.workflow.durations import parse_duration

if TYPE_CHECKING:
    from autokestra_secrets import SecretMetadata

SOON_DAYS: Final = 14  # so many days before, a secret is due
DAY: Final = 86_400 * 1_000_000  # microseconds
FORM: Final = "a time from now such as 30d or 12h, a date such as 2026-12-31, or `never`"

Due = Literal["expired", "soon"]


def parse_expiry(text: str, *, now: int) -> int | None:
    """Return microseconds since 1970 UTC; None for `never`.

    A date is its first moment in UTC, a time without zone is UTC: the same on every machine. Raises UsageError for
    what is none of these, or not after `now`.
    """
    text = text.strip()
    if text == "never":
        return None
    try:
        expires = now + round(parse_duration(text) * 1_000_000)
    except ValueError:
        expires = _instant(text)
    if expires <= now:
        raise UsageError("expected a time of expiry in the future, got one in the past", hint=f"give {FORM}")
    return expires


def _instant(text: str) -> int:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError("this is no time of expiry", hint=f"give {FORM}") from None
    aware = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    seconds = (aware - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
    return round(seconds * 1_000_000)


def due(expires_at: int | None, *, now: int) -> Due | None:
    """Return whether a secret has expired or will within 14 days; None when neither, or when it never does."""
    if expires_at is None or expires_at - now > SOON_DAYS * DAY:
        return None
    return "expired" if expires_at <= now else "soon"


def warnings(secrets: "Iterable[SecretMetadata]", names: Collection[str] | None = None, *, now: int) -> list[str]:
    """Return a line for each secret that is due, of those called `names`, by default of all."""
    return [
        f"secret '{secret.name}' {_when(secret.expires_at, now)}"
        for secret in secrets
        if due(secret.expires_at, now=now) and secret.expires_at is not None
        if names is None or secret.name in names
    ]


def _when(expires_at: int, now: int) -> str:
    days = abs(expires_at - now) // DAY
    counted = f"{days} {'day' if days == 1 else 'days'}"
    if expires_at <= now:
        return f"expired {counted} ago" if days else "expired today"
    return f"expires in {counted}" if days else "expires within a day"
