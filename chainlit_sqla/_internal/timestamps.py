"""Timestamps: parsed from all forms that occur, formatted as the frontend expects."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

_MILLISECONDS_FROM = 100_000_000_000
"""Larger epoch numbers are milliseconds: as seconds they would be after the year 5138."""


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def parse_instant(value: Any) -> datetime | None:
    """Parse a timestamp in any form that occurs in practice, None if that is impossible.

    ISO 8601 text with or without offset and fraction (without offset it is UTC, as in
    Chainlit's ``utc_now``), a datetime, or epoch seconds or milliseconds.
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
        if type(value) is not datetime:  # Subclasses of pandas or pendulum are not serializable.
            instant = datetime.combine(value.date(), value.time(), value.tzinfo)
        if instant.tzinfo is UTC:
            return instant
        if instant.tzinfo is None:
            return instant.replace(tzinfo=UTC)
        return instant.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def format_instant(value: datetime | None) -> str | None:
    """Format a timestamp as Chainlit does: UTC, ``Z``, no fraction where it is zero."""
    if value is None:
        return None
    return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def instant_of(ordinal: int) -> datetime:
    """Return the time at which `next_ordinal` returned an ordinal."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ordinal)


_last_ordinal = 0


def next_ordinal() -> int:
    """Return a number greater than all before it in this process, comparable across processes.

    It orders rows with the same timestamp by arrival. It is the time in microseconds since
    the epoch, increased by one where the clock has not advanced.
    """
    global _last_ordinal
    _last_ordinal = max(_last_ordinal + 1, time.time_ns() // 1_000)
    return _last_ordinal
