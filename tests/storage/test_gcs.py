"""What is particular to Google: parts, cancelled uploads, names, links, the package."""

from __future__ import annotations

import asyncio
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chainlit_sqla.errors import BlobNotFound, ConfigurationError, StorageError, StorageUnavailable
from chainlit_sqla.storage.base import BlobSource
from chainlit_sqla.storage.gcs.client import GCSStorage, key_of, object_name
from tests.servers.proxy import FlakyProxy
from tests.until import PATIENCE

from .conftest import EXPIRY, GoogleBucket
from .test_contract import blob

MIB = 1024 * 1024
PARTS = "upload_id="


def large_file(folder: Path, size: int) -> Path:
    """Write a file of which no two megabytes are alike; the tenth has a mark."""
    path = folder / "large.bin"
    with path.open("wb") as file:
        for number in range(0, size, MIB):
            file.write(number.to_bytes(8, "big") * (MIB // 8))
        file.seek(9 * MIB)
        file.write(b"TENTH-MEGABYTE")
    return path


def names(google: GoogleBucket) -> list[str]:
    return google.server.names(google.name)


async def in_thread(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, PATIENCE)


async def test_a_large_file_goes_and_comes_in_parts_with_bounded_memory(
    google: GoogleBucket, tmp_path: Path, http: httpx.AsyncClient
) -> None:
    path = large_file(tmp_path, 40 * MIB)
    storage = google.storage()
    await storage.put("warm", BlobSource(data=b"x"), mime="text/plain")
    tracemalloc.start()
    size = await storage.put("k", BlobSource(path=path), mime="image/png", name="é.png")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size == 40 * MIB
    assert peak < 20 * MIB
    sent = [line for line in google.server.front.requests if PARTS in line]
    assert len(sent) == 5
    with path.open("rb") as expected:
        async for chunk in storage.open("k"):
            assert chunk == expected.read(len(chunk))
        assert not expected.read()
    url = (await storage.read_urls(["k"]))["k"]
    part = await http.get(url, headers={"Range": "bytes=9437184-9437197"})
    assert (part.status_code, part.content) == (206, b"TENTH-MEGABYTE")
    assert part.headers["content-disposition"].endswith("filename*=UTF-8''%C3%A9.png")
    await storage.close()


@pytest.mark.parametrize("size", [4 * MIB, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1])
async def test_no_byte_is_lost_around_the_size_of_a_part(google: GoogleBucket, size: int) -> None:
    storage = google.storage()
    data = (b"ab" * size)[:size]
    assert await storage.put("k", BlobSource(data=data), mime="text/plain") == size
    assert await blob(storage, "k") == data
    await storage.close()


async def test_a_file_that_became_shorter_is_the_callers_fault(
    google: GoogleBucket, tmp_path: Path
) -> None:
    path = large_file(tmp_path, 20 * MIB)
    storage, front = google.storage(), google.server.front

    def cut(line: str) -> None:
        if PARTS in line:
            with path.open("r+b") as file:
                file.truncate(9 * MIB)

    front.on_request = cut
    with pytest.raises(StorageError, match=r"Cannot read the file .* under 'k' .*shorter"):
        await storage.put("k", BlobSource(path=path), mime="text/plain")
    assert names(google) == []
    await storage.close()


async def test_a_cancelled_upload_is_over_when_the_caller_hears_of_it(
    google: GoogleBucket, tmp_path: Path
) -> None:
    path = large_file(tmp_path, 40 * MIB)
    storage, front = google.storage(), google.server.front
    first_part, go_on = threading.Event(), threading.Event()

    def hold(line: str) -> None:
        if PARTS in line:
            first_part.set()
            assert go_on.wait(PATIENCE)

    front.on_request = hold
    task = asyncio.create_task(storage.put("k", BlobSource(path=path), mime="text/plain"))
    await in_thread(first_part)
    task.cancel()
    assert await asyncio.wait([task], timeout=0.1) == (set(), {task})  # The thread still sends.
    task.cancel()  # Who cancels twice waits, too.
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    sent = len(front.requests)
    await storage.delete(["k"])
    assert names(google) == []
    assert [line for line in front.requests[sent:] if PARTS in line] == []
    await storage.close()


async def test_a_large_upload_holds_up_neither_small_ones_nor_the_rest(
    google: GoogleBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = large_file(tmp_path, 10 * MIB)
    monkeypatch.setattr("chainlit_sqla.storage.blocking.LARGE_UPLOADS", 1)
    storage, front = google.storage(), google.server.front
    begun, go_on = threading.Event(), threading.Event()

    def hold(line: str) -> None:
        if PARTS in line:
            begun.set()
            assert go_on.wait(PATIENCE)

    front.on_request = hold
    large = asyncio.create_task(storage.put("large", BlobSource(path=path), mime="text/plain"))
    await in_thread(begun)
    queued = asyncio.create_task(storage.put("queued", BlobSource(path=path), mime="text/plain"))
    await storage.put("small", BlobSource(data=b"x"), mime="text/plain")
    assert await blob(storage, "small") == b"x"
    queued.cancel()
    with pytest.raises(asyncio.CancelledError):
        await queued
    go_on.set()
    assert await large == 10 * MIB
    assert names(google) == ["large", "small"]
    await storage.close()


@pytest.mark.parametrize(
    "key", ["a\r\nb", "bell\x07\x7f", "%0A", "%25%", ".well-known/acme-challenge/x", ".", ".."]
)
async def test_keys_that_google_refuses_as_names(
    google: GoogleBucket, http: httpx.AsyncClient, key: str
) -> None:
    storage = google.storage()
    await storage.put(key, BlobSource(data=b"x"), mime="text/plain")
    (name,) = names(google)
    assert name.isprintable()
    assert name not in (".", "..")
    assert not name.startswith(".well-known/")
    assert (await storage.stat(key)).key == key
    assert [info.key async for info in storage.list_blobs()] == [key]
    assert (await http.get((await storage.read_urls([key]))[key])).content == b"x"
    await storage.delete([key])
    assert names(google) == []
    await storage.close()


@given(
    st.text(st.sampled_from("ab%0125AFEé/.~\n\r\x1f\x7f"), min_size=1, max_size=40)
    | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=100)
)
@example(".well-known/acme-challenge/a")
@example("%2Ewell-known/a")
@example("..~")
def test_every_name_tells_its_key(key: str) -> None:
    name = object_name(key)
    assert key_of(name) == key
    assert not any(char < " " for char in name)


def test_a_key_that_is_too_long_once_rewritten_is_refused() -> None:
    assert len(object_name("\n" * 341)) == 1023
    with pytest.raises(StorageError, match=r"1,026 bytes once .* use one of 1 to 1,024"):
        object_name("\n" * 342)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bucket": ""}, "set BUCKET_NAME"),
        ({"bucket": "Not a bucket!"}, "correct BUCKET_NAME"),
        ({"private_key": "only"}, "set APP_GCS_CLIENT_EMAIL"),
        ({"endpoint": "localhost:9023"}, "like http://localhost:9023"),
        ({"expiry": 604_801}, "correct STORAGE_EXPIRY_TIME"),
        ({"expiry": 0}, "correct STORAGE_EXPIRY_TIME"),
    ],
)
def test_arguments_that_cannot_work(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        GCSStorage(**{"bucket": "bucket", **arguments})


@pytest.mark.parametrize("key", ["k", "Ünï/ + & ? # %\n'\"~"])
async def test_links_to_google_itself(google: GoogleBucket, key: str) -> None:
    storage = google.storage(endpoint="", bucket="a.b_c")
    link = urlsplit((await storage.read_urls([key]))[key])
    assert (link.scheme, link.netloc) == ("https", "storage.googleapis.com")
    assert link.path == f"/a.b_c/{quote(object_name(key), safe='/~')}"
    assert f"X-Goog-Expires={EXPIRY}&" in link.query
    await storage.close()


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


async def test_a_server_that_stays_overloaded_is_unavailable(google: GoogleBucket) -> None:
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
