"""Elements whose bytes take their time, fail, or are deleted meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from chainlit.element import File

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.errors import (
    BlobNotFound,
    BlobRejected,
    ConfigurationError,
    StorageError,
    StorageUnavailable,
)
from chainlit_sqla.integration.from_chainlit import element_operation
from chainlit_sqla.settings import Settings
from chainlit_sqla.storage import uploads as module
from chainlit_sqla.storage.keys import UnusableKey
from chainlit_sqla.storage.uploads import Uploads
from chainlit_sqla.writes.operations import SaveThread, SaveUser
from tests.until import PATIENCE, until
from tests.writes.gated import Gated, content, element, read, stored

Start = Callable[..., Awaitable[asyncio.Task[None]]]


@pytest.fixture
def start(layer: SQLADataLayer, store: Gated, uploads: Uploads) -> Start:
    """Start an upload that waits in the store until its gate is opened."""

    async def start(name: str = "e", **changes: Any) -> asyncio.Task[None]:
        await layer.create_step({"id": "s", "threadId": "t", "type": "tool", "output": "kept"})
        store.hold(name)
        save = uploads.save(element(changes.pop("id", name), name=name, **changes), content(name))
        upload = asyncio.create_task(save)
        await store.arrived[name].wait()
        return upload

    return start


@pytest.fixture
def impatient(layer: SQLADataLayer, store: Gated) -> Uploads:
    write_queue, deletion_queue = layer.write_queue, layer._deletion_queue
    return Uploads(
        write_queue, store, deletion_queue, layer._read, element_operation, retry_seconds=0.0
    )


async def delete(layer: SQLADataLayer, kind: str) -> None:
    match kind:
        case "element":
            await layer.delete_element("e", "t")
        case "step":
            await layer.delete_step("s")
        case "thread":
            await layer.delete_thread("t")


# Order


async def test_elements_keep_the_order_in_which_they_were_sent(
    layer: SQLADataLayer, store: Gated, uploads: Uploads, start: Start
) -> None:
    large = await start("large")
    await uploads.save(element("small"), content("."))
    await uploads.save(element("link", url="https://example.org/"), None)
    store.gates["large"].set()
    await large
    assert [row["id"] for row in await read(layer)] == ["large", "small", "link"]


async def test_the_version_sent_last_stays(
    layer: SQLADataLayer, store: Gated, uploads: Uploads, start: Start
) -> None:
    first = await start("first", id="e")
    second = asyncio.create_task(uploads.save(element("e", name="second"), content("2")))
    store.gates["first"].set()
    await asyncio.gather(first, second)
    [row] = await read(layer)
    assert row["name"] == "second"
    assert await stored(layer, row["objectKey"]) == "2"


async def test_a_reader_waits_for_an_upload(
    layer: SQLADataLayer, store: Gated, start: Start
) -> None:
    upload = await start()
    reading = asyncio.create_task(read(layer))
    await asyncio.sleep(0)
    store.gates["e"].set()
    assert [row["id"] for row in await reading] == ["e"]
    await upload


# Deletion


@pytest.mark.parametrize("process", ["this process", "another process"])
@pytest.mark.parametrize("kind", ["element", "step", "thread"])
async def test_a_deletion_wins_over_an_upload(
    layer: SQLADataLayer, store: Gated, start: Start, tmp_path: Path, kind: str, process: str
) -> None:
    upload = await start()
    if process == "this process":
        await delete(layer, kind)
    else:
        files = Gated(tmp_path / "files")
        other = SQLADataLayer(f"sqlite:///{tmp_path / 'chats.db'}", storage=files)
        await delete(other, kind)
        await other.close()
    store.gates["e"].set()
    await upload
    assert await read(layer) == []
    await until(lambda: store.blobs() == 0)


async def test_a_deletion_wins_although_the_thread_is_restored_during_the_upload(
    layer: SQLADataLayer, store: Gated, uploads: Uploads, start: Start
) -> None:
    """As in Slack, Teams and Discord, where a channel goes on in the thread it had."""
    await layer.write_queue.submit(SaveUser("ann", {"id": "ann", "metadata": {}}))
    await layer.write_queue.submit(SaveThread("t", {"userId": "ann"}))
    upload = await start()
    await layer.delete_thread("t")
    await layer.update_thread("t", user_id="ann")
    store.gates["e"].set()
    await upload
    await uploads.save(element("new"), content("after"))
    assert [row["id"] for row in await read(layer)] == ["new"]
    await until(lambda: store.blobs() == 1)


async def test_an_element_sent_again_after_its_deletion_is_stored(
    layer: SQLADataLayer, uploads: Uploads
) -> None:
    for _ in range(2):
        await uploads.save(element("e"), content("again"))
        await asyncio.gather(
            layer.delete_element("e", "t"), uploads.save(element("e"), content("last"))
        )
    [row] = await read(layer)
    assert await stored(layer, row["objectKey"]) == "last"


# Failures


async def test_an_upload_is_retried_while_the_store_is_unavailable(
    layer: SQLADataLayer, store: Gated, uploads: Uploads, caplog: pytest.LogCaptureFixture
) -> None:
    store.away = 1_000
    upload = asyncio.create_task(uploads.save(element("e"), content("kept")))
    await until(lambda: "Not stored yet: 1 elements" in caplog.text)
    store.away = 0
    await upload
    [row] = await read(layer)
    assert await stored(layer, row["objectKey"]) == "kept"
    assert caplog.text.count("Not stored yet: 1 elements") == 1


@pytest.mark.parametrize("kind", [StorageError, BlobNotFound, KeyError, OSError])
async def test_what_is_not_known_to_be_the_blobs_fault_is_retried(
    layer: SQLADataLayer,
    store: Gated,
    uploads: Uploads,
    caplog: pytest.LogCaptureFixture,
    kind: type[Exception],
) -> None:
    store.broken = kind("access denied")
    upload = asyncio.create_task(uploads.save(element("e"), content("kept")))
    await until(lambda: "Not stored yet" in caplog.text)
    store.broken = None
    await upload
    [row] = await read(layer)
    assert await stored(layer, row["objectKey"]) == "kept"


@pytest.mark.parametrize("kind", [BlobRejected, UnusableKey, ConfigurationError])
async def test_what_no_retry_can_change_fails_immediately(
    layer: SQLADataLayer, store: Gated, uploads: Uploads, kind: type[Exception]
) -> None:
    store.broken = kind("too large")
    with pytest.raises(kind):
        await uploads.save(element("e"), content(""))
    assert await read(layer) == []


async def test_contents_that_wait_for_the_store_are_bounded(
    layer: SQLADataLayer, store: Gated, uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_HELD_BYTES", 5 * 1_000_000)
    store.away = 1_000
    sent = [uploads.save(element(f"e{n}"), content("x" * 900_000)) for n in range(5)]
    waiting = [asyncio.create_task(upload) for upload in sent]
    await until(lambda: store.away < 1_000)
    with pytest.raises(StorageUnavailable, match="5 uploads with 4 MB wait for the store"):
        await uploads.save(element("one more"), content("x" * 900_000))
    store.away = 0
    await asyncio.gather(*waiting)
    await uploads.save(element("after"), content("x" * 900_000))
    assert len(await read(layer)) == 6


@pytest.mark.parametrize("kind", [StorageError, StorageUnavailable, KeyError])
async def test_a_failed_upload_leaves_no_row_and_the_step_unchanged(
    layer: SQLADataLayer,
    store: Gated,
    impatient: Uploads,
    caplog: pytest.LogCaptureFixture,
    kind: type[Exception],
) -> None:
    await layer.create_step({"id": "s", "threadId": "t", "type": "tool", "output": "kept"})
    store.broken = kind("a fault")
    with pytest.raises(kind, match="a fault"):
        await impatient.save(element("e"), content("lost"))
    assert "Not stored: element e: " in caplog.text
    thread = await layer.get_thread("t")
    assert thread is not None
    assert ([step["output"] for step in thread["steps"]], thread["elements"]) == (["kept"], [])


async def test_a_deletion_ends_the_retries(
    layer: SQLADataLayer, store: Gated, uploads: Uploads
) -> None:
    store.away = 1_000
    upload = asyncio.create_task(uploads.save(element("e"), content("")))
    await until(lambda: store.away < 1_000)
    await layer.delete_element("e", "t")
    with pytest.raises(StorageUnavailable):
        await upload
    assert await read(layer) == []


async def test_a_blob_that_was_stored_without_an_answer_is_deleted_later(
    store: Gated, impatient: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LATE_ARRIVAL", timedelta(seconds=0.2))
    store.away, store.answers, store.undeletable = 1, False, 1
    with pytest.raises(StorageUnavailable):
        await impatient.save(element("e"), content("stray"))
    assert store.blobs() == 1
    await until(lambda: store.blobs() == 0)


@pytest.mark.parametrize("late", [False, True])
async def test_a_cancelled_upload_leaves_nothing(
    layer: SQLADataLayer, store: Gated, start: Start, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    """Also where the store finishes the upload after its deletion."""
    monkeypatch.setattr(module, "_LATE_ARRIVAL", timedelta(seconds=0.5))
    store.stubborn = late
    upload = await start()
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    await until(lambda: store.stored_late == late)
    await until(lambda: store.blobs() == 0)
    assert await read(layer) == []


async def test_closing_cancels_an_upload_that_does_not_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Gated(tmp_path / "files")
    settings = Settings.load(close_seconds=1)
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


# Bytes that are in the store already


@pytest.mark.parametrize("id", ["e", "another"])
async def test_an_element_sent_again_after_a_resume_keeps_its_bytes(
    layer: SQLADataLayer, store: Gated, uploads: Uploads, id: str
) -> None:
    """What ``Element.from_dict(thread["elements"][0]).send()`` gives after a resume."""
    await uploads.save(element("e"), content("bytes"))
    [before] = await read(layer)
    await uploads.save({**before, "id": id}, None)
    await layer.delete_element("e", "t") if id != "e" else None
    await layer._deletion_queue.close()
    [row] = await read(layer)
    assert row["id"] == id
    assert await stored(layer, row["objectKey"]) == "bytes"
    with pytest.raises(BlobNotFound):
        await stored(layer, before["objectKey"])
    assert store.blobs() == 1


async def test_a_key_that_a_client_chose_is_not_copied(
    layer: SQLADataLayer, store: Gated, uploads: Uploads
) -> None:
    """Before 2.9.4 Chainlit hands on what ``PUT /project/element`` says."""
    for name in ("ann", "bob"):
        await layer.write_queue.submit(SaveUser(name, {"id": name, "metadata": {}}))
        await layer.write_queue.submit(SaveThread(f"of {name}", {"userId": name}))
    await uploads.save(element("e", threadId="of ann"), content("ann's"))
    [anns] = await read(layer, "of ann")
    await store.inner.put("backups/users.sql", content("of others"), mime="text/plain")
    for stolen in (
        element("1", threadId="of bob", objectKey=anns["objectKey"]),
        element("e", threadId="of bob", objectKey=anns["objectKey"]),
        element("2", threadId="of bob", objectKey="backups/users.sql"),
        element("3", threadId="of bob", type="custom", objectKey=anns["objectKey"]),
    ):
        await uploads.save(stolen, None, "bob")
    assert [row["objectKey"] for row in await read(layer, "of bob")] == [None] * 4
    await uploads.save({**anns, "threadId": "of ann", "id": "again"}, None, "ann")
    assert all(row["objectKey"] for row in await read(layer, "of ann"))


# Limits


async def test_many_concurrent_uploads_need_few_open_files(
    layer: SQLADataLayer, store: Gated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_OPEN_FILES", 10)
    path = tmp_path / "file"
    path.write_bytes(b"x")
    names = [f"e{number}" for number in range(100)]
    for name in names[:40]:
        store.hold(name)
    before = len(list(Path("/proc/self/fd").iterdir()))
    files = [File(id=name, name=name, path=str(path), thread_id="t") for name in names]
    sending = [asyncio.create_task(layer.create_element(file)) for file in files]
    await asyncio.gather(*(store.arrived[name].wait() for name in names[:20]))
    assert len(list(Path("/proc/self/fd").iterdir())) < before + 40
    for gate in store.gates.values():
        gate.set()
    await asyncio.gather(*sending)
    assert len(await read(layer)) == 100


async def test_an_unexpected_error_of_a_storage_client_hides_no_conversation(
    layer: SQLADataLayer, store: Gated, uploads: Uploads, monkeypatch: pytest.MonkeyPatch
) -> None:
    await uploads.save(element("e"), content("x"))

    async def fail(_keys: Sequence[str]) -> Mapping[str, str]:
        raise KeyError("of its own")

    monkeypatch.setattr(store, "read_urls", fail)
    assert [row["id"] for row in await read(layer)] == ["e"]
