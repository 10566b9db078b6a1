"""Uploads that are given up, deleted meanwhile, or not what they say."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from chainlit.element import File

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.errors import StorageUnavailable
from chainlit_sqla.integration.deserialize import element_operation
from chainlit_sqla.settings import Settings
from chainlit_sqla.storage import uploads as module
from chainlit_sqla.storage.uploads import Uploads
from chainlit_sqla.writes.operations import SaveThread, SaveUser
from tests.until import PATIENCE, until
from tests.writes.gated import Gated, content, element, read, stored


async def test_an_upload_waits_for_a_store_that_is_away(
    layer: SQLADataLayer, store: Gated, uploads: Uploads, caplog: pytest.LogCaptureFixture
) -> None:
    store.away = 2
    await uploads.save(element("e"), content("kept"))
    [found] = await read(layer)
    assert await stored(layer, found["objectKey"]) == "kept"
    assert caplog.text.count("Retrying in") == 2


async def test_an_upload_gives_up_when_the_store_stays_away(
    layer: SQLADataLayer, store: Gated
) -> None:
    uploads = Uploads(
        layer.write_queue,
        store,
        layer._deletion_queue,
        layer._read,
        element_operation,
        retry_seconds=0.0,
    )
    await layer.create_step({"id": "s", "threadId": "t", "type": "tool", "output": "unharmed"})
    store.away = 1
    with pytest.raises(StorageUnavailable, match="the store is away"):
        await uploads.save(element("e"), content("lost"))
    thread = await layer.get_thread("t")
    assert thread is not None
    assert not thread["elements"]
    assert thread["steps"][0]["output"] == "unharmed"


async def test_what_a_store_that_is_away_may_have_stored_is_deleted_later(
    layer: SQLADataLayer, store: Gated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LATE_ARRIVAL", timedelta(seconds=0.2))
    uploads = Uploads(
        layer.write_queue,
        store,
        layer._deletion_queue,
        layer._read,
        element_operation,
        retry_seconds=0.0,
    )
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


async def test_what_the_store_finishes_after_its_deletion_is_deleted_too(
    layer: SQLADataLayer, store: Gated, uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LATE_ARRIVAL", timedelta(seconds=0.5))
    store.hold("e")
    store.stubborn = True
    upload = asyncio.create_task(uploads.save(element("e"), content("secret")))
    await store.arrived["e"].wait()
    upload.cancel()
    await asyncio.wait([upload])
    await until(lambda: store.stored_late)
    await until(lambda: store.blobs() == 0)
    assert await read(layer) == []


async def test_closing_gives_up_an_upload_that_does_not_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Gated(tmp_path / "files")
    settings = Settings.load(close_seconds=0.1)
    layer = SQLADataLayer(f"sqlite:///{tmp_path / 'chats.db'}", storage=store, settings=settings)
    await layer.create_step({"id": "s", "threadId": "t", "type": "tool"})
    store.hold("e")
    upload = asyncio.create_task(layer._uploads.save(element("e"), content("stuck")))
    await store.arrived["e"].wait()
    async with asyncio.timeout(PATIENCE):
        await layer.close()
    assert upload.cancelled()
    assert "Not stored: element e: the layer was closed before its upload ended" in caplog.text
    assert store.blobs() == 0


async def test_a_key_that_a_client_chose_is_not_copied(
    layer: SQLADataLayer, store: Gated, uploads: Uploads
) -> None:
    """Before 2.9.4 Chainlit hands on what ``PUT /project/element`` says."""
    for name in ("ann", "bob"):
        await layer.write_queue.submit(SaveUser(name, {"id": name, "metadata": {}}))
        await layer.write_queue.submit(SaveThread(f"of {name}", {"userId": name}))
    await uploads.save(element("e", threadId="of ann"), content("ann's"))
    thread = await layer.get_thread("of ann")
    assert thread
    [anns] = thread["elements"] or []
    await store.inner.put("backups/users.sql", content("of others"), mime="text/plain")
    for stolen in (
        element("1", threadId="of bob", objectKey=anns["objectKey"]),
        element("e", threadId="of bob", objectKey=anns["objectKey"]),
        element("2", threadId="of bob", objectKey="backups/users.sql"),
        element("3", threadId="of bob", type="custom", objectKey=anns["objectKey"]),
    ):
        await uploads.save(stolen, None, "bob")
    thread = await layer.get_thread("of bob")
    assert thread
    assert [found["objectKey"] for found in thread["elements"] or []] == [None] * 4
    await uploads.save({**anns, "threadId": "of ann", "id": "again"}, None, "ann")
    thread = await layer.get_thread("of ann")
    assert thread
    assert all(found["objectKey"] for found in thread["elements"] or [])


async def test_a_deletion_wins_where_the_thread_comes_back_during_the_upload(
    layer: SQLADataLayer, store: Gated, uploads: Uploads
) -> None:
    """As in Slack, Teams and Discord, where a channel goes on in the thread it had."""
    await layer.write_queue.submit(SaveUser("ann", {"id": "ann", "metadata": {}}))
    await layer.write_queue.submit(SaveThread("t", {"userId": "ann"}))
    store.hold("e")
    upload = asyncio.create_task(uploads.save(element("e"), content("secret")))
    await store.arrived["e"].wait()
    await layer.delete_thread("t")
    await layer.update_thread("t", user_id="ann")
    store.gates["e"].set()
    await upload
    await uploads.save(element("new"), content("after"))
    assert [found["id"] for found in await read(layer)] == ["new"]
    await until(lambda: store.blobs() == 1)


async def test_an_upload_cancelled_while_the_queue_is_full_leaves_no_blob(
    layer: SQLADataLayer, store: Gated, uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = asyncio.Event()

    async def enqueue(op: Any) -> Any:
        full.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(layer.write_queue, "enqueue", enqueue)
    upload = asyncio.create_task(uploads.save(element("e"), content("secret")))
    await full.wait()
    upload.cancel()
    await asyncio.wait([upload])
    assert store.blobs() == 0


async def test_many_files_at_once_need_few_open_files(
    layer: SQLADataLayer, store: Gated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_OPEN_FILES", 10)
    path = tmp_path / "file"
    path.write_bytes(b"x")
    names = [f"e{number}" for number in range(100)]
    for name in names[:40]:
        store.hold(name)
    before = len(list(Path("/proc/self/fd").iterdir()))
    sending = [
        asyncio.create_task(
            layer.create_element(File(id=name, name=name, path=str(path), thread_id="t"))
        )
        for name in names
    ]
    await asyncio.gather(*(store.arrived[name].wait() for name in names[:20]))
    assert len(list(Path("/proc/self/fd").iterdir())) < before + 40
    for gate in store.gates.values():
        gate.set()
    await asyncio.gather(*sending)
    assert len(await read(layer)) == 100


async def test_a_client_with_an_error_of_its_own_hides_no_conversation(
    layer: SQLADataLayer, store: Gated, uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    await uploads.save(element("e"), content("x"))

    async def broken(keys: Sequence[str]) -> Mapping[str, str]:
        raise KeyError("of its own")

    monkeypatch.setattr(store, "read_urls", broken)
    assert [found["id"] for found in await read(layer)] == ["e"]
