"""Statements that read elements."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Select, bindparam, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..dialects import BoundStatement, Dialect
from ..models import elements, threads
from . import select_columns

COLUMNS = (
    "threadId",
    "id",
    "type",
    "chainlitKey",
    "url",
    "objectKey",
    "name",
    "display",
    "size",
    "language",
    "page",
    "props",
    "autoPlay",
    "playerConfig",
    "forId",
    "mime",
    "extra",
)
"""The columns of an element row."""
URL, KEY = COLUMNS.index("url"), COLUMNS.index("objectKey")


def of_thread(dialect: Dialect, thread_id: str) -> BoundStatement:
    """Select the elements of a thread in the order in which they were sent.

    Args:
        dialect: The dialect of the database.
        thread_id: The thread.
    """
    return _of_thread(dialect), {"thread_id": thread_id}


def by_id(dialect: Dialect, thread_id: str, element_id: str) -> BoundStatement:
    """Select an element of a thread.

    Args:
        dialect: The dialect of the database.
        thread_id: The thread.
        element_id: The element.
    """
    return _by_id(dialect), {"thread_id": thread_id, "element_id": element_id}


async def owners(
    connection: AsyncConnection, *, key: str, element_id: str, thread_id: str
) -> Sequence[str | None]:
    """Return the owners of a blob among the elements with this id or in this thread.

    Args:
        connection: A connection for reading.
        key: The object key of the blob.
        element_id: The element.
        thread_id: The thread.

    Returns:
        The identifiers of the users; None for a thread without one.
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


@cache
def _of_thread(dialect: Dialect) -> Select[*tuple[Any, ...]]:
    query = select(*select_columns(dialect, elements, COLUMNS))
    query = query.where(elements.c.threadId == bindparam("thread_id"))
    return query.order_by(elements.c.ordinal)


@cache
def _by_id(dialect: Dialect) -> Select[*tuple[Any, ...]]:
    return select(*select_columns(dialect, elements, COLUMNS)).where(
        elements.c.threadId == bindparam("thread_id"), elements.c.id == bindparam("element_id")
    )
