"""Times and durations as people and programs read them. Rows hold integer microseconds since 1970 in UTC."""

from datetime import UTC, datetime


def utc_time(microseconds: int) -> str:
    """Return ISO 8601 in UTC with microseconds: `2026-03-01T02:00:00.000000Z`."""
    return _instant(microseconds).isoformat(timespec="microseconds").replace("+00:00", "Z")


def local_time(microseconds: int) -> str:
    """Return the time of this machine's zone in whole seconds: `2026-03-01 03:00:00+01:00`."""
    return datetime.fromtimestamp(microseconds // 1_000_000, UTC).astimezone().isoformat(sep=" ")


def duration(seconds: float) -> str:
    """Return `0.04 s`, `12.3 s`, `4 min 02 s` or `3 h 05 min`."""
    if round(seconds, 2) < 10:
        return f"{seconds:.2f} s"
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def _instant(microseconds: int) -> datetime:
    # Not `fromtimestamp(x / 1e6)`: a float has no room for microseconds in the far future.
    seconds, rest = divmod(microseconds, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)
