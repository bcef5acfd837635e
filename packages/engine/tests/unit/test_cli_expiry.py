"""Times of expiry: how they are written, and what is said when they come."""

from datetime import UTC, datetime

import pytest

from autokestra.cli.expiry import DAY, SOON_DAYS, due, parse_expiry, warnings
from autokestra.errors import UsageError
from autokestra_secrets import SecretMetadata, secret_name

NOW = int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()) * 1_000_000


def at(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp()) * 1_000_000  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("text", "expires"),
    [
        ("30d", NOW + 30 * DAY),
        (" 12h ", NOW + DAY // 2),
        ("1.5d", NOW + DAY + DAY // 2),
        ("2026-12-31", at(2026, 12, 31)),
        ("2026-03-01T12:00:01", NOW + 1_000_000),
        ("2026-03-01T14:00:00+01:00", at(2026, 3, 1, 13)),
        ("2026-03-02T00:00:00Z", at(2026, 3, 2)),
        ("never", None),
    ],
)
def test_a_time_is_from_now_or_a_date(text: str, expires: int | None) -> None:
    assert expires == parse_expiry(text, now=NOW)


@pytest.mark.parametrize(
    "text", ["", "soon", "30", "30x", "2026-13-01", "2026-03-01", "2026-03-01T12:00:00", "1999-01-01", "-1d"]
)
def test_what_is_no_time_to_come_is_refused_with_what_can_be_written(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_expiry(text, now=NOW)
    assert "30d" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("left", "state", "said"),
    [
        (-3 * DAY, "expired", "secret 'A' expired 3 days ago"),
        (-DAY, "expired", "secret 'A' expired 1 day ago"),
        (-1, "expired", "secret 'A' expired today"),
        (0, "expired", "secret 'A' expired today"),
        (1, "soon", "secret 'A' expires within a day"),
        (DAY, "soon", "secret 'A' expires in 1 day"),
        (SOON_DAYS * DAY, "soon", "secret 'A' expires in 14 days"),
        (SOON_DAYS * DAY + 1, None, None),
        (None, None, None),
    ],
)
def test_a_secret_is_due_two_weeks_before(left: int | None, state: str | None, said: str | None) -> None:
    expires = None if left is None else NOW + left
    secret = SecretMetadata(secret_name("A"), 1, 0, 0, expires_at=expires)
    assert state == due(expires, now=NOW)
    assert ([said] if said else []) == warnings([secret], now=NOW)
    assert [] == warnings([secret], ["B"], now=NOW)
