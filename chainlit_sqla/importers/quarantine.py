"""The table of rows that have no place in ours."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy.ext.asyncio import AsyncConnection

from .._time import now
from ..dialects import Dialect
from ..models import quarantine
from .base import Misfit


async def put_aside(
    connection: AsyncConnection, dialect: Dialect, source: str, misfits: Iterable[Misfit]
) -> None:
    """Keep rows as they were; one that is kept already stays once.

    Args:
        connection: In a transaction.
        dialect: The database's dialect.
        source: Where they come from, for people.
        misfits: The rows, or what of them found no place.
    """
    rows = [
        {
            "id": misfit.digest,
            "source": source,
            "origin": misfit.table,
            "reason": misfit.reason,
            "row": misfit.document,
            "createdAt": now(),
        }
        for misfit in misfits
    ]
    if rows:
        await dialect.execute_many(connection, dialect.upsert(quarantine, ["id"], []), rows)
