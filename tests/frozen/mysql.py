"""Scripts and rows on MySQL and MariaDB, with the plain driver."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncmy
from sqlalchemy import make_url


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    """A cursor; each statement is committed.

    Args:
        url: The database.
    """
    parts = make_url(url)
    connection = await asyncmy.connect(
        host=parts.host,
        port=parts.port,
        user=parts.username,
        password=parts.password or "",
        database=parts.database,
        charset="utf8mb4",
        autocommit=True,
    )
    try:
        async with connection.cursor() as cursor:
            yield cursor
    finally:
        await connection.ensure_closed()


async def execute(url: str, script: str) -> None:
    """Run the statements of a script."""
    async with connected(url) as cursor:
        await cursor.execute(script)
        while await cursor.nextset():
            pass


async def tables(url: str) -> dict[str, tuple[list[str], list[tuple[Any, ...]]]]:
    """The names of the columns and the rows of each table."""
    found = {}
    async with connected(url) as cursor:
        await cursor.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()"
        )
        for (name,) in await cursor.fetchall():
            await cursor.execute(f"SELECT * FROM `{name}`")
            columns = [column[0] for column in cursor.description]
            found[name] = (columns, list(await cursor.fetchall()))
    return found
