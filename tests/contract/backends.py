"""Where the contract is run: a database of one kind, and the layers opened on it."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import asyncpg
from asyncmy.errors import MySQLError
from chainlit.data.base import BaseDataLayer

from tests.servers import mysql
from tests.servers.server import run_apart
from tests.until import PATIENCE


class Server(Protocol):
    def create_database(self, template: str | None = None) -> str:
        """Make a database and give its URL."""

    def drop_database(self, url: str) -> None:
        """Remove a database."""


class Backend:
    """One database; opens layers on it and closes them."""

    blob_folder = "blobs"
    patience: float = PATIENCE
    """Seconds until a deleted blob must be gone: it is deleted after its row."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self.layers: list[Any] = []

    def make(self) -> BaseDataLayer:
        raise NotImplementedError

    def open(self) -> Any:
        """Make a layer that is closed at the end of the test."""
        layer = self.make()
        self.layers.append(layer)
        return layer

    async def reopen(self, layer: Any) -> Any:
        """Close a layer and make a new one on the same database, as a restart does."""
        self.layers.remove(layer)
        await layer.close()
        return self.open()

    async def rows(self, query: str) -> list[dict[str, Any]]:
        return await read_rows(self.url, query)

    async def fetch(self, url: str) -> bytes:
        """Read the bytes behind a URL that the layer gave for a stored blob."""
        raise NotImplementedError

    def blobs(self) -> set[Path]:
        root = self.folder / self.blob_folder
        return {path for path in root.rglob("*") if path.is_file() and path.name[0] != "."}

    async def until_blobs(self, number: int) -> None:
        async with asyncio.timeout(self.patience):
            while len(self.blobs()) != number:
                await asyncio.sleep(0.01)

    async def close(self) -> None:
        """Close all layers; nothing may be left checked out."""
        for layer in self.layers:
            await layer.close()


async def read_rows(url: str, query: str) -> list[dict[str, Any]]:
    """Read with the plain driver, past the layer."""
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
            file.row_factory = sqlite3.Row
            return [dict(row) for row in file.execute(query)]
    if not url.startswith("postgresql:"):
        return await mysql.rows(url, query.replace("%", "%%"))
    connection = await asyncpg.connect(url)
    try:
        return [dict(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


EMPTY = """
SET lock_timeout = '5s';
DO $$ DECLARE name text; BEGIN
  FOR name IN SELECT tablename FROM pg_tables
    WHERE schemaname = 'public' AND tablename <> 'chainlit_sqla_version'
  LOOP EXECUTE format('DELETE FROM %I', name); END LOOP;
END $$
"""


def empty_postgres(url: str) -> None:

    async def empty() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(EMPTY)
        finally:
            await connection.close()

    run_apart(empty())


class Databases:
    """Empty databases: emptying one is twenty times faster than making one."""

    def __init__(
        self, server: Server, create: Callable[[], str], empty: Callable[[str], None]
    ) -> None:
        self.server = server
        self._create = create
        self._empty = empty
        self._free: list[str] = []

    @classmethod
    def on_postgres(cls, server: Server, template: str) -> Databases:
        return cls(server, lambda: server.create_database(template), empty_postgres)

    def take(self) -> str:
        """Give the URL of an empty database that nobody else uses."""
        return self._free.pop() if self._free else self._create()

    def give_back(self, url: str) -> None:
        """Empty a database for the next test; one that is held is dropped."""
        try:
            self._empty(url)
        except (asyncpg.PostgresError, MySQLError):
            self.server.drop_database(url)
        else:
            self._free.append(url)


@contextmanager
def empty_database(source: Path | Databases, folder: Path) -> Iterator[str]:
    """Give the URL of an empty database: a copy of a closed SQLite file, or one of a server."""
    if isinstance(source, Path):
        shutil.copyfile(source, folder / "chats.db")
        yield f"sqlite:///{folder / 'chats.db'}"
    else:
        url = source.take()
        yield url
        source.give_back(url)
