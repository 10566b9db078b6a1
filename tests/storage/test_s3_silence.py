"""A server that takes the connection and never answers, which aiohttp would wait for, for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from chainlit_sqla.errors import StorageError, StorageUnavailable
from chainlit_sqla.storage import cloud
from chainlit_sqla.storage.base import BlobSource
from chainlit_sqla.storage.s3 import upload as s3_upload
from tests.servers.s3_faults import Front
from tests.until import PATIENCE

from .conftest import Bucket
from .test_s3 import keys, unfinished

MIB = 1024 * 1024
BOUND = PATIENCE
"""Seconds after which a test has shown that the client hangs."""


@pytest.fixture
def front(moto: Bucket) -> Iterator[Front]:
    with Front(moto.server.endpoint) as made:
        yield made


@pytest.mark.parametrize("at", ["PUT /", "POST .*uploads", "partNumber=2", r"POST .*\?uploadId"])
async def test_a_server_that_never_answers_is_given_up(moto: Bucket, front: Front, at: str) -> None:
    storage = moto.storage(endpoint=front.endpoint, part_size=5 * MIB, patience=0.5, attempts=1)
    front.hold(at)
    size = 10 if at == "PUT /" else 11 * MIB
    async with asyncio.timeout(BOUND):
        with pytest.raises(StorageUnavailable, match=r"Cannot write 'k' .*and the network$"):
            await storage.put("k", BlobSource(data=b"x" * size), mime="text/plain")
    await storage.close()


async def test_giving_an_upload_up_takes_limited_time(
    moto: Bucket, front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_upload, "ABORT_SECONDS", 0.2)
    storage = moto.storage(endpoint=front.endpoint, part_size=5 * MIB, attempts=1)
    front.fail("partNumber=2", 403, "AccessDenied")
    front.hold("DELETE /")
    async with asyncio.timeout(BOUND / 2):  # The patience with other requests is longer.
        with pytest.raises(StorageError, match=r"Cannot write 'k' .*AccessDenied"):
            await storage.put("k", BlobSource(data=b"x" * 11 * MIB), mime="text/plain")
    assert len(storage._abandoned) == 1
    front.calm()
    await storage.close()


# Both are more than what the buffers of the sockets take.
@pytest.mark.parametrize("size", [5 * MIB - 1, 16 * MIB], ids=["small", "large"])
async def test_closing_ends_an_upload_that_is_stuck_in_a_body(
    moto: Bucket, front: Front, size: int
) -> None:
    storage = moto.storage(endpoint=front.endpoint, part_size=5 * MIB)
    held = front.hold("PUT /", after=10)
    upload = asyncio.create_task(
        storage.put("k", BlobSource(data=b"x" * size), mime="text/plain"),
    )
    assert await asyncio.to_thread(held.met.wait, BOUND)
    async with asyncio.timeout(BOUND / 2):  # The patience of the upload is longer.
        await storage.close()
        with pytest.raises(StorageError, match=r"The S3 bucket .* was closed meanwhile; "):
            await upload
    front.calm()
    assert (unfinished(moto), keys(moto)) == ([], [])


async def test_closing_takes_limited_time_where_giving_up_is_stuck_too(
    moto: Bucket, front: Front, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(s3_upload, "ABORT_SECONDS", 0.2)
    storage = moto.storage(endpoint=front.endpoint, part_size=5 * MIB)
    held = front.hold("PUT /", after=10)
    front.hold("DELETE /")
    upload = asyncio.create_task(
        storage.put("k", BlobSource(data=b"x" * 16 * MIB), mime="text/plain"),
    )
    assert await asyncio.to_thread(held.met.wait, BOUND)
    async with asyncio.timeout(BOUND / 2):
        await storage.close()
        with pytest.raises(StorageError, match="was closed meanwhile"):
            await upload
    assert "Could not abort the unfinished upload of 'k'" in caplog.text
    front.calm()


async def test_a_connection_that_does_not_close_is_left_to_itself(
    moto: Bucket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cloud, "CLOSE_SECONDS", 0.1)
    storage = moto.storage()
    await storage.put("k", BlobSource(data=b"x"), mime="text/plain")
    connection = storage._connection
    assert connection

    async def hang() -> None:
        await asyncio.Event().wait()

    connection._stack.push_async_callback(hang)
    async with asyncio.timeout(BOUND):
        await storage.close()
    assert "did not close within 0.1 s" in caplog.text
    assert keys(moto) == ["k"]


async def test_what_began_before_closing_connects_no_more(moto: Bucket, front: Front) -> None:
    storage = moto.storage(endpoint=front.endpoint)
    for key in ("a", "b"):
        await storage.put(key, BlobSource(data=b"x"), mime="text/plain")
    client = await storage._connect()

    def small_pages(params: dict[str, Any], **_: Any) -> None:
        params["MaxKeys"] = 1

    client.meta.events.register("provide-client-params.s3.ListObjectsV2", small_pages)
    listing = storage.list_blobs()
    assert (await anext(listing)).key == "a"
    await storage.close()
    asked = len(front.requests)
    with pytest.raises(StorageError, match="was closed meanwhile"):
        await anext(listing)
    assert len(front.requests) == asked
    await storage.delete(["a"])  # What begins after that opens it again.
    assert keys(moto) == ["b"]
    await storage.close()


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
    assert keys(moto) == ["k"]
    await storage.close()
