"""Elements whose bytes take their time, or are sent again."""

from __future__ import annotations

import asyncio

import pytest

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.errors import BlobNotFound, NotTheAuthor, StorageError
from chainlit_sqla.storage.uploads import Uploads
from chainlit_sqla.writes.operations import DeleteThread, SaveStep, SaveThread, SaveUser
from chainlit_sqla.writes.queue import WriteQueue
from tests.writes.gated import Gated, content, element, read, stored


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
    await layer.write_queue.submit(DeleteThread("t"))
    store.gates["e"].set()
    await upload
    await layer._deletion_queue.close()
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
    await layer._deletion_queue.close()
    [found] = await read(layer)
    assert found["id"] == id
    assert await stored(layer, found["objectKey"]) == "bytes"
    with pytest.raises(BlobNotFound):
        await stored(layer, before["objectKey"])
    assert store.blobs() == 1


async def test_a_session_cannot_go_on_in_a_thread_that_became_somebody_elses(
    layer: SQLADataLayer,
) -> None:
    pipeline: WriteQueue = layer.write_queue
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
