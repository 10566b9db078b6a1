"""The outbox of blobs to delete, as functions of a connection."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ..models import blob_deletions


async def due(connection: AsyncConnection, limit: int) -> Sequence[str]:
    """Object keys to delete, those that failed most often last.

    Args:
        connection: A connection that may read.
        limit: How many at most.
    """
    columns = blob_deletions.c
    query = select(columns.objectKey).order_by(columns.attempts, columns.createdAt).limit(limit)
    return (await connection.scalars(query)).all()


async def done(connection: AsyncConnection, keys: Sequence[str]) -> None:
    """Forget keys whose blobs are gone.

    Args:
        connection: In a transaction.
        keys: Object keys.
    """
    await connection.execute(delete(blob_deletions).where(blob_deletions.c.objectKey.in_(keys)))


async def failed(connection: AsyncConnection, keys: Sequence[str]) -> None:
    """Count an attempt that failed.

    Args:
        connection: In a transaction.
        keys: Object keys.
    """
    statement = update(blob_deletions).where(blob_deletions.c.objectKey.in_(keys))
    await connection.execute(statement.values(attempts=blob_deletions.c.attempts + 1))
