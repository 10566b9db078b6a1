"""Stores to run the contract against, each with a way to read its links over HTTP."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import boto3
import httpx
import pytest
from aiobotocore.session import get_session
from azure.storage.blob import ContainerClient
from botocore.config import Config
from starlette.applications import Starlette

from chainlit_sqla.storage.azure.client import AzureStorage
from chainlit_sqla.storage.base import Inventory, StorageClient
from chainlit_sqla.storage.chainlit_adapter import ChainlitClientStorage
from chainlit_sqla.storage.gcs.client import GCSStorage
from chainlit_sqla.storage.local.client import LocalStorage
from chainlit_sqla.storage.local.route import file_route
from chainlit_sqla.storage.s3.client import S3Storage
from tests.servers import azurite, gcs, s3_moto, s3_swift
from tests.servers.require import unavailable
from tests.until import PATIENCE

EXPIRY = 600
SWIFT_REPAIR = "pip install swift pyeclib keystonemiddleware"

SESSION = get_session()
"""Shared, since reading its data files again for each test takes most of the time."""


S = TypeVar("S", bound=Inventory)
_storages: list[Inventory] = []


def _opened(storage: S) -> S:
    _storages.append(storage)
    return storage


@pytest.fixture(autouse=True)
async def close_storages() -> AsyncIterator[None]:
    """Close the clients that the buckets of a test gave out."""
    yield
    while _storages:
        await _storages.pop().close()


@dataclass
class Store:
    """A client under test, and what reads its links as a browser would."""

    client: StorageClient
    http: httpx.AsyncClient
    past: Callable[[str], Any] | None = None
    """Signs a link for a key that expired, with an old clock in the signer only."""

    async def get(self, key: str, **options: Any) -> httpx.Response:
        url = (await self.client.read_urls([key]))[key]
        return await self.http.get(url, **options)


@dataclass
class Bucket:
    """A bucket of a running server, and what a client needs to reach it."""

    server: Any
    name: str

    def storage(self, **changes: Any) -> S3Storage:
        options = {
            "bucket": self.name,
            "endpoint": self.server.endpoint,
            "region": self.server.region,
            "access_key": self.server.access_key,
            "secret_key": self.server.secret_key,
            "expiry": EXPIRY,
            "session": SESSION,
        }
        return _opened(S3Storage(**{**options, **changes}))

    def endpoint_at(self, origin: str) -> str:
        return origin

    def names(self) -> list[str]:
        listed = self.boto.list_objects_v2(Bucket=self.name).get("Contents", [])
        return [item["Key"] for item in listed]

    def unfinished(self) -> list[Any]:
        return self.boto.list_multipart_uploads(Bucket=self.name).get("Uploads", [])

    @cached_property
    def boto(self) -> Any:
        return boto3.client("s3", **self.arguments)

    @property
    def arguments(self) -> dict[str, Any]:
        return {
            "endpoint_url": self.server.endpoint,
            "region_name": self.server.region,
            "aws_access_key_id": self.server.access_key,
            "aws_secret_access_key": self.server.secret_key,
            "config": Config(s3={"addressing_style": "path"}, signature_version="s3v4"),
        }


async def small_pages(storage: Any, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a client of S3 or Azure list so many blobs with one request."""
    if isinstance(storage, AzureStorage):
        monkeypatch.setattr("chainlit_sqla.storage.azure.client.PAGE", size)
        return

    def limit(params: dict[str, Any], **_: Any) -> None:
        params["MaxKeys"] = size

    client = await storage._connect()
    client.meta.events.register("provide-client-params.s3.ListObjectsV2", limit)


def serve(module: ModuleType, kind: Callable[[], Any], repair: str) -> Iterator[Any]:
    """Run a server of a module that can say why it cannot run here."""
    if why := module.missing():
        unavailable(f"{kind.__name__}: {why}", repair)
    server = kind()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def swift_server() -> Iterator[s3_swift.SwiftServer]:
    yield from serve(s3_swift, s3_swift.SwiftServer, SWIFT_REPAIR)


@pytest.fixture(scope="session")
def moto_server() -> Iterator[s3_moto.MotoServer]:
    yield from serve(s3_moto, s3_moto.MotoServer, "pip install 'moto[server]'")


@pytest.fixture(scope="session")
def azurite_server() -> Iterator[azurite.AzuriteServer]:
    yield from serve(azurite, azurite.AzuriteServer, "install Node.js with npm")


@pytest.fixture(scope="session")
def google_server() -> Iterator[gcs.GoogleServer]:
    yield from serve(gcs, gcs.GoogleServer, "pip install 'chainlit-sqla[test]'")


def _bucket(server: Any) -> Bucket:
    bucket = Bucket(server, f"bucket-{secrets.token_hex(6)}")
    bucket.boto.create_bucket(Bucket=bucket.name)
    return bucket


@pytest.fixture
def swift(swift_server: s3_swift.SwiftServer) -> Bucket:
    return _bucket(swift_server)


@pytest.fixture
def moto(moto_server: s3_moto.MotoServer) -> Bucket:
    return _bucket(moto_server)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(verify=False, trust_env=False, timeout=PATIENCE) as client:
        yield client


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[Store]:
    storage = LocalStorage(tmp_path / "files", expiry=EXPIRY)
    app = Starlette(routes=[file_route(storage)])
    past = LocalStorage(tmp_path / "files", expiry=EXPIRY, clock=lambda: 0)

    async def sign(key: str) -> str:
        return (await past.read_urls([key]))[key]

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, verify=False, base_url="http://t") as client:
        yield Store(storage, client, sign)


