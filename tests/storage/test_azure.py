"""What is particular to Azure: blocks, retries, what a failed or cancelled upload leaves."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from chainlit_sqla.errors import StorageError, StorageUnavailable
from chainlit_sqla.storage.base import BlobSource
from tests.servers.azurite import AzuriteServer
from tests.servers.proxy import FlakyProxy
from tests.servers.s3_faults import Front
from tests.until import PATIENCE, until

from .conftest import Container
from .test_contract import blob

MIB = 1024 * 1024

# A process of its own, since what other tests have held stays in the figures of this one, and
# started by a small one: Linux counts what a process had before it became another program.
BETWEEN = "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))"
MEMORY = """
import asyncio, json, os, resource, sys
from pathlib import Path
from chainlit_sqla.storage.azure.client import AzureStorage
from chainlit_sqla.storage.base import BlobSource

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

async def main():
    storage = AzureStorage(**json.loads(os.environ["ARGUMENTS"]))
    source = BlobSource(path=Path(sys.argv[1]))
    await storage.put("warm", BlobSource(data=b"x" * 3_000_000), mime="text/plain")
    before = peak()
    size = await storage.put("large", source, mime="application/pdf")
    read = sum([len(chunk) async for chunk in storage.open("large")])
    await storage.close()
    print(json.dumps([size, read, peak() - before]))

