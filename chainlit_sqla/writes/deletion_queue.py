"""The deletion queue of blobs: its statements.

A transaction that deletes or replaces an element puts the key of its blob into the queue;
`chainlit_sqla.storage.deletion_worker` deletes the blobs after the commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, func, select, update

from .._internal.timestamps import now
from ..dialects import Dialect
from ..models import blob_deletions

_columns = blob_deletions.c


def enqueue(
    connection: Connection,
    dialect: Dialect,
    keys: Sequence[str],
    not_before: datetime | None = None,
) -> bool:
    """Add blobs to the queue, to be deleted no earlier than ``not_before``.

    An entry that exists stays as it is. Returns whether ``keys`` has any.
    """
    due = not_before or now()
    rows = [{"objectKey": key, "createdAt": due, "attempts": 0} for key in sorted(set(keys))]
    if rows:
        connection.execute(dialect.upsert(blob_deletions, ["objectKey"], []), rows)
    return bool(rows)


def dequeue(connection: Connection, keys: Sequence[str]) -> None:
    """Remove blobs from the queue, because they are deleted or in use again."""
    connection.execute(delete(blob_deletions).where(_columns.objectKey.in_(keys)))


def count_failure(connection: Connection, keys: Sequence[str]) -> None:
    """Count a failed attempt to delete blobs."""
    statement = update(blob_deletions).where(_columns.objectKey.in_(keys))
    connection.execute(statement.values(attempts=_columns.attempts + 1))


def read_due(connection: Connection, limit: int) -> Sequence[str]:
    """Read the keys of blobs to delete now, those with the fewest failures first."""
    query = (
        select(_columns.objectKey)
        .where(_columns.createdAt <= now())
        .order_by(_columns.attempts, _columns.createdAt)
        .limit(limit)
    )
    return connection.scalars(query).all()


def read_next_due(connection: Connection) -> datetime | None:
    """Read when the next deletion is due; None if the queue is empty."""
    due: datetime | None = connection.scalar(select(func.min(_columns.createdAt)))
    return due
