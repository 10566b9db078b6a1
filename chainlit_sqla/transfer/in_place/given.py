"""`Given`: our records by their keys, as many at a time as may be held."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence

from sqlalchemy import Table, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ...dialects import Dialect
from ..records import COLUMNS, KEYS, TABLES, Record, is_wide
from .old_sources.base import CHUNK_BYTES, CHUNK_ROWS
from .old_sources.bounded_fetch import width_of
from .old_sources.native import OurSource

Key = tuple[str, ...]


class Given:
    """Our records of some threads, or the users.

    Their keys are held, and records of a few megabytes, so that what is short is read once.

    Args:
        connection: In the transaction.
        dialect: The database's.
        source: Our tables.
        tables: These, with the columns that we do not know.
    """

    def __init__(
        self,
        connection: AsyncConnection,
        dialect: Dialect,
        source: OurSource,
        tables: Mapping[str, Table],
    ) -> None:
        self._connection, self._dialect = connection, dialect
        self._source, self._tables = source, tables
        self.widths: dict[Key, int] = {}
        """About how many bytes each has, in the order in which they are to be written."""
        self.numbered: set[str] = set()
        """Threads whose orders of arrival are not the numbers of the rows."""
        self._held: dict[Key, Record] = {}
        self._weight = 0

    async def look(self, kinds: Collection[str], threads: Sequence[str] | None = None) -> None:
        """Find the keys.

        Args:
            kinds: Which records.
            threads: Of these; None: all.
        """
        self.widths, self.numbered, self._held, self._weight = {}, set(), {}, 0
        for kind in kinds:
            await self._look(kind, threads)

    async def _look(self, kind: str, threads: Sequence[str] | None) -> None:
        table, keys = self._tables[kind], KEYS[kind]
        width = width_of(self._dialect, [c for c in table.columns if is_wide(kind, c.name)])
        numbers = "ordinal" in COLUMNS[kind]
        whose = table.c["id" if kind in ("user", "thread") else "threadId"]
        number = table.c.ordinal if numbers else literal(0)
        query = select(whose, number, table.c.createdAt, *(table.c[one] for one in keys), width)
        if threads is not None:
            query = query.where(whose.in_(threads))
        last, count = "", 0
        for thread, ordinal, _, *key, width in sorted(
            map(tuple, (await self._connection.execute(query)).all())
        ):
            self.widths[kind, *key] = width
            last, count = thread, count + 1 if thread == last else 1
            if numbers and ordinal != count:
                self.numbered.add(thread)

    def portions(self, keys: Collection[Key]) -> Iterator[list[Key]]:
        """Keys of one kind of records that may be held together, in their order."""
        portion: list[Key] = []
        weight = 0
        for key in keys:
            width = self.widths[key]
            full = len(portion) == CHUNK_ROWS or weight + width > CHUNK_BYTES
            if portion and (full or portion[0][0] != key[0]):
                yield portion
                portion, weight = [], 0
            portion.append(key)
            weight += width
        if portion:
            yield portion

    async def read(self, keys: Collection[Key]) -> AsyncIterator[list[Record]]:
        """Records a few at a time, in the order of their keys.

        Args:
            keys: Which ones; those that are not there are passed over.
        """
        for portion in self.portions([one for one in keys if one in self.widths]):
            found = {one: self._held[one] for one in portion if one in self._held}
            if missing := [one for one in portion if one not in found]:
                found |= await self._fetched(missing)
            records = [found[one] for one in portion]
            self._hold(records)
            yield records

    async def _fetched(self, portion: Sequence[Key]) -> dict[Key, Record]:
        kind, wanted = portion[0][0], set(portion)
        columns = [TABLES[kind].c[name] for name in KEYS[kind]]
        where = [
            column.in_({one[number] for one in portion}) for number, column in enumerate(columns, 1)
        ]
        found = self._source.records(kind, *where)
        return {one.key: one async for one in found if one.key in wanted}

    def _hold(self, records: Sequence[Record]) -> None:
        for one in records:
            if one.key not in self._held and self._weight + self.widths[one.key] <= CHUNK_BYTES:
                self._held[one.key] = one
                self._weight += self.widths[one.key]