asyncio.run(main())
"""


def names(container: Container) -> list[str]:
    return list(container.sdk.list_blob_names())


@pytest.fixture
def front(container: Container) -> Iterator[Front]:
    with Front(container.server.endpoint) as front:
        yield front


def behind(front: Front, container: Container, **changes: Any) -> Any:
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
    done = subprocess.run(
        [sys.executable, "-c", BETWEEN, sys.executable, "-c", MEMORY, str(path)],
        env={**os.environ, "ARGUMENTS": json.dumps(arguments)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    size, read, growth = json.loads(done.stdout)
    assert size == read == 200 * MIB
    assert growth < 48, growth  # Four blocks of 5 MiB, and what the transport holds of them.
    assert len(container.sdk.get_blob_client("large").get_block_list("committed")[0]) == 40


async def test_headers_and_bytes_are_those_of_a_small_blob(
    container: Container, tmp_path: Path, http: httpx.AsyncClient
) -> None:
    path = tmp_path / "blocks.bin"
    path.write_bytes(os.urandom(5 * MIB))
    storage = container.storage(block_size=2 * MIB)
    assert await storage.put("k", BlobSource(path=path), mime="image/png", name="é.png") == 5 * MIB
    url = (await storage.read_urls(["k"]))["k"]
    part = await http.get(url, headers={"Range": "bytes=3000000-3000007"})
    assert (part.status_code, part.content) == (206, path.read_bytes()[3_000_000:3_000_008])
    assert part.headers["content-type"] == "image/png"
    assert part.headers["content-disposition"].endswith("filename*=UTF-8''%C3%A9.png")
    assert await blob(storage, "k") == path.read_bytes()
    await storage.close()


@pytest.mark.parametrize("size", [MIB, MIB + 1, 2 * MIB - 1, 2 * MIB, 2 * MIB + 1, 9 * MIB])
async def test_no_byte_is_lost_around_the_size_of_a_block(container: Container, size: int) -> None:
    storage = container.storage(block_size=2 * MIB)
    data = os.urandom(size)
    assert await storage.put("k", BlobSource(data=data), mime="text/plain") == size
    assert await blob(storage, "k") == data
    assert (await storage.stat("k")).size == size
    await storage.close()


async def test_many_large_uploads_at_once_share_the_slots(container: Container) -> None:
    storage = container.storage(block_size=MIB, blocks_at_once=2)
    sources = {f"k{n}": bytes([n]) * (5 * MIB) for n in range(4)}
    await asyncio.gather(
        *(storage.put(k, BlobSource(data=v), mime="text/plain") for k, v in sources.items())
    )
    for key, data in sources.items():
        assert await blob(storage, key) == data
    await storage.close()


async def test_blocks_that_somebody_left_do_not_get_into_a_blob(container: Container) -> None:
    stale = container.sdk.get_blob_client("k")
    stale.stage_block("0" * 24, b"stale")
    storage = container.storage(block_size=MIB)
    await storage.put("k", BlobSource(data=b"x" * 3 * MIB), mime="text/plain")
    assert await blob(storage, "k") == b"x" * 3 * MIB
    await storage.close()


@pytest.mark.parametrize("match", ["PUT .*comp=block&", "PUT .*comp=blocklist", "PUT .*/k$"])
@pytest.mark.parametrize("status", [503, 500, 429, 408, 0])
async def test_a_request_that_fails_is_sent_again(
    container: Container, front: Front, match: str, status: int
) -> None:
    storage = behind(front, container, block_size=MIB)
    data = os.urandom(10 if match.endswith("$") else 3 * MIB)
    fault = front.fail(match, status, "ServerBusy", 1) if status else front.reset(match, 5, 1)
    await storage.put("k", BlobSource(data=data), mime="text/plain")
    assert fault.met.is_set()
    assert await blob(storage, "k") == data
    await storage.close()


@pytest.mark.parametrize("deliver", [True, False])
@pytest.mark.parametrize("pattern", [b"PUT /", b"<BlockList>", b"<Latest>"])
async def test_an_answer_that_is_lost_does_no_harm(
    container: Container, pattern: bytes, deliver: bool
) -> None:
    with FlakyProxy("127.0.0.1", container.server.port) as proxy:
        storage = container.storage(
            endpoint=f"http://127.0.0.1:{proxy.port}/{container.server.account}", block_size=MIB
        )
        data = os.urandom(10 if pattern == b"PUT /" else 3 * MIB)
        proxy.cut_at(pattern, deliver=deliver)
        await storage.put("k", BlobSource(data=data), mime="text/plain")
        assert not proxy.cut_pending
        assert await blob(storage, "k") == data
        await storage.close()


async def test_what_fails_for_good_is_told_with_its_repair(
    container: Container, front: Front
) -> None:
    storage = behind(front, container, block_size=MIB)
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


async def test_a_failed_upload_leaves_no_blob_and_gives_its_slots_back(
    container: Container, front: Front
) -> None:
    storage = behind(front, container, block_size=MIB, blocks_at_once=2)
    front.fail("comp=block&", 400, "InvalidBlobOrBlock")
    for _ in range(3):  # As often as would use up all slots if one were not given back.
        with pytest.raises(
            StorageError, match=r"Cannot write 'k' in the Azure container .*Invalid"
        ):
            await storage.put("k", BlobSource(data=b"x" * 6 * MIB), mime="text/plain")
    assert names(container) == []
    front.calm()
    await storage.put("k", BlobSource(data=b"x" * 6 * MIB), mime="text/plain")
    await storage.close()


async def test_a_cancelled_upload_leaves_no_blob(container: Container, front: Front) -> None:
    storage = behind(front, container, block_size=MIB, blocks_at_once=2)
    fault = front.hold("comp=block&")
    put = storage.put("k", BlobSource(data=b"x" * 6 * MIB), mime="text/plain")
    task = asyncio.create_task(put)
    assert await asyncio.to_thread(fault.met.wait, PATIENCE)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    front.calm()
    assert names(container) == []
    assert await storage.put("k", BlobSource(data=b"x" * 6 * MIB), mime="text/plain") == 6 * MIB
    await storage.close()


@pytest.mark.parametrize(("size", "last"), [(10, b"PUT /"), (3 * MIB, b"comp=blocklist")])
async def test_an_upload_cancelled_in_its_last_request_is_undone(
    container: Container, size: int, last: bytes
) -> None:
    with FlakyProxy("127.0.0.1", container.server.port) as proxy:
        endpoint = f"http://127.0.0.1:{proxy.port}/{container.server.account}"
        storage = container.storage(endpoint=endpoint, block_size=MIB)
        proxy.mute_at(last)
        put = storage.put("k", BlobSource(data=b"x" * size), mime="text/plain")
        task = asyncio.create_task(put)

        async def arrived() -> bool:
            return bool(await asyncio.to_thread(names, container))

        await until(arrived)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert names(container) == []
        await storage.close()


async def test_a_file_that_cannot_be_read_to_its_end_leaves_nothing(
    container: Container, front: Front, tmp_path: Path
) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"x" * 6 * MIB)
    source = BlobSource.opened(path)
    storage = behind(front, container, block_size=MIB, blocks_at_once=1)
    fault = front.hold("comp=block&", 1)
    task = asyncio.create_task(storage.put("k", source, mime="text/plain"))
    assert await asyncio.to_thread(fault.met.wait, PATIENCE)
    source.close()
    front.calm()
    with pytest.raises(StorageError, match="Cannot read the file to be stored under 'k'"):
        await task
    assert names(container) == []
    await storage.close()


async def test_a_server_that_falls_silent_is_given_up(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FlakyProxy("127.0.0.1", container.server.port) as proxy:
        endpoint = f"http://127.0.0.1:{proxy.port}/{container.server.account}"
        storage = container.storage(endpoint=endpoint)
        await storage.put("k", BlobSource(data=b"x"), mime="text/plain")
        monkeypatch.setattr("chainlit_sqla.storage.azure.upload.SILENT_SECONDS", 0.3)
        proxy.blackhole()
        with pytest.raises(StorageUnavailable, match=r"TimeoutError; check the endpoint and"):
            await storage.put("large", BlobSource(data=b"x" * 40 * MIB), mime="text/plain")
        proxy.restore()
        await storage.close()


async def test_a_server_killed_in_an_upload(azurite_server: AzuriteServer) -> None:
    server = AzuriteServer()  # Its own; the other is only asked for so that it is installed.
    container = Container(server, "container")
    container.sdk.create_container()
    with Front(server.endpoint) as front:
        storage = behind(front, container, block_size=MIB, blocks_at_once=2)
        await storage.put("before", BlobSource(data=b"x"), mime="text/plain")
        container.sdk.get_blob_client("k").stage_block("0" * 24, b"begun")
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


async def test_a_listing_of_many_pages_is_whole(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chainlit_sqla.storage.azure.client.PAGE", 2)
    storage = container.storage(prefix="/chat/files./")
    for key in ("a", "b/c", "d\n", "é.png", "z"):
        await storage.put(key, BlobSource(data=key.encode()), mime="text/plain", name="n.txt")
    for other in ("chat/file", "chat/files~2Eb", "chat", "zz"):
        container.sdk.upload_blob(other, b"x")
    listed = [info async for info in storage.list_blobs()]
    assert {info.key for info in listed} == {"a", "b/c", "d\n", "é.png", "z"}
    assert {(info.mime, info.name) for info in listed} == {("text/plain", "n.txt")}
    assert "chat/files~2E/b/c" in names(container)
    await storage.close()
