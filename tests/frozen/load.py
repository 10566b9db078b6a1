"""Loads frozen databases into fresh ones, for tests."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from chainlit_sqla.database.revision import VERSION_TABLE
from tests.frozen import mysql
from tests.frozen.catalog import CATALOG
from tests.servers.mysql import MySQLServer, start_mysql
from tests.servers.postgres import PostgresServer, start_postgres
from tests.servers.server import run_apart

Rows = dict[str, list[dict[str, Any]]]


Server = PostgresServer | MySQLServer
Start = Callable[[str], Server]


class Servers:
    """Servers, one of each kind, started when they are wanted."""

    def __init__(self) -> None:
        self._started: dict[str, Server] = {}

    def get(self, dialect: str) -> Server:
        """Start or find the server of a dialect."""
        if dialect not in self._started:
            if dialect == "postgresql":
                self._started[dialect] = start_postgres()
            else:
                self._started[dialect] = start_mysql("mysql" if dialect == "mysql" else "mariadb")
        return self._started[dialect]

    def stop(self) -> None:
        """End those that were started."""
        for server in self._started.values():
            server.stop()


class Shelf:
    """Gives databases with what is frozen, and takes them away.

    Args:
        folder: An empty folder for files.
        server: Starts or finds the server of a dialect.

    Example:
        >>> shelf = Shelf(tmp_path, Servers().get)
        >>> url = shelf.load("postgres_v3")
        >>> shelf.close()
    """

    def __init__(self, folder: Path, server: Start) -> None:
        self.folder = folder
        self._start = server
        self._made: list[tuple[Server, str]] = []

    @property
    def server(self) -> PostgresServer:
        """The PostgreSQL server."""
        found = self._start("postgresql")
        assert isinstance(found, PostgresServer)
        return found

    def load(self, name: str) -> str:
        """Make a database of its own from a file.

        Args:
            name: One of `catalog.names`.

        Returns:
            ``sqlite:///…`` or ``postgresql://…``.
        """
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
        """Drop the databases that are on servers."""
        for server, url in self._made:
            server.drop_database(url)


def execute(url: str, script: str) -> None:
    """Run the statements of a script.

    Args:
        url: The database.
        script: SQL without commands of a client.
    """
    if url.startswith("sqlite:///"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"))
        try:
            connection.executescript(script)
        finally:
            connection.close()
        return

    async def run() -> None:
        if url.startswith(("mysql", "mariadb")):
            await mysql.execute(url, script)
            return
        database = await asyncpg.connect(url)
        try:
            await database.execute(script)
        finally:
            await database.close()

    run_apart(run())


async def rows(url: str) -> Rows:
    """All rows by table, as the plain driver gives them; not which revision it is.

    Args:
        url: The database; only its default schema.
    """
    found: Rows = {}
    if url.startswith("sqlite:///"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"))
        connection.row_factory = sqlite3.Row
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (name,) in tables.fetchall():
            found[name] = [dict(row) for row in connection.execute(f'SELECT * FROM "{name}"')]
        connection.close()
    elif url.startswith(("mysql", "mariadb")):
        for name, (columns, lines) in (await mysql.tables(url)).items():
            found[name] = [dict(zip(columns, line, strict=True)) for line in lines]
    else:
        database = await asyncpg.connect(url)
        tables = await database.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for (name,) in tables:
            found[name] = [dict(row) for row in await database.fetch(f'SELECT * FROM "{name}"')]
        await database.close()
    found.pop(VERSION_TABLE, None)
    return found


@pytest.fixture(scope="session")
def frozen_server() -> Iterator[Start]:
    """The servers by dialect, each started by the first test that wants it."""
    servers = Servers()
    yield servers.get
    servers.stop()


@pytest.fixture
def frozen(tmp_path: Path, frozen_server: Start) -> Iterator[Shelf]:
    """The frozen databases, for one test."""
    shelf = Shelf(tmp_path, frozen_server)
    yield shelf
    shelf.close()
