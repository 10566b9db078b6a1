"""What is particular to S3: parts, batches, refusals, and the words they are told in."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from chainlit_sqla.errors import StorageError
from chainlit_sqla.settings import Settings
from chainlit_sqla.storage.base import BlobSource
from chainlit_sqla.storage.open_store import open_storage
from chainlit_sqla.storage.s3.client import S3Storage
from chainlit_sqla.storage.s3.upload import CRC32, MD5, PART_SIZE

from .conftest import SESSION, Bucket
from .test_contract import blob, failures

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("algorithm", "header", "digest"),
    [
        (CRC32, "x-amz-checksum-crc32", "AAAAAA=="),
        (MD5, "Content-MD5", "1B2M2Y8AsgTpgAmY7PhCfg=="),
    ],
)
async def test_a_corrupted_upload_is_refused_and_leaves_nothing_behind(
    swift: Bucket, algorithm: str, header: str, digest: str
) -> None:
    storage = swift.storage()
    client = await storage._connect()
    for verification in (await storage._connected()).verifications:
        verification.algorithm = algorithm

    def wrong_digest(params: dict[str, Any], **_: Any) -> None:
        if params["url_path"].endswith("/k") and params["query_string"].get("partNumber", 2) == 2:
            assert header in params["headers"]
            params["headers"][header] = digest

    client.meta.events.register("before-call.s3.UploadPart", wrong_digest)
    client.meta.events.register("before-call.s3.PutObject", wrong_digest)
    for size in (16, 16, 16, 1):  # As often as would use up all slots if one were not given back.
        with pytest.raises(StorageError, match=r"Cannot write 'k' in the S3 bucket .*BadDigest"):
            await storage.put("k", BlobSource(data=b"x" * size * MIB), mime="text/plain")
    assert swift.unfinished() == []
    assert swift.names() == []
    await storage.put("other", BlobSource(data=b"x"), mime="text/plain")


class Digests:
    """Records the digest of each request that a client sends a body with."""

    def __init__(self, client: Any) -> None:
        self.sent: list[str] = []
        for operation in ("PutObject", "UploadPart"):
            client.meta.events.register(f"before-call.s3.{operation}", self._record)

    def _record(self, params: dict[str, Any], **_: Any) -> None:
        headers = {name.lower() for name in params["headers"]}
        known = {"x-amz-checksum-crc32", "content-md5"}
        self.sent.append("+".join(sorted(headers & known)))


CRC32_ONLY, MD5_ONLY = "x-amz-checksum-crc32", "content-md5"


@pytest.mark.parametrize("size", [1, 20 * MIB])
async def test_a_server_that_verifies_crc32_gets_no_md5(swift: Bucket, size: int) -> None:
    storage = swift.storage()
    digests = Digests(await storage._connect())
    for _ in range(2):
        await storage.put("k", BlobSource(data=b"x" * size), mime="text/plain")
    assert set(digests.sent) == {CRC32_ONLY}
    parts = -(-size // PART_SIZE)
    assert len(digests.sent) == 2 * parts + 1  # One that must be refused shows that it does.
    assert swift.names() == ["k"]


@pytest.mark.parametrize("size", [1, 20 * MIB])
async def test_a_server_that_ignores_crc32_gets_an_md5(moto: Bucket, size: int) -> None:
    storage = moto.storage()
    digests = Digests(await storage._connect())
    content = bytes(range(250)) * (size // 250) or b"x"
    await storage.put("k", BlobSource(data=content), mime="text/plain")
    assert await blob(storage, "k") == content
    assert moto.names() == ["k"]
    assert moto.unfinished() == []
    digests.sent.clear()
    await storage.put("again", BlobSource(data=content), mime="text/plain")
    assert digests.sent == [MD5_ONLY] * -(-len(content) // PART_SIZE)


@pytest.mark.parametrize("size", [1, 20 * MIB])
async def test_a_server_that_refuses_crc32_gets_an_md5(moto: Bucket, size: int) -> None:
    storage = moto.storage()
    client = await storage._connect()

    def refuse(params: dict[str, Any], **_: Any) -> Any:
        if not any("checksum" in name.lower() for name in params["headers"]):
            return None
        error = {"Code": "NotImplemented", "Message": "no such header"}
        status = {"HTTPStatusCode": 501, "HTTPHeaders": {}}
        return SimpleNamespace(status_code=501), {"Error": error, "ResponseMetadata": status}

    client.meta.events.register("before-call.s3", refuse)
    for key in ("k", "again"):
        await storage.put(key, BlobSource(data=b"x" * size), mime="text/plain")
    digests = Digests(client)
    await storage.put("k", BlobSource(data=b"x" * size), mime="text/plain")
    assert set(digests.sent) == {MD5_ONLY}
    assert moto.names() == ["again", "k"]


async def test_a_server_that_returns_the_crc32_is_not_tried(moto: Bucket) -> None:
    storage = moto.storage()
    client = await storage._connect()

    def ask_for_it(params: dict[str, Any], **_: Any) -> None:
        params["headers"]["x-amz-sdk-checksum-algorithm"] = "CRC32"

    client.meta.events.register("before-call.s3.PutObject", ask_for_it)
    digests = Digests(client)
    await storage.put("k", BlobSource(data=b"x"), mime="text/plain")
    assert digests.sent == [CRC32_ONLY]


async def test_a_cancelled_upload_leaves_nothing_behind(swift: Bucket) -> None:
    storage = swift.storage()
    client = await storage._connect()
    begun = asyncio.Event()
    client.meta.events.register("before-call.s3.UploadPart", lambda **_: begun.set())
    task = asyncio.create_task(
        storage.put("k", BlobSource(data=b"x" * 30 * MIB), mime="text/plain")
    )
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert swift.unfinished() == []
    assert swift.names() == []
    assert await storage.put("k", BlobSource(data=b"x" * 11 * MIB), mime="text/plain") == 11 * MIB


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        ({"region": "eu-central-1"}, "https://bucket.s3.eu-central-1.amazonaws.com/k?"),
        ({"bucket": "a.b", "region": "eu-west-1"}, "https://s3.eu-west-1.amazonaws.com/a.b/k?"),
        ({"endpoint": "http://minio:9000"}, "http://minio:9000/bucket/k?"),
        ({"endpoint": "http://s3.test", "path_style": False}, "http://bucket.s3.test/k?"),
        ({"path_style": True}, "https://s3.amazonaws.com/bucket/k?"),
    ],
)
async def test_links_point_where_the_signature_holds(arguments: Any, start: str) -> None:
    keys = {"access_key": "a", "secret_key": "b", "region": "us-east-1", "session": SESSION}
    storage = S3Storage(**{"bucket": "bucket", **keys, **arguments})
    url = (await storage.read_urls(["k"]))["k"]
    assert url.startswith(start)
    assert "X-Amz-Expires=3600&" in url


async def test_many_links_leave_the_event_loop_free() -> None:
    storage = S3Storage("b", access_key="a", secret_key="b", region="eu-west-1", session=SESSION)
    await storage.read_urls(["first"])
    task = asyncio.create_task(storage.read_urls([f"k{number}" for number in range(500)]))
    turns = 0
    while not task.done():
        await asyncio.sleep(0)
        turns += 1
    assert len(await task) == 500
    assert turns > 50


async def test_links_carry_the_token_of_temporary_credentials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"):
        monkeypatch.setenv(f"AWS_{name}", name)
    storage = S3Storage("bucket", region="us-west-1")
    for url in (await storage.read_urls(["a", "b"])).values():
        assert "X-Amz-Security-Token=SESSION_TOKEN&" in url


async def test_links_point_to_the_public_endpoint(swift: Bucket, http: httpx.AsyncClient) -> None:
    # Another name of the same server, as a container has inside and outside.
    public = swift.server.endpoint.replace("127.0.0.1", "localhost")
    storage = swift.storage(public_endpoint=public)
    await storage.put("k", BlobSource(data=b"x"), mime="text/plain")
    url = (await storage.read_urls(["k"]))["k"]
    assert url.startswith(f"{public}/{swift.name}/k?")
    assert (await http.get(url)).content == b"x"
    assert (await http.get(url.replace("localhost", "127.0.0.1"))).status_code == 403


async def test_a_profile_of_the_aws_configuration(
    swift: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    credentials = tmp_path / "credentials"
    credentials.write_text(
        f"[old]\naws_access_key_id = {swift.server.access_key}\n"
        f"aws_secret_access_key = {swift.server.secret_key}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    settings = Settings.load(aws_access_key="of another", aws_secret_key="account")
    url = f"s3://{swift.name}?endpoint={swift.server.endpoint}"
    with pytest.raises(StorageError, match="correct APP_AWS_"):
        await open_storage(url, settings).check()
    storage = open_storage(f"{url}&profile=old", settings)
    assert swift.name in await storage.check()
    await storage.close()
    with pytest.raises(StorageError, match=r"nobody.* correct the AWS configuration"):
        await open_storage(f"{url}&profile=nobody", settings).check()


async def test_no_credentials_at_all(swift: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    storage = swift.storage(access_key="", secret_key="", session=None)
    with pytest.raises(StorageError, match="set APP_AWS_ACCESS_KEY and APP_AWS_SECRET_KEY"):
        await storage.read_urls(["k"])
    for message in await failures(storage):
        assert str(message).endswith(
            "set APP_AWS_ACCESS_KEY and APP_AWS_SECRET_KEY, or give this machine a role"
        )
