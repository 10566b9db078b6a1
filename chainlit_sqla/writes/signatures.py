"""Making the signatures of threads, which let a search pass threads over.

A signature must not miss what is written while it is made:

1. A thread is claimed under the exclusive lock of its row: whoever was writing to it has
   committed, and whoever writes from now on sees the claim. On PostgreSQL, who inserts a
   step or has a trigger called holds a share of that lock until the end of the transaction;
   a burst, which calls none, sees by the version of the thread's row that it was claimed.
2. Its texts are read afterwards. A write meanwhile moves ``updatedAt`` or removes the claim.
3. The signature is stored only where the claim is still there, and holds for the
   ``updatedAt`` that the thread had when it was claimed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, and_, bindparam, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from ..dialects import Dialect
from ..models import signatures, steps, threads
from .execute_saves import show_change

Place = tuple[datetime, str]
"""Where a thread stands in a user's list: its last activity and its id."""


async def unsigned(
    connection: AsyncConnection, user_id: str, before: Place, limit: int
) -> Sequence[Place]:
    """A portion of a user's threads that have no signature that holds, newest first.

    Args:
        connection: A connection that may read.
        user_id: The user.
        before: Only those that stand after this place.
        limit: How many at most.
    """
    holds = and_(
        signatures.c.threadId == threads.c.id,
        signatures.c.userId == user_id,
        signatures.c.updatedAt == threads.c.updatedAt,
        signatures.c.signature.is_not(None),
    )
    place = tuple_(threads.c.updatedAt, threads.c.id)
    query = (
        select(threads.c.updatedAt, threads.c.id)
        .outerjoin(signatures, holds)
        .where(threads.c.userId == user_id, place < before, signatures.c.threadId.is_(None))
        .order_by(threads.c.updatedAt.desc(), threads.c.id.desc())
        .limit(limit)
    )
    return [(at, id) for at, id in await connection.execute(query)]


async def claim(
    connection: AsyncConnection,
    dialect: Dialect,
    user_id: str,
    places: Collection[Place],
    name: str,
) -> Mapping[str, str | None]:
    """Claim threads; those that are being written to, or have changed, are left out.

    Args:
        connection: In a transaction.
        dialect: The database's dialect.
        user_id: Their owner.
        places: From `unsigned`.
        name: Whose claim it is.

    Returns:
        Their titles by id.
    """
    columns = threads.c
    query = (
        select(columns.id, columns.updatedAt, columns.name)
        .where(columns.id.in_([id for _, id in places]), columns.userId == user_id)
        .order_by(columns.id)
        .with_for_update(skip_locked=True)
    )
    found = (await connection.execute(query)).all()
    claimed = [row for row in found if (row.updatedAt, row.id) in places]
    if claimed:
        changed = ["userId", "updatedAt", "claim", "signature"]
        rows = [
            {
                "threadId": row.id,
                "userId": user_id,
                "updatedAt": row.updatedAt,
                "claim": name,
                "signature": None,
            }
            for row in claimed
        ]
        await connection.execute(dialect.upsert(signatures, ["threadId"], changed), rows)
        await connection.run_sync(show_change, [row.id for row in claimed])
    return {row.id: row.name for row in claimed}


async def messages(
    connection: AsyncConnection, thread_ids: Collection[str], limit: int, after: str | None = None
) -> Sequence[Row[Any]]:
    """A portion of the texts of messages, by thread and id.

    Args:
        connection: A connection that may read.
        thread_ids: Their threads.
        limit: How many at most.
        after: Of one thread: the id of the last one of the portion before.

    Returns:
        Rows of threadId, id and output.
    """
    columns = steps.c
    query: Select[Any] = (
        select(columns.threadId, columns.id, columns.output)
        .where(
            columns.threadId.in_(thread_ids),
            columns.type.like("%message%"),
            columns.output.is_not(None),
        )
        .order_by(columns.threadId, columns.id)
        .limit(limit)
    )
    # A place among several threads, (threadId, id) > (...), makes PostgreSQL walk through the
    # index of all threads behind it.
    if after is not None:
        query = query.where(columns.id > after)
    rows: Sequence[Row[Any]] = (await connection.execute(query)).all()
    return rows


async def store(connection: AsyncConnection, made: Mapping[str, bytes], name: str) -> None:
    """Store signatures where the claim is still there.

    Args:
        connection: In a transaction.
        made: Signatures by thread.
        name: Whose claim it is.
    """
    statement = (
        update(signatures)
        .where(signatures.c.threadId == bindparam("the_id"), signatures.c.claim == name)
        .values(signature=bindparam("new_signature"))
    )
    rows = [{"the_id": id, "new_signature": made[id]} for id in sorted(made)]
    await connection.execute(statement, rows)
