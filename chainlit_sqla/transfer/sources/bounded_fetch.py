"""Fetching rows of any width a few at a time: what is held in memory is bounded by bytes.

A driver holds as many rows as are fetched together. So before rows are fetched, the database
reports the width of the widest; where a full portion of these would be too large, it reports the
width of every row, in order, and portions are sized accordingly. For rows of ordinary width this
costs one short query.
"""

from __future__ import annotations

from array import array
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from functools import reduce
from itertools import chain, repeat
from operator import add
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Select, cast, func
from sqlalchemy.ext.asyncio import AsyncConnection

from ...dialects import Dialect, dialect_named

PORTION_ROWS = 100
"""Rows that are fetched together."""
PORTION_BYTES = 8_000_000
"""Bytes that are fetched together, unless a single row has more."""


async def fetch_portions(
    connection: AsyncConnection, query: Select[Any], wide: Sequence[ColumnElement[Any]]
) -> AsyncGenerator[Sequence[Any], None]:
    """Fetch the rows of a query through a cursor, a few at a time.

    Args:
        connection: In a transaction that sees one state of the database. On MySQL and MariaDB
            it takes no other statement until all rows are fetched.
        query: A query with a stable order.
        wide: Columns whose values may be large.
    """
    dialect = dialect_named(connection.dialect.name)
    sizes: Iterable[int] = ()
    if wide:
        width = row_width(dialect, wide)
        widest = query.with_only_columns(func.max(width)).order_by(None)
        if (await connection.scalar(widest) or 0) * PORTION_ROWS > PORTION_BYTES:
            widths = array("q")
            async with dialect.cursor(connection, query.with_only_columns(width)) as fetch:
                while rows := await fetch(1_000):
                    widths.extend(row[0] for row in rows)
            sizes = _portion_sizes(widths)
    async with dialect.cursor(connection, query) as fetch:
        for size in chain(sizes, repeat(PORTION_ROWS)):
            if not (rows := await fetch(size)):
                return
            yield rows


def row_width(dialect: Dialect, columns: Sequence[ColumnElement[Any]]) -> ColumnElement[Any]:
    """An expression for about how many bytes the columns of a row have together."""
    sizes = (cast(func.coalesce(dialect.size_of(column), 0), BigInteger) for column in columns)
    return reduce(add, sizes)


def _portion_sizes(widths: Iterable[int]) -> Iterator[int]:
    """How many rows each portion has, so that none exceeds the limits."""
    rows = size = 0
    for width in widths:
        if rows and (rows == PORTION_ROWS or size + width > PORTION_BYTES):
            yield rows
            rows = size = 0
        rows += 1
        size += width
    if rows:
        yield rows
