"""Adoptions and their way back, as the tests run them, and what a database holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import select

from chainlit_sqla.database import Database
from chainlit_sqla.models import quarantine
from chainlit_sqla.settings import Settings
from chainlit_sqla.transfer.in_place import Adoption, Report, Unadoption
from chainlit_sqla.transfer.sources import NativeSource
from tests.frozen.catalog import CATALOG

Key = tuple[str, ...]


def settings_of(name: str) -> dict[str, Any]:
    schema = CATALOG[name].schema
    return {"db_schema": schema} if schema else {}


@asynccontextmanager
async def opened(url: str, **settings: Any) -> AsyncIterator[Database]:
    database = Database(url, settings=Settings.load(database_url=url, **settings))
    try:
        yield database
    finally:
        await database.close()


async def adopt(
    url: str, *, dry_run: bool = False, drop_dependents: bool = False, **settings: Any
) -> Report:
    async with opened(url, **settings) as database:
        change = Adoption(database, drop_dependents=drop_dependents)
        return await change.run(dry_run=dry_run)


async def unadopt(
    url: str,
    file: Path,
    *,
    dry_run: bool = False,
    drop_dependents: bool = False,
    **settings: Any,
) -> Report:
    """Give a database back; a file of an earlier way back is replaced."""
    file.unlink(missing_ok=True)
    async with opened(url, **settings) as database:
        change = Unadoption(database, file, drop_dependents=drop_dependents)
        return await change.run(dry_run=dry_run)


async def digests(url: str, **settings: Any) -> dict[Key, int]:
    found = {}
    async with opened(url, **settings) as database, database.write() as connection:
        source = NativeSource(connection, schema=database.schema)
        for part in (source.users(), source.threads(), source.rest()):
            async for chunk in part:
                found |= {record.key: record.digest() for record in chunk.records}
    return found


async def quarantined(url: str, **settings: Any) -> Counter[tuple[str, str, str]]:
    """The rows in quarantine: the table, the reason and the id of each."""
    async with opened(url, **settings) as database, database.write() as connection:
        rows = await connection.execute(select(quarantine))
        return Counter((row.origin, row.reason, str(row.row.get("id"))) for row in rows)
