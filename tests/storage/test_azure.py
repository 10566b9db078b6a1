"""What is particular to Azure: blocks, retries, what a failed or cancelled upload leaves."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from chainlit_sqla.errors import StorageError, StorageUnavailable
from chainlit_sqla.storage import blocking
from chainlit_sqla.storage.azure import client as azure_client
from chainlit_sqla.storage.azure.client import AzureStorage
from chainlit_sqla.storage.base import BlobSource
from tests.servers.azurite import AzuriteServer
from tests.servers.proxy import FlakyProxy
from tests.servers.s3_faults import Front
from tests.until import PATIENCE

from .conftest import Container, memory_growth
from .test_contract import blob

MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(azure_client, "BLOCK", MIB)


@pytest.fixture
def front(container: Container) -> Iterator[Front]:
    with Front(container.server.endpoint) as front:
        yield front


def names(container: Container) -> list[str]:
    return list(container.sdk.list_blob_names())


def behind(front: Front, container: Container, **changes: Any) -> AzureStorage:
    return container.storage(
        **{"endpoint": f"{front.endpoint}/{container.server.account}", "attempts": 2, **changes}
    )


def test_a_large_file_is_stored_and_read_in_bounded_memory(
    container: Container, tmp_path: Path
) -> None:
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        file.truncate(200 * MIB)
    arguments = {
        "container": container.name,
        "account": container.server.account,
        "key": container.server.key,
        "endpoint": container.server.endpoint,
    }
    size, growth = memory_growth(AzureStorage, arguments, path)
    assert size == 200 * MIB
    assert growth < 48, growth
    assert len(container.sdk.get_blob_client("large").get_block_list("committed")[0]) == 50


@pytest.mark.parametrize("size", [MIB, MIB + 1, 2 * MIB, 9 * MIB - 1])
async def test_blocks_keep_headers_and_every_byte(
    container: Container, tmp_path: Path, http: httpx.AsyncClient, size: int
) -> None:
    path = tmp_path / "blocks.bin"
    path.write_bytes(os.urandom(size))
    storage = container.storage()
    assert await storage.put("k", BlobSource(path=path), mime="image/png", name="é.png") == size
    url = (await storage.read_urls(["k"]))["k"]
    part = await http.get(url, headers={"Range": "bytes=1048570-1048575"})
    assert (part.status_code, part.content) == (206, path.read_bytes()[1_048_570:1_048_576])
    assert part.headers["content-type"] == "image/png"
    assert part.headers["content-disposition"].endswith("filename*=UTF-8''%C3%A9.png")
    assert await blob(storage, "k") == path.read_bytes()
    await storage.close()


@pytest.mark.parametrize("match", ["PUT .*comp=block&", "PUT .*comp=blocklist", "PUT .*/k$"])
@pytest.mark.parametrize("status", [503, 500, 0])
async def test_a_request_that_fails_is_sent_again(
    container: Container, front: Front, match: str, status: int
) -> None:
    storage = behind(front, container)
    data = os.urandom(10 if match.endswith("$") else 3 * MIB)
    fault = front.fail(match, status, "ServerBusy", 1) if status else front.reset(match, 5, 1)
    await storage.put("k", BlobSource(data=data), mime="text/plain")
    assert fault.met.is_set()
    assert await blob(storage, "k") == data
    await storage.close()


@pytest.mark.parametrize("deliver", [True, False])
@pytest.mark.parametrize("pattern", [b"PUT /", b"<BlockList>"])
async def test_an_answer_that_is_lost_does_no_harm(
    container: Container, pattern: bytes, deliver: bool
) -> None:
    with FlakyProxy("127.0.0.1", container.server.port) as proxy:
        storage = container.storage(
            endpoint=f"http://127.0.0.1:{proxy.port}/{container.server.account}"
        )
        data = os.urandom(10 if pattern == b"PUT /" else 3 * MIB)
        proxy.cut_at(pattern, deliver=deliver)
        await storage.put("k", BlobSource(data=data), mime="text/plain")
        assert not proxy.cut_pending
        assert await blob(storage, "k") == data
        await storage.close()


async def test_a_server_that_stays_overloaded_is_reported_with_the_repair(
    container: Container, front: Front
) -> None:
    storage = behind(front, container)
    await storage.put("k", BlobSource(data=b"x"), mime="text/plain")
    front.fail(".", 503, "ServerBusy")
    for attempt in (
        storage.put("new", BlobSource(data=b"x"), mime="text/plain"),
        storage.put("new", BlobSource(data=b"x" * 2 * MIB), mime="text/plain"),
        blob(storage, "k"),
        storage.delete(["k", "other"]),
        storage.stat("k"),
    ):
        with pytest.raises(StorageUnavailable, match=r"ServerBusy|503.*; try again later$"):
            await attempt
    front.calm()
    assert names(container) == ["k"]
    await storage.close()


async def test_a_cancelled_upload_leaves_no_blob(container: Container, front: Front) -> None:
    storage = behind(front, container)
    fault = front.hold("comp=block&")
    put = storage.put("k", BlobSource(data=b"x" * 6 * MIB), mime="text/plain")
    task = asyncio.create_task(put)
    assert await asyncio.to_thread(fault.met.wait, PATIENCE)
    task.cancel()
    assert await asyncio.wait([task], timeout=0.1) == (set(), {task})  # The thread still sends.
    front.calm()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert names(container) == []
    assert await storage.put("k", BlobSource(data=b"x" * 6 * MIB), mime="text/plain") == 6 * MIB
    await storage.close()


@pytest.mark.parametrize("damage", ["closed", "shorter"])
async def test_a_file_that_cannot_be_read_to_its_end_leaves_nothing(
    container: Container, front: Front, tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"x" * 20 * MIB)
    source = BlobSource.opened(path)
    storage = behind(front, container)
    fault = front.hold("comp=block&", 1)
    task = asyncio.create_task(storage.put("k", source, mime="text/plain"))
    assert await asyncio.to_thread(fault.met.wait, PATIENCE)
    if damage == "closed":
        source.close()
    else:
        os.truncate(path, 9 * MIB)
    front.calm()
    with pytest.raises(StorageError, match="Cannot read the file to be stored under 'k'"):
        await task
    assert names(container) == []
    await storage.close()


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


async def test_a_server_killed_in_an_upload(azurite_server: AzuriteServer) -> None:
    server = AzuriteServer()  # Its own; the other is only asked for so that it is installed.
    container = Container(server, "container")
    container.sdk.create_container()
    with Front(server.endpoint) as front:
        storage = behind(front, container)
        await storage.put("before", BlobSource(data=b"x"), mime="text/plain")
        fault = front.hold("comp=block&")
        put = storage.put("k", BlobSource(data=b"x" * 6 * MIB), mime="text/plain")
        task = asyncio.create_task(put)
        assert await asyncio.to_thread(fault.met.wait, PATIENCE)
        server.kill()
        front.calm()
        with pytest.raises(StorageUnavailable, match=r"Cannot write 'k' in .* and the network$"):
            await task
        server.start()
        assert [info.key async for info in storage.list_blobs()] == ["before"]
        assert await storage.put("k", BlobSource(data=b"x" * 6 * MIB), mime="text/plain")
        assert len(await blob(storage, "k")) == 6 * MIB
        await storage.close()
    server.stop()


async def test_hundreds_of_blobs_are_deleted_with_their_snapshots(container: Container) -> None:
    storage = container.storage(prefix="p")
    stored = [f"k{number}" for number in range(0, 700, 10)]
    await asyncio.gather(
        *(storage.put(key, BlobSource(data=b"x"), mime="text/plain") for key in stored)
    )
    container.sdk.get_blob_client("p/k0").create_snapshot()
    await storage.delete([f"k{number}" for number in range(700)])
    assert names(container) == []
    await storage.close()


@pytest.mark.parametrize(
    ("status", "code", "repair"),
    [(409, "LeaseIdMissing", "end the lease"), (503, "ServerBusy", "try again later")],
)
async def test_one_blob_that_cannot_be_deleted_keeps_no_other(
    container: Container, front: Front, status: int, code: str, repair: str
) -> None:
    storage = behind(front, container, attempts=1)
    keys = [f"k{number}" for number in range(10, 40)]
    for key in keys:
        await storage.put(key, BlobSource(data=b"x"), mime="text/plain")
    front.fail("DELETE .*/k11$", status, code)
    with pytest.raises(StorageError, match=rf"delete 'k11' .*{code} .*; {repair}"):
        await storage.delete(keys)
    assert names(container) == ["k11"]
    await storage.close()


@pytest.mark.parametrize(
    ("size", "at"), [(MIB - 1, "PUT /.*/k$"), (40 * MIB, "comp=block(&|$)")], ids=["small", "large"]
)
async def test_closing_ends_an_upload_that_is_stuck(
    container: Container, front: Front, monkeypatch: pytest.MonkeyPatch, size: int, at: str
) -> None:
    monkeypatch.setattr(blocking, "CLOSE_SECONDS", 0.2)
    storage = behind(front, container)
    held = front.hold(at, after=10)
    put = storage.put("k", BlobSource(data=b"x" * size), mime="text/plain")
    upload = asyncio.create_task(put)
    assert await asyncio.to_thread(held.met.wait, PATIENCE)
    async with asyncio.timeout(PATIENCE / 2):
        await storage.close()
        with pytest.raises(StorageError, match=r"The Azure container .* was closed meanwhile; "):
            await upload
    front.calm()
    if size > MIB:  # A small blob may arrive all the same; `uploads` deletes it.
        assert names(container) == []


async def test_what_began_before_closing_connects_no_more(
    container: Container, front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(azure_client, "PAGE", 1)
    storage = behind(front, container)
    for key in ("a", "b"):
        await storage.put(key, BlobSource(data=b"x"), mime="text/plain")
    listing: Any = storage.list_blobs()
    assert (await anext(listing)).key == "a"
    await storage.close()
    requests = len(front.requests)
    with pytest.raises(StorageError, match="was closed meanwhile"):
        await anext(listing)
    assert len(front.requests) == requests
    await storage.delete(["a"])  # What begins after that opens it again.
    assert names(container) == ["b"]
    await storage.close()


async def test_a_connection_lost_while_reading(container: Container) -> None:
    with FlakyProxy("127.0.0.1", container.server.port) as proxy:
        endpoint = f"http://127.0.0.1:{proxy.port}/{container.server.account}"
        storage = container.storage(endpoint=endpoint, attempts=1)
        await storage.put("k", BlobSource(data=b"x" * 20 * MIB), mime="text/plain")
        chunks = storage.open("k")
        await anext(chunks)
        proxy.drop_all()
        proxy.refuse()
        with pytest.raises(StorageUnavailable, match=r"Cannot read 'k' .* and the network$"):
            _ = [chunk async for chunk in chunks]
        proxy.restore()
        assert len(await blob(storage, "k")) == 20 * MIB
        await storage.close()
