"""The table of rows that have no place in ours."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy.ext.asyncio import AsyncConnection

from ...._internal.timestamps import now
from ....dialects import Dialect
from ....models import quarantine
from .base import Misfit

ADOPTION = "adoption"
"""What the rows of an adoption say they come from: its way back looks for these in the same
database, so they do not say it in another one."""
OTHERS = "a thread with its id belongs to another user in the target"
"""The reason of rows that are another user's than the thread of their id."""
UNSAID = f"{OTHERS}: the source does not have the thread itself, which says whose it is"
"""The same, where nobody can tell whose they are."""


async def put_aside(
    connection: AsyncConnection, dialect: Dialect, source: str, misfits: Iterable[Misfit]
) -> None:
    """Keep rows as they were; one that is kept already stays once.

    Args:
        connection: In a transaction.
        dialect: The database's dialect.
        source: Where they come from, for people; those that were put aside there say it
            themselves.
        misfits: The rows, or what of them found no place.
    """
    rows = [
        {
            "id": misfit.digest,
            "source": _source(misfit, source),
            "origin": misfit.table,
            "reason": misfit.reason,
            "row": misfit.document,
            "createdAt": misfit.origin.created if misfit.origin else now(),
        }
        for misfit in misfits
    ]
    if rows:
        await dialect.execute_many(connection, dialect.upsert(quarantine, ["id"], []), rows)


def _source(misfit: Misfit, here: str) -> str:
    if misfit.origin is None:
        return here
    before = misfit.origin.source
    return f"{here} ({before})" if before == ADOPTION else before
