"""Reading which blobs the database knows of, in portions, to compare it with a store."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, Text, cast, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from ..models import LOST_KEY, blob_deletions, elements, threads, tombstones

Place = tuple[str, str]
"""The key of an element: its thread and its id."""

_NOT_LONG = 66
"""Characters of an id that object keys may show; of ASCII, at most three for each."""

_columns = elements.c
_place = tuple_(_columns.threadId, _columns.id)
_described = (
    _columns.threadId,
    _columns.id,
    _columns.name,
    _columns.byteSize,
    _columns.createdAt,
)


async def referenced(
    connection: AsyncConnection, after: Place | None, limit: int
) -> Sequence[Row[Any]]:
    """A portion of the elements that have a blob, by thread and id.

    Args:
        connection: A connection that may read.
        after: The place of the last one of the portion before; None: from the first.
        limit: How many at most.

    Returns:
        Rows of threadId, id, objectKey, name, byteSize and createdAt.
    """
    query = select(_columns.objectKey, *_described).where(_columns.objectKey.is_not(None))
    return await _portion(connection, query, after, limit)


async def lost(connection: AsyncConnection, after: Place | None, limit: int) -> Sequence[Row[Any]]:
    """A portion of the elements whose blob was lost, by thread and id.

    Args:
        connection: A connection that may read.
        after: The place of the last one of the portion before; None: from the first.
        limit: How many at most.

    Returns:
        Rows of threadId, id, extra, name, byteSize and createdAt.
    """
    query = select(_columns.extra, *_described).where(
        _columns.objectKey.is_(None), cast(_columns.extra, Text).contains(LOST_KEY)
    )
    return await _portion(connection, query, after, limit)


async def waiting(connection: AsyncConnection, after: str | None, limit: int) -> Sequence[str]:
    """A portion of the outbox: object keys of blobs that wait for their deletion.

    Args:
        connection: A connection that may read.
        after: The last key of the portion before; None: from the first.
        limit: How many at most.
    """
    key = blob_deletions.c.objectKey
    query = select(key).order_by(key).limit(limit)
    if after is not None:
        query = query.where(key > after)
    return (await connection.scalars(query)).all()


async def count_waiting(connection: AsyncConnection) -> int:
    """How many blobs wait for their deletion.

    Args:
        connection: A connection that may read.
    """
    return await connection.scalar(select(func.count()).select_from(blob_deletions)) or 0


async def keys_of(
    connection: AsyncConnection, places: Collection[Place]
) -> dict[Place, str | None]:
    """Read again which blobs some elements have.

    Args:
        connection: A connection that may read.
        places: The elements.

    Returns:
        The object key of each element that is still there.
    """
    query = select(_columns.threadId, _columns.id, _columns.objectKey).where(
        _columns.threadId.in_({thread_id for thread_id, _ in places}),
        _columns.id.in_({id for _, id in places}),
    )
    wanted = set(places)
    rows = await connection.execute(query)
    return {(thread, id): key for thread, id, key in rows if (thread, id) in wanted}


async def known_threads(connection: AsyncConnection, ids: Collection[str]) -> set[str]:
    """Tell which threads are here or were deleted here.

    Args:
        connection: A connection that may read.
        ids: Ids of threads.
    """
    here = select(threads.c.id).where(threads.c.id.in_(ids))
    deleted = select(tombstones.c.threadId).where(tombstones.c.threadId.in_(ids))
    return set(await connection.scalars(here.union(deleted)))


async def long_threads(connection: AsyncConnection, after: str | None, limit: int) -> Sequence[str]:
    """A portion of the threads with long ids that are here or were deleted here, by id.

    Args:
        connection: A connection that may read.
        after: The last id of the portion before; None: from the first.
        limit: How many at most.
    """

    def ids(column: ColumnElement[str]) -> Select[Any]:
        query = select(column.label("id")).where(func.length(column) > _NOT_LONG)
        return query if after is None else query.where(column > after)

    both = ids(threads.c.id).union(ids(tombstones.c.threadId))
    ordered = both.order_by(both.selected_columns.id).limit(limit)
    return (await connection.scalars(ordered)).all()


async def newest(connection: AsyncConnection, limit: int) -> Sequence[str]:
    """The object keys of the elements that were stored last.

    Args:
        connection: A connection that may read.
        limit: How many at most.
    """
    query = select(_columns.objectKey).where(_columns.objectKey.is_not(None))
    return (await connection.scalars(query.order_by(_columns.createdAt.desc()).limit(limit))).all()


async def _portion(
    connection: AsyncConnection, query: Select[Any], after: Place | None, limit: int
) -> Sequence[Row[Any]]:
    if after is not None:
        query = query.where(_place > after)
    ordered = query.order_by(_columns.threadId, _columns.id).limit(limit)
    rows: Sequence[Row[Any]] = (await connection.execute(ordered)).all()
    return rows
