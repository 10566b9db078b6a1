"""Another database of ours, on any dialect and at any revision."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Select, Table, func, inspect, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..records import COLUMNS, IN_THREADS, TABLES, Record, default
from .base import BATCH, Chunk, rechunked

_FETCH = 100


class OurSource:
    """Reads a database of chainlit-sqla.

    Args:
        connection: In a transaction that sees one state of the database.
        title: What it is, for people.
        identity: See `Source`.
        schema: The schema of the tables; None: the connection's default one.
    """

    def __init__(
        self, connection: AsyncConnection, title: str, identity: str, schema: str | None = None
    ) -> None:
        self.title = title
        self.identity = identity
        self._connection = connection
        self._schema = schema
        self._there: dict[str, frozenset[str]] = {}

    async def count(self) -> Mapping[str, int]:
        """The rows of each table."""
        counts = {}
        for kind, table in TABLES.items():
            query = select(func.count()).select_from(table)
            counts[kind] = await self._connection.scalar(query) or 0
        return counts

    async def notes(self) -> Sequence[str]:
        """Nothing."""
        return ()

    async def users(self) -> AsyncGenerator[Chunk, None]:
        """All users."""
        async for chunk in rechunked(self._read("user", await self._select("user"))):
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
            of_batch = TABLES["thread"].c.id.in_(ids)
            async for chunk in rechunked(
                self._read("thread", (await self._select("thread")).where(of_batch))
            ):
                yield chunk
            for kind in IN_THREADS:
                place = TABLES[kind].c.threadId
                query = (await self._select(kind)).where(place.in_(ids))
                async for chunk in rechunked(self._read(kind, query)):
                    yield chunk
            yield Chunk(threads=ids, position=ids[-1])

    async def rest(self) -> AsyncGenerator[Chunk, None]:
        """What was deleted: a late write must not bring it back."""
        async for chunk in rechunked(self._read("tombstone", await self._select("tombstone"))):
            yield chunk

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
            if after is not None:
                query = query.where(column > after)
            ids: Sequence[str] = (await self._connection.scalars(query)).all()
            if not ids:
                return
            yield ids
            after = ids[-1]

    async def _select(self, kind: str) -> Select[Any]:
        """An older revision may have fewer columns; the order is the same each time."""
        table = TABLES[kind]
        if kind not in self._there:
            self._there[kind] = await self._connection.run_sync(
                lambda sync: frozenset(
                    column["name"]
                    for column in inspect(sync).get_columns(table.name, schema=self._schema)
                )
            )
        columns = [table.c[name] for name in COLUMNS[kind] if name in self._there[kind]]
        return select(*columns).order_by(*_order(table))

    async def _read(self, kind: str, query: Select[Any]) -> AsyncGenerator[tuple[Record], None]:
        there = self._there[kind]
        names = [name for name in COLUMNS[kind] if name in there]
        missing = {name: default(kind, name) for name in COLUMNS[kind] if name not in there}
        options = {"yield_per": _FETCH}
        async with self._connection.stream(query, execution_options=options) as rows:
            async for row in rows:
                yield (Record(kind, dict(zip(names, row, strict=True)) | missing),)


def _order(table: Table) -> Sequence[Any]:
    return list(table.primary_key.columns)
