"""The stores that are measured, each with its server in another process.

A store is a function that starts what it needs and yields a maker of its client. The maker
goes to the process that is measured, so it must be picklable. To add a store, write such a
function and name it in `STORES`.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import httpx
from azure.storage.blob import ContainerClient

from chainlit_sqla.storage.azure.client import AzureStorage
from chainlit_sqla.storage.base import StorageClient
from chainlit_sqla.storage.gcs import credentials as gcs_credentials
from chainlit_sqla.storage.gcs.client import GCSStorage
from chainlit_sqla.storage.local.client import LocalStorage
from chainlit_sqla.storage.s3.client import S3Storage
from tests.servers.azurite import AzuriteServer
from tests.servers.gcs import GoogleServer
from tests.servers.ports import free_port
from tests.servers.s3_swift import SwiftServer

Maker = Callable[[], StorageClient]
BUCKET = "benchmark"
START_SECONDS = 60


@contextlib.contextmanager
def local() -> Iterator[Maker]:
    """A folder on the disk of the temporary files."""
    with tempfile.TemporaryDirectory(prefix="benchmark-local-") as folder:
        yield partial(LocalStorage, Path(folder), secret="benchmark")


@contextlib.contextmanager
def swift() -> Iterator[Maker]:
    """OpenStack Swift with its s3api: four processes that check signatures."""
    server = SwiftServer()
    try:
        yield _s3(server.endpoint, server.access_key, server.secret_key)
    finally:
        server.stop()


@contextlib.contextmanager
def moto() -> Iterator[Maker]:
    """Moto, in a process that keeps the blobs in memory."""
    port = free_port()
    with _serving("moto.server", "-H", "127.0.0.1", "-p", str(port), port=port) as make:
        yield make


@contextlib.contextmanager
def sink() -> Iterator[Maker]:
    """A server that keeps nothing, so that only the client takes time."""
    port = free_port()
    with _serving("benchmarks.sink", str(port), port=port) as make:
        yield make


@contextlib.contextmanager
def _serving(module: str, *arguments: str, port: int) -> Iterator[Maker]:
    command = [sys.executable, "-m", module, *arguments]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **quiet) as process:
        try:
            endpoint = f"http://127.0.0.1:{port}"
            _wait_for(endpoint)
            yield _s3(endpoint, "moto", "moto-secret")
        finally:
            process.kill()


@contextlib.contextmanager
def azure() -> Iterator[Maker]:
    """Azurite, Microsoft's emulator: a process of Node.js that checks signatures."""
    server = AzuriteServer()
    try:
        access = {"account_name": server.account, "account_key": server.key}
        with ContainerClient(server.endpoint, BUCKET, access) as container:
            container.create_container()
        options: dict[str, Any] = {"account": server.account, "key": server.key}
        yield partial(AzureStorage, BUCKET, endpoint=server.endpoint, **options)
    finally:
        server.stop()


@contextlib.contextmanager
def gcs() -> Iterator[Maker]:
    """An emulator of Google's, behind a front in this process that checks who asks."""
    server = GoogleServer()
    try:
        server.make_bucket(BUCKET)
        yield partial(_google, server.endpoint, server.owner.email, server.owner.pem)
    finally:
        server.stop()


def _google(endpoint: str, client_email: str, private_key: str) -> StorageClient:
    gcs_credentials.TOKEN_URI = f"{endpoint}/token"
    return GCSStorage(BUCKET, endpoint=endpoint, client_email=client_email, private_key=private_key)


STORES: dict[str, Callable[[], AbstractContextManager[Maker]]] = {
    "local": local,
    "s3-swift": swift,
    "s3-moto": moto,
    "s3-sink": sink,
    "azure": azure,
    "gcs": gcs,
}


def chosen(names: str) -> list[str]:
    """Find stores by the beginnings of their names.

    Args:
        names: Separated by commas; empty: all.

    Raises:
        SystemExit: There is no such store.
    """
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if not any(store.startswith(name) for store in STORES):
            raise SystemExit(f"There is no store {name!r}; choose from {', '.join(STORES)}")
    return [store for store in STORES if not wanted or store.startswith(tuple(wanted))]


def _s3(endpoint: str, access_key: str, secret_key: str) -> Maker:
    arguments = {
        "endpoint_url": endpoint,
        "region_name": "us-east-1",
        "aws_access_key_id": access_key,
        "aws_secret_access_key": secret_key,
    }
    boto3.client("s3", **arguments).create_bucket(Bucket=BUCKET)
    return partial(
        S3Storage,
        BUCKET,
        endpoint=endpoint,
        region="us-east-1",
        access_key=access_key,
        secret_key=secret_key,
    )


def _wait_for(endpoint: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            httpx.get(endpoint, trust_env=False)
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
