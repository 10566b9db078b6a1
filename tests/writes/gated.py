"""A store that does what a test wants, and elements to put into it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from chainlit_sqla import BlobSource, LocalStorage, SQLADataLayer
from chainlit_sqla.errors import StorageUnavailable


class Gated:
    """A local folder that waits, with the blobs that a test names, until it is let go."""

    def __init__(self, folder: Path) -> None:
        self.inner = LocalStorage(folder)
        self.folder = folder
        self.gates: dict[str, asyncio.Event] = {}
        self.arrived: dict[str, asyncio.Event] = {}
        self.broken: Exception | None = None
        self.away = 0
        """How many of the next uploads meet a store that is away."""
        self.answers = True
        """Whether it was away from the beginning, or only before it answered."""
        self.undeletable = 0
        self.stubborn = False
        self.late: list[asyncio.Task[None]] = []
        self.stored_late = False
        self.deleted = asyncio.Event()

    def hold(self, name: str) -> None:
        self.gates[name] = asyncio.Event()
        self.arrived[name] = asyncio.Event()

    async def put(self, key: str, source: BlobSource, *, mime: str, name: str = "") -> int:
        if self.broken:
            raise self.broken
        if self.away:
            self.away -= 1
            if not self.answers:
                await self.inner.put(key, source, mime=mime, name=name)
            raise StorageUnavailable("the store is away; start it")
        size = await self.inner.put(key, source, mime=mime, name=name)
        if name in self.gates:
            self.arrived[name].set()
            try:
                await self.gates[name].wait()
            except asyncio.CancelledError:
                if self.stubborn:  # A server goes on when its client is gone.
                    self.late.append(asyncio.create_task(self._store_late(key)))
                raise
        return size

    async def _store_late(self, key: str) -> None:
        await self.deleted.wait()
        await self.inner.put(key, BlobSource(data=b"late"), mime="text/plain")
        self.stored_late = True

    async def read_urls(self, keys: Sequence[str]) -> Mapping[str, str]:
        return await self.inner.read_urls(keys)

    def open(self, key: str) -> AsyncIterator[bytes]:
        return self.inner.open(key)

    async def delete(self, keys: Sequence[str]) -> None:
        if self.undeletable:
            self.undeletable -= 1
            raise StorageUnavailable("the store is away; start it")
        if self.deleted.is_set():  # There are minutes between the two, not a moment as here.
            await asyncio.gather(*self.late)
        await self.inner.delete(keys)
        self.deleted.set()

    async def check(self) -> str:
        return await self.inner.check()

    async def close(self) -> None:
        await self.inner.close()

    def blobs(self) -> int:
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        return len([path for path in files if path.suffix != ".json" and path.name[0] != "."])


def element(id: str, **changes: Any) -> dict[str, Any]:
    return {"id": id, "threadId": "t", "type": "file", "name": id, "forId": "s"} | changes


def content(text: str) -> BlobSource:
    return BlobSource(data=text.encode())


async def read(layer: SQLADataLayer, thread_id: str = "t") -> list[dict[str, Any]]:
    thread = await layer.get_thread(thread_id)
    return [dict(row) for row in (thread["elements"] or [])] if thread else []


async def stored(layer: SQLADataLayer, key: str) -> str:
    return b"".join([chunk async for chunk in layer.storage.open(key)]).decode()
