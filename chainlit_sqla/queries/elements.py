"""Reading elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..models import elements


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
