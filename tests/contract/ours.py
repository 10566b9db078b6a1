"""The layer under test on each database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
from chainlit.data.base import BaseDataLayer
from starlette.applications import Starlette

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.database import Database
from chainlit_sqla.database.migrator import upgrade
from chainlit_sqla.storage.local.client import LocalStorage
from chainlit_sqla.storage.local.route import file_route
from tests.contract.backends import (
    Backend,
    Databases,
    Server,
    copy_database,
    postgres_rows,
    sqlite_rows,
)
from tests.servers import mysql
from tests.servers.server import run_apart


async def _upgrade(url: str) -> None:
    database = Database(url)
    try:
        await upgrade(database)
    finally:
        await database.close()


class Ours(Backend):
    url: str

    def storage(self) -> LocalStorage:
        """The files of this test; a secret of their own, so that URLs outlive a restart."""
        return LocalStorage(self.folder / self.blob_folder, secret="a secret for tests")

    def make(self) -> BaseDataLayer:
        return SQLADataLayer(self.url, storage=self.storage())

    async def fetch(self, url: str) -> bytes:
        app = Starlette(routes=[file_route(self.storage())])
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            answer = await client.get(url)
            answer.raise_for_status()
            return answer.content

    def blobs(self) -> set[Path]:
        return {path for path in super().blobs() if path.suffix != ".json"}

    async def close(self) -> None:
        for layer in self.layers:
            pool: Any = layer.database.engine.sync_engine.pool
            await layer.close()
            if hasattr(pool, "checkedout"):
                assert pool.checkedout() == 0, "a connection was left checked out"


class OurSqlite(Ours):
    def __init__(self, folder: Path, template: Path | None) -> None:
        super().__init__(folder)
        self.path = folder / "chats.db"
        self.url = f"sqlite:///{self.path}"
        if template:
            copy_database(template, self.path)

    @staticmethod
    def make_template(folder: Path) -> Path:
        path = folder / "template.db"
        run_apart(_upgrade(f"sqlite:///{path}"))
        return path

    async def rows(self, query: str) -> list[dict[str, Any]]:
        return await sqlite_rows(self.path, query)


class OnServer(Ours):
    def __init__(self, folder: Path, databases: Databases) -> None:
        super().__init__(folder)
        self.databases = databases
        self.url = databases.take()

    def drop(self) -> None:
        self.databases.give_back(self.url)


class OurPostgres(OnServer):
    async def rows(self, query: str) -> list[dict[str, Any]]:
        return await postgres_rows(self.url, query)


class OurMySQL(OnServer):
    async def rows(self, query: str) -> list[dict[str, Any]]:
        return await mysql.rows(self.url, query.replace("%", "%%"))


def create_on(server: Server | mysql.MySQLServer) -> str:
    url = server.create_database()
    run_apart(_upgrade(url))
    return url
