"""What S3, Google and Azure do alike: lost connections, refusals, closing, bad arguments."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from chainlit.element import File

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.errors import (
    BlobRejected,
    ConfigurationError,
    StorageError,
    StorageUnavailable,
)
from chainlit_sqla.storage import blocking
from chainlit_sqla.storage.azure import client as azure_client
from chainlit_sqla.storage.azure.client import AzureStorage
from chainlit_sqla.storage.base import BlobSource
from chainlit_sqla.storage.gcs.client import GCSStorage
from chainlit_sqla.storage.s3.client import S3Storage
from tests.servers.ports import free_port
from tests.servers.proxy import FlakyProxy
from tests.servers.s3_faults import Front
from tests.servers.s3_swift import SwiftServer
from tests.until import PATIENCE, until

from .conftest import Bucket, GoogleBucket, small_pages
from .test_contract import blob, failures

MIB = 1024 * 1024
KEY = base64.b64encode(b"another key of an account").decode()
NOWHERE = f"http://127.0.0.1:{free_port()}"


in_threads = pytest.mark.parametrize(
    ("bucket", "at"),
    [("google", "upload_id="), ("container", "comp=block&")],
    indirect=["bucket"],
)


@pytest.fixture
def bucket(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


@pytest.fixture
def proxy(bucket: Any) -> Iterator[FlakyProxy]:
    with FlakyProxy("127.0.0.1", urlsplit(bucket.server.endpoint).port or 0) as proxy:
        yield proxy


@pytest.fixture
def front(bucket: Any) -> Iterator[Front]:
    with Front(bucket.server.endpoint) as front:
        yield front


@pytest.mark.parametrize(
    ("bucket", "megabytes", "parts"),
    [
        ("swift", 40, 5),
        pytest.param("google", 40, 5, marks=pytest.mark.full),
        pytest.param("container", 200, 50, marks=pytest.mark.full),
    ],
    indirect=["bucket"],
)
async def test_a_large_file_goes_in_parts_with_bounded_memory(
    bucket: Any,
    front: Front,
    megabytes: int,
    parts: int,
    tmp_path: Path,
    http: httpx.AsyncClient,
) -> None:
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        for _ in range(megabytes):
            file.write(os.urandom(MIB))
    direct = bucket.storage()
    await direct.put("warm", BlobSource(data=b"x" * 3 * MIB), mime="text/plain")
    # Not through the proxy, which holds requests in the memory of this process.
    tracemalloc.start()
    size = await direct.put("k", BlobSource(path=path), mime="image/png", name="é.png")
    put_peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    with path.open("rb") as expected:
        async for chunk in direct.open("k"):
            assert chunk == expected.read(len(chunk))
        assert not expected.read()
    read_peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size == megabytes * MIB
    assert put_peak < 20 * MIB
    assert read_peak < 48 * MIB
    storage = bucket.storage(endpoint=bucket.endpoint_at(front.endpoint))
    await storage.put("warm", BlobSource(data=b"x"), mime="text/plain")
    front.requests.clear()
    await storage.put("parts", BlobSource(path=path), mime="image/png")
    sent = [line for line in front.requests if re.search("partNumber|upload_id|comp=block&", line)]
    if "upload_id" not in sent[0]:  # Google's parts have one address.
        sent = list(set(sent))  # On S3 one of them is sent with a wrong digest first.
    assert len(sent) == parts
    url = (await direct.read_urls(["k"]))["k"]
    part = await http.get(url, headers={"Range": "bytes=6000000-6000007"})
    assert (part.status_code, part.content) == (206, path.read_bytes()[6_000_000:6_000_008])
    assert part.headers["content-type"] == "image/png"
    assert part.headers["content-disposition"].endswith("filename*=UTF-8''%C3%A9.png")


@pytest.mark.parametrize("damage", ["closed", "shorter"])
@pytest.mark.parametrize(
    ("bucket", "at"),
    [("moto", "partNumber=1"), ("google", "upload_id="), ("container", "comp=block&")],
    indirect=["bucket"],
)
async def test_a_file_that_cannot_be_read_to_its_end_leaves_nothing(
    bucket: Any, front: Front, tmp_path: Path, at: str, damage: str
) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"x" * 30 * MIB)
    source = BlobSource.opened(path)
    storage = bucket.storage(endpoint=bucket.endpoint_at(front.endpoint))
    held = front.hold(at, 1)
    task = asyncio.create_task(storage.put("k", source, mime="text/plain"))
    assert await asyncio.to_thread(held.met.wait, PATIENCE)
    if damage == "closed":
        source.close()
    else:
        os.truncate(path, 1 * MIB)
    front.calm()
    with pytest.raises(StorageError, match="Cannot read the file to be stored under 'k'"):
        await task
    assert bucket.names() == []
    if isinstance(bucket, Bucket):
        assert bucket.unfinished() == []


@in_threads
async def test_a_cancelled_upload_is_over_when_the_caller_hears_of_it(
    bucket: Any, front: Front, at: str
) -> None:
    storage = bucket.storage(endpoint=bucket.endpoint_at(front.endpoint))
    source = BlobSource(data=b"x" * 30 * MIB)
    held = front.hold(at)
    task = asyncio.create_task(storage.put("k", source, mime="text/plain"))
    assert await asyncio.to_thread(held.met.wait, PATIENCE)
    task.cancel()
    assert await asyncio.wait([task], timeout=0.1) == (set(), {task})  # The thread still sends.
    task.cancel()  # Who cancels twice waits, too.
    front.calm()
    with pytest.raises(asyncio.CancelledError):
        await task
    requests = len(front.requests)
    await storage.delete(["k"])
    assert bucket.names() == []
    assert not [line for line in front.requests[requests:] if re.search(at, line)]
    assert await storage.put("k", source, mime="text/plain") == source.size


@in_threads
async def test_a_large_upload_holds_up_neither_small_ones_nor_the_rest(
    bucket: Any, front: Front, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    monkeypatch.setattr(blocking, "LARGE_UPLOADS", 1)
    storage = bucket.storage(endpoint=bucket.endpoint_at(front.endpoint))
    source = BlobSource(data=b"x" * 10 * MIB)
    held = front.hold(at)
    large = asyncio.create_task(storage.put("large", source, mime="text/plain"))
    assert await asyncio.to_thread(held.met.wait, PATIENCE)
    queued = asyncio.create_task(storage.put("queued", source, mime="text/plain"))
    await storage.put("small", BlobSource(data=b"x"), mime="text/plain")
    assert await blob(storage, "small") == b"x"
    queued.cancel()
    with pytest.raises(asyncio.CancelledError):
        await queued
    front.calm()
    assert await large == source.size
    assert bucket.names() == ["large", "small"]


@pytest.mark.parametrize(
    ("bucket", "at", "changes"),
    [
        ("google", "upload_id=", {"retry_seconds": 0.3}),
        ("container", "comp=block&", {"attempts": 2}),
    ],
    indirect=["bucket"],
)
async def test_a_server_that_goes_away_amid_an_upload_leaves_no_blob(
    bucket: Any, front: Front, at: str, changes: dict[str, Any]
) -> None:
    storage = bucket.storage(endpoint=bucket.endpoint_at(front.endpoint), **changes)
    source = BlobSource(data=b"x" * 20 * MIB)
    await storage.put("before", BlobSource(data=b"x"), mime="text/plain")
    front.reset(at, after=MIB)
    with pytest.raises(StorageUnavailable, match=r"Cannot write 'k' .*the network$") as caught:
        await storage.put("k", source, mime="text/plain")
    assert "upload_id" not in str(caught.value)
    front.reset("/", after=0)
    for attempt in (blob(storage, "before"), storage.delete(["before"]), storage.check()):
        with pytest.raises(StorageUnavailable, match=r"check the endpoint and the network$"):
            await attempt
    front.calm()
    assert [info.key async for info in storage.list_blobs()] == ["before"]
    assert await storage.put("k", source, mime="text/plain") == source.size


@pytest.mark.parametrize(
    ("bucket", "at", "size"),
    [
        ("moto", "PUT /", 10),
        ("moto", "POST .*uploads", 11 * MIB),
        ("moto", "partNumber=2", 11 * MIB),
        ("moto", r"POST .*\?uploadId", 11 * MIB),
        ("container", "comp=block&", 20 * MIB),
    ],
    indirect=["bucket"],
)
async def test_a_server_that_never_answers_is_unavailable(
    bucket: Any, front: Front, monkeypatch: pytest.MonkeyPatch, at: str, size: int
) -> None:
    monkeypatch.setattr(azure_client, "CONNECT_SECONDS", 1)
    monkeypatch.setattr(azure_client, "READ_SECONDS", 0.5)
    changes = {"patience": 0.5} if isinstance(bucket, Bucket) else {}
    endpoint = bucket.endpoint_at(front.endpoint)
    storage = bucket.storage(endpoint=endpoint, attempts=1, **changes)
    front.hold(at)
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(StorageUnavailable, match=r"Cannot write 'k' .*and the network$"):
            await storage.put("k", BlobSource(data=b"x" * size), mime="text/plain")


@pytest.mark.parametrize(
    ("bucket", "changes"),
    [("google", {"retry_seconds": 0.3}), ("container", {"attempts": 2})],
    indirect=["bucket"],
)
async def test_a_server_that_stays_overloaded_is_unavailable(
    bucket: Any, front: Front, changes: dict[str, Any]
) -> None:
    storage = bucket.storage(endpoint=bucket.endpoint_at(front.endpoint), **changes)
    await storage.put("k", BlobSource(data=b"x"), mime="text/plain")
    front.fail("/", 503, "ServerBusy")
    for error in await failures(storage):
        assert type(error) is StorageUnavailable
        assert re.search(r"(503|ServerBusy).*; try again later$", str(error)), error
        assert "upload_id" not in str(error)
    front.calm()
    assert bucket.names() == ["k"]


@pytest.mark.parametrize("bucket", ["moto", "google", "container"], indirect=True)
async def test_an_upload_waits_for_a_permission_but_not_for_a_size(
    bucket: Any, front: Front, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    storage = bucket.storage(endpoint=bucket.endpoint_at(front.endpoint))
    layer = SQLADataLayer(f"sqlite:///{tmp_path / 'chats.db'}", storage=storage)
    front.fail("(PUT|POST) .*e", 403, "AccessDenied")
    file = File(id="e", thread_id="t", for_id="s", name="e", content=b"kept")
    upload = asyncio.create_task(layer.create_element(file))
    await until(lambda: "Not stored yet" in caplog.text or upload.done())
    front.calm()
    await upload
    thread: Any = await layer.get_thread("t")
    assert await blob(storage, thread["elements"][0]["objectKey"]) == b"kept"
    front.fail("(PUT|POST) .*k", 413, "413")
    with pytest.raises(BlobRejected, match="store a smaller file"):
        await storage.put("k", BlobSource(data=b"x"), mime="text/plain")
    await layer.close()


@pytest.mark.parametrize(
    ("bucket", "status", "code", "message"),
    [
        ("moto", 403, "AccessDenied", "AccessDenied"),
        ("moto", 500, "InternalError", "InternalError"),
        ("google", 403, "Forbidden", "403"),
        ("google", 503, "ServerBusy", "503 .*; try again later"),
        ("container", 409, "LeaseIdMissing", "LeaseIdMissing .*; end the lease"),
        ("container", 503, "ServerBusy", "ServerBusy .*; try again later"),
    ],
    indirect=["bucket"],
)
async def test_one_blob_that_cannot_be_deleted_keeps_no_other(
    bucket: Any, front: Front, status: int, code: str, message: str
) -> None:
    once = {"retry_seconds": 0.5} if isinstance(bucket, GoogleBucket) else {"attempts": 1}
    storage = bucket.storage(endpoint=bucket.endpoint_at(front.endpoint), **once)
    keys = [f"k{number}" for number in range(10, 40)]
    direct = bucket.storage()
    for key in keys:
        await direct.put(key, BlobSource(data=b"x"), mime="text/plain")
    await direct.close()
    front.fail(r"DELETE .*/k11($|\?)", status, code)
    with pytest.raises(StorageError, match=rf"Cannot delete 'k11' .*{message}"):
        await storage.delete(keys)
    assert bucket.names() == ["k11"]


@pytest.mark.parametrize(
    ("bucket", "size"),
    [
        *(("moto", 5 * MIB + more) for more in (-1, 0, 1)),
        *(("google", 8 * MIB + more) for more in (-4 * MIB, -1, 0, 1)),
        *(("container", size) for size in (MIB, MIB + 1, 4 * MIB, 9 * MIB - 1)),
    ],
    indirect=["bucket"],
)
async def test_no_byte_is_lost_around_the_size_of_a_part(bucket: Any, size: int) -> None:
    storage = bucket.storage()
    data = os.urandom(size)
    assert await storage.put("k", BlobSource(data=data), mime="text/plain") == size
    assert await blob(storage, "k") == data


@pytest.mark.parametrize("deliver", [True, False])
@pytest.mark.parametrize(
    ("bucket", "pattern", "size"),
    [
        ("swift", b"PUT /", 10),
        ("swift", b"POST /", 11 * MIB),
        ("swift", b"partNumber=2", 11 * MIB),
        ("swift", b"<CompleteMultipart", 11 * MIB),
        ("google", b"uploadType=multipart", 1000),
        ("google", b"upload_id=", 18 * MIB),
        ("google", b"TENTH-MEGABYTE", 18 * MIB),
        ("container", b"PUT /", 10),
        ("container", b"<BlockList>", 3 * MIB),
    ],
    indirect=["bucket"],
)
async def test_a_request_that_is_cut_off_is_sent_again(
    bucket: Any, proxy: FlakyProxy, pattern: bytes, size: int, deliver: bool
) -> None:
    storage = bucket.storage(endpoint=bucket.endpoint_at(f"http://127.0.0.1:{proxy.port}"))
    data = bytearray(os.urandom(size))
    data[9 * MIB : 9 * MIB + 14] = b"TENTH-MEGABYTE" if size > 10 * MIB else b""
    proxy.cut_at(pattern, deliver=deliver)
    await storage.put("k", BlobSource(data=bytes(data)), mime="text/plain")
    assert not proxy.cut_pending
    assert await blob(storage, "k") == data


@pytest.mark.parametrize("status", [503, 500, 0], ids=["busy", "broken", "reset"])
@pytest.mark.parametrize(
    ("bucket", "match", "size"),
    [
        ("moto", "PUT /.*k$", 10),
        ("moto", "partNumber=2", 16 * MIB),
        ("container", "PUT .*/k$", 10),
        ("container", "PUT .*comp=block&", 10 * MIB),
        ("container", "PUT .*comp=blocklist", 10 * MIB),
    ],
    indirect=["bucket"],
)
async def test_a_request_that_fails_twice_is_sent_again(
    bucket: Any, front: Front, match: str, size: int, status: int
) -> None:
    storage = bucket.storage(endpoint=bucket.endpoint_at(front.endpoint))
    data = os.urandom(size)
    fault = front.fail(match, status, "SlowDown", 2) if status else front.reset(match, 5, 2)
    await storage.put("k", BlobSource(data=data), mime="text/plain")
    assert fault.times == 0
    assert await blob(storage, "k") == data
    if isinstance(bucket, Bucket):
        assert bucket.unfinished() == []


@pytest.mark.parametrize("bucket", ["swift", "container"], indirect=True)
async def test_a_connection_lost_while_reading(bucket: Any, proxy: FlakyProxy) -> None:
    endpoint = bucket.endpoint_at(f"http://127.0.0.1:{proxy.port}")
    storage = bucket.storage(endpoint=endpoint, attempts=1)
    await storage.put("k", BlobSource(data=b"x" * 30 * MIB), mime="text/plain")
    chunks = storage.open("k")
    await anext(chunks)
    proxy.drop_all()
    proxy.refuse()
    with pytest.raises(StorageUnavailable, match=r"Cannot read 'k' .* and the network$"):
        _ = [chunk async for chunk in chunks]
    proxy.restore()
    assert len(await blob(storage, "k")) == 30 * MIB


@pytest.mark.parametrize(
    ("bucket", "changes", "message"),
    [
        (
            "swift",
            {"bucket": "no-such-bucket"},
            r"in the S3 bucket 'no-such-bucket' at http://.*NoSuchBucket.*; create the bucket or "
            r"correct BUCKET_NAME or the storage URL$",
        ),
        ("swift", {"bucket": "not a bucket!"}, "; correct BUCKET_NAME or the storage URL$"),
        ("swift", {"secret_key": "wrong"}, "SignatureDoesNotMatch.*; correct APP_AWS_SECRET_KEY$"),
        (
            "swift",
            {"access_key": SwiftServer.stranger_key},
            "AccessDenied.*; allow these credentials .* s3:ListBucket on it$",
        ),
        (
            "google",
            {"bucket": "no-such-bucket"},
            r"in the Google Cloud Storage bucket 'no-such-bucket' at http://.*404 Not Found \(The "
            r"specified bucket does not exist\); create the bucket or correct BUCKET_NAME or the "
            r"storage URL$",
        ),
        (
            "container",
            {"container": "no-such-container"},
            "in the Azure container 'no-such-container' of the account .*; create the container or "
            "correct BUCKET_NAME or the storage URL$",
        ),
        ("container", {"key": KEY}, "; correct APP_AZURE_STORAGE_ACCESS_KEY"),
        (
            "swift",
            {"endpoint": NOWHERE, "attempts": 1},
            f"at {NOWHERE}.*; check DEV_AWS_ENDPOINT or the storage URL, APP_AWS_REGION and the "
            "network$",
        ),
    ],
    indirect=["bucket"],
)
async def test_a_refusal_names_its_repair(
    bucket: Any, changes: dict[str, Any], message: str
) -> None:
    for error in await failures(bucket.storage(**changes)):
        assert type(error) is (StorageUnavailable if "endpoint" in changes else StorageError)
        assert re.search(message, str(error)), error
        assert KEY not in str(error)


# More than what the buffers of the sockets take.
@pytest.mark.parametrize(
    ("bucket", "size", "at"),
    [
        ("moto", 5 * MIB - 1, "PUT /"),
        ("moto", 16 * MIB, "PUT /"),
        ("container", MIB - 1, "PUT /.*/k$"),
        ("container", 40 * MIB, "comp=block(&|$)"),
    ],
    indirect=["bucket"],
)
async def test_closing_ends_an_upload_that_is_stuck(
    bucket: Any, front: Front, monkeypatch: pytest.MonkeyPatch, size: int, at: str
) -> None:
    monkeypatch.setattr(blocking, "CLOSE_SECONDS", 0.2)
    storage = bucket.storage(endpoint=bucket.endpoint_at(front.endpoint))
    held = front.hold(at, after=10)
    put = storage.put("k", BlobSource(data=b"x" * size), mime="text/plain")
    upload = asyncio.create_task(put)
    assert await asyncio.to_thread(held.met.wait, PATIENCE)
    async with asyncio.timeout(PATIENCE / 2):  # The patience of the upload is longer.
        await storage.close()
        with pytest.raises(StorageError, match=r"The .* was closed meanwhile; "):
            await upload
    front.calm()
    if size > MIB:  # A small blob may arrive in Azure all the same; `uploads` deletes it.
        assert bucket.names() == []


@pytest.mark.parametrize("bucket", ["moto", "container"], indirect=True)
async def test_what_began_before_closing_connects_no_more(
    bucket: Any, front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = bucket.storage(endpoint=bucket.endpoint_at(front.endpoint))
    await small_pages(storage, 1, monkeypatch)
    for key in ("a", "b"):
        await storage.put(key, BlobSource(data=b"x"), mime="text/plain")
    listing = storage.list_blobs()
    assert (await anext(listing)).key == "a"
    await storage.close()
    requests = len(front.requests)
    with pytest.raises(StorageError, match="was closed meanwhile"):
        await anext(listing)
    assert len(front.requests) == requests
    await storage.delete(["a"])  # What begins after that opens it again.
    assert bucket.names() == ["b"]


AZURE = {"container": "container", "account": "acc", "key": KEY}
GCS = {"client_email": "a@b.iam.gserviceaccount.com"}
PEM = f"-----BEGIN PRIVATE KEY-----\\n{KEY}\\n"


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (S3Storage, {"bucket": ""}, "set BUCKET_NAME"),
        (S3Storage, {"access_key": "only"}, "set both APP_AWS_ACCESS_KEY and APP_AWS_SECRET_KEY"),
        (S3Storage, {"secret_key": "only"}, "set both APP_AWS_ACCESS_KEY and APP_AWS_SECRET_KEY"),
        (S3Storage, {"endpoint": "minio:9000"}, "write it like http://localhost:9000"),
        (S3Storage, {"expiry": 604_801}, "correct STORAGE_EXPIRY_TIME"),
        (S3Storage, {"expiry": 0}, "correct STORAGE_EXPIRY_TIME"),
        (GCSStorage, {"bucket": ""}, "set BUCKET_NAME"),
        (GCSStorage, {"bucket": "-bucket"}, "correct BUCKET_NAME or the storage URL"),
        (GCSStorage, {"bucket": "bucket_"}, "correct BUCKET_NAME or the storage URL"),
        (GCSStorage, {"private_key": "only"}, "set APP_GCS_CLIENT_EMAIL"),
        (GCSStorage, {**GCS, "private_key": KEY}, "set APP_GCS_PRIVATE_KEY to the whole"),
        (GCSStorage, {**GCS, "private_key": PEM}, "set APP_GCS_PRIVATE_KEY to the whole"),
        (GCSStorage, {**GCS, "private_key": "\\n"}, "set APP_GCS_PRIVATE_KEY to the whole"),
        (GCSStorage, {"endpoint": "localhost:9023"}, "write it like http://localhost:9000"),
        (GCSStorage, {"expiry": 604_801}, "correct STORAGE_EXPIRY_TIME"),
        (AzureStorage, {"container": ""}, "set BUCKET_NAME"),
        (AzureStorage, {"account": "a.example/"}, "set APP_AZURE_STORAGE_ACCOUNT"),
        (AzureStorage, {"key": "no base64!"}, "correct APP_AZURE_STORAGE_ACCESS_KEY"),
        (AzureStorage, {"key": KEY[:-1]}, "correct APP_AZURE_STORAGE_ACCESS_KEY"),
        (AzureStorage, {"endpoint": "azurite:10000"}, "write it like http://localhost:9000"),
        (AzureStorage, {"key": "", "endpoint": "http://a:1"}, "use https, or set APP_AZURE_"),
        (AzureStorage, {"expiry": 0}, "correct STORAGE_EXPIRY_TIME"),
        (AzureStorage, {"expiry": 10**12}, "correct STORAGE_EXPIRY_TIME"),
        (AzureStorage, {"key": "", "expiry": 604_801}, "correct STORAGE_EXPIRY_TIME"),
    ],
)
def test_arguments_that_cannot_work(
    kind: type[Any], arguments: dict[str, Any], message: str
) -> None:
    usual = AZURE if kind is AzureStorage else {"bucket": "bucket"}
    with pytest.raises(ConfigurationError, match=message) as caught:
        kind(**{**usual, **arguments})
    assert KEY[:-1] not in str(caught.value)