@pytest.fixture
async def s3_swift_store(swift: Bucket, http: httpx.AsyncClient) -> Store:
    storage = swift.storage()

    async def sign(key: str) -> str:
        await storage.read_urls([key])  # Connected before the clock is turned back.
        then = datetime.now(UTC).replace(tzinfo=None) - timedelta(minutes=90)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("botocore.auth.get_current_datetime", lambda *_, **__: then)
            return (await storage.read_urls([key]))[key]

    return Store(storage, http, sign)


@pytest.fixture
async def s3_moto_store(moto: Bucket, http: httpx.AsyncClient) -> Store:
    return Store(moto.storage(), http)


@dataclass
class Container:
    """A container of a running Azurite, and what a client needs to reach it."""

    server: azurite.AzuriteServer
    name: str

    def storage(self, **changes: Any) -> AzureStorage:
        options = {
            "container": self.name,
            "account": self.server.account,
            "key": self.server.key,
            "endpoint": self.server.endpoint,
            "expiry": EXPIRY,
        }
        return _opened(AzureStorage(**{**options, **changes}))

    def endpoint_at(self, origin: str) -> str:
        return f"{origin}/{self.server.account}"

    def names(self) -> list[str]:
        return list(self.sdk.list_blob_names())

    @cached_property
    def sdk(self) -> ContainerClient:
        access = {"account_name": self.server.account, "account_key": self.server.key}
        return ContainerClient(self.server.endpoint, self.name, access)


@pytest.fixture
def container(azurite_server: azurite.AzuriteServer) -> Iterator[Container]:
    container = Container(azurite_server, f"container-{secrets.token_hex(6)}")
    with container.sdk as sdk:
        sdk.create_container()
        yield container


@pytest.fixture
async def azure_store(container: Container, http: httpx.AsyncClient) -> Store:
    storage = container.storage()

    async def sign(key: str) -> str:
        past = container.storage(clock=lambda: time.time() - 5400)
        return (await past.read_urls([key]))[key]

    return Store(storage, http, sign)


@pytest.fixture
def chainlit_s3(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> type[Any]:
    """Return Chainlit's S3 client; importing Chainlit writes into its app root."""
    root = str(tmp_path_factory.mktemp("chainlit"))
    monkeypatch.setenv("CHAINLIT_APP_ROOT", root)
    monkeypatch.chdir(root)
    from chainlit.data.storage_clients.s3 import S3StorageClient

    return S3StorageClient


@pytest.fixture
async def chainlit_store(
    moto: Bucket, http: httpx.AsyncClient, chainlit_s3: type[Any]
) -> AsyncIterator[Store]:
    storage = ChainlitClientStorage(chainlit_s3(moto.name, **moto.arguments))
    yield Store(storage, http)
    await storage.close()


@dataclass
class GoogleBucket:
    """A bucket of Google's, and what a client needs to reach it."""

    server: gcs.GoogleServer
    name: str

    def storage(self, **changes: Any) -> GCSStorage:
        options = {
            "bucket": self.name,
            "endpoint": self.server.endpoint,
            "client_email": self.server.owner.email,
            "private_key": self.server.owner.pem,
            "expiry": EXPIRY,
            "retry_seconds": 5,
        }
        return _opened(GCSStorage(**{**options, **changes}))

    def endpoint_at(self, origin: str) -> str:
        return origin

    def names(self) -> list[str]:
        return self.server.names(self.name)


@pytest.fixture
def google(
    google_server: gcs.GoogleServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[GoogleBucket]:
    origin = google_server.endpoint
    monkeypatch.setattr("chainlit_sqla.storage.gcs.client.TOKEN_URI", f"{origin}/token")
    iam = f"{origin}/v1/projects/-/serviceAccounts/{{}}:signBlob"
    monkeypatch.setattr("google.auth.iam._IAM_SIGN_ENDPOINT", iam)
    bucket = GoogleBucket(google_server, f"bucket-{secrets.token_hex(6)}")
    google_server.make_bucket(bucket.name)
    yield bucket
    google_server.front.reset()


@pytest.fixture
async def gcs_store(google: GoogleBucket, http: httpx.AsyncClient) -> Store:
    storage = google.storage()

    async def sign(key: str) -> str:
        then = datetime.now(UTC) - timedelta(minutes=90)
        stamps = then.strftime("%Y%m%dT%H%M%SZ"), then.strftime("%Y%m%d")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("google.cloud.storage._signing.get_v4_now_dtstamps", lambda: stamps)
            return (await storage.read_urls([key]))[key]

    return Store(storage, http, sign)


STORES = ("local", "s3_swift_store", "s3_moto_store", "azure_store", "gcs_store", "chainlit_store")
SIGNED_STORES = ("local", "s3_swift_store", "azure_store", "gcs_store")


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest) -> Store:
    return request.getfixturevalue(request.param)


@pytest.fixture(params=[name for name in STORES if name != "chainlit_store"])
def inventory(request: pytest.FixtureRequest) -> Inventory:
    return request.getfixturevalue(request.param).client


@pytest.fixture(params=SIGNED_STORES)
def signed_store(request: pytest.FixtureRequest) -> Store:
    return request.getfixturevalue(request.param)
