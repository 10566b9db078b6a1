"""Attachments after a process was killed while it worked on them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, func, select

from chainlit_sqla import LocalStorage, SQLADataLayer
from chainlit_sqla.database import Database
from chainlit_sqla.database import migrator as migrations
from chainlit_sqla.models import blob_deletions, elements, steps, threads
from chainlit_sqla.storage.base import Inventory
from chainlit_sqla.storage.keys import is_own_key
from tests.until import PATIENCE

ROOT = Path(__file__).parents[2]
FILES = 5


@dataclass
class Deployment:
    """A database and a store, and the layers that were opened on them."""

    url: str
    folder: Path
    layers: list[SQLADataLayer] = field(default_factory=list)

    def restart(self) -> SQLADataLayer:
        layer = SQLADataLayer(self.url, storage=LocalStorage(self.folder))
        self.layers.append(layer)
        return layer

    def left(self) -> list[str]:
        names = [path.name for path in self.folder.rglob("*") if path.is_file()]
        return sorted(name for name in names if name not in {".gitignore", ".secret"})

    def blobs(self) -> int:
        return len([name for name in self.left() if not name.endswith(".json")])

    async def count(self, table: Table) -> int:
        database = Database(self.url)
        try:
            async with database.connect() as connection:
                return int(await connection.scalar(select(func.count()).select_from(table)) or 0)
        finally:
            await database.close()

    async def until_cleared(self, left: int = 0) -> None:
        """Wait until the deletion queue is empty and so many blobs are left."""
        async with asyncio.timeout(PATIENCE):
            while await self.count(blob_deletions) or self.blobs() != left:
                await asyncio.sleep(0.02)


@pytest.fixture
async def deployment(tmp_path: Path) -> AsyncIterator[Deployment]:
    made = Deployment(f"sqlite:///{tmp_path / 'chats.db'}", tmp_path / "files")
    database = Database(made.url)
    await migrations.upgrade(database)
    await database.close()
    yield made
    for layer in made.layers:
        await layer.close()


@contextmanager
def killed(deployment: Deployment, doing: str, files: int = 0) -> Iterator[None]:
    """Run `killed_process` until it stops, run the block, then kill it."""
    about = {
        "do": doing,
        "files": files,
        "database": deployment.url,
        "folder": str(deployment.folder),
    }
    command = [sys.executable, "-m", "tests.writes.killed_process", json.dumps(about)]
    # What it prints when it stops; see `killed_process.Stuck`.
    words = {"halfway"} if doing == "upload" else {"done", "deleting"}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as child:
        try:
            assert child.stdout
            while words:
                line = child.stdout.readline()
                assert line, "the process ended by itself"
                words.discard(line.strip())
            yield
        finally:
            child.kill()


async def test_queued_deletions_of_a_killed_process_run_at_the_next_start(
    deployment: Deployment,
) -> None:
    with killed(deployment, "delete", FILES):
        for table in (threads, steps, elements):
            assert await deployment.count(table) == 0
        assert await deployment.count(blob_deletions) == FILES
        assert deployment.blobs() in (FILES - 1, FILES)
    layer = deployment.restart()
    assert await layer.get_thread("t") is None  # No deletion: any first use will do.
    await deployment.until_cleared()
    assert deployment.left() == []


@pytest.mark.full
async def test_the_blob_of_a_replaced_file_is_deleted_at_the_next_start(
    deployment: Deployment,
) -> None:
    with killed(deployment, "replace", 1):
        assert await deployment.count(elements) == 1
        assert await deployment.count(blob_deletions) == 1
    layer = deployment.restart()
    thread = await layer.get_thread("t")
    assert thread
    [element] = thread["elements"] or []
    await deployment.until_cleared(left=1)
    chunks = [chunk async for chunk in layer.storage.open(str(element["objectKey"]))]
    assert b"".join(chunks) == b"new"


@pytest.mark.full
async def test_a_killed_upload_leaves_only_what_can_be_cleared(
    deployment: Deployment,
) -> None:
    with killed(deployment, "upload"):
        assert await deployment.count(elements) == 0
    layer = deployment.restart()
    thread = await layer.get_thread("t")
    assert thread
    assert ([step["output"] for step in thread["steps"]], thread["elements"]) == (["kept"], [])
    storage = layer.storage
    assert isinstance(storage, Inventory)
    assert [blob async for blob in storage.list_blobs()] == []
    assert len(deployment.left()) == 1
    soon = datetime.now(UTC) + timedelta(hours=1)
    counts = [
        await storage.clear_unfinished(soon, is_ours=is_own_key, remove=remove)
        for remove in (False, True, True)
    ]
    assert counts == [1, 1, 0]
    assert deployment.left() == []
