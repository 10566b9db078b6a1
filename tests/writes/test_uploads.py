"""Elements whose bytes take their time, are sent again, or are given up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from chainlit_sqla import BlobSource, LocalStorage, SQLADataLayer, migrations
from chainlit_sqla.database import Database
from chainlit_sqla.errors import BlobNotFound, NotTheAuthor, StorageError, StorageUnavailable
from chainlit_sqla.uploads import Uploads
from chainlit_sqla.writes.ops import DeleteThread, SaveStep, SaveThread, SaveUser
from chainlit_sqla.writes.pipeline import Pipeline
from tests.until import until


class Gated:
    """A local folder that waits, with the blobs that a test names, until it is let go."""

    def __init__(self, folder: Path) -> None:
        self.inner = LocalStorage(folder)
        self.folder = folder
        self.gates: dict[str, asyncio.Event] = {}
        self.arrived: dict[str, asyncio.Event] = {}
        self.broken = False
        self.away = 0
        """How many of the next uploads meet a store that is away."""
        self.answers = True
        """Whether it was away from the beginning, or only before it answered."""
        self.undeletable = 0

    def hold(self, name: str) -> None:
        self.gates[name] = asyncio.Event()
        self.arrived[name] = asyncio.Event()

    async def put(self, key: str, source: BlobSource, *, mime: str, name: str = "") -> int:
        if self.broken:
            raise StorageError("the store is broken; repair it")
        if self.away:
            self.away -= 1
            if not self.answers:
                await self.inner.put(key, source, mime=mime, name=name)
            raise StorageUnavailable("the store is away; start it")
        size = await self.inner.put(key, source, mime=mime, name=name)
        if name in self.gates:
            self.arrived[name].set()
            await self.gates[name].wait()
        return size

    async def read_urls(self, keys: Sequence[str]) -> Mapping[str, str]:
        return await self.inner.read_urls(keys)

    def open(self, key: str) -> AsyncIterator[bytes]:
        return self.inner.open(key)

    async def delete(self, keys: Sequence[str]) -> None:
        if self.undeletable:
            self.undeletable -= 1
            raise StorageUnavailable("the store is away; start it")
        await self.inner.delete(keys)

    async def check(self) -> str:
        return await self.inner.check()

    async def close(self) -> None:
        await self.inner.close()

    def blobs(self) -> int:
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        return len([path for path in files if path.suffix != ".json" and path.name[0] != "."])


@pytest.fixture
async def layer(tmp_path: Path) -> AsyncIterator[SQLADataLayer]:
    database = Database(f"sqlite:///{tmp_path / 'chats.db'}")
    await migrations.upgrade(database)
    made = SQLADataLayer(database, storage=Gated(tmp_path / "files"))
    yield made
    await made.close()


@pytest.fixture
def store(layer: SQLADataLayer) -> Gated:
    assert isinstance(layer.storage, Gated)
    return layer.storage


@pytest.fixture
def uploads(layer: SQLADataLayer) -> Uploads:
    return layer._uploads


def element(id: str, **changes: Any) -> dict[str, Any]:
    return {"id": id, "threadId": "t", "type": "file", "name": id, "forId": "s"} | changes


def content(text: str) -> BlobSource:
    return BlobSource(data=text.encode())


async def read(layer: SQLADataLayer) -> list[dict[str, Any]]:
    thread = await layer.get_thread("t")
    return [dict(found) for found in (thread["elements"] or [])] if thread else []


async def stored(layer: SQLADataLayer, key: str) -> str:
    return b"".join([chunk async for chunk in layer.storage.open(key)]).decode()


async def test_elements_keep_the_order_in_which_they_were_sent(
    layer: SQLADataLayer, store: Gated, uploads: Uploads
) -> None:
    store.hold("large")
    large = asyncio.create_task(uploads.save(element("large"), content("…")))
    await store.arrived["large"].wait()
    await uploads.save(element("small"), content("."))
    await uploads.save(element("link", url="https://example.org/"), None)
    store.gates["large"].set()
    await large
    assert [found["id"] for found in await read(layer)] == ["large", "small", "link"]


async def test_the_version_sent_last_stays(
    layer: SQLADataLayer, store: Gated, uploads: Uploads
) -> None:
    store.hold("first")
    first = asyncio.create_task(uploads.save(element("e", name="first"), content("1")))
    await store.arrived["first"].wait()
    second = asyncio.create_task(uploads.save(element("e", name="second"), content("2")))
    store.gates["first"].set()
    await asyncio.gather(first, second)
    [found] = await read(layer)
    assert found["name"] == "second"
    assert await stored(layer, found["objectKey"]) == "2"


async def test_a_reader_waits_for_what_is_on_its_way(
    layer: SQLADataLayer, store: Gated, uploads: Uploads
) -> None:
    await layer.create_step({"id": "s", "threadId": "t", "type": "tool"})
    store.hold("e")
    upload = asyncio.create_task(uploads.save(element("e"), content("")))
    await store.arrived["e"].wait()
    reading = asyncio.create_task(read(layer))
    await asyncio.sleep(0)
    store.gates["e"].set()
    assert [found["id"] for found in await reading] == ["e"]
    await upload


async def test_a_deletion_wins_over_an_upload(
    layer: SQLADataLayer, store: Gated, uploads: Uploads
) -> None:
    await layer.create_step({"id": "s", "threadId": "t", "type": "tool"})
    store.hold("e")
    upload = asyncio.create_task(uploads.save(element("e"), content("secret")))
    await store.arrived["e"].wait()
    await layer.delete_element("e", "t")
    store.gates["e"].set()
    await upload
    assert (await read(layer), store.blobs()) == ([], 0)


async def test_a_thread_deleted_during_an_upload_keeps_no_blob(
    layer: SQLADataLayer, store: Gated, uploads: Uploads
) -> None:
    await layer.create_step({"id": "s", "threadId": "t", "type": "tool"})
    store.hold("e")
    upload = asyncio.create_task(uploads.save(element("e"), content("secret")))
    await store.arrived["e"].wait()
    await layer.pipeline.submit(DeleteThread("t"))
    store.gates["e"].set()
    await upload
    await layer._outbox.close()
    assert (await layer.get_thread("t"), store.blobs()) == (None, 0)


async def test_a_cancelled_upload_leaves_nothing(
    layer: SQLADataLayer, store: Gated, uploads: Uploads
) -> None:
    await layer.create_step({"id": "s", "threadId": "t", "type": "tool"})
    store.hold("e")
    upload = asyncio.create_task(uploads.save(element("e"), content("secret")))
    await store.arrived["e"].wait()
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    assert (await read(layer), store.blobs()) == ([], 0)


async def test_a_failed_upload_leaves_no_row_and_the_step_unharmed(
    layer: SQLADataLayer, store: Gated, uploads: Uploads, caplog: pytest.LogCaptureFixture
) -> None:
    await layer.create_step({"id": "s", "threadId": "t", "type": "tool", "output": "kept"})
    store.broken = True
    with pytest.raises(StorageError, match="repair it"):
        await uploads.save(element("e"), content("x"))
    assert "Not stored: element e" in caplog.text
    thread = await layer.get_thread("t")
    assert thread is not None
    assert [step["output"] for step in thread["steps"]] == ["kept"]
    assert thread["elements"] == []


@pytest.mark.parametrize("id", ["e", "another"])
async def test_an_element_that_is_sent_again_keeps_its_bytes(
    layer: SQLADataLayer, store: Gated, uploads: Uploads, id: str
) -> None:
    """What ``Element.from_dict(thread["elements"][0]).send()`` gives after a resume."""
    await uploads.save(element("e"), content("bytes"))
    [before] = await read(layer)
    await uploads.save({**before, "id": id}, None)
    await layer.delete_element("e", "t") if id != "e" else None
    await layer._outbox.close()
    [found] = await read(layer)
    assert found["id"] == id
    assert await stored(layer, found["objectKey"]) == "bytes"
    with pytest.raises(BlobNotFound):
        await stored(layer, before["objectKey"])
    assert store.blobs() == 1


async def test_a_session_cannot_go_on_in_a_thread_that_became_somebody_elses(
    layer: SQLADataLayer,
) -> None:
    pipeline: Pipeline = layer.pipeline
    for name in ("ann", "bob"):
        await pipeline.submit(SaveUser(name, {"id": name, "metadata": {}}))
    await pipeline.submit(SaveThread("t", {"userId": "ann"}, actor="ann"))
    for op in (
        SaveThread("t", {"userId": "bob"}, actor="bob"),
        SaveStep("t", "s", {"output": "mine now"}, actor="bob"),
    ):
        with pytest.raises(NotTheAuthor, match="'bob' is not the author of thread t"):
            await pipeline.submit(op)
    results = await asyncio.gather(
        pipeline.submit(SaveStep("t", "s", {"output": "bob's"}, actor="bob")),
        pipeline.submit(SaveStep("t", "s", {"name": "ann's"}, actor="ann")),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [NotTheAuthor, type(None)]
    thread = await layer.get_thread("t")
    assert thread is not None
    assert thread["userIdentifier"] == "ann"
    [step] = thread["steps"]
    assert (step["name"], step["output"]) == ("ann's", "")


async def test_an_upload_waits_for_a_store_that_is_away(
    layer: SQLADataLayer, store: Gated, uploads: Uploads, caplog: pytest.LogCaptureFixture
) -> None:
    store.away = 2
    await uploads.save(element("e"), content("kept"))
    [found] = await read(layer)
    assert await stored(layer, found["objectKey"]) == "kept"
    assert caplog.text.count("Tried again in") == 2


async def test_an_upload_gives_up_when_the_store_stays_away(
    layer: SQLADataLayer, store: Gated
) -> None:
    uploads = Uploads(layer.pipeline, store, layer._outbox, retry_seconds=0.0)
    await layer.create_step({"id": "s", "threadId": "t", "type": "tool", "output": "unharmed"})
    store.away = 1
    with pytest.raises(StorageUnavailable, match="the store is away"):
        await uploads.save(element("e"), content("lost"))
    thread = await layer.get_thread("t")
    assert thread is not None
    assert not thread["elements"]
    assert thread["steps"][0]["output"] == "unharmed"


async def test_what_a_store_that_is_away_may_have_stored_is_deleted_later(
    layer: SQLADataLayer, store: Gated
) -> None:
    uploads = Uploads(layer.pipeline, store, layer._outbox, retry_seconds=0.0)
    store.away, store.answers = 1, False  # It stores the blob, and only its answer is lost.
    store.undeletable = 1
    with pytest.raises(StorageUnavailable):
        await uploads.save(element("e"), content("stray"))
    assert store.blobs() == 1
    await until(lambda: store.blobs() == 0)


async def test_a_deletion_ends_the_wait_for_a_store_that_is_away(
    layer: SQLADataLayer, store: Gated, uploads: Uploads
) -> None:
    store.away = 1_000
    upload = asyncio.create_task(uploads.save(element("e"), content("")))
    await until(lambda: store.away < 1_000)
    await layer.delete_element("e", "t")
    with pytest.raises(StorageUnavailable):
        await upload
    assert await read(layer) == []


@pytest.mark.parametrize("deletion", ["element", "step", "thread"])
async def test_a_deletion_by_another_process_wins_over_an_upload(
    layer: SQLADataLayer, store: Gated, uploads: Uploads, tmp_path: Path, deletion: str
) -> None:
    await layer.create_step({"id": "s", "threadId": "t", "type": "tool"})
    store.hold("e")
    upload = asyncio.create_task(uploads.save(element("e"), content("secret")))
    await store.arrived["e"].wait()
    other = SQLADataLayer(f"sqlite:///{tmp_path / 'chats.db'}", storage=Gated(tmp_path / "files"))
    match deletion:
        case "element":
            await other.delete_element("e", "t")
        case "step":
            await other.delete_step("s")
        case "thread":
            await other.delete_thread("t")
    await other.close()
    store.gates["e"].set()
    await upload
    assert await read(layer) == []
    await until(lambda: store.blobs() == 0)


async def test_an_element_sent_again_after_its_deletion_is_there(
    layer: SQLADataLayer, uploads: Uploads
) -> None:
    for _ in range(2):
        await uploads.save(element("e"), content("again"))
        again = asyncio.gather(
            layer.delete_element("e", "t"), uploads.save(element("e"), content("last"))
        )
        await again
    [found] = await read(layer)
    assert await stored(layer, found["objectKey"]) == "last"
