"""Chainlit's own layers, with a storage client that keeps blobs in a folder."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import asyncpg
from chainlit.data.base import BaseDataLayer
from chainlit.data.chainlit_data_layer import ChainlitDataLayer
from chainlit.data.sql_alchemy import SQLAlchemyDataLayer
from chainlit.data.storage_clients.base import BaseStorageClient

from tests.contract.backends import Backend, Databases, Server
from tests.servers.server import run_apart


class FolderClient(BaseStorageClient):
    """Chainlit's storage interface over a folder; URLs are ``folder://files/key``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    async def upload_file(
        self,
        object_key: str,
        data: bytes | str,
        mime: str = "application/octet-stream",
        overwrite: bool = True,
        content_disposition: str | None = None,
    ) -> dict[str, Any]:
        self.root.mkdir(exist_ok=True)
        self.path(object_key).write_bytes(data.encode() if isinstance(data, str) else data)
        return {"object_key": object_key, "url": await self.get_read_url(object_key)}

    async def delete_file(self, object_key: str) -> bool:
        self.path(object_key).unlink(missing_ok=True)
        return True

    async def get_read_url(self, object_key: str) -> str:
        return f"folder://files/{quote(object_key, safe='')}"

    async def close(self) -> None:
        pass

    def path(self, object_key: str) -> Path:
        """The file of a key; keys may be longer than file names."""
        return self.root / hashlib.sha256(object_key.encode()).hexdigest()


class Official(Backend):
    patience = 0.1

    def storage(self) -> FolderClient:
        return FolderClient(self.folder / self.blob_folder)

    async def fetch(self, url: str) -> bytes:
        key = unquote(urlsplit(url).path.removeprefix("/"))
        return self.storage().path(key).read_bytes()


class OnSqlAlchemy(Official):
    def make(self) -> BaseDataLayer:
        url = self.url.replace("sqlite:", "sqlite+aiosqlite:")
        url = url.replace("postgresql:", "postgresql+asyncpg:")
        return SQLAlchemyDataLayer(url, storage_provider=self.storage())


class OnAsyncpg(Official):
    def make(self) -> BaseDataLayer:
        return ChainlitDataLayer(self.url, storage_client=self.storage())


def sqlite_template(folder: Path, statements: Iterable[str]) -> Path:
    path = folder / "template.db"
    connection = sqlite3.connect(path)
    connection.executescript(";".join(statements))
    connection.close()
    return path


def postgres_databases(server: Server, statements: Iterable[str]) -> Databases:
    url = server.create_database()

    async def run() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute(";".join(statements))
        await connection.close()

    run_apart(run())
    return Databases.on_postgres(server, url)
