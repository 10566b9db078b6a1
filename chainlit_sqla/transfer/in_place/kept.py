"""Reading Chainlit's tables with the columns that we do not know, and writing both into ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Column, MetaData, Select, Table, column, select, table
from sqlalchemy.ext.asyncio import AsyncConnection

from ...database import Database
from ...dialects import Declared
from ..records import COLUMNS, IN_THREADS, TABLES, Record, sorted_by_kind
from .old_sources.base import Misfit
from .old_sources.lenient_values import Row
from .old_sources.quarantine import ADOPTION, put_aside
from .old_sources.sqlalchemy_layer import DocumentedSource
from .old_sources.tables import Items
from .original import ASIDE, ORIGINALS

ORIGIN = ADOPTION
"""What the rows in our tables of imports and of the quarantine say they come from."""


class AsideSource(DocumentedSource):
    """Chainlit's tables under the names that they have meanwhile.

    Args:
        database: Their database.
        connection: In the transaction.
        strangers: Columns by kind that we do not know.
    """

    def __init__(
        self,
        database: Database,
        connection: AsyncConnection,
        strangers: Mapping[str, Sequence[Declared]],
    ) -> None:
        named = {kind: [one.name for one in columns] for kind, columns in strangers.items()}
        super().__init__(
            connection,
            database.dialect,
            "adoption",
            ORIGIN,
            schema=database.schema,
            names=ASIDE,
            strangers=named,
        )
        mover = database.dialect.mover()
        self._by_row = mover.sorts_in_memory
        self._kinds = {
            kind: {one.name: mover.stranger(one.type) for one in columns}
            for kind, columns in strangers.items()
        }
        self.beside: dict[tuple[str, ...], Row] = {}
        """The values of unknown columns, by the key of the record; taken out by who writes it."""

    async def open(self) -> None:
        """Look which columns there are; those that we do not know are read as they are copied."""
        await super().open()
        for kind, types in self._kinds.items():
            one = self._tables[kind]
            columns = (column(name, types.get(name)) for name in one.c.keys())  # noqa: SIM118 - columns, not names
            self._tables[kind] = table(one.name, *columns, schema=one.schema)

    def _of_batch(self, kind: str, ids: Sequence[Any]) -> Select[Any]:
        """Rows by their numbers where these would be sorted with all that they have."""
        found = super()._of_batch(kind, ids)
        if not self._by_row or kind not in IN_THREADS:
            return found
        row = self._dialect.physical_order()
        numbers = select(row).select_from(self._tables[kind]).where(self._place(kind).in_(ids))
        return self._all(kind).where(row.in_(numbers.correlate(None)))

    def _finish(
        self, kind: str, row: Row, known: Mapping[str, Any], else_: Mapping[str, Any]
    ) -> Items:
        items = super()._finish(kind, row, known, else_)
        values = {name: row[name] for name in self.strangers[kind] if row.get(name) is not None}
        if values and isinstance(items[0], Record):
            self.beside[items[0].key] = values
        return items


class Rows:
    """Writes into our new tables.

    Args:
        database: It.
        connection: In the transaction.
        strangers: Columns by kind that we do not know, which the tables have besides.
    """

    def __init__(
        self,
        database: Database,
        connection: AsyncConnection,
        strangers: Mapping[str, Sequence[Declared]],
    ) -> None:
        self._dialect = database.dialect
        self._connection = connection
        mover = database.dialect.mover()
        self._extra = {kind: [one.name for one in columns] for kind, columns in strangers.items()}
        self._tables = {
            kind: Table(
                table.name,
                MetaData(),
                *(Column(column.name, column.type) for column in table.columns),
                *(Column(c.name, mover.stranger(c.type)) for c in strangers.get(kind, ())),
            )
            for kind, table in TABLES.items()
        }

    async def write(
        self, records: Sequence[Record], beside: dict[tuple[str, ...], Row] | None = None
    ) -> None:
        """Insert records, with the values of unknown columns."""
        by_kind = sorted_by_kind(records)
        for kind in COLUMNS:
            if found := by_kind.get(kind):
                empty: Row = dict.fromkeys(self._extra.get(kind, ()))
                rows = [
                    {**record.values, **empty, **((beside or {}).pop(record.key, {}))}
                    for record in found
                ]
                insert = self._tables[kind].insert()
                await self._dialect.execute_many(self._connection, insert, rows)

    async def put_aside(self, misfits: Sequence[Misfit]) -> None:
        """Keep what has no place, under the names that the tables had."""
        named = (replace(one, table=ORIGINALS.get(one.table, one.table)) for one in misfits)
        await put_aside(self._connection, self._dialect, ORIGIN, named)
