"""The quarantine: rows and values that our tables cannot hold, kept as they were.

They are stored in the table ``chainlit_sqla_quarantine``, and in an export file as lines::

    {"kind":"quarantined","id":"…","source":"…","origin":"steps","reason":"…","row":{…},…}
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from ..._internal import json as _json
from ..._internal.json import UndecodableText
from ..._internal.timestamps import format_instant, now, parse_instant
from ...dialects import Dialect
from ...models import quarantine

QUARANTINED = "quarantined"
"""The kind of a row that comes from the quarantine of another database or file."""
ADOPTION = "adoption"
"""The source of rows that an adoption quarantined: they belong to the same database."""
FOREIGN_THREAD = "a thread with its id belongs to another user in the target"
"""The reason of rows that belong to another user than the thread with their thread's id."""


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """How a row is identified in the quarantine that it is read from.

    Without a source, it was quarantined while the file was written that is read now.
    """

    id: str
    source: str
    created: datetime


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """A row, or some values of a row, that our tables cannot hold."""

    kind: str
    """The kind of record that it would be, ``line`` or `QUARANTINED`."""
    table: str
    """The table or file that it was read from."""
    reason: str
    """Why it cannot be stored; details of the row follow a colon."""
    row: Mapping[str, Any]
    partial: bool = False
    """Whether the row itself is stored, and only some of its values are not."""
    entry: StoredEntry | None = None
    """Its entry in the quarantine that it is read from, for a `QUARANTINED` row."""

    @property
    def general_reason(self) -> str:
        """The reason without details of the row."""
        return self.reason.split(": ", 1)[0]

    @property
    def document(self) -> dict[str, Any]:
        r"""The row as JSON can hold it; bytes that are not UTF-8 are escaped as ``\xfc``."""
        readable = {
            name: value.escaped if isinstance(value, UndecodableText) else value
            for name, value in self.row.items()
        }
        document: dict[str, Any] = _json.loads(_json.dumps(readable))
        return document

    @property
    def digest(self) -> str:
        """Its primary key: the same for the same row and reason, so it is stored once."""
        if self.entry is not None:
            return self.entry.id
        text = _json.dumps([self.table, self.reason, self.document])
        return hashlib.sha256(text.encode()).hexdigest()

    def line(self) -> bytes:
        """The row as a line of an export file, without the newline."""
        entry = self.entry or StoredEntry(self.digest, "", now())
        members = {
            "kind": QUARANTINED,
            "id": entry.id,
            "source": entry.source,
            "origin": self.table,
            "reason": self.reason,
            "row": self.document,
            "createdAt": format_instant(entry.created),
        }
        return orjson.dumps(members)

    @classmethod
    def parse(cls, line: bytes | str) -> QuarantinedRow | None:
        """Read what `line` wrote; None for any other line."""
        try:
            members = _json.loads(_json.dumps(_json.loads(line)))
            if not isinstance(members, dict) or members.get("kind") != QUARANTINED:
                return None
            origin, reason, id, source = (
                str(members[name]) for name in ("origin", "reason", "id", "source")
            )
            row, created = members["row"], parse_instant(members["createdAt"])
        except (ValueError, KeyError):
            return None
        if created is None or not isinstance(row, dict):
            return None
        return cls(QUARANTINED, origin, reason, row, entry=StoredEntry(id, source, created))


async def write_quarantine(
    connection: AsyncConnection, dialect: Dialect, source: str, rows: Iterable[QuarantinedRow]
) -> None:
    """Store rows in the quarantine; one that is there already stays unchanged.

    They get the source that they come from; rows of another quarantine keep the source of then.
    """
    values = [
        {
            "id": row.digest,
            "source": _source_of(row, source),
            "origin": row.table,
            "reason": row.reason,
            "row": row.document,
            "createdAt": row.entry.created if row.entry else now(),
        }
        for row in rows
    ]
    if values:
        await dialect.execute_many(connection, dialect.upsert(quarantine, ["id"], []), values)


def _source_of(row: QuarantinedRow, source: str) -> str:
    if row.entry is None or not row.entry.source:
        return source
    return f"{source} ({ADOPTION})" if row.entry.source == ADOPTION else row.entry.source
