"""Frozen databases to import from, and empty ones of ours to import into."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from chainlit_sqla.database import Database, migrator
from chainlit_sqla.models import quarantine
from chainlit_sqla.settings import Settings
from chainlit_sqla.transfer.importing import Comparison, Import, Result
from chainlit_sqla.transfer.sources import NativeSource, open_source
from tests.frozen.catalog import CATALOG
from tests.frozen.load import *  # noqa: F403
from tests.frozen.load import Shelf

DIALECTS = ("sqlite", "postgresql")
WITH_MARIADB = (*DIALECTS, "mariadb")


class Targets:
    """Makes databases at this release's revision, and closes them."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._open: list[Database] = []

    async def make(self, dialect: str) -> Database:
        return await self.at(self._shelf.empty(dialect))

    async def at(self, url: str) -> Database:
        database = Database(url, settings=Settings.load(database_url=url))
        await migrator.upgrade(database)
        self._open.append(database)
        return database

    async def close(self) -> None:
        for database in self._open:
            await database.close()


@pytest.fixture
async def targets(frozen: Shelf) -> AsyncIterator[Targets]:
    made = Targets(frozen)
    yield made
    await made.close()


async def run_import(
    location: str,
    target: Database,
    *,
    update: bool = False,
    layer: str | None = None,
    name: str = "",
) -> Result:
    """Import from a database or a file, perhaps a frozen one with a name."""
    schema = CATALOG[name].schema if name else None
    async with open_source(
        location, target.settings, schema=schema, layer=layer, target=target
    ) as source:
        return await Import(source, target, update=update).run()


async def import_interrupted(location: str, target: Database, after: int) -> Result:
    """Interrupt an import after some chunks; returns the result of a second run."""
    chunks = 0

    def interrupt(_what: str, _done: int, _total: int | None) -> None:
        nonlocal chunks
        chunks += 1
        if chunks == after:
            raise KeyboardInterrupt

    async with open_source(location, Settings.load()) as source:
        with pytest.raises(KeyboardInterrupt):
            await Import(source, target, watch=interrupt).run()
    return await run_import(location, target)


async def compare(location: str, target: Database) -> Comparison:
    async with open_source(location, target.settings, target=target) as source:
        return (await Import(source, target).compare()).comparison


def assert_equal(result: Result) -> None:
    assert result.comparison.equal, list(map(str, result.comparison.differences))


def url_of(database: Database) -> str:
    return database.given_url.render_as_string(hide_password=False)


async def digests(database: Database) -> dict[Any, int]:
    by_key = {}
    async with database.snapshot() as connection:
        source = NativeSource(connection, schema=database.schema)
        for chunks in (source.users(), source.threads(), source.rest()):
            async for chunk in chunks:
                by_key |= {record.key: record.digest() for record in chunk.records}
    return by_key


async def read(database: Database, query: Any) -> list[tuple[Any, ...]]:
    async with database.snapshot() as connection:
        return [tuple(row) for row in await connection.execute(query)]


async def quarantined(database: Database) -> list[Any]:
    columns = quarantine.c.id, quarantine.c.origin, quarantine.c.reason, quarantine.c.row
    async with database.connect() as connection:
        rows = await connection.execute(select(*columns))
        return sorted(rows.all(), key=lambda row: row.id)


# Lines of a file

ADA: dict[str, Any] = {"kind": "user", "id": "a", "identifier": "ada"}
BOB: dict[str, Any] = {"kind": "user", "id": "b", "identifier": "bob"}


def thread(id: str, **values: Any) -> dict[str, Any]:
    return {"kind": "thread", "id": id, **values}


def step(id: str, thread_id: str, **values: Any) -> dict[str, Any]:
    return {"kind": "step", "id": id, "threadId": thread_id, "output": "said", **values}


def write(path: Path, *lines: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)
