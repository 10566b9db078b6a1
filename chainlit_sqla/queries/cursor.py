"""The opaque cursor of the thread list: the place after the last thread of a page."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from .._internal.json import clean_text
from ..errors import InvalidCursor


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in the list by last activity; it stays valid while threads come and go.

    Args:
        at: The last activity of the thread at this place.
        id: Its id.

    Example:
        >>> place = Cursor(datetime(2026, 1, 31, tzinfo=UTC), "a")
        >>> Cursor.parse(str(place)) == place
        True
    """

    at: datetime
    id: str

    def __str__(self) -> str:
        raw = orjson.dumps([self.at.isoformat(), self.id])
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")

    @classmethod
    def parse(cls, cursor: str) -> Cursor:
        """Read a cursor back.

        Args:
            cursor: What `str` gave.

        Raises:
            InvalidCursor: It is something else.
        """
        try:
            raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
            at, id = orjson.loads(raw)
            moment = datetime.fromisoformat(at)
            if moment.tzinfo is None:
                raise ValueError("naive")
            return cls(moment.astimezone(UTC), clean_text(str(id)))
        except (ValueError, TypeError, OverflowError, binascii.Error):
            raise InvalidCursor(
                f"{cursor[:80]!r} is no cursor of this list; "
                "begin at the first page, without a cursor"
            ) from None
