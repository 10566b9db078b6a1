"""What Google refuses or fails to do, told in one sentence that ends with the repair."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chainlit_sqla.errors import BlobNotFound, StorageError, StorageUnavailable
from chainlit_sqla.storage.base import BlobSource
from chainlit_sqla.storage.gcs.client import GCSStorage
from tests.servers.ports import free_port
from tests.servers.proxy import FlakyProxy

from .conftest import GoogleBucket
from .test_contract import blob
from .test_gcs import MIB, PARTS, large_file, names

FOREVER = 1_000_000


@pytest.fixture
def proxied(google: GoogleBucket) -> Iterator[tuple[GoogleBucket, FlakyProxy, str]]:
    with FlakyProxy("127.0.0.1", google.server.front.port) as proxy:
        yield google, proxy, f"http://127.0.0.1:{proxy.port}"


async def test_what_the_server_answers_in_passing_is_tried_again(google: GoogleBucket) -> None:
    storage, front = google.storage(), google.server.front
    large = BlobSource(data=b"x" * 9 * MIB)
    for status in (503, 429):
        front.answer(status, "uploadType=", times=2)
        await storage.put("small", BlobSource(data=b"x"), mime="text/plain")
        front.answer(status, "uploadType=resumable$")
        front.answer(status, PARTS)
        await storage.put("large", large, mime="text/plain")
        front.answer(status, "alt=media")
        assert await blob(storage, "small") == b"x"
        front.answer(status, "/o/small")
        assert (await storage.stat("large")).size == 9 * MIB
        front.answer(status, "/o\\?")
        assert {info.key async for info in storage.list_blobs()} == {"small", "large"}
        front.answer(status, "DELETE", times=2)
        await storage.delete(["small", "large"])
        assert names(google) == []
    await storage.close()


async def test_a_server_that_stays_overloaded_is_told(google: GoogleBucket) -> None:
    storage, front = google.storage(retry_seconds=0.3), google.server.front
    await storage.put("k", BlobSource(data=b"x"), mime="text/plain")
    front.answer(503, "/o", times=FOREVER)
    for attempt in (
        storage.put("k", BlobSource(data=b"x"), mime="text/plain"),
        storage.put("k", BlobSource(data=b"x" * 9 * MIB), mime="text/plain"),
        blob(storage, "k"),
        storage.stat("k"),
        storage.delete(["k"]),
    ):
        with pytest.raises(StorageUnavailable, match=r"'k' .*: 503 .*; try again later$") as caught:
            await attempt
        assert "upload_id" not in str(caught.value)
    with pytest.raises(StorageUnavailable, match="Cannot list the blobs"):
        _ = [info async for info in storage.list_blobs()]
    await storage.close()


@pytest.mark.parametrize("deliver", [True, False])
@pytest.mark.parametrize("mark", [b"uploadType=multipart", b"upload_id=", b"TENTH-MEGABYTE"])
async def test_a_request_that_is_cut_off_is_sent_again(
    proxied: tuple[GoogleBucket, FlakyProxy, str], tmp_path: Path, mark: bytes, deliver: bool
) -> None:
    google, proxy, endpoint = proxied
    storage = google.storage(endpoint=endpoint)
    data = b"y" * 1000
    if b"multipart" not in mark:
        data = large_file(tmp_path, 18 * MIB).read_bytes()
    proxy.cut_at(mark, deliver=deliver)
    await storage.put("k", BlobSource(data=data), mime="text/plain")
    assert not proxy.cut_pending
    assert await blob(storage, "k") == data
    await storage.close()


async def test_a_server_that_is_killed_amid_an_upload_leaves_no_blob(
    proxied: tuple[GoogleBucket, FlakyProxy, str], tmp_path: Path
) -> None:
    google, proxy, endpoint = proxied
    storage = google.storage(endpoint=endpoint, retry_seconds=0.3)
    await storage.put("before", BlobSource(data=b"x"), mime="text/plain")
    parts: list[str] = []

    def kill(line: str) -> None:
        if PARTS in line and len(parts) < 2:
            parts.append(line)
            if len(parts) == 2:
                proxy.refuse()
                proxy.drop_all()

    google.server.front.on_request = kill
    path = large_file(tmp_path, 40 * MIB)
    with pytest.raises(StorageUnavailable, match=r"Cannot write 'k' .*the network$") as caught:
        await storage.put("k", BlobSource(path=path), mime="text/plain")
    assert "upload_id" not in str(caught.value)
    for attempt in (blob(storage, "before"), storage.delete(["before"]), storage.check()):
        with pytest.raises(StorageUnavailable, match=r"check the endpoint and the network$"):
            await attempt
    proxy.restore()
    assert names(google) == ["before"]
    assert [info.key async for info in storage.list_blobs()] == ["before"]
    await storage.close()


async def failures(storage: GCSStorage) -> list[str]:
    """Return what each operation says when it fails."""
    said = []
    for operation in (
        storage.put("k", BlobSource(data=b"x"), mime="text/plain"),
        storage.put("k", BlobSource(data=b"x" * 9 * MIB), mime="text/plain"),
        blob(storage, "k"),
        storage.stat("k"),
        storage.delete(["k", "k2"]),
        storage.check(),
        anext(storage.list_blobs()),
    ):
        with pytest.raises(StorageError) as caught:
            await operation
        assert not isinstance(caught.value, BlobNotFound | StorageUnavailable)
        assert "\n" not in str(caught.value)
        said.append(str(caught.value))
    await storage.close()
    return said


async def test_a_wrong_bucket(google: GoogleBucket) -> None:
    for message in await failures(google.storage(bucket="no-such-bucket")):
        assert "in the Google Cloud Storage bucket 'no-such-bucket' at http://" in message
        assert "404 Not Found (The specified bucket does not exist)" in message
        assert message.endswith("; create the bucket or correct BUCKET_NAME or the storage URL")


async def test_an_account_without_the_right(google: GoogleBucket) -> None:
    google.server.front.stranger = google.server.owner.email
    for message in await failures(google.storage()):
        assert "403 Forbidden" in message
        assert message.endswith(
            "; give the service account the role roles/storage.objectAdmin on the bucket"
        )


@pytest.mark.parametrize("status", [403, 503])
async def test_one_blob_that_cannot_be_deleted_spares_no_other(
    google: GoogleBucket, status: int
) -> None:
    storage = google.storage(retry_seconds=0.5)
    keys = [f"k{number}" for number in range(40)]
    for key in keys:
        await storage.put(key, BlobSource(data=b"x"), mime="text/plain")
    google.server.front.answer(status, "DELETE .*/o/k7[?]", times=FOREVER)
    with pytest.raises(StorageError, match=rf"Cannot delete 'k7' .*{status}"):
        await storage.delete(keys)
    assert names(google) == ["k7"]
    await storage.close()


async def test_nobody_listens(google: GoogleBucket) -> None:
    storage = google.storage(
        endpoint=f"http://127.0.0.1:{free_port()}", client_email="", private_key="", retry_seconds=0
    )
    with pytest.raises(StorageUnavailable, match=r"'k' .*; check the endpoint and the network$"):
        await storage.put("k", BlobSource(data=b"x"), mime="text/plain")
    await storage.close()
