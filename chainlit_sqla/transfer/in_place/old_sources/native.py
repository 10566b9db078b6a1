"""Another database of ours, on any dialect and at any revision."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    false,
    func,
    inspect,
    literal_column,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from ....models import quarantine
from ...records import COLUMNS, IN_THREADS, KEYS, TABLES, Record, default, is_wide
from .aside import StoredAside
from .base import BATCH, QUARANTINED, Chunk, Misfit, rechunked
from .bounded_fetch import portions
from .normalize import plain


class OurSource:
    """Reads a database of chainlit-sqla.

    Args:
        connection: In a transaction that sees one state of the database.
        title: What it is, for people.
        identity: See `Source`.
        schema: The schema of the tables; None: the connection's default one.
        where: Which threads; then only their owners are users, and nothing of the
            rest but what was put aside of them.
        strangers: Whether columns that we do not have, such as an adoption keeps, come along.
    """

    part = ""

    def __init__(
        self,
        connection: AsyncConnection,
        title: str,
        identity: str,
        schema: str | None = None,
        *,
        where: ColumnElement[bool] | None = None,
        strangers: bool = False,
    ) -> None:
        self.title = title
        self.identity = identity
        self._connection = connection
        self._schema = schema
        self._where = where
        self._strangers = strangers
        self._there: dict[str, Sequence[str]] = {}

    async def count(self) -> Mapping[str, int]:
        """The rows of each table; of those put aside only where all are read."""
        counts = {}
        for kind, table in TABLES.items():
            query = select(func.count()).select_from(table)
            if (narrowed := self._narrowed(kind)) is not None:
                query = query.where(narrowed)
            counts[kind] = await self._connection.scalar(query) or 0
        if self._where is None and await self._has_quarantine():
            query = select(func.count()).select_from(quarantine)
            counts[QUARANTINED] = await self._connection.scalar(query) or 0
        return counts

    async def notes(self) -> Sequence[str]:
        """Nothing."""
        return ()

    async def users(self) -> AsyncGenerator[Chunk, None]:
        """All users, or the owners of the threads."""
        narrowed = self._narrowed("user")
        rows = self._items("user") if narrowed is None else self._items("user", narrowed)
        async for chunk in rechunked(rows):
            yield chunk

    async def threads(
        self, after: str | None = None, only: Collection[str] | None = None
    ) -> AsyncGenerator[Chunk, None]:
        """Threads by id, and what lies in them.

        Args:
            after: The id of the last thread of an earlier batch.
            only: Just these threads.
        """
        async for ids in self._batches(after, only):
            for kind in ("thread", *IN_THREADS):
                async for chunk in rechunked(self._items(kind, place(kind).in_(ids))):
                    yield chunk
            yield Chunk(threads=ids, position=ids[-1])

    async def rest(self) -> AsyncGenerator[Chunk, None]:
        """What was deleted: a late write must not bring it back. And what was put aside before."""
        if self._where is None:
            async for chunk in rechunked(self._items("tombstone")):
                yield chunk
        async for chunk in rechunked(self._put_aside()):
            yield chunk

    async def records(
        self, kind: str, *where: ColumnElement[bool], only: Collection[str] | None = None
    ) -> AsyncGenerator[Record, None]:
        """Rows of one kind by their keys, a few at a time.

        Args:
            kind: A kind of record.
            *where: What must hold for them.
            only: The columns that are wanted; others have the value that says nothing.
        """
        async for record, _ in self._rows(kind, *where, only=only):
            yield record

    async def _items(
        self, kind: str, *where: ColumnElement[bool]
    ) -> AsyncGenerator[tuple[Record | Misfit, ...], None]:
        """Rows of one kind, and what of them has no place."""
        async for record, strange in self._rows(kind, *where):
            if not strange:
                yield (record,)
            elif kind in ("step", "element"):
                extra = record.values["extra"]
                known = extra if isinstance(extra, dict) else {}
                yield (replace(record, values={**record.values, "extra": {**strange, **known}}),)
            else:
                reason = f"there is no place for {', '.join(sorted(strange))}"
                row = {name: record.values[name] for name in KEYS[kind]} | dict(strange)
                yield record, Misfit(kind, TABLES[kind].name, reason, row, kept=True)

    async def _rows(
        self, kind: str, *where: ColumnElement[bool], only: Collection[str] | None = None
    ) -> AsyncGenerator[tuple[Record, Mapping[str, Any]], None]:
        """Records, and what there is in columns that we do not have."""
        names = await self._names(kind, only)
        query = self._select(kind, names).where(*where)
        missing = {name: default(kind, name) for name in COLUMNS[kind] if name not in names}
        strange = self._strange(kind)
        wide = [column for column in query.selected_columns if is_wide(kind, str(column.key))]
        async with aclosing(portions(self._connection, query, wide)) as found:
            async for portion in found:
                for row in portion:
                    values = dict(zip(names, row[: len(names)], strict=True)) | missing
                    others = zip(strange, row[len(names) :], strict=True)
                    yield (
                        Record(kind, values),
                        {name: plain(value) for name, value in others if value is not None},
                    )

    def _strange(self, kind: str) -> Sequence[str]:
        if not self._strangers:
            return ()
        return [name for name in self._there[kind] if name not in COLUMNS[kind]]

    async def _has_quarantine(self) -> bool:
        return self._strangers and await self._connection.run_sync(
            lambda sync: inspect(sync).has_table(quarantine.name, schema=self._schema)
        )

    async def _put_aside(self) -> AsyncGenerator[tuple[Misfit], None]:
        if await self._has_quarantine():
            async for misfit in StoredAside(self._connection, self._where).read():
                yield (misfit,)

    def _narrowed(self, kind: str) -> ColumnElement[bool] | None:
        """What holds for the rows of a kind that are read; None: all are."""
        if self._where is None:
            return None
        threads = TABLES["thread"]
        if kind == "user":
            owners = select(threads.c.userId).where(self._where)
            return TABLES["user"].c.id.in_(owners)
        if kind == "tombstone":
            return false()
        if kind == "thread":
            return self._where
        return place(kind).in_(select(threads.c.id).where(self._where))

    async def _batches(
        self, after: str | None, only: Collection[str] | None
    ) -> AsyncGenerator[Sequence[str], None]:
        column = TABLES["thread"].c.id
        if only is not None:
            wanted = sorted(only)
            for start in range(0, len(wanted), BATCH):
                yield wanted[start : start + BATCH]
            return
        while True:
            query = select(column).order_by(column).limit(BATCH)
            if self._where is not None:
                query = query.where(self._where)
            if after is not None:
                query = query.where(column > after)
            ids: Sequence[str] = (await self._connection.scalars(query)).all()
            if not ids:
                return
            yield ids
            after = ids[-1]

    async def _names(self, kind: str, only: Collection[str] | None) -> Sequence[str]:
        """The columns of ours that are there, in the same order each time."""
        if kind not in self._there:  # An older revision may have fewer.
            name = TABLES[kind].name
            self._there[kind] = await self._connection.run_sync(
                lambda sync: [
                    str(column["name"])
                    for column in inspect(sync).get_columns(name, schema=self._schema)
                ]
            )
        wanted = COLUMNS[kind] if only is None else only
        return [name for name in COLUMNS[kind] if name in self._there[kind] and name in wanted]

    def _select(self, kind: str, names: Sequence[str]) -> Select[Any]:
        table = TABLES[kind]
        quote = self._connection.dialect.identifier_preparer.quote
        others: list[ColumnElement[Any]] = [
            literal_column(quote(name)) for name in self._strange(kind)
        ]
        columns = [table.c[name] for name in names]
        return select(*columns, *others).order_by(*_order(table))


def place(kind: str) -> ColumnElement[str]:
    """The column that names the thread of a row.

    Args:
        kind: A kind of record, no user.
    """
    column: ColumnElement[str] = TABLES[kind].c["id" if kind == "thread" else "threadId"]
    return column


def _order(table: Table) -> Sequence[Any]:
    return list(table.primary_key.columns)
