"""A server that takes the connection and never answers, which aiohttp would wait for, for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from chainlit_sqla.errors import StorageError, StorageUnavailable
from chainlit_sqla.storage import s3_upload
from chainlit_sqla.storage.base import BlobSource
from tests.servers.s3_faults import Front

from .conftest import Bucket

MIB = 1024 * 1024
BOUND = 60
"""Seconds after which a test has shown that the client hangs."""


@pytest.fixture
def front(moto: Bucket) -> Iterator[Front]:
    with Front(moto.server.endpoint) as made:
        yield made


@pytest.mark.parametrize("at", ["PUT /", "POST .*uploads", "partNumber=2", r"POST .*\?uploadId"])
async def test_a_server_that_never_answers_is_given_up(moto: Bucket, front: Front, at: str) -> None:
    storage = moto.storage(endpoint=front.endpoint, part_size=5 * MIB, patience=0.5, attempts=1)
    front.hold(at)
    size = 10 if at == "PUT /" else 11 * MIB
    async with asyncio.timeout(BOUND):
        with pytest.raises(StorageUnavailable, match=r"Cannot write 'k' .*and the network$"):
            await storage.put("k", BlobSource(data=b"x" * size), mime="text/plain")
    await storage.close()


async def test_giving_an_upload_up_takes_limited_time(
    moto: Bucket, front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_upload, "ABORT_SECONDS", 0.2)
    storage = moto.storage(endpoint=front.endpoint, part_size=5 * MIB, attempts=1)
    front.fail("partNumber=2", 403, "AccessDenied")
    front.hold("DELETE /")
    async with asyncio.timeout(BOUND / 2):  # The patience with other requests is longer.
        with pytest.raises(StorageError, match=r"Cannot write 'k' .*AccessDenied"):
            await storage.put("k", BlobSource(data=b"x" * 11 * MIB), mime="text/plain")
    assert len(storage._abandoned) == 1
    front.calm()
    await storage.close()
