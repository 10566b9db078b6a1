"""Copying blobs from one store to another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from functools import partial
from pathlib import Path

import pytest

from chainlit_sqla.errors import StorageError, StorageUnavailable
from chainlit_sqla.storage import copy as module
from chainlit_sqla.storage.base import BlobSource, Inventory
from chainlit_sqla.storage.copy import CopyResult, copy_blobs
from chainlit_sqla.storage.local.client import LocalStorage

from .conftest import Bucket


class Watched(LocalStorage):
    """A folder that counts what is written, and fails as a test wants."""

    written = 0
    refused: frozenset[str] = frozenset()
    unavailable = 0
    damage = 0

    async def put(self, key: str, source: BlobSource, *, mime: str, name: str = "") -> int:
        self.written += 1
        if self.unavailable:
            self.unavailable -= 1
            raise StorageUnavailable("The store is unavailable; start it")
        if key in self.refused:
            raise StorageError(f"The store refuses {key!r}; change its permissions")
        return await super().put(key, source, mime=mime, name=name)

    async def open(self, key: str) -> AsyncIterator[bytes]:
        async for chunk in super().open(key):
            if self.damage:
                self.damage -= 1
                chunk = chunk[: len(chunk) // 2]
            yield chunk


@pytest.fixture
def source(tmp_path: Path) -> Watched:
    return Watched(tmp_path / "source")


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    retry_without_pause = partial(module.retry, sleep=lambda _: asyncio.sleep(0))
    monkeypatch.setattr(module, "retry", retry_without_pause)
    return Watched(tmp_path / "target")


async def fill(store: Inventory, count: int) -> list[str]:
    keys = [f"threads/t/e/{number:032x}" for number in range(count)]
    for number, key in enumerate(keys):
        data = BlobSource(data=f"content {number}".encode() * 50)
        await store.put(key, data, mime="text/markdown", name=f"{number}.md")
    return keys


async def copy(keys: Iterable[str], source: Inventory, target: Inventory) -> CopyResult:
    async def iterate() -> AsyncIterator[str]:
        for key in keys:
            yield key

    return await copy_blobs(iterate(), source, target)


async def contents(store: Inventory) -> dict[str, tuple[bytes, str, str]]:
    found = {}
    async for blob in store.list_blobs():
        info = await store.stat(blob.key)
        data = b"".join([chunk async for chunk in store.open(blob.key)])
        found[blob.key] = (data, info.mime, info.name)
    return found


async def test_bytes_types_and_names_are_copied_to_a_bucket_and_back(
    source: Watched, target: Watched, moto: Bucket
) -> None:
    keys = await fill(source, 20)
    await source.put("public/logo.png", BlobSource(data=b"of no row"), mime="image/png")
    bucket = moto.storage()
    result = await copy(keys, source, bucket)
    assert (result.copied, result.existing, result.failed) == (20, 0, 0)
    assert result.copied_bytes == sum([info.size async for info in bucket.list_blobs()])
    await copy(keys, bucket, target)
    expected = await contents(source)
    expected.pop("public/logo.png")
    assert await contents(target) == expected
    await bucket.close()


async def test_a_second_copy_takes_only_what_the_target_lacks(
    source: Watched, target: Watched
) -> None:
    keys = await fill(source, 10)
    await copy(keys[:4], source, target)
    await target.put(keys[4], BlobSource(data=b"cut"), mime="text/markdown")
    target.written = 0
    result = await copy(keys, source, target)
    assert (result.copied, result.existing, target.written) == (6, 4, 6)
    assert await contents(target) == await contents(source)


async def test_keys_in_neither_store_are_counted(source: Watched, target: Watched) -> None:
    keys = await fill(source, 3)
    await copy(keys, source, target)
    await source.delete(keys[:1])
    result = await copy([*keys, "lost", "k" * 1030], source, target)
    assert (result.existing, result.missing, result.failed) == (3, 2, 0)
    assert result.first_missing in ("lost", "k" * 1030)


async def test_a_failed_blob_stops_no_other(source: Watched, target: Watched) -> None:
    keys = await fill(source, 30)
    target.refused = frozenset(keys[:25])
    result = await copy(keys, source, target)
    assert (result.copied, result.failed) == (5, 25)
    assert len(result.failures) == 20
    assert f"The store refuses {result.failures[0][0]!r}" in result.failures[0][1]
    target.refused = frozenset()
    assert (await copy(keys, source, target)).copied == 25


async def test_bytes_that_differ_in_the_target_are_deleted_from_it(
    source: Watched, target: Watched
) -> None:
    [key] = await fill(source, 1)
    target.damage = 1
    result = await copy([key], source, target)
    assert result.failed == 1
    assert "The target returned other bytes than were written" in result.failures[0][1]
    assert await contents(target) == {}
    assert (await copy([key], source, target)).copied == 1


async def test_truncated_responses_and_short_outages_are_retried(
    source: Watched, target: Watched
) -> None:
    keys = await fill(source, 2)
    source.damage, target.unavailable = 1, 2
    result = await copy(keys, source, target)
    assert (result.copied, result.failed) == (2, 0)
    assert await contents(target) == await contents(source)


async def test_an_unavailable_store_ends_the_copy(source: Watched, target: Watched) -> None:
    keys = await fill(source, 50)
    target.unavailable = 1_000
    with pytest.raises(StorageUnavailable):
        await copy(keys, source, target)
    assert target.written < 50
