"""The deletion queue of blobs: what is in use stays, and nothing holds up the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import select

from chainlit_sqla import BlobSource, LocalStorage
from chainlit_sqla.database import Database
from chainlit_sqla.errors import StorageError, StorageUnavailable
from chainlit_sqla.models import blob_deletions, elements
from chainlit_sqla.storage import deletion_worker as module
from chainlit_sqla.storage.deletion_worker import DeletionQueue
from chainlit_sqla.writes import deletion_queue
from chainlit_sqla.writes.operations import (
    DeleteElement,
    DeleteThread,
    Op,
    SaveElement,
    SaveThread,
    SaveUser,
)
from chainlit_sqla.writes.queue import WriteQueue
from tests.servers.proxy import FlakyProxy
from tests.until import until


def saved(key: str) -> Op:
    return SaveElement("t", "e", {"objectKey": key})


async def queued(database: Database) -> list[str]:
    async with database.connect() as connection:
        return sorted(await connection.scalars(select(blob_deletions.c.objectKey)))


async def emptied(database: Database, keys: Sequence[str] = ()) -> bool:
    """Whether the queue is empty, or has none of these keys."""
    left = set(await queued(database))
    return not (left & set(keys) if keys else left)


async def in_use(database: Database) -> list[str | None]:
    async with database.connect() as connection:
        return list(await connection.scalars(select(elements.c.objectKey)))


@pytest.mark.parametrize("between", ["nothing", "its deletion", "that of its thread"])
async def test_a_repeated_batch_keeps_the_blob_in_use(
    proxy: FlakyProxy, behind_proxy: Database, between: str
) -> None:
    pipeline = WriteQueue(behind_proxy)
    await pipeline.submit(SaveUser("alice", {"id": "u"}))
    middle: dict[str, list[Op]] = {
        "nothing": [],
        "its deletion": [DeleteElement("e", "t")],
        "that of its thread": [DeleteThread("t"), SaveThread("t", {"userId": "u"})],
    }
    ops = [saved("first"), *middle[between], saved("second")]
    # A fast batch has no COMMIT; the last one, which restores a thread, is none.
    proxy.cut_at(b"COMMIT" if between == "that of its thread" else b"second", deliver=True)
    await asyncio.gather(*(pipeline.submit(op) for op in ops))
    assert not proxy.cut_pending
    assert await in_use(behind_proxy) == ["second"]
    assert await queued(behind_proxy) == ["first"]
    await pipeline.close()


class Picky(LocalStorage):
    """A folder that deletes nothing if one of the blobs cannot be deleted."""

    undeletable: frozenset[str] = frozenset()
    away = False
    calls = 0

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.deleted: dict[str, datetime] = {}

    async def delete(self, keys: Sequence[str]) -> None:
        self.calls += 1
        self.deleted |= dict.fromkeys(keys, datetime.now(UTC))
        if self.away:
            raise StorageUnavailable("the store is away; start it")
        if stuck := self.undeletable & set(keys):
            raise StorageError(f"Cannot delete {min(stuck)}; unlock it")
        await super().delete(keys)


async def fill(database: Database, store: LocalStorage, number: int) -> list[str]:
    keys = [f"threads/t/e/{number:032x}" for number in range(number)]
    for key in keys:
        await store.put(key, BlobSource(data=b"x"), mime="text/plain")
    async with database.write() as connection:
        await connection.run_sync(deletion_queue.enqueue, database.dialect, keys)
    return keys


async def drain(database: Database, store: LocalStorage) -> None:
    """Delete all blobs that are due, in the foreground."""
    queue = DeletionQueue(database, store)
    while keys := await queue._read(deletion_queue.read_due, 1_000):
        _, error = await queue.delete_queued(keys)
        if error:
            raise error


async def left(store: LocalStorage) -> list[str]:
    return sorted([info.key async for info in store.list_blobs()])


async def test_a_blob_that_cannot_be_deleted_holds_up_no_other(
    database: Database, tmp_path: Path
) -> None:
    store = Picky(tmp_path / "files")
    keys = await fill(database, store, 50)
    store.undeletable = frozenset({keys[0], keys[30]})
    with pytest.raises(StorageError, match="unlock it"):
        await drain(database, store)
    assert await left(store) == await queued(database) == [keys[0], keys[30]]
    store.undeletable = frozenset()
    await drain(database, store)
    assert await left(store) == await queued(database) == []


async def test_an_impossible_key_leaves_the_queue(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Picky(tmp_path / "files")
    await fill(database, store, 3)
    async with database.write() as connection:
        await connection.run_sync(deletion_queue.enqueue, database.dialect, ["", "k" * 1030])
    await drain(database, store)
    assert await left(store) == await queued(database) == []
    assert caplog.text.count("no store can have such a blob") == 2


async def test_a_store_that_refuses_everything_is_not_flooded(
    database: Database, tmp_path: Path
) -> None:
    store = Picky(tmp_path / "files")
    keys = await fill(database, store, 200)
    store.undeletable = frozenset(keys)
    with pytest.raises(StorageError):
        await drain(database, store)
    assert store.calls == 64
    store.calls, store.away = 0, True
    with pytest.raises(StorageUnavailable):
        await drain(database, store)
    assert store.calls == 1
    assert await queued(database) == keys


async def test_a_delayed_deletion_is_not_early(database: Database, tmp_path: Path) -> None:
    store = Picky(tmp_path / "files")
    await fill(database, store, 1)
    key = "threads/t/e/late"
    await store.put(key, BlobSource(data=b"x"), mime="text/plain")
    queue = DeletionQueue(database, store)
    delay = timedelta(seconds=0.5)
    due = datetime.now(UTC) + delay
    await queue.add(key, delay)
    await until(partial(emptied, database))
    assert await left(store) == []
    assert store.deleted[key] >= due
    await queue.close()


async def test_a_delayed_deletion_holds_up_no_other(database: Database, tmp_path: Path) -> None:
    store = Picky(tmp_path / "files")
    queue = DeletionQueue(database, store)
    await queue.add("threads/t/e/late", timedelta(minutes=5))
    await asyncio.sleep(0)
    keys = await fill(database, store, 3)
    queue.wake()
    await until(partial(emptied, database, keys))
    assert await left(store) == []
    await queue.close()


def test_the_queue_works_in_one_event_loop_after_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE", 0.01)
    from chainlit_sqla.database import migrator as migrations

    database = Database(f"sqlite:///{tmp_path / 'chats.db'}")
    store = Picky(tmp_path / "files")
    queue = DeletionQueue(database, store)

    async def first() -> None:
        await migrations.upgrade(database)
        await fill(database, store, 3)
        store.away = True
        queue.wake()
        await until(lambda: store.calls > 2)

    async def second() -> None:
        queue.wake()
        calls = store.calls
        await until(lambda: store.calls > calls + 2)
        store.away = False
        await until(partial(emptied, database))
        await queue.close()
        await database.close()

    asyncio.run(first())
    asyncio.run(second())
    assert not list(tmp_path.glob("files/??/*"))
