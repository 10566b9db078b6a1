"""`NativeSource`: another database of chainlit-sqla, on any dialect and at any revision."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, false, func, inspect, literal_column, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ...models import quarantine
from ..records import COLUMNS, IN_THREADS, KEYS, TABLES, Record, default, merge_extra
from .base import Chunk, Items, check_columns, fetch_portions, thread_batches
from .normalize import plain
from .quarantine import QUARANTINED, QuarantinedRow, StoredEntry


class NativeSource:
    """Reads a database of chainlit-sqla.

    The connection is in a transaction that sees one state. `where` selects threads: then only their
    owners and `users_too` are read as users, and nothing of the rest. With `unknown_columns`,
    columns that we do not have and the quarantine are read too.
    """

    def __init__(
        self,
        connection: AsyncConnection,
        title: str = "",
        identity: str = "",
        schema: str | None = None,
        *,
        where: ColumnElement[bool] | None = None,
        users_too: ColumnElement[bool] | None = None,
        unknown_columns: bool = False,
    ) -> None:
        self.title = title
        self.identity = identity
        self._connection = connection
        self._schema = schema
        self._where = where
        self._users_too = false() if users_too is None else users_too
        self._unknown_columns = unknown_columns
        self._column_names: dict[str, Sequence[str]] = {}
        """The columns of each table that exist: an older revision may have fewer."""

    async def open(self) -> None:
        """Refuse missing columns: every revision has had those of conversations."""
        for kind, table in TABLES.items():
            await self._names(kind, None)
            existing = self._column_names[kind]
            check_columns(self.title, table.name, COLUMNS[kind], existing, "in a new database")

    async def count(self) -> Mapping[str, int]:
        """The number of rows of each table, and of the quarantine."""
        counts = {}
        for kind, table in TABLES.items():
            query = select(func.count()).select_from(table).where(*self._conditions(kind))
            counts[kind] = await self._connection.scalar(query) or 0
        if await self._has_quarantine():
            query = select(func.count()).select_from(quarantine)
            counts[QUARANTINED] = await self._connection.scalar(query) or 0
        return counts

    async def notes(self) -> Sequence[str]:
        """None."""
        return ()

    def users(self) -> AsyncGenerator[Chunk, None]:
        """Read all users, or the owners of the selected threads."""
        return self._chunks("user", *self._conditions("user"))

    async def threads(
        self, after: str | None = None, only: Collection[str] | None = None
    ) -> AsyncGenerator[Chunk, None]:
        """Read threads by id after a resume token, or only some, and what belongs to them."""
        id = TABLES["thread"].c.id
        query = select(id).where(*self._conditions("thread")).order_by(id)
        wanted = None if only is None else sorted(only)
        async with aclosing(thread_batches(self._connection, query, after, wanted)) as batches:
            async for ids in batches:
                for kind in ("thread", *IN_THREADS):
                    in_threads = thread_column(kind).in_(ids)
                    async with aclosing(self._chunks(kind, in_threads)) as chunks:
                        async for chunk in chunks:
                            yield chunk
                yield Chunk(threads=ids, resume_token=ids[-1])

    async def rest(self) -> AsyncGenerator[Chunk, None]:
        """Read tombstones, so that late writes restore nothing, and quarantined rows."""
        if self._where is not None:
            return
        async with aclosing(self._chunks("tombstone")) as chunks:
            async for chunk in chunks:
                yield chunk
        if await self._has_quarantine():
            query = select(*quarantine.columns).order_by(quarantine.c.id)
            portions = fetch_portions(self._connection, query, [quarantine.c.row])
            async with aclosing(portions):
                async for portion in portions:
                    yield Chunk.of((_quarantined(row),) for row in portion)

    async def records(
        self, kind: str, *where: ColumnElement[bool], only: Collection[str] | None = None
    ) -> AsyncGenerator[Record, None]:
        """Read records of one kind by primary key; with `only`, the other columns have defaults."""
        async with aclosing(self._portions(kind, *where, only=only)) as portions:
            async for portion in portions:
                for record, _ in portion:
                    yield record

    def selected(
        self, kind: str, *where: ColumnElement[bool], only: Collection[str]
    ) -> AsyncGenerator[Record, None]:
        """Read records of one kind that belong to the selected threads; see `records`."""
        return self.records(kind, *self._conditions(kind), *where, only=only)

    async def _chunks(self, kind: str, *where: ColumnElement[bool]) -> AsyncGenerator[Chunk, None]:
        async with aclosing(self._portions(kind, *where)) as portions:
            async for portion in portions:
                yield Chunk.of(_items(record, unknown) for record, unknown in portion)

    async def _portions(
        self, kind: str, *where: ColumnElement[bool], only: Collection[str] | None = None
    ) -> AsyncGenerator[Sequence[tuple[Record, Mapping[str, Any]]], None]:
        names, unknown = await self._names(kind, only)
        table = TABLES[kind]
        quote = self._connection.dialect.identifier_preparer.quote
        columns: list[ColumnElement[Any]] = [table.c[name] for name in names]
        columns += [literal_column(quote(name)) for name in unknown]
        query = select(*columns).where(*where).order_by(*table.primary_key.columns)
        missing = {name: default(kind, name) for name in COLUMNS[kind] if name not in names}
        async with aclosing(fetch_portions(self._connection, query, columns)) as portions:
            async for portion in portions:
                rows = []
                for row in portion:
                    values = dict(zip(names, row[: len(names)], strict=True)) | missing
                    others = zip(unknown, row[len(names) :], strict=True)
                    rows.append(
                        (
                            Record(kind, values),
                            {name: plain(value) for name, value in others if value is not None},
                        )
                    )
                yield rows

    async def _names(
        self, kind: str, only: Collection[str] | None
    ) -> tuple[Sequence[str], Sequence[str]]:
        """The columns of a table that are ours, and the others that are wanted."""
        if kind not in self._column_names:
            columns = await self._connection.run_sync(
                lambda sync: inspect(sync).get_columns(TABLES[kind].name, schema=self._schema)
            )
            self._column_names[kind] = [str(column["name"]) for column in columns]
        existing, own = self._column_names[kind], COLUMNS[kind]
        wanted = own if only is None else only
        ours = [name for name in own if name in existing and name in wanted]
        return ours, [name for name in existing if name not in own and self._unknown_columns]

    async def _has_quarantine(self) -> bool:
        return self._unknown_columns and await self._connection.run_sync(
            lambda sync: inspect(sync).has_table(quarantine.name, schema=self._schema)
        )

    def _conditions(self, kind: str) -> Sequence[ColumnElement[bool]]:
        if self._where is None:
            return ()
        threads = TABLES["thread"].c
        if kind == "user":
            owners = TABLES["user"].c.id.in_(select(threads.userId).where(self._where))
            return (or_(owners, self._users_too),)
        if kind == "tombstone":
            return (false(),)
        if kind == "thread":
            return (self._where,)
        return (thread_column(kind).in_(select(threads.id).where(self._where)),)


def thread_column(kind: str) -> ColumnElement[str]:
    """The column with the id of the thread that a row is or belongs to."""
    column: ColumnElement[str] = TABLES[kind].c["id" if kind == "thread" else "threadId"]
    return column


def _items(record: Record, unknown: Mapping[str, Any]) -> Items:
    """A record, with the values of columns that we do not have in ``extra`` or quarantined."""
    if not unknown:
        return (record,)
    kind, values = record.kind, record.values
    if "extra" in COLUMNS[kind]:
        extra = merge_extra(values["extra"], unknown)
        return (replace(record, values={**values, "extra": extra}),)
    reason = f"there is no column for {', '.join(sorted(unknown))}"
    row = {name: values[name] for name in KEYS[kind]} | dict(unknown)
    return record, QuarantinedRow(kind, TABLES[kind].name, reason, row, partial=True)


def _quarantined(row: Any) -> QuarantinedRow:
    entry = StoredEntry(row.id, row.source, row.createdAt)
    return QuarantinedRow(QUARANTINED, row.origin, row.reason, row.row, entry=entry)
