"""What is particular to Google: parts, cancelled uploads, names, links, the package."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chainlit_sqla.errors import ConfigurationError, StorageError
from chainlit_sqla.storage.base import BlobSource
from chainlit_sqla.storage.gcs.client import GCSStorage
from chainlit_sqla.storage.gcs.names import key_of, object_name
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


async def test_a_listing_of_more_than_one_page_is_whole(google: GoogleBucket) -> None:
    keys = {f"a/{number}" for number in range(5)} | {"line\nend", "..", "100%25"}
    google.server.front.page_size = 2
    for prefix in ("p", "pp", ""):
        store = google.storage(prefix=prefix)
        await asyncio.gather(
            *(store.put(key, BlobSource(data=b"x"), mime="text/plain") for key in keys)
        )
        found = [info.key async for info in store.list_blobs()]
        assert len(found) == len(set(found))
        assert set(found) >= keys
        assert prefix == "" or set(found) == keys
        await store.close()


async def test_blobs_lie_below_the_prefix(google: GoogleBucket, http: httpx.AsyncClient) -> None:
    storage = google.storage(prefix="/chat/files/")
    await storage.put("a/b", BlobSource(data=b"x"), mime="text/plain")
    assert names(google) == ["chat/files/a/b"]
    assert (await http.get((await storage.read_urls(["a/b"]))["a/b"])).content == b"x"
    await storage.delete(["a/b"])
    assert names(google) == []
    with pytest.raises(StorageError, match="has 1,035 bytes; use one of 1 to 1,024"):
        await storage.put("x" * 1024, BlobSource(data=b"x"), mime="text/plain")
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


def test_without_the_package_the_extra_is_named() -> None:
    code = (
        "import sys\n"
        "from chainlit_sqla.storage.gcs.client import GCSStorage\n"
        "assert not any(name.startswith('google') for name in sys.modules), 'not lazy'\n"
        "sys.modules['google.cloud.storage'] = None\n"
        "try: GCSStorage('bucket')\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("MissingExtraError Google Cloud Storage needs")
    assert "chainlit-sqla[gcs]" in done.stdout
