"""Reads rows of any width a few at a time: what is held is bounded by bytes.

A database gives as many rows as it is asked for, and a driver holds them. So before rows are
read, the database is asked how wide the widest of them is; where as many as usual would be too
much, it is asked for the width of each, in their order, and then for as many at a time as may
be held. Where rows are as narrow as usual, that is one short query more.
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

from ..dialects import dialect_named

PORTION_ROWS = 100
"""Rows that are fetched at once."""
PORTION_BYTES = 8_000_000
"""Bytes that are fetched at once; one row may have more."""


async def portions(
    connection: AsyncConnection, query: Select[Any], wide: Sequence[ColumnElement[Any]]
) -> AsyncGenerator[Sequence[Any], None]:
    """Read the rows of a query, a few at a time.

    Args:
        connection: In a transaction that sees one state of the database; nothing else is asked
            on it until all rows were read.
        query: In one table, and ordered the same each time.
        wide: Those of its columns whose values may be large.
    """
    dialect = dialect_named(connection.dialect.name)
    numbers: Iterable[int] = ()
    if wide:
        sizes = [cast(func.coalesce(dialect.size_of(one), 0), BigInteger) for one in wide]
        width = reduce(add, sizes)
        widest = query.with_only_columns(func.max(width)).order_by(None)
        if (await connection.scalar(widest) or 0) * PORTION_ROWS > PORTION_BYTES:
            widths = array("q")
            async with dialect.cursor(connection, query.with_only_columns(width)) as fetch:
                while rows := await fetch(1_000):
                    widths.extend(row[0] for row in rows)
            numbers = _numbers(widths)
    async with dialect.cursor(connection, query) as fetch:
        for number in chain(numbers, repeat(PORTION_ROWS)):
            if not (rows := await fetch(number)):
                return
            yield rows


def _numbers(widths: Iterable[int]) -> Iterator[int]:
    """How many rows to fetch each time."""
    number = held = 0
    for width in widths:
        if number and (number == PORTION_ROWS or held + width > PORTION_BYTES):
            yield number
            number = held = 0
        number += 1
        held += width
    if number:
        yield number
