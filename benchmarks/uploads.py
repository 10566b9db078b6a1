"""Uploads to S3: our client, Chainlit's, and boto3 alone, each in a process of its own."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import boto3

from tests.servers.s3_swift import SwiftServer

from .contenders import OURS

CLIENTS = (OURS, "chainlit s3", "boto3")
MIB = 1024 * 1024
CASES = {"1 × 200 MB": (1, 200 * MIB), "100 × 1 MB": (100, MIB)}
ACCESS = ("S3_ENDPOINT", "S3_REGION", "S3_ACCESS_KEY", "S3_SECRET_KEY")


def measure_uploads(rounds: int) -> list[Any]:
    """Time uploads of one large and of many small files, and the memory that they take."""
    from .__main__ import Measurement

    server = SwiftServer()
    values = (server.endpoint, server.region, server.access_key, server.secret_key)
    os.environ.update(zip(ACCESS, values, strict=True))
    _boto().create_bucket(Bucket="bench")
    measurements = []
    try:
        for title, (number, size) in CASES.items():
            seconds = Measurement("upload", f"upload {title}", "s3", "s", False)
            memory = Measurement("upload", f"upload {title}: memory", "s3", "MB", False)
            with TemporaryDirectory() as folder:
                block = os.urandom(MIB)
                for position in range(number):
                    path = Path(folder) / f"file-{position}"
                    path.write_bytes(block * (size // MIB))
                for _ in range(rounds):
                    for name in CLIENTS:
                        command = [sys.executable, "-m", "benchmarks.uploads", name, folder]
                        done = subprocess.run(command, check=True, capture_output=True, text=True)
                        took, growth = map(float, done.stdout.split()[-2:])
                        seconds.values.setdefault(name, []).append(took)
                        memory.values.setdefault(name, []).append(growth)
            measurements += [seconds, memory]
    finally:
        server.stop()
    return measurements


async def upload(name: str, paths: list[Path]) -> tuple[float, float]:
    """Upload files concurrently; return the seconds and the growth of memory in MB."""
    put, close = _client(name)
    await put("warm-up", Path(__file__))
    before = _peak()
    began = time.perf_counter()
    await asyncio.gather(*(put(path.name, path) for path in paths))
    seconds = time.perf_counter() - began
    growth = _peak() - before
    await close()
    return seconds, growth


def _client(name: str) -> tuple[Any, Any]:
    endpoint, region, access, secret = (os.environ[variable] for variable in ACCESS)

    async def nothing() -> None:
        """Nothing to close."""

    if name == OURS:
        from chainlit_sqla import BlobSource, S3Storage

        storage = S3Storage(
            bucket="bench", endpoint=endpoint, region=region, access_key=access, secret_key=secret
        )
        return (
            lambda key, path: storage.put(key, BlobSource(path=path), mime="text/plain"),
            storage.close,
        )
    if name == "boto3":
        client = _boto()
        return lambda key, path: asyncio.to_thread(
            client.upload_file, str(path), "bench", key
        ), nothing
    from chainlit.data.storage_clients.s3 import S3StorageClient

    theirs = S3StorageClient(
        "bench",
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=access,
        aws_secret_access_key=secret,
    )
    return lambda key, path: theirs.upload_file(key, path.read_bytes()), nothing


def _boto() -> Any:
    endpoint, region, access, secret = (os.environ[variable] for variable in ACCESS)
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=access,
        aws_secret_access_key=secret,
    )


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    print(*asyncio.run(upload(sys.argv[1], sorted(Path(sys.argv[2]).iterdir()))))
