"""The outbox of blobs to delete, as functions of a connection."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, func, select, update

from .._internal.timestamps import now
from ..dialects import Dialect
from ..models import blob_deletions


def due(connection: Connection, limit: int) -> Sequence[str]:
    """Object keys to delete now, those that failed most often last.

    Args:
        connection: A connection that may read.
        limit: How many at most.
    """
    columns = blob_deletions.c
    query = (
        select(columns.objectKey)
        .where(columns.createdAt <= now())
        .order_by(columns.attempts, columns.createdAt)
        .limit(limit)
    )
    return (connection.scalars(query)).all()


def next_due(connection: Connection) -> datetime | None:
    """When the next deletion is due, None where there is none.

    Args:
        connection: A connection that may read.
    """
    instant: datetime | None = connection.scalar(select(func.min(blob_deletions.c.createdAt)))
    return instant


def done(connection: Connection, keys: Sequence[str]) -> None:
    """Forget keys whose blobs are gone.

    Args:
        connection: In a transaction.
        keys: Object keys.
    """
    connection.execute(delete(blob_deletions).where(blob_deletions.c.objectKey.in_(keys)))


def failed(connection: Connection, keys: Sequence[str]) -> None:
    """Count an attempt that failed.

    Args:
        connection: In a transaction.
        keys: Object keys.
    """
    statement = update(blob_deletions).where(blob_deletions.c.objectKey.in_(keys))
    connection.execute(statement.values(attempts=blob_deletions.c.attempts + 1))


def put(
    connection: Connection, dialect: Dialect, keys: Sequence[str], at: datetime | None = None
) -> bool:
    """Note blobs to be deleted after the commit.

    Args:
        connection: In a transaction.
        dialect: The database's dialect.
        keys: Object keys.
        at: Not before this instant; None: at once.

    Returns:
        Whether there were any.
    """
    due = at or now()
    rows = [{"objectKey": key, "createdAt": due, "attempts": 0} for key in sorted(set(keys))]
    if rows:
        statement = dialect.upsert(blob_deletions, ["objectKey"], [])
        connection.execute(statement, rows)
    return bool(rows)
