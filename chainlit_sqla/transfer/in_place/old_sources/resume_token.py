"""Positions in tables: an id as text from which it comes back as it was, with its type.

SQLite gives a column without a type whatever was put into it, and orders numbers before text
before bytes: ``5`` is not ``'5'``. And an id as we store it may be another one than it was
(`chainlit_sqla.transfer.sources.normalize.identifier`).
"""

from __future__ import annotations

import uuid
from typing import Any

import orjson


def position_of(id: Any) -> str | None:
    """The position after an id.

    Args:
        id: As a driver gives it.

    Returns:
        None where it is of a type from which nobody can go on.

    Example:
        >>> position_of(5), position_of("5"), position_of(b"5")
        ('["plain",5]', '["plain","5"]', '["bytes","35"]')
    """
    if isinstance(id, uuid.UUID):
        found: tuple[str, Any] = "uuid", str(id)
    elif isinstance(id, bytes):
        found = "bytes", id.hex()
    elif isinstance(id, (str, int, float)):
        found = "plain", id
    else:
        return None
    return orjson.dumps(found).decode()


def id_at(position: str) -> Any:
    """The id that a position is after.

    Args:
        position: Of `position_of`.

    Example:
        >>> id_at(position_of(b"5"))
        b'5'
    """
    what, value = orjson.loads(position)
    if what == "uuid":
        return uuid.UUID(value)
    return bytes.fromhex(value) if what == "bytes" else value
