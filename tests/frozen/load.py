"""Loads frozen databases into fresh ones, for tests."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from chainlit_sqla.revision import VERSION_TABLE
from tests.contract.backends import run_apart
from tests.frozen.catalog import CATALOG
from tests.servers.postgres import PostgresServer, start_postgres

Rows = dict[str, list[dict[str, Any]]]


class Shelf:
    """Gives databases with what is frozen, and takes them away.

    Args:
        folder: An empty folder for files.
        server: Starts or finds a PostgreSQL server.

    Example:
        >>> shelf = Shelf(tmp_path, start_postgres)
        >>> url = shelf.load("postgres_v3")
        >>> shelf.close()
    """

    def __init__(self, folder: Path, server: Callable[[], PostgresServer]) -> None:
        self.folder = folder
        self._start = server
        self._made: list[str] = []

    @property
    def server(self) -> PostgresServer:
        """The PostgreSQL server."""
        return self._start()

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
        url = self.server.create_database()
        self._made.append(url)
        return url

    def close(self) -> None:
        """Drop the databases that are on servers."""
        for url in self._made:
            self.server.drop_database(url)


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
    else:
        database = await asyncpg.connect(url)
        tables = await database.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for (name,) in tables:
            found[name] = [dict(row) for row in await database.fetch(f'SELECT * FROM "{name}"')]
        await database.close()
    found.pop(VERSION_TABLE, None)
    return found


@pytest.fixture(scope="session")
def frozen_server() -> Iterator[Callable[[], PostgresServer]]:
    """A PostgreSQL server, started by the first test that wants it."""
    started: list[PostgresServer] = []

    def server() -> PostgresServer:
        if not started:
            started.append(start_postgres())
        return started[0]

    yield server
    for one in started:
        one.stop()


@pytest.fixture
def frozen(tmp_path: Path, frozen_server: Callable[[], PostgresServer]) -> Iterator[Shelf]:
    """The frozen databases, for one test."""
    shelf = Shelf(tmp_path, frozen_server)
    yield shelf
    shelf.close()
