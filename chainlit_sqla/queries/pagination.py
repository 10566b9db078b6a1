"""The opaque page cursor of the thread list."""

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
    """A position in the thread list, which stays valid while threads are added and deleted.

    Args:
        last_activity: The last activity of the thread at this position.
        id: The id of that thread.

    Example:
        >>> cursor = Cursor(datetime(2026, 1, 31, tzinfo=UTC), "a")
        >>> Cursor.parse(str(cursor)) == cursor
        True
    """

    last_activity: datetime
    id: str

    def __str__(self) -> str:
        raw = orjson.dumps([self.last_activity.isoformat(), self.id])
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")

    @classmethod
    def parse(cls, cursor: str) -> Cursor:
        """Parse the text form of a cursor.

        Args:
            cursor: The result of ``str(cursor)``.

        Raises:
            InvalidCursor: The text is not such a result.
        """
        try:
            raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
            timestamp, id = orjson.loads(raw)
            last_activity = datetime.fromisoformat(timestamp)
            if last_activity.tzinfo is None:
                raise ValueError("the timestamp has no offset")
            return cls(last_activity.astimezone(UTC), clean_text(str(id)))
        except (ValueError, TypeError, OverflowError, binascii.Error):
            raise InvalidCursor(
                f"{cursor[:80]!r} is not a cursor of this list; "
                "request the first page, without a cursor"
            ) from None
