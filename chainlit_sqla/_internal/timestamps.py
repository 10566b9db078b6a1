"""Timestamps: parsed from all forms that occur, formatted as the frontend expects."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""The value of a column that is never NULL where no time is known."""

_MILLISECONDS_FROM = 100_000_000_000
"""Larger epoch numbers are milliseconds: as seconds they would be after the year 5138."""

_UTC_NAME = re.compile(r"\s*(?:Z|UTC|GMT)$", re.IGNORECASE)
_EPOCH_NUMBER = re.compile(r"-?\d{9,17}(?:\.\d+)?$")


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def parse_instant(value: Any) -> datetime | None:
    """Parse a timestamp in any form that occurs in practice, None if that is impossible.

    ISO 8601 text with or without offset and fraction (without offset it is UTC, as in
    Chainlit's ``utc_now``), also with both offset and ``Z``, a datetime, or epoch seconds or
    milliseconds as a number or as text.
    """
    try:
        if isinstance(value, str):
            value = _parse_text(value)
        if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
            number = float(value)
            seconds = number / 1000 if abs(number) >= _MILLISECONDS_FROM else number
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


def _parse_text(text: str) -> datetime | float:
    try:
        if text[4:5] == "-":  # Most are; a number of eleven digits is ISO 8601, too.
            return datetime.fromisoformat(text)
    except ValueError:
        pass
    text = text.strip()
    if _EPOCH_NUMBER.match(text):
        return float(text)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return datetime.fromisoformat(_UTC_NAME.sub("", text))


def format_instant(value: datetime | None) -> str | None:
    """Format a timestamp as Chainlit does: UTC, ``Z``, no fraction where it is zero."""
    if value is None:
        return None
    return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def instant_of(ordinal: int) -> datetime:
    """Return the time at which `next_ordinal` returned an ordinal."""
    return EPOCH + timedelta(microseconds=ordinal)


_last_ordinal = 0


def next_ordinal() -> int:
    """Return a number greater than all before it in this process, comparable across processes.

    It orders rows with the same timestamp by arrival. It is the time in microseconds since
    the epoch, increased by one where the clock has not advanced.
    """
    global _last_ordinal
    moment = time.time_ns() // 1_000
    _last_ordinal = moment if moment > _last_ordinal else _last_ordinal + 1
    return _last_ordinal
