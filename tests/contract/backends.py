"""Where the contract is run: a database of one kind, and the layers opened on it."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import asyncpg
from chainlit.data.base import BaseDataLayer


class Server(Protocol):
    """A PostgreSQL server for tests."""

    def create_database(self, template: str | None = None) -> str:
        """Make a database and give its URL."""

    def drop_database(self, url: str) -> None:
        """Remove a database."""


class Backend:
    """One database; opens layers on it and closes them.

    Args:
        folder: An empty folder for files and blobs.
    """

    blob_folder = "blobs"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.layers: list[Any] = []

    def make(self) -> BaseDataLayer:
        """Make a layer on this database."""
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
        """Read with the plain driver, past the layer."""
        raise NotImplementedError

    async def fetch(self, url: str) -> bytes:
        """Read the bytes behind a URL that the layer gave for a stored blob."""
        raise NotImplementedError

    def blobs(self) -> set[Path]:
        """The files that hold blobs now."""
        root = self.folder / self.blob_folder
        return {path for path in root.rglob("*") if path.is_file() and path.name[0] != "."}

    async def close(self) -> None:
        """Close all layers; nothing may be left checked out."""
        for layer in self.layers:
            await layer.close()

    def drop(self) -> None:
        """Remove the database."""


async def sqlite_rows(path: Path, query: str) -> list[dict[str, Any]]:
    """Read from a SQLite file."""
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in connection.execute(query)]
    finally:
        connection.close()


async def postgres_rows(url: str, query: str) -> list[dict[str, Any]]:
    """Read from a PostgreSQL database."""
    connection = await asyncpg.connect(url)
    try:
        return [dict(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


def run_apart(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine in a loop and thread of its own: fixtures of a session have no loop."""

    def run() -> None:
        # Not asyncio.run: Chainlit's nest_asyncio replaces it by one for the main thread.
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(work)
        finally:
            loop.close()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(run).result()


def copy_database(template: Path, path: Path) -> None:
    """Copy a closed SQLite database."""
    shutil.copyfile(template, path)
