"""A server that takes the connection and never answers, which aiohttp would wait for, for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from chainlit_sqla.errors import StorageUnavailable
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
