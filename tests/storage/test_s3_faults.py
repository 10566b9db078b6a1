"""A server that is overloaded, silent, cut off or killed in the middle of an upload."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chainlit.element import File

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.errors import StorageError, StorageUnavailable
from chainlit_sqla.settings import Settings
from chainlit_sqla.storage.base import BlobSource
from chainlit_sqla.storage.cloud import LANES
from chainlit_sqla.storage.s3 import connection as s3_connection
from chainlit_sqla.storage.s3 import upload as s3_upload
from chainlit_sqla.storage.s3.client import S3Storage
from tests.servers import s3_swift
from tests.servers.s3_faults import Front
from tests.until import PATIENCE, until

from .conftest import SWIFT_REPAIR, Bucket, _bucket, serve
from .test_contract import blob

MIB = 1024 * 1024
LARGE = BlobSource(data=bytes(range(250)) * (16 * MIB // 250))
SMALL = BlobSource(data=b"small")
BOUND = PATIENCE
"""Seconds in which an upload must end, well or not; it takes one to ten."""


@pytest.fixture
def front(moto: Bucket) -> Iterator[Front]:
    with Front(moto.server.endpoint) as made:
        yield made


@pytest.fixture(scope="module")
def own_swift() -> Iterator[s3_swift.SwiftServer]:
    """A server that may be killed: nobody else uses it."""
    yield from serve(s3_swift, s3_swift.SwiftServer, SWIFT_REPAIR)


async def put(storage: S3Storage, source: BlobSource = LARGE) -> int:
    async with asyncio.timeout(BOUND):
        return await storage.put("k", source, mime="text/plain")


@pytest.mark.parametrize("at", ["POST .*uploads", "partNumber=2", r"POST .*\?uploadId"])
async def test_a_server_that_stays_broken_is_reported_and_leaves_nothing(
    moto: Bucket, front: Front, at: str
) -> None:
    storage = moto.storage(endpoint=front.endpoint)
    front.fail(at, 500, "InternalError")
    with pytest.raises(StorageUnavailable) as caught:
        await put(storage)
    said = str(caught.value)
    assert said.startswith(f"Cannot write 'k' in the S3 bucket '{moto.name}' at {front.endpoint}: ")
    assert "InternalError" in said
    assert said.endswith("; look at the bucket and at its server's log")
    assert (moto.unfinished(), moto.names()) == ([], [])
    front.calm()
    assert await put(storage) == LARGE.size  # All slots were given back.


async def test_an_overload_without_end_names_the_repair(moto: Bucket, front: Front) -> None:
    storage = moto.storage(endpoint=front.endpoint)
    front.fail("PUT /", 503, "SlowDown")
    with pytest.raises(StorageUnavailable, match=r"Cannot write 'k' .*SlowDown.*; try again later"):
        await put(storage, SMALL)
    assert len(front.requests) == 3  # Those who overload a server must not ask without end.


async def test_an_unavailable_server_is_not_asked_for_each_key(moto: Bucket, front: Front) -> None:
    storage = moto.storage(endpoint=front.endpoint, attempts=1)
    front.fail("DELETE /", 503, "SlowDown")
    with pytest.raises(StorageUnavailable, match=r"SlowDown.*; try again later"):
        await storage.delete([f"k{number}" for number in range(100)])
    assert len(front.requests) <= LANES


@pytest.mark.parametrize("comes_back", [False, pytest.param(True, marks=pytest.mark.full)])
async def test_a_chat_whose_server_of_files_is_killed(
    own_swift: s3_swift.SwiftServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    comes_back: bool,
) -> None:
    bucket = _bucket(own_swift)
    with Front(own_swift.endpoint) as front:
        layer = SQLADataLayer(
            f"sqlite:///{tmp_path / 'chats.db'}",
            storage=bucket.storage(endpoint=front.endpoint, attempts=1),
            settings=Settings.load(storage_retry_seconds=600 if comes_back else 0),
        )
        step: Any = {"id": "s", "threadId": "t", "type": "tool", "output": "kept"}
        await layer.create_step(step)

        async def read() -> list[Any]:
            thread: Any = await layer.get_thread("t")
            assert [step["output"] for step in thread["steps"]] == ["kept"]
            return list(thread["elements"])

        part = front.hold("partNumber=2", after=MIB)
        file = File(id="e", thread_id="t", for_id="s", name="e", content=LARGE.data)
        upload = asyncio.create_task(layer.create_element(file))
        assert await asyncio.to_thread(part.met.wait, BOUND)
        await asyncio.to_thread(own_swift.kill)
        front.calm()
        async with asyncio.timeout(BOUND):
            if comes_back:
                await until(lambda: "Not stored yet: 1 elements" in caplog.text)
                await asyncio.to_thread(own_swift.start)
                await upload
            else:
                with pytest.raises(StorageUnavailable, match=r"Cannot write 'threads/t/e/.*k$"):
                    await upload
                assert "Not stored: element e: Cannot write 'threads/t/e/" in caplog.text
                assert await read() == []
                await asyncio.to_thread(own_swift.start)
        elements = await read()
        assert len(elements) == comes_back
        assert bucket.names() == [element["objectKey"] for element in elements]
        for element in elements:
            assert await blob(layer.storage, element["objectKey"]) == LARGE.data
            assert bucket.unfinished() == []
        await layer.close()


async def test_giving_an_upload_up_takes_limited_time(
    moto: Bucket, front: Front, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(s3_upload, "ABORT_SECONDS", 0.2)
    storage = moto.storage(endpoint=front.endpoint, attempts=1)
    front.fail("partNumber=2", 403, "AccessDenied")
    front.hold("DELETE /")
    async with asyncio.timeout(BOUND / 2):  # The patience with other requests is longer.
        with pytest.raises(StorageError, match=r"Cannot write 'k' .*AccessDenied"):
            await storage.put("k", BlobSource(data=b"x" * 11 * MIB), mime="text/plain")
    assert "Could not abort the unfinished upload of 'k'" in caplog.text
    front.calm()


async def test_a_connection_that_does_not_close_is_left_to_itself(
    moto: Bucket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(s3_connection, "CLOSE_SECONDS", 0.1)
    storage = moto.storage()
    await storage.put("k", BlobSource(data=b"x"), mime="text/plain")
    connection = storage._connection
    assert connection

    async def hang() -> None:
        await asyncio.Event().wait()

    connection._stack.push_async_callback(hang)
    async with asyncio.timeout(BOUND):
        await storage.close()
    assert "Not closed within 0.1 s" in caplog.text
    assert moto.names() == ["k"]


async def test_a_storage_that_is_closed_while_it_connects_stays_closed(
    moto: Bucket, front: Front
) -> None:
    storage = moto.storage(endpoint=front.endpoint)
    source = BlobSource(data=b"x")
    upload = asyncio.create_task(storage.put("k", source, mime="text/plain"))
    await asyncio.sleep(0)  # It has begun, and loads what is known of S3 in a thread.
    await storage.close()
    with pytest.raises(StorageError, match="was closed meanwhile"):
        await upload
    assert front.requests == []
    await storage.put("k", source, mime="text/plain")
    assert moto.names() == ["k"]
