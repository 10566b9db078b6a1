"""What Chainlit's tables cannot hold, kept in a table beside them for the next adoption.

A row says what our record has (``now``), and what is read of Chainlit's tables in its place
(``was``). The next adoption takes a value back where Chainlit's layer has not changed it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Column, MetaData, Select, Table, Text, delete, func, inspect, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..._internal import json as _json
from ..._internal.timestamps import format_instant, next_ordinal, parse_instant
from ...database import Database
from ...dialects.column_types import JsonDocument
from ..records import COLUMNS, INSTANT, Record
from .old_sources.bounded_fetch import pages

beside = Table(
    "chainlit_sqla_unadopted",
    MetaData(),
    Column("kind", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("thread", Text, index=True),
    Column("was", JsonDocument()),
    Column("now", JsonDocument(), nullable=False),
)
NAME = beside.name
ORDINALS = "ordinals"
"""A row of this kind says that the thread's orders of arrival are all kept."""

Row = dict[str, Any]


def key_of(record: Record) -> str:
    """The primary key as text."""
    return str(_json.dumps(record.key[1:]))


def plain(values: Mapping[str, Any]) -> Row:
    """Values of columns as JSON has them."""
    return {
        name: format_instant(value) if isinstance(value, datetime) else value
        for name, value in values.items()
    }


def differing(ours: Record, theirs: Record | None, *, ordinal: bool = False) -> Row | None:
    """The row to keep of a record, None where nothing is lost.

    Args:
        ours: It.
        theirs: What is read of Chainlit's tables; None: nothing.
        ordinal: Whether to keep the order of arrival even where it is the same.
    """
    place = ours.thread_id if ours.kind != "thread" else ours.values["id"]
    row: Row = {"kind": ours.kind, "key": key_of(ours), "thread": place}
    if theirs is None:
        return row | {"was": None, "now": plain(ours.values)}
    mine, read = plain(ours.values), plain(theirs.values)
    names = {name for name in mine if mine[name] != read[name] or _types(mine, read, name)}
    if ordinal and "ordinal" in mine:
        names.add("ordinal")
    if not names:
        return None
    return row | {
        "was": {name: read[name] for name in names},
        "now": {name: mine[name] for name in names},
    }


def _types(mine: Row, read: Row, name: str) -> bool:
    """Python takes True for 1."""
    return isinstance(mine[name], bool) is not isinstance(read[name], bool)


def restored(ours: Record, theirs: Record | None, row: Row | None) -> Record:
    """What an adoption makes of what is read and of the row that was kept."""
    if row is None:
        assert theirs is not None
        return theirs
    if theirs is None:
        return Record(ours.kind, _values(ours.kind, row["now"]))
    return replace(theirs, values={**theirs.values, **_back(theirs, row["was"], row["now"])})


class Side:
    """The table in one database.

    Args:
        database: It.
        connection: In the transaction.
    """

    def __init__(self, database: Database, connection: AsyncConnection) -> None:
        self._database = database
        self._connection = connection
        self.there = False

    async def look(self) -> None:
        """See whether the table is there."""
        schema = self._database.schema
        self.there = await self._connection.run_sync(
            lambda sync: inspect(sync).has_table(NAME, schema=schema)
        )

    async def make(self) -> None:
        """Make the table where it is not there."""
        await self._connection.run_sync(beside.create, checkfirst=True)
        self.there = True

    async def keep(self, rows: Sequence[Row]) -> None:
        """Keep rows; one that is there is replaced."""
        if rows:
            upsert = self._database.dialect.upsert(
                beside, ["kind", "key"], ["thread", "was", "now"]
            )
            await self._database.dialect.execute_many(self._connection, upsert, rows)

    async def taken_back(self, records: Sequence[Record]) -> list[Record]:
        """The records with the values that were kept of them, whose rows go."""
        if not self.there or not records:
            return list(records)
        kept = {
            (row.kind, row.key): row
            for kind in {record.kind for record in records}
            for row in await self._of(kind, [key_of(one) for one in records if one.kind == kind])
        }
        places = [key for key in {one.thread_id for one in records} if key is not None]
        numbered = {row.key for row in await self._of(ORDINALS, places)}
        found = []
        for record in records:
            row = kept.get((record.kind, key_of(record)))
            values = dict(record.values)
            if row is not None:
                values |= _back(record, row.was, row.now)
            elif record.thread_id in numbered and "ordinal" in values:
                values["ordinal"] = next_ordinal()  # It came since then.
            found.append(replace(record, values=values))
        await self._forget(kept)
        return found

    async def missing(
        self, kinds: Iterable[str], threads: Sequence[str] | None = None
    ) -> AsyncIterator[list[Record]]:
        """Records of which Chainlit's tables had nothing, a few at a time.

        Args:
            kinds: Which.
            threads: Of these; None: of all.
        """
        query = select(beside).where(beside.c.was.is_(None), beside.c.kind.in_(list(kinds)))
        if threads is not None:
            query = query.where(beside.c.thread.in_(threads))
        async for rows in self._pages(query):
            yield [Record(row.kind, _values(row.kind, row.now)) for row in rows]

    async def raw(self, kind: str) -> AsyncIterator[list[Row]]:
        """Rows of tables that are no records, a few at a time."""
        async for rows in self._pages(select(beside).where(beside.c.kind == kind)):
            yield [row.now for row in rows]

    async def _pages(self, query: Select[Any]) -> AsyncIterator[Sequence[Any]]:
        if self.there:
            columns = beside.c
            async for rows in pages(
                self._connection, query, [columns.kind, columns.key], [columns.now]
            ):
                yield rows

    async def forget(self, records: Iterable[Record]) -> None:
        """Remove rows of records that are back."""
        await self._forget([(one.kind, key_of(one)) for one in records])

    async def forget_kinds(self, *kinds: str) -> None:
        """Remove all rows of kinds."""
        if self.there:
            await self._connection.execute(delete(beside).where(beside.c.kind.in_(kinds)))

    async def close(self) -> int:
        """Drop the table where nothing is left in it; the number of rows that are."""
        if not self.there:
            return 0
        left = await self._connection.scalar(select(func.count()).select_from(beside)) or 0
        if not left:
            await self._connection.run_sync(beside.drop)
        return left

    async def _of(self, kind: str, keys: Sequence[str]) -> Sequence[Any]:
        query = select(beside).where(beside.c.kind == kind, beside.c.key.in_(keys))
        return (await self._connection.execute(query)).all()

    async def _forget(self, places: Iterable[tuple[str, str]]) -> None:
        by_kind: dict[str, list[str]] = {}
        for kind, key in places:
            by_kind.setdefault(kind, []).append(key)
        for kind, keys in by_kind.items():
            await self._connection.execute(
                delete(beside).where(beside.c.kind == kind, beside.c.key.in_(keys))
            )


def _back(record: Record, was: Row | None, kept: Row) -> Row:
    """What of a kept row still holds: an order always, others where nobody changed the value."""
    if was is None:
        return {}
    read = plain(record.values)
    return {
        name: _value(record.kind, name, value)
        for name, value in kept.items()
        if name == "ordinal" or read.get(name) == was[name]
    }


def _values(kind: str, row: Row) -> Row:
    return {name: _value(kind, name, row.get(name)) for name in COLUMNS[kind]}


def _value(kind: str, name: str, value: Any) -> Any:
    return parse_instant(value) if COLUMNS[kind][name] == INSTANT else value
