"""The quarantine: rows and values that our tables cannot hold, kept as they were.

They are stored in the table ``chainlit_sqla_quarantine``, and in an export file as lines::

    {"kind":"quarantined","id":"…","source":"…","origin":"steps","reason":"…","row":{…},…}
    {"kind":"unplaced","of":"thread","origin":"threads","reason":"…","row":{"id":"t","mood":"x"}}

The first kind is a row of that table; the second holds the values of an imported row that have no
column, and becomes a row of that table when it is imported.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Row, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..._internal import json as _json
from ..._internal.json import UndecodableText
from ..._internal.timestamps import format_instant, now, parse_instant
from ...dialects import Dialect
from ...models import quarantine, steps, threads, users
from .bounded_fetch import fetch_pages
from .normalize import identifier

QUARANTINED = "quarantined"
"""The kind of a row that comes from the quarantine of another database or file."""
UNPLACED = "unplaced"
"""The kind of a line with the values of a record that have no column."""
ADOPTION = "adoption"
"""The source of rows that an adoption quarantined: they belong to the same database."""
FOREIGN_THREAD = "a thread with its id belongs to another user in the target"
"""The reason of rows that belong to another user than the thread with their thread's id."""
_LONGEST_ID = 255
_THREAD_TABLES = {"threads", "Thread", "thread"}
_USER_TABLES = {"users", "User", "user"}
"""The tables of all layers, and the kinds of lines."""


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """How a row is identified in the quarantine that it is read from.

    Args:
        id: Its primary key.
        source: Where it was imported from.
        created: When it was quarantined.
    """

    id: str
    source: str
    created: datetime


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """A row, or some values of a row, that our tables cannot hold.

    Args:
        kind: The kind of record that it would be, ``line`` or `QUARANTINED`.
        table: The table or file that it was read from.
        reason: Why it cannot be stored; details of the row follow a colon.
        row: Its values by column name.
        partial: Whether the row itself is stored, and only some of its values are not.
        entry: Its entry in the quarantine that it is read from, for a `QUARANTINED` row.
    """

    kind: str
    table: str
    reason: str
    row: Mapping[str, Any]
    partial: bool = False
    entry: StoredEntry | None = None

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

    @property
    def line_kind(self) -> str:
        """The kind of its line in an export file."""
        return UNPLACED if self.entry is None else QUARANTINED

    def line(self) -> bytes:
        """The row as a line of an export file, without the newline."""
        members: dict[str, Any] = {"kind": self.line_kind}
        if self.entry is None:
            members["of"] = self.kind
        else:
            members |= {"id": self.entry.id, "source": self.entry.source}
        members |= {"origin": self.table, "reason": self.reason, "row": self.document}
        if self.entry is not None:
            members["createdAt"] = format_instant(self.entry.created)
        return orjson.dumps(members)

    @classmethod
    def parse(cls, line: bytes | str) -> QuarantinedRow | None:
        """Read what `line` wrote; None for any other line.

        Example:
            >>> line = '{"kind":"unplaced","of":"user","origin":"users","reason":"?","row":{}}'
            >>> QuarantinedRow.parse(line).partial
            True
        """
        try:
            members = _json.loads(line)
            if not isinstance(members, dict) or members.get("kind") not in (UNPLACED, QUARANTINED):
                return None
            row = _json.loads(_json.dumps(members["row"]))
            parts = _text(members, "origin"), _text(members, "reason"), row
            if not isinstance(row, dict):
                return None
            if members["kind"] == UNPLACED:
                return cls(_text(members, "of"), *parts, partial=True)
            return cls(QUARANTINED, *parts, entry=_entry(members))
        except (ValueError, KeyError):
            return None


def _entry(members: Mapping[str, Any]) -> StoredEntry:
    id, created = _text(members, "id"), parse_instant(members["createdAt"])
    if created is None or not 0 < len(id) <= _LONGEST_ID:
        raise ValueError("no database of ours can hold it")
    return StoredEntry(id, _text(members, "source"), created)


def _text(members: Mapping[str, Any], name: str) -> str:
    if not isinstance(members[name], str):
        raise ValueError(f"{name} is not text")
    return _json.clean_text(members[name])


async def write_quarantine(
    connection: AsyncConnection, dialect: Dialect, source: str, rows: Iterable[QuarantinedRow]
) -> None:
    """Store rows in the quarantine; one that is there already stays unchanged.

    Args:
        connection: In a transaction.
        dialect: The dialect of the database.
        source: Where the rows come from; rows of another quarantine keep the source of then.
        rows: The rows.
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
    if row.entry is None:
        return source
    return f"{source} ({ADOPTION})" if row.entry.source == ADOPTION else row.entry.source


async def read_quarantine(
    connection: AsyncConnection, where: ColumnElement[bool] | None = None
) -> AsyncGenerator[QuarantinedRow, None]:
    """Read the quarantine of a database of ours by primary key, a few rows at a time.

    Args:
        connection: In a transaction that sees one state of the database.
        where: Restricts the rows to those of the threads that meet it, and of their owners.
    """
    pages = fetch_pages(
        connection, select(*quarantine.columns), [quarantine.c.id], [quarantine.c.row]
    )
    async with aclosing(pages):
        async for page in pages:
            for row in page if where is None else await _select(connection, page, where):
                entry = StoredEntry(row.id, row.source, row.createdAt)
                yield QuarantinedRow(QUARANTINED, row.origin, row.reason, row.row, entry=entry)


async def _select(
    connection: AsyncConnection, rows: Sequence[Row[Any]], where: ColumnElement[bool]
) -> list[Row[Any]]:
    """The rows that belong to the threads that meet a condition, or to their owners."""
    references = [
        (row, _References(row)) for row in rows if not row.reason.startswith(FOREIGN_THREAD)
    ]
    selected = select(threads.c.id).where(where)
    thread_ids = {reference.thread_id for _, reference in references} - {None}
    known_threads = set(await connection.scalars(selected.where(threads.c.id.in_(thread_ids))))
    step_ids = {reference.step_id for _, reference in references} - {None}
    query = select(steps.c.id).where(steps.c.id.in_(step_ids), steps.c.threadId.in_(selected))
    known_steps = set(await connection.scalars(query))
    names = {name for _, reference in references for name in reference.user_names}
    query = select(users.c.id, users.c.identifier).where(
        users.c.id.in_(select(threads.c.userId).where(where)),
        or_(users.c.id.in_(names), users.c.identifier.in_(names)),
    )
    owner_names = {name for row in await connection.execute(query) for name in row}
    return [
        row
        for row, reference in references
        if reference.thread_id in known_threads
        or reference.step_id in known_steps
        or reference.user_names & owner_names
    ]


class _References:
    """The thread, the step and the user that a quarantined row names.

    Args:
        row: A row of the table.
    """

    def __init__(self, row: Row[Any]) -> None:
        values, origin = _object(row.row), row.origin
        if values.keys() == {"line"}:  # A line of a file that is not a record.
            values = _object(values["line"])
            origin = values.get("kind")
        own_id = identifier(values.get("id"))
        is_thread = origin in _THREAD_TABLES
        self.thread_id = own_id if is_thread else identifier(values.get("threadId"))
        # Feedback may name only its step.
        self.step_id = None if self.thread_id else identifier(values.get("forId"))
        names = (own_id, identifier(values.get("identifier"))) if origin in _USER_TABLES else ()
        self.user_names = {name for name in names if name}


def _object(value: Any) -> Mapping[str, Any]:
    if isinstance(value, str):
        try:
            value = _json.loads(value)
        except ValueError:
            return {}
    return value if isinstance(value, dict) else {}
