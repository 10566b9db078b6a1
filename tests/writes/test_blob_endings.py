"""What is left of attachments when a process is killed in the middle of its work on them."""

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


class InFolder:
    """A local folder; the process that is killed stands still by itself."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.about = {"folder": str(folder)}

    def open(self) -> Inventory:
        return LocalStorage(self.folder)

    def held(self, doing: str) -> tuple[set[str], None]:
        """What the process says when it stands still; see `blob_child.Stuck`."""
        return {"halfway"} if doing == "upload" else {"done", "deleting"}, None

    def left(self) -> list[str]:
        """All files but the two that belong to the folder itself."""
        found = [path.name for path in self.folder.rglob("*") if path.is_file()]
        return sorted(name for name in found if name not in {".gitignore", ".secret"})


class InBucket:
    """A bucket of a server that goes on when the process is killed, behind a front."""

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
        """What the process says before it stands still, and the request that stands still."""
        if doing == "upload":
            return set(), self.front.hold("partNumber=2")
        return {"done"}, self.front.hold(DELETIONS)

    def left(self) -> list[str]:
        """The keys of all objects, and of uploads that were begun and not ended."""
        objects = self.boto.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        begun = self.boto.list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])
        return [item["Key"] for item in objects + begun]


@dataclass
class Place:
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
        """Wait until nothing waits to be deleted, and so many blobs are left."""
        async with asyncio.timeout(PATIENCE):
            while await self.count(blob_deletions) or blobs(self.store.left()) != left:
                await asyncio.sleep(0.02)


def blobs(names: list[str]) -> int:
    return len([name for name in names if not name.endswith(".json")])


@pytest.fixture
def bucket() -> Iterator[InBucket]:
    if why := s3_moto.missing():
        unavailable(f"S3 by moto: {why}", "pip install 'moto[server]'")
    server = s3_moto.MotoServer()
    with Front(server.endpoint) as front:
        yield InBucket(server, front)
    server.stop()


@pytest.fixture(params=["sqlite and a folder", "postgresql and a bucket"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    server: PostgresServer | None = None
    if request.param == "sqlite and a folder":
        made = Place(f"sqlite:///{tmp_path / 'chats.db'}", InFolder(tmp_path / "files"))
    else:
        server = request.getfixturevalue("postgres")
        made = Place(server.create_database(), request.getfixturevalue("bucket"))
    database = Database(made.url)
    await migrations.upgrade(database)
    await database.close()
    yield made
    for layer in made.layers:
        await layer.close()
    if server:
        server.drop_database(made.url)


@contextmanager
def killed(place: Place, doing: str, files: int = 0) -> Iterator[None]:
    """Run `blob_child` until it stands still; look at what is there; then kill it."""
    about = {"do": doing, "files": files, "database": place.url, "storage": place.store.about}
    command = [sys.executable, "-m", "tests.writes.blob_child", json.dumps(about)]
    words, request = place.store.held(doing)
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


async def test_what_a_killed_process_had_still_to_delete_is_deleted_at_the_next_start(
    place: Place,
) -> None:
    with killed(place, "delete", FILES):
        for table in (threads, steps, elements):
            assert await place.count(table) == 0
        assert await place.count(blob_deletions) == FILES
        assert blobs(place.store.left()) in (FILES - 1, FILES)
    layer = place.restart()
    assert await layer.get_thread("t") is None  # No deletion: any first use will do.
    await place.until_cleared()
    assert place.store.left() == []


async def test_the_old_bytes_of_a_replaced_file_are_deleted_at_the_next_start(
    place: Place,
) -> None:
    with killed(place, "replace", 1):
        assert await place.count(elements) == 1
        assert await place.count(blob_deletions) == 1
    layer = place.restart()
    thread = await layer.get_thread("t")
    assert thread
    [found] = thread["elements"] or []
    await place.until_cleared(left=1)
    chunks = [chunk async for chunk in layer.storage.open(str(found["objectKey"]))]
    assert b"".join(chunks) == b"new"


async def test_a_process_killed_during_an_upload_leaves_only_what_can_be_cleared(
    place: Place,
) -> None:
    with killed(place, "upload"):
        assert await place.count(elements) == 0
    layer = place.restart()
    thread = await layer.get_thread("t")
    assert thread
    assert ([step["output"] for step in thread["steps"]], thread["elements"]) == (["kept"], [])
    storage = layer.storage
    assert isinstance(storage, Inventory)
    assert [blob async for blob in storage.list_blobs()] == []
    assert len(place.store.left()) == 1
    soon = datetime.now(UTC) + timedelta(hours=1)
    counts = [
        await storage.clear_unfinished(soon, is_ours=is_own_key, remove=remove)
        for remove in (False, True, True)
    ]
    assert counts == [1, 1, 0]
    assert place.store.left() == []


@pytest.mark.parametrize("deletion", ["element", "step", "thread"])
@pytest.mark.parametrize("place", ["postgresql and a bucket"], indirect=True)
async def test_a_deletion_in_another_process_wins_over_an_upload_to_a_bucket(
    place: Place, deletion: str
) -> None:
    uploading, deleting = place.restart(), place.restart()
    await uploading.create_step({"id": "s", "threadId": "t", "type": "tool"})
    request = place.store.front.hold("PUT /")
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
    place.store.front.calm()
    await upload
    assert await place.count(elements) == 0
    await place.until_cleared()
