"""A store that answers each request after a fixed time, as one in a network does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

from chainlit.data.storage_clients.base import BaseStorageClient

from chainlit_sqla.errors import BlobNotFound
from chainlit_sqla.storage.base import BlobSource

SECONDS = 0.005
"""Between a request and its answer."""

BATCH = 1_000
"""Keys that one request deletes at most."""


class Blobs:
    """The keys that are in the store; both kinds of clients share it."""

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.requests = 0
        self.empty = asyncio.Event()

    def put(self, keys: Iterable[str]) -> None:
        """Pretend that blobs were uploaded."""
        self.keys.update(keys)
        self.empty.clear()

    async def remove(self, keys: Iterable[str]) -> None:
        """Delete some with one request."""
        self.requests += 1
        await asyncio.sleep(SECONDS)
        self.keys.difference_update(keys)
        if not self.keys:
            self.empty.set()


class SlowStore:
    """A `StorageClient`, which deletes many blobs with one request, as S3 does."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    async def put(self, key: str, source: BlobSource, *, mime: str, name: str = "") -> int:
        await asyncio.sleep(SECONDS)
        self._blobs.put([key])
        return source.size

    async def read_urls(self, keys: Sequence[str]) -> Mapping[str, str]:
        return {key: f"https://store.example/{key}" for key in keys}

    async def open(self, key: str) -> AsyncIterator[bytes]:
        raise BlobNotFound(f"{key} has no bytes; this store keeps keys only")
        yield b""

    async def delete(self, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), BATCH):
            await self._blobs.remove(keys[start : start + BATCH])

    async def check(self) -> str:
        return "a store of the benchmark"

    async def close(self) -> None:
        pass


class SlowClient(BaseStorageClient):
    """The same as Chainlit's layers take it; its interface has no deletion of many."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    async def upload_file(
        self,
        object_key: str,
        data: bytes | str,
        mime: str = "application/octet-stream",
        overwrite: bool = True,
        content_disposition: str | None = None,
    ) -> dict[str, Any]:
        await asyncio.sleep(SECONDS)
        self._blobs.put([object_key])
        return {"object_key": object_key, "url": await self.get_read_url(object_key)}

    async def delete_file(self, object_key: str) -> bool:
        await self._blobs.remove([object_key])
        return True

    async def get_read_url(self, object_key: str) -> str:
        return f"https://store.example/{object_key}"

    async def close(self) -> None:
        pass
