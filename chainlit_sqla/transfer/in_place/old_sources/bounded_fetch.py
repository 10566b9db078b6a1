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

from sqlalchemy import BigInteger, ColumnElement, Select, cast, func, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from ....dialects import Dialect, dialect_named

PORTION_ROWS = 100
"""Rows that are fetched at once."""
PORTION_BYTES = 8_000_000
"""Bytes that are fetched at once; one row may have more."""
_PAGE_ROWS = 1_000
"""Rows whose keys are held."""


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
        width = width_of(dialect, wide)
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


async def pages(
    connection: AsyncConnection,
    query: Select[Any],
    keys: Sequence[ColumnElement[Any]],
    wide: Sequence[ColumnElement[Any]],
) -> AsyncGenerator[Sequence[Any], None]:
    """Read the rows of a query by their keys, a few at a time; other things may be asked between.

    Args:
        connection: In a transaction; rows that were given may be deleted in it meanwhile.
        query: In one table; its own order is not kept.
        keys: The primary key, none of which is NULL; rows come in its order.
        wide: Those of its columns whose values may be large.
    """
    width = width_of(dialect_named(connection.dialect.name), wide)
    narrow = query.with_only_columns(*keys, width).order_by(None).order_by(*keys)
    page: Select[Any] = narrow
    while True:
        found = (await connection.execute(page.limit(_PAGE_ROWS))).all()
        start = 0
        for number in _numbers(row[-1] for row in found):
            part = found[start : start + number]
            first, last = (tuple_(*part[place][:-1]) for place in (0, -1))
            wanted = query.where(tuple_(*keys) >= first, tuple_(*keys) <= last)
            yield (await connection.execute(wanted.order_by(None).order_by(*keys))).all()
            start += number
        if len(found) < _PAGE_ROWS:
            return
        page = narrow.where(tuple_(*keys) > tuple_(*found[-1][:-1]))


def width_of(dialect: Dialect, columns: Sequence[ColumnElement[Any]]) -> ColumnElement[Any]:
    """About how many bytes the values of a row's columns have together."""
    sizes = (cast(func.coalesce(dialect.size_of(one), 0), BigInteger) for one in columns)
    return reduce(add, sizes)


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
