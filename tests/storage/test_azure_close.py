"""Closing the store of Azure while something is under way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from chainlit_sqla.errors import StorageError
from chainlit_sqla.storage import closing
from chainlit_sqla.storage.azure import client as azure_module
from chainlit_sqla.storage.azure.client import AzureStorage
from chainlit_sqla.storage.base import BlobSource
from tests.servers.s3_faults import Front
from tests.until import PATIENCE

from .conftest import Container

MIB = 1024 * 1024
BOUND = PATIENCE
"""Seconds after which a test has shown that the client hangs."""


@pytest.fixture
def front(container: Container) -> Iterator[Front]:
    with Front(container.server.endpoint) as made:
        yield made


def through(front: Front, container: Container) -> AzureStorage:
    return container.storage(endpoint=f"{front.endpoint}/{container.server.account}")


def names(container: Container) -> list[str]:
    return list(container.sdk.list_blob_names())


@pytest.mark.parametrize(
    ("size", "at"), [(MIB - 1, "PUT /.*/k$"), (40 * MIB, "comp=block(&|$)")], ids=["small", "large"]
)
async def test_closing_ends_an_upload_that_is_stuck_in_a_body(
    container: Container, front: Front, size: int, at: str
) -> None:
    storage = through(front, container)
    held = front.hold(at, after=10)
    upload = asyncio.create_task(
        storage.put("k", BlobSource(data=b"x" * size), mime="text/plain"),
    )
    assert await asyncio.to_thread(held.met.wait, BOUND)
    async with asyncio.timeout(BOUND / 2):
        await storage.close()
        with pytest.raises(StorageError, match=r"The Azure container .* was closed meanwhile; "):
            await upload
    assert names(container) == []
    front.calm()
    if size > MIB:  # A small body may have left whole; what may be stored, `uploads` deletes.
        assert names(container) == []


async def test_a_connection_that_does_not_close_is_left_to_itself(
    container: Container, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(closing, "CLOSE_SECONDS", 0.1)
    storage = container.storage()
    await storage.put("k", BlobSource(data=b"x"), mime="text/plain")
    connection = storage._connection
    assert connection

    class Hanging:
        async def close(self) -> None:
            await asyncio.Event().wait()

    connection._own = Hanging()
    async with asyncio.timeout(BOUND):
        await storage.close()
    assert "did not close within 0.1 s" in caplog.text


async def test_what_began_before_closing_connects_no_more(
    container: Container, front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(azure_module, "PAGE", 1)
    storage = through(front, container)
    for key in ("a", "b"):
        await storage.put(key, BlobSource(data=b"x"), mime="text/plain")
    listing: Any = storage.list_blobs()
    assert (await anext(listing)).key == "a"
    await storage.close()
    asked = len(front.requests)
    with pytest.raises(StorageError, match="was closed meanwhile"):
        await anext(listing)
    assert len(front.requests) == asked
    await storage.delete(["a"])  # What begins after that opens it again.
    assert names(container) == ["b"]
    await storage.close()
