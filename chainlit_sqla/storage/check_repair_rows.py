"""Repairs of rows and blobs that do not fit together, as functions of a connection.

What was found may be minutes old: each function looks again inside the transaction and
changes only what is still as it was found.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ..dialects import Dialect
from ..models import LOST_KEY, blob_deletions, elements
from ..writes import deletion_queue as outbox
from ..writes.execute_saves import lock_threads

Link = tuple[str, str, str]
"""A thread, the element in it, and the object key that they have or had."""

_columns = elements.c


async def unlink(connection: AsyncConnection, dialect: Dialect, lost: Sequence[Link]) -> int:
    """Let elements say that their blob is lost; the key is kept in ``extra``.

    Args:
        connection: In a transaction.
        dialect: The database's dialect.
        lost: The elements and the keys of their blobs.

    Returns:
        How many elements were changed.
    """
    changes = []
    for row in await _locked(connection, lost):
        if (row.threadId, row.id, row.objectKey) in set(lost):
            extra = {**_members(row.extra), LOST_KEY: row.objectKey}
            changes.append(_change(row, None, extra))
    await _write(connection, dialect, changes)
    return len(changes)


async def link_again(connection: AsyncConnection, dialect: Dialect, found: Sequence[Link]) -> int:
    """Give elements back their lost blobs that are in the store again.

    Args:
        connection: In a transaction.
        dialect: The database's dialect.
        found: The elements and the keys of their blobs.

    Returns:
        How many elements were changed.
    """
    keys = [key for *_, key in found]
    taken = await _used(connection, keys) | await _condemned(connection, keys)
    changes = []
    for row in await _locked(connection, found):
        extra = _members(row.extra)
        key = extra.pop(LOST_KEY, None)
        if row.objectKey is None and key not in taken and (row.threadId, row.id, key) in set(found):
            changes.append(_change(row, key, extra or None))
            taken.add(key)
    await _write(connection, dialect, changes)
    return len(changes)


async def condemn(connection: AsyncConnection, dialect: Dialect, keys: Sequence[str]) -> int:
    """Put blobs into the outbox that no row has.

    Args:
        connection: In a transaction.
        dialect: The database's dialect.
        keys: Object keys.

    Returns:
        How many there were.
    """
    used = await _used(connection, keys)
    without_row = [key for key in keys if key not in used]
    await connection.run_sync(outbox.put, dialect, without_row)
    return len(without_row)


async def spare(connection: AsyncConnection) -> None:
    """Take out of the outbox what a row has all the same.

    Rows of ours never share a blob; rows that other software made may.

    Args:
        connection: In a transaction.
    """
    used = select(_columns.objectKey).where(_columns.objectKey.is_not(None))
    await connection.execute(delete(blob_deletions).where(blob_deletions.c.objectKey.in_(used)))


async def _locked(connection: AsyncConnection, links: Sequence[Link]) -> Sequence[Any]:
    thread_ids = {thread_id for thread_id, *_ in links}
    await connection.run_sync(lock_threads, thread_ids, exclusive=False)
    query = select(_columns.threadId, _columns.id, _columns.objectKey, _columns.extra).where(
        _columns.threadId.in_(thread_ids), _columns.id.in_({id for _, id, _ in links})
    )
    return (await connection.execute(query)).all()


def _members(extra: Any) -> dict[str, Any]:
    return dict(extra) if isinstance(extra, dict) else {}


def _change(row: Any, key: str | None, extra: dict[str, Any] | None) -> dict[str, Any]:
    return {"the_thread": row.threadId, "the_id": row.id, "new_key": key, "new_extra": extra}


async def _write(
    connection: AsyncConnection, dialect: Dialect, changes: Sequence[dict[str, Any]]
) -> None:
    if changes:
        statement = (
            update(elements)
            .where(_columns.threadId == bindparam("the_thread"), _columns.id == bindparam("the_id"))
            .values(objectKey=bindparam("new_key"), extra=bindparam("new_extra"))
        )
        await dialect.execute_many(connection, statement, changes)


async def _used(connection: AsyncConnection, keys: Sequence[str]) -> set[str]:
    query = select(_columns.objectKey).where(_columns.objectKey.in_(keys))
    return {key for key in await connection.scalars(query) if key is not None}


async def _condemned(connection: AsyncConnection, keys: Sequence[str]) -> set[str]:
    key = blob_deletions.c.objectKey
    return set(await connection.scalars(select(key).where(key.in_(keys))))
