"""Loads frozen databases into fresh ones, for tests."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import cache
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import inspect
from sqlalchemy.ext.asyncio import create_async_engine

from chainlit_sqla.database.revision import VERSION_TABLE
from tests.frozen.catalog import CATALOG
from tests.servers import mysql
from tests.servers.mysql import MySQLServer, start_mysql
from tests.servers.postgres import PostgresServer, start_postgres
from tests.servers.server import run_apart

Rows = dict[str, list[dict[str, Any]]]
Server = PostgresServer | MySQLServer
Start = Callable[[str], Server]

_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgresql": "postgresql+asyncpg",
    "mysql": "mysql+asyncmy",
    "mariadb": "mysql+asyncmy",
}


class Shelf:
    """Gives databases with what is frozen, in a folder or on a server, and takes them away."""

    def __init__(self, folder: Path, server: Start) -> None:
        self.folder = folder
        self._start = server
        self._made: list[tuple[Server, str]] = []

    @property
    def server(self) -> PostgresServer:
        server = self._start("postgresql")
        assert isinstance(server, PostgresServer)
        return server

    def load(self, name: str) -> str:
        """Make a database of its own from a file; gives its URL without a driver."""
        entry = CATALOG[name]
        if not entry.file.exists():
            pytest.fail(f"{entry.file} is missing; run: python -m tests.frozen.make {name}")
        url = self.empty(entry.dialect)
        # Not read_text: that would change line ends.
        execute(url, entry.file.read_bytes().decode())
        return url

    def empty(self, dialect: str) -> str:
        """Make an empty database of a dialect and give its URL."""
        if dialect == "sqlite":
            return f"sqlite:///{self.folder / secrets.token_hex(4)}.db"
        server = self._start(dialect)
        url = server.create_database()
        self._made.append((server, url))
        return url

    def close(self) -> None:
        for server, url in self._made:
            server.drop_database(url)


def execute(url: str, script: str) -> None:
    """Run the statements of a script, which has no commands of a client."""
    if url.startswith("sqlite:///"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            connection.executescript(script)
        return
    run_apart(_execute_on_server(url, script))


async def _execute_on_server(url: str, script: str) -> None:
    if url.startswith("postgresql:"):
        database = await asyncpg.connect(url)
        try:
            await database.execute(script)
        finally:
            await database.close()
        return
    connection = await mysql.connect(url, charset="utf8mb4")
    try:
        async with connection.cursor() as cursor:
            await cursor.execute(script)
            while await cursor.nextset():
                pass
    finally:
        await connection.ensure_closed()


def with_driver(url: str) -> str:
    scheme, rest = url.split("://", 1)
    return f"{_DRIVERS[scheme]}://{rest}"


async def rows(url: str) -> Rows:
    """All rows of the default schema by table, JSON as text; not which revision it is."""
    by_table: Rows = {}
    engine = create_async_engine(with_driver(url), json_deserializer=str)
    quote = engine.dialect.identifier_preparer.quote
    async with engine.connect() as connection:
        names = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
        for name in names:
            result = await connection.exec_driver_sql(f"SELECT * FROM {quote(name)}")
            by_table[name] = [dict(row) for row in result.mappings()]
    await engine.dispose()
    by_table.pop(VERSION_TABLE, None)
    return by_table


def started_once(stack: ExitStack) -> Start:
    """Give the servers by dialect, each started when it is first wanted."""

    @cache
    def server_of(dialect: str) -> Server:
        server: Server
        if dialect == "postgresql":
            server = start_postgres()
        else:
            server = start_mysql("mysql" if dialect == "mysql" else "mariadb")
        stack.callback(server.stop)
        return server

    return server_of


@pytest.fixture(scope="session")
def frozen_server() -> Iterator[Start]:
    """The servers by dialect, each started by the first test that wants it."""
    with ExitStack() as stack:
        yield started_once(stack)


@pytest.fixture
def frozen(tmp_path: Path, frozen_server: Start) -> Iterator[Shelf]:
    shelf = Shelf(tmp_path, frozen_server)
    yield shelf
    shelf.close()
