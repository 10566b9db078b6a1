"""What is particular to Azure: blocks, retries, what a failed or cancelled upload leaves."""

from __future__ import annotations

import asyncio

import pytest

from chainlit_sqla.errors import StorageUnavailable
from chainlit_sqla.storage.azure import client as azure_client
from chainlit_sqla.storage.base import BlobSource
from tests.servers.proxy import FlakyProxy

from .conftest import Container

MIB = 1024 * 1024


async def test_a_server_that_falls_silent_is_unavailable(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(azure_client, "CONNECT_SECONDS", 1)
    monkeypatch.setattr(azure_client, "READ_SECONDS", 0.5)
    with FlakyProxy("127.0.0.1", container.server.port) as proxy:
        endpoint = f"http://127.0.0.1:{proxy.port}/{container.server.account}"
        storage = container.storage(endpoint=endpoint, attempts=1)
        await storage.put("k", BlobSource(data=b"x"), mime="text/plain")
        proxy.blackhole()
        with pytest.raises(StorageUnavailable, match=r"; check the endpoint and the network$"):
            await storage.put("large", BlobSource(data=b"x" * 20 * MIB), mime="text/plain")
        proxy.restore()
        await storage.close()


async def test_hundreds_of_blobs_are_deleted_with_their_snapshots(container: Container) -> None:
    storage = container.storage(prefix="p")
    stored = [f"k{number}" for number in range(0, 700, 10)]
    await asyncio.gather(
        *(storage.put(key, BlobSource(data=b"x"), mime="text/plain") for key in stored)
    )
    container.sdk.get_blob_client("p/k0").create_snapshot()
    await storage.delete([f"k{number}" for number in range(700)])
    assert container.names() == []
    await storage.close()
