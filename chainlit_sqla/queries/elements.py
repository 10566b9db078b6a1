"""Reads elements: statements for the driver, and queries for uploads and the storage check."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from ..database import Database
from ..dialects import Dialect
from ..models import blob_deletions, elements, threads, tombstones
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
URL, KEY = COLUMNS.index("url"), COLUMNS.index("objectKey")
PAGE_SIZE = 1_000
ElementId = tuple[str, str]
"""The primary key of an element: its thread and its id."""

_columns = elements.c


@cache
def of_thread(dialect: Dialect) -> Select[*tuple[Any, ...]]:
    """Select the elements of the thread ``thread_id`` in the order in which they were sent."""
    query = select(*select_columns(dialect, elements, COLUMNS))
    return query.where(_columns.threadId == bindparam("thread_id")).order_by(_columns.ordinal)


@cache
def by_id(dialect: Dialect) -> Select[*tuple[Any, ...]]:
    """Select the element ``element_id`` of the thread ``thread_id``."""
    return select(*select_columns(dialect, elements, COLUMNS)).where(
        _columns.threadId == bindparam("thread_id"), _columns.id == bindparam("element_id")
    )


async def owners(
    connection: AsyncConnection, *, key: str, element_id: str, thread_id: str
) -> Sequence[str | None]:
    """Return the users who own a blob by an element with this id or in this thread.

    A thread without a user is None.
    """
    query = (
        select(threads.c.userIdentifier)
        .join(elements, _columns.threadId == threads.c.id)
        .where(
            or_(_columns.id == element_id, _columns.threadId == thread_id),
            _columns.objectKey == key,
        )
    )
    return (await connection.scalars(query)).all()


async def element_blobs(database: Database) -> AsyncIterator[Sequence[Row[Any]]]:
    """Read objectKey, threadId, id, name and byteSize of all elements that have a blob.

    They come a page at a time, by thread and id. Each page is a query of its own, so no
    transaction lasts.
    """
    query = (
        select(_columns.objectKey, _columns.threadId, _columns.id, _columns.name, _columns.byteSize)
        .where(_columns.objectKey.is_not(None))
        .order_by(_columns.threadId, _columns.id)
        .limit(PAGE_SIZE)
    )
    page_query: Select[Any] = query

    async def read_page(connection: AsyncConnection) -> Sequence[Row[Any]]:
        rows: Sequence[Row[Any]] = (await connection.execute(page_query)).all()
        return rows

    while page := await database.read(read_page):
        yield page
        after = (page[-1].threadId, page[-1].id)
        page_query = query.where(tuple_(_columns.threadId, _columns.id) > after)


async def count_element_blobs(connection: AsyncConnection) -> int:
    """Count the elements that have a blob."""
    return await connection.scalar(select(func.count(_columns.objectKey))) or 0


async def queued_deletions(
    database: Database, due: datetime | None = None
) -> AsyncIterator[Sequence[str]]:
    """Read the object keys in the deletion queue, all or those due at a time, by pages."""
    key = blob_deletions.c.objectKey
    query = select(key).order_by(key).limit(PAGE_SIZE)
    if due is not None:
        query = query.where(blob_deletions.c.createdAt <= due)
    page_query = query

    async def read_page(connection: AsyncConnection) -> Sequence[str]:
        return (await connection.scalars(page_query)).all()

    while page := await database.read(read_page):
        yield page
        page_query = query.where(key > page[-1])


async def current_keys(
    connection: AsyncConnection, ids: Collection[ElementId]
) -> dict[ElementId, str | None]:
    """Read the object keys of those of the elements that still exist."""
    query = select(_columns.threadId, _columns.id, _columns.objectKey).where(
        _columns.threadId.in_({thread_id for thread_id, _ in ids}),
        _columns.id.in_({id for _, id in ids}),
    )
    requested = set(ids)
    rows = await connection.execute(query)
    return {(row.threadId, row.id): row.objectKey for row in rows if row[:2] in requested}


def referenced_keys(connection: Connection, keys: Collection[str]) -> set[str]:
    """Return which object keys belong to an element; scans the elements."""
    query = select(_columns.objectKey).where(_columns.objectKey.in_(keys))
    return {key for key in connection.scalars(query) if key is not None}


async def known_threads(connection: AsyncConnection, ids: Collection[str]) -> set[str]:
    """Return which threads exist in the database or were deleted from it."""
    existing = select(threads.c.id).where(threads.c.id.in_(ids))
    deleted = select(tombstones.c.threadId).where(tombstones.c.threadId.in_(ids))
    return set(await connection.scalars(existing.union(deleted)))
