"""What S3 refuses, told in one sentence that ends with the repair."""

from __future__ import annotations

import pytest

from chainlit_sqla.errors import StorageError
from chainlit_sqla.storage.base import BlobSource
from chainlit_sqla.storage.s3.client import S3Storage
from tests.servers.ports import free_port

from .conftest import Bucket
from .test_contract import blob

MIB = 1024 * 1024


async def attempts(storage: S3Storage) -> list[str]:
    """Return what each operation says when it fails."""
    said = []
    for operation in (
        storage.put("k", BlobSource(data=b"x"), mime="text/plain"),
        storage.put("k", BlobSource(data=b"x" * 6 * MIB), mime="text/plain"),
        blob(storage, "k"),
        storage.delete(["k"]),
        storage.check(),
    ):
        with pytest.raises(StorageError) as caught:
            await operation
        assert "\n" not in str(caught.value)
        said.append(str(caught.value))
    await storage.close()
    return said


async def test_a_wrong_bucket(swift: Bucket) -> None:
    for message in await attempts(swift.storage(bucket="no-such-bucket", part_size=5 * MIB)):
        assert f"in the S3 bucket 'no-such-bucket' at {swift.server.endpoint}" in message
        assert "NoSuchBucket" in message
        assert message.endswith("; create the bucket or correct BUCKET_NAME or the storage URL")


async def test_a_wrong_secret(swift: Bucket) -> None:
    for message in await attempts(swift.storage(secret_key="wrong", part_size=5 * MIB)):
        assert "SignatureDoesNotMatch" in message
        assert message.endswith("; correct APP_AWS_SECRET_KEY")


async def test_an_unknown_access_key(swift: Bucket) -> None:
    for message in await attempts(swift.storage(access_key="test:nobody", part_size=5 * MIB)):
        assert "SignatureDoesNotMatch" in message or "InvalidAccessKeyId" in message
        assert "correct APP_AWS_" in message


async def test_somebody_elses_bucket(swift: Bucket) -> None:
    stranger = swift.storage(access_key=swift.server.stranger_key, part_size=5 * MIB)
    for message in await attempts(stranger):
        assert "AccessDenied" in message
        assert message.endswith("s3:ListBucket on it")


async def test_an_unreachable_server(swift: Bucket) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    for message in await attempts(swift.storage(endpoint=nowhere, attempts=1, part_size=5 * MIB)):
        assert f"at {nowhere}" in message
        assert message.endswith(
            "; check DEV_AWS_ENDPOINT or the storage URL, APP_AWS_REGION and the network"
        )


async def test_an_impossible_bucket_name(swift: Bucket) -> None:
    for message in await attempts(swift.storage(bucket="not a bucket!", part_size=5 * MIB)):
        assert message.endswith("; correct BUCKET_NAME or the storage URL")


async def test_no_credentials_at_all(swift: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    storage = swift.storage(access_key="", secret_key="", part_size=5 * MIB, session=None)
    with pytest.raises(StorageError, match="set APP_AWS_ACCESS_KEY and APP_AWS_SECRET_KEY"):
        await storage.read_urls(["k"])
    for message in await attempts(storage):
        assert message.endswith(
            "set APP_AWS_ACCESS_KEY and APP_AWS_SECRET_KEY, or give this machine a role"
        )


async def test_the_default_credentials_of_the_environment(
    swift: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", swift.server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", swift.server.secret_key)
    storage = swift.storage(access_key="", secret_key="", session=None)
    assert swift.name in await storage.check()
    await storage.close()
