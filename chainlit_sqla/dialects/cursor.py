"""`Portioned`: reading as many rows at once as the reader says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, func

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

Fetch = Callable[[int], Awaitable[Sequence[Any]]]
"""Gives the next rows, at most so many; none: these were all."""


class Portioned:
    """The part of a `Dialect` that reads rows of any width; the defaults are SQLAlchemy's."""

    def size_of(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """About how many bytes a value has when it is read; NULL for NULL."""
        return func.octet_length(column)

    def cursor(
        self, connection: AsyncConnection, query: Select[Any]
    ) -> AbstractAsyncContextManager[Fetch]:
        """Read the rows of a query, never more of them than were asked for.

        Args:
            connection: In a transaction; nothing else is asked on it inside the block.
            query: What to read.

        Example:
            >>> async with dialect.cursor(connection, select(steps.c.id)) as fetch:
            ...     while rows := await fetch(100):
            ...         ...
        """
        return _streamed(connection, query)


@asynccontextmanager
async def _streamed(connection: AsyncConnection, query: Select[Any]) -> AsyncIterator[Fetch]:
    async with connection.stream(query) as rows:
        yield rows.fetchmany
