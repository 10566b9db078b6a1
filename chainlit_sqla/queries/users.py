"""Reading users."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..models import users


async def by_identifier(connection: AsyncConnection, identifier: str) -> Row[Any] | None:
    """The user that logs in under a name; names differ by case.

    Args:
        connection: A connection that may read.
        identifier: The name.
    """
    return (await connection.execute(select(users).where(users.c.identifier == identifier))).first()
