"""`Source`: where conversations come from, as chunks of records and quarantined rows.

What is held in memory is bounded by bytes, however wide rows are: a `Chunk` has the rows that
were fetched together, and before they are, the database reports the width of each.
"""

from __future__ import annotations

from array import array
from collections.abc import AsyncGenerator, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import repeat
from operator import add
from typing import Any, Protocol

from sqlalchemy import BigInteger, ColumnElement, Select, cast, func
from sqlalchemy.ext.asyncio import AsyncConnection

from ...dialects import dialect_named
from ...errors import ImportSourceError
from ..records import Record
from .quarantine import QuarantinedRow

BATCH = 1_000
"""Threads that are read together: a table without an index is read once a batch."""
CHUNK_ROWS = 500
CHUNK_BYTES = 8_000_000

Items = tuple[Record | QuarantinedRow, ...]
"""What a row of a source became."""


@dataclass(slots=True)
class Chunk:
    """A few rows of a source, parents before what belongs to them.

    The last chunk of a batch has the ids of its threads, and the token to continue after it.
    """

    records: list[Record] = field(default_factory=list)
    quarantined: list[QuarantinedRow] = field(default_factory=list)
    threads: Sequence[str] | None = None
    resume_token: str | None = None
    rows: int = 0

    @classmethod
    def of(cls, rows: Iterable[Items]) -> Chunk:
        """A chunk of what some rows became."""
        chunk = cls()
        for items in rows:
            chunk.add(items)
        return chunk

    def add(self, items: Items) -> None:
        """Add what one row of the source became."""
        self.rows += 1
        for item in items:
            if isinstance(item, Record):
                self.records.append(item)
            else:
                self.quarantined.append(item)


class Source(Protocol):
    """Where conversations come from; a source is only read."""

    title: str
    """Its name in reports, without a password."""
    identity: str
    """The same for the same source, so that an interrupted import can continue."""

    async def count(self) -> Mapping[str, int]:
        """The number of rows to import by kind of record."""

    async def notes(self) -> Sequence[str]:
        """Sentences about the source for the report."""

    def users(self) -> AsyncGenerator[Chunk, None]:
        """Read all users."""

    def threads(self, after: str | None = None) -> AsyncGenerator[Chunk, None]:
        """Read threads and what belongs to them by batches, from a resume token on."""

    def rest(self) -> AsyncGenerator[Chunk, None]:
        """Read what belongs to no thread: tombstones, quarantined rows, rows without a thread."""


def check_columns(
    title: str, table: str, needed: Collection[str], existing: Collection[str], model: str
) -> None:
    """Refuse a table without columns that its reader needs."""
    if missing := ", ".join(sorted(set(needed).difference(existing))):
        raise ImportSourceError(
            f"{title}: the table {table} has no column {missing}, without which it cannot be read; "
            f"correct --from or --from-schema, or add it as {model}"
        )


async def thread_batches(
    connection: AsyncConnection,
    query: Select[Any],
    after: Any = None,
    only: Sequence[Any] | None = None,
) -> AsyncGenerator[Sequence[Any], None]:
    """Read the ids of threads batch by batch: `only`, or those of a query after an id.

    The query selects the ids, each once, in their order.
    """
    if only is not None:
        for start in range(0, len(only), BATCH):
            yield only[start : start + BATCH]
        return
    [id] = query.selected_columns
    while True:
        page = query if after is None else query.where(id > after)
        ids = (await connection.scalars(page.limit(BATCH))).all()
        if not ids:
            return
        yield ids
        after = ids[-1]


async def fetch_portions(
    connection: AsyncConnection, query: Select[Any], wide: Sequence[ColumnElement[Any]]
) -> AsyncGenerator[Sequence[Any], None]:
    """Fetch the rows of a query through a cursor, as many at a time as a chunk may have.

    The query has a stable order; `wide` are its columns whose values may be large. On MySQL and
    MariaDB the connection takes no other statement until all rows are fetched.
    """
    dialect = dialect_named(connection.dialect.name)
    sizes: Iterable[int] = repeat(CHUNK_ROWS)
    if wide:
        columns = (cast(func.coalesce(dialect.size_of(column), 0), BigInteger) for column in wide)
        widths = array("q")
        async with dialect.cursor(
            connection, query.with_only_columns(reduce(add, columns))
        ) as fetch:
            while rows := await fetch(1_000):
                widths.extend(row[0] for row in rows)
        sizes = _chunk_sizes(widths)
    async with dialect.cursor(connection, query) as fetch:
        for size in sizes:
            if not (rows := await fetch(size)):
                return
            yield rows


def _chunk_sizes(widths: Iterable[int]) -> Iterator[int]:
    """How many rows are fetched together, so that none of the portions exceeds a limit."""
    rows = size = 0
    for width in widths:
        if rows and (rows == CHUNK_ROWS or size + width > CHUNK_BYTES):
            yield rows
            rows = size = 0
        rows += 1
        size += width
    if rows:
        yield rows
