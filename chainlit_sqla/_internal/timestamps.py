"""Instants: what Chainlit and other writers send, and what the frontend needs."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

_MILLISECONDS_FROM = 100_000_000_000
"""Epoch numbers from here on are milliseconds: as seconds they would be the year 5138."""


def now() -> datetime:
    """The current instant in UTC."""
    return datetime.now(UTC)


def parse_instant(value: Any) -> datetime | None:
    """Read an instant in any of the forms seen in the wild.

    Args:
        value: ISO 8601 text with or without offset and fraction (without offset it is
            UTC, as Chainlit's ``utc_now``), a datetime, or epoch seconds or milliseconds.

    Returns:
        The instant in UTC, or None if it cannot be read as one.

    Example:
        >>> parse_instant("2026-01-31T10:00:00+02:00")
        datetime.datetime(2026, 1, 31, 8, 0, tzinfo=datetime.timezone.utc)
    """
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value.strip())
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            seconds = value / 1000 if abs(value) >= _MILLISECONDS_FROM else value
            value = datetime.fromtimestamp(seconds, UTC)
        if not isinstance(value, datetime):
            return None
        instant: datetime = value
        if type(value) is not datetime:  # Of pandas or pendulum: only ours is serialized.
            instant = datetime.combine(value.date(), value.time(), value.tzinfo)
        if instant.tzinfo is UTC:
            return instant
        if instant.tzinfo is None:
            return instant.replace(tzinfo=UTC)
        return instant.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def format_instant(value: datetime | None) -> str | None:
    """Write an instant as Chainlit does: UTC, ``Z``, no fraction where it is zero.

    Args:
        value: An aware datetime or None.

    Example:
        >>> format_instant(datetime(2026, 1, 31, 8, tzinfo=UTC))
        '2026-01-31T08:00:00Z'
    """
    if value is None:
        return None
    return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def instant_of(ordinal: int) -> datetime:
    """The instant at which an ordinal was given out.

    Args:
        ordinal: From `next_ordinal`.

    Example:
        >>> instant_of(1_500_000)
        datetime.datetime(1970, 1, 1, 0, 0, 1, 500000, tzinfo=datetime.timezone.utc)
    """
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ordinal)


_last_ordinal = 0


def next_ordinal() -> int:
    """A number greater than any that this process gave before, comparable across processes.

    It orders rows of the same instant by arrival. Microseconds since the epoch, moved on
    by one where the clock has not moved: 2**63 of them last until the year 294,000.
    """
    global _last_ordinal
    _last_ordinal = max(_last_ordinal + 1, time.time_ns() // 1_000)
    return _last_ordinal
