"""Reading elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..models import elements, threads


async def of_thread(connection: AsyncConnection, thread_id: str) -> Sequence[Row[Any]]:
    """The elements of a thread in the order in which they were sent.

    Args:
        connection: A connection that may read.
        thread_id: The thread.
    """
    query = select(elements).where(elements.c.threadId == thread_id).order_by(elements.c.ordinal)
    return (await connection.execute(query)).all()


async def by_id(connection: AsyncConnection, thread_id: str, element_id: str) -> Row[Any] | None:
    """One element of a thread.

    Args:
        connection: A connection that may read.
        thread_id: The thread.
        element_id: The element.
    """
    query = select(elements).where(elements.c.threadId == thread_id, elements.c.id == element_id)
    return (await connection.execute(query)).first()


async def owners(
    connection: AsyncConnection, *, key: str, element_id: str, thread_id: str
) -> Sequence[str | None]:
    """Whose threads have a blob, in an element of this id or in this thread.

    Args:
        connection: A connection that may read.
        key: The object key of the blob.
        element_id: The element.
        thread_id: The thread.

    Returns:
        The identifiers of the users; None for a thread of nobody.
    """
    columns = elements.c
    query = (
        select(threads.c.userIdentifier)
        .join(elements, columns.threadId == threads.c.id)
        .where(
            or_(columns.id == element_id, columns.threadId == thread_id), columns.objectKey == key
        )
    )
    return (await connection.scalars(query)).all()
