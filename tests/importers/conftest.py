"""Frozen databases to import from, and empty ones of ours to import into."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import cast

import pytest

from chainlit_sqla.database import Database
from chainlit_sqla.database import migrator as migrations
from chainlit_sqla.settings import Settings
from chainlit_sqla.transfer.importing import Import, Result, open_source
from tests.frozen.catalog import CATALOG
from tests.frozen.load import *  # noqa: F403
from tests.frozen.load import Shelf
from tests.servers.mysql import Kind, MySQLServer, start_mysql


class Targets:
    """Makes databases at this release's revision, and closes them."""

    def __init__(self, shelf: Shelf, mysql: Callable[[Kind], MySQLServer]) -> None:
        self._shelf = shelf
        self._mysql = mysql
        self._made: list[tuple[MySQLServer, str]] = []
        self._open: list[Database] = []

    async def make(self, dialect: str) -> Database:
        """An empty one."""
        if dialect in ("mariadb", "mysql"):
            server = self._mysql(cast("Kind", dialect))
            url = server.create_database()
            self._made.append((server, url))
            return await self.at(url)
        return await self.at(self._shelf.empty(dialect))

    async def at(self, url: str) -> Database:
        """The one at a URL, brought up to date."""
        database = Database(url, settings=Settings.load(database_url=url))
        await migrations.upgrade(database)
        self._open.append(database)
        return database

    async def close(self) -> None:
        for database in self._open:
            await database.close()
        for server, url in self._made:
            server.drop_database(url)


@pytest.fixture(scope="session")
def mysql_servers() -> Iterator[Callable[[Kind], MySQLServer]]:
    """Servers of MariaDB and MySQL, each started by the first test that wants it."""
    started: dict[Kind, MySQLServer] = {}

    def server(kind: Kind) -> MySQLServer:
        if kind not in started:
            started[kind] = start_mysql(kind)
        return started[kind]

    yield server
    for one in started.values():
        one.stop()


@pytest.fixture
async def targets(
    frozen: Shelf, mysql_servers: Callable[[Kind], MySQLServer]
) -> AsyncIterator[Targets]:
    """Databases to import into."""
    made = Targets(frozen, mysql_servers)
    yield made
    await made.close()


async def bring(
    name_or_url: str,
    url: str,
    target: Database,
    *,
    update: bool = False,
    layer: str | None = None,
) -> Result:
    """Import from a loaded database or a file."""
    entry = CATALOG.get(name_or_url)
    schema = entry.schema if entry else None
    async with open_source(
        url, target.settings, schema=schema, layer=layer, target=target
    ) as source:
        return await Import(source, target, update=update).run()


async def bring_in_two(url: str, target: Database, after: int) -> Result:
    """Import, interrupted after some chunks, and again; what the second run did."""
    shown = 0

    def cut(_what: str, _done: int, _total: int | None) -> None:
        nonlocal shown
        shown += 1
        if shown == after:
            raise KeyboardInterrupt

    async with open_source(url, Settings.load()) as source:
        with pytest.raises(KeyboardInterrupt):
            await Import(source, target, watch=cut).run()
    return await bring("", url, target)


def url_of(database: Database) -> str:
    """Its URL, with the password."""
    return database.given_url.render_as_string(hide_password=False)
