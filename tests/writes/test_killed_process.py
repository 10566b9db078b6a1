"""Attachments after a process was killed while it worked on them."""

from __future__ import annotations

import asyncio
import json
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from chainlit.element import File
from sqlalchemy import Table, func, select

from chainlit_sqla import LocalStorage, SQLADataLayer
from chainlit_sqla.database import Database
from chainlit_sqla.database import migrator as migrations
from chainlit_sqla.models import blob_deletions, elements, steps, threads
from chainlit_sqla.storage.base import Inventory
from chainlit_sqla.storage.keys import is_own_key
from chainlit_sqla.storage.s3.client import S3Storage
from tests.servers import s3_moto
from tests.servers.postgres import PostgresServer
from tests.servers.require import unavailable
from tests.servers.s3_faults import ErrorKind, Front
from tests.until import PATIENCE

ROOT = Path(__file__).parents[2]
FILES = 5
DELETIONS = r"POST /\S*\?delete|DELETE /"


class FolderStore:
    """A local folder; the killed process stops by itself."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.about = {"folder": str(folder)}

    def open(self) -> Inventory:
        return LocalStorage(self.folder)

    def held(self, doing: str) -> tuple[set[str], None]:
        """What the process prints when it stops; see `killed_process.Stuck`."""
        return {"halfway"} if doing == "upload" else {"done", "deleting"}, None

    def left(self) -> list[str]:
        """All files but the two of the folder itself."""
        names = [path.name for path in self.folder.rglob("*") if path.is_file()]
        return sorted(name for name in names if name not in {".gitignore", ".secret"})


class BucketStore:
    """A bucket behind a proxy that holds requests; its server survives the process."""

    def __init__(self, server: s3_moto.MotoServer, front: Front) -> None:
        self.front = front
        self.bucket = f"bucket-{secrets.token_hex(6)}"
        keys = {"access_key": server.access_key, "secret_key": server.secret_key}
        self.about = {"bucket": self.bucket, "region": server.region, **keys}
        self.about |= {"endpoint": front.endpoint}
        self.boto = boto3.client(
            "s3",
            endpoint_url=server.endpoint,
            region_name=server.region,
            aws_access_key_id=server.access_key,
            aws_secret_access_key=server.secret_key,
        )
        self.boto.create_bucket(Bucket=self.bucket)

    def open(self) -> Inventory:
        self.front.calm()
        return S3Storage(**self.about)

    def held(self, doing: str) -> tuple[set[str], ErrorKind]:
        """What the process prints before it stops, and the request that is held."""
        if doing == "upload":
            return set(), self.front.hold("partNumber=2")
        return {"done"}, self.front.hold(DELETIONS)

    def left(self) -> list[str]:
        """The keys of all objects and of unfinished uploads."""
        objects = self.boto.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        begun = self.boto.list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])
        return [item["Key"] for item in objects + begun]


@dataclass
class Deployment:
    """A database and a store, and the layers that were opened on them."""

    url: str
    store: Any
    layers: list[SQLADataLayer] = field(default_factory=list)

    def restart(self) -> SQLADataLayer:
        """Open a layer as a new process would."""
        layer = SQLADataLayer(self.url, storage=self.store.open())
        self.layers.append(layer)
        return layer

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
            while await self.count(blob_deletions) or blobs(self.store.left()) != left:
                await asyncio.sleep(0.02)


def blobs(names: list[str]) -> int:
    return len([name for name in names if not name.endswith(".json")])


@pytest.fixture
def bucket() -> Iterator[BucketStore]:
    if why := s3_moto.missing():
        unavailable(f"S3 by moto: {why}", "pip install 'moto[server]'")
    server = s3_moto.MotoServer()
    with Front(server.endpoint) as front:
        yield BucketStore(server, front)
    server.stop()


@pytest.fixture(params=["sqlite and a folder", "postgresql and a bucket"])
async def deployment(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Deployment]:
    server: PostgresServer | None = None
    if request.param == "sqlite and a folder":
        made = Deployment(f"sqlite:///{tmp_path / 'chats.db'}", FolderStore(tmp_path / "files"))
    else:
        server = request.getfixturevalue("postgres")
        made = Deployment(server.create_database(), request.getfixturevalue("bucket"))
    database = Database(made.url)
    await migrations.upgrade(database)
    await database.close()
    yield made
    for layer in made.layers:
        await layer.close()
    if server:
        server.drop_database(made.url)


@contextmanager
def killed(deployment: Deployment, doing: str, files: int = 0) -> Iterator[None]:
    """Run `killed_process` until it stops, run the block, then kill it."""
    about = {
        "do": doing,
        "files": files,
        "database": deployment.url,
        "storage": deployment.store.about,
    }
    command = [sys.executable, "-m", "tests.writes.killed_process", json.dumps(about)]
    words, request = deployment.store.held(doing)
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as child:
        try:
            assert child.stdout
            while words:
                line = child.stdout.readline()
                assert line, "the process ended by itself"
                words.discard(line.strip())
            assert request is None or request.met.wait(PATIENCE)
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
        assert blobs(deployment.store.left()) in (FILES - 1, FILES)
    layer = deployment.restart()
    assert await layer.get_thread("t") is None  # No deletion: any first use will do.
    await deployment.until_cleared()
    assert deployment.store.left() == []


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
    assert len(deployment.store.left()) == 1
    soon = datetime.now(UTC) + timedelta(hours=1)
    counts = [
        await storage.clear_unfinished(soon, is_ours=is_own_key, remove=remove)
        for remove in (False, True, True)
    ]
    assert counts == [1, 1, 0]
    assert deployment.store.left() == []


@pytest.mark.parametrize("deletion", ["element", "step", "thread"])
@pytest.mark.parametrize("deployment", ["postgresql and a bucket"], indirect=True)
async def test_a_deletion_in_another_process_wins_over_an_upload_to_a_bucket(
    deployment: Deployment, deletion: str
) -> None:
    uploading, deleting = deployment.restart(), deployment.restart()
    await uploading.create_step({"id": "s", "threadId": "t", "type": "tool"})
    request = deployment.store.front.hold("PUT /")
    file = File(id="e", thread_id="t", for_id="s", name="e", content=b"secret")
    upload = asyncio.create_task(uploading.create_element(file))
    assert await asyncio.to_thread(request.met.wait, PATIENCE)
    match deletion:
        case "element":
            await deleting.delete_element("e", "t")
        case "step":
            await deleting.delete_step("s")
        case "thread":
            await deleting.delete_thread("t")
    deployment.store.front.calm()
    await upload
    assert await deployment.count(elements) == 0
    await deployment.until_cleared()
