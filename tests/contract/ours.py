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
from tests.contract.backends import Backend
from tests.servers.server import run_apart


def create_tables(url: str) -> str:

    async def create() -> None:
        database = Database(url)
        try:
            await upgrade(database)
        finally:
            await database.close()

    run_apart(create())
    return url


class Ours(Backend):
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
