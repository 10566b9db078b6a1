"""`storage check`: what it finds while the application runs, and what it deletes."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete

from chainlit_sqla import BlobSource, LocalStorage
from chainlit_sqla._internal.timestamps import now
from chainlit_sqla.database import Database
from chainlit_sqla.errors import StorageError, StorageUnavailable
from chainlit_sqla.models import threads
from chainlit_sqla.storage import consistency_check as module
from chainlit_sqla.storage.base import BlobInfo
from chainlit_sqla.storage.consistency_check import MINIMUM_AGE, Report, StorageCheck
from chainlit_sqla.storage.deletion_worker import DeletionQueue
from chainlit_sqla.storage.keys import is_own_key, new_object_key
from chainlit_sqla.writes import deletion_queue
from chainlit_sqla.writes.operations import DeleteElement, SaveElement
from chainlit_sqla.writes.queue import WriteQueue

Hook = Callable[[], Awaitable[object]] | None


class Folder(LocalStorage):
    """A folder that calls a hook after its listing, and may be unavailable."""

    after_listing: Hook = None
    unavailable = False
    undeletable = False

    async def list_blobs(self) -> AsyncIterator[BlobInfo]:  # type: ignore[override]
        async for info in super().list_blobs():
            yield info
        if self.after_listing:
            await self.after_listing()

    async def stat(self, key: str) -> BlobInfo:
        if self.unavailable:
            raise StorageUnavailable("The store is unavailable; start it")
        return await super().stat(key)

    async def delete(self, keys: object) -> None:
        if self.undeletable:
            raise StorageError("The store is read-only; change its permissions")
        await super().delete(keys)  # type: ignore[arg-type]

    def set_age(self, age: timedelta) -> None:
        """Make everything look as if it was stored long ago."""
        then = (now() - age).timestamp()
        for path in self.root.rglob("*"):
            os.utime(path, (then, then))


@dataclass
class World:
    """A database and a store."""

    database: Database
    storage: Folder
    write_queue: WriteQueue
    problems: dict[str, str] = field(default_factory=dict)

    async def put(self, key: str, size: int = 5) -> str:
        await self.storage.put(key, BlobSource(data=b"x" * size), mime="text/plain")
        return key

    async def delete_queued(self) -> None:
        queue = DeletionQueue(self.database, self.storage)
        queue.wake()
        await queue.close()

    async def add_row(self, key: str, element: str, size: int | None = 5) -> None:
        values = {"objectKey": key, "byteSize": size, "name": f"{element}.txt"}
        await self.write_queue.submit(SaveElement("t", element, values))

    async def save(self, element: str) -> str:
        key = await self.put(new_key(element))
        await self.add_row(key, element)
        return key

    async def enqueue_deletion(self, key: str, due: datetime | None = None) -> None:
        async with self.database.write() as connection:
            await connection.run_sync(deletion_queue.enqueue, self.database.dialect, [key], due)

    async def keys(self) -> set[str]:
        return {info.key async for info in LocalStorage.list_blobs(self.storage)}

    async def check(self) -> Report:
        self.problems.clear()
        with closing(self.new_check()) as task:
            return await task.run()

    async def fix(self, before_deletion: Hook = None, *, owns_store: bool = False) -> int:
        with closing(self.new_check(owns_store)) as task:
            await task.run()
            if before_deletion:
                await before_deletion()
            return (await task.fix()).deleted

    def new_check(self, owns_store: bool = False) -> StorageCheck:
        return StorageCheck(
            self.database,
            self.storage,
            on_problem=lambda problem: self.problems.update({problem.key: problem.kind}),
            owns_store=owns_store,
        )


def new_key(element: str, thread: str = "t") -> str:
    return new_object_key(thread, element)


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[World]:
    """Three elements with their blobs, which are older than a day."""
    made = World(database, Folder(tmp_path / "files"), WriteQueue(database))
    for element in ("one", "two", "three"):
        await made.save(element)
    made.storage.set_age(2 * MINIMUM_AGE)
    yield made
    await made.write_queue.close()


async def test_fitting_files_are_left_alone(world: World) -> None:
    before = sorted(world.storage.root.rglob("*"))
    assert await world.check() == Report(rows=3, blobs=3)
    assert await world.fix() == 0
    assert sorted(world.storage.root.rglob("*")) == before


async def test_old_orphans_are_found_and_deleted(world: World) -> None:
    keys = await world.keys()
    orphans = {
        await world.put(new_key("four")),
        await world.put("chainlit-sqla-check/0123456789abcdef"),
    }
    world.storage.set_age(2 * MINIMUM_AGE)
    young = await world.put(new_key("under way"))
    report = await world.check()
    assert (report.orphaned, report.young) == (2, 1)
    assert world.problems == dict.fromkeys(orphans, "orphaned")
    assert await world.fix() == 2
    assert await world.keys() == {*keys, young}
    assert await world.check() == Report(rows=3, blobs=4, young=1)


async def test_missing_files_and_wrong_sizes_are_reported(world: World) -> None:
    await world.add_row(missing := new_key("missing"), "missing")
    await world.put(cut := new_key("cut"), size=3)
    await world.add_row(cut, "cut")
    await world.put(unsized := new_key("unsized"), size=3)
    await world.add_row(unsized, "unsized", size=None)
    report = await world.check()
    assert (report.rows, report.missing, report.wrong_size) == (6, 1, 1)
    assert world.problems == {missing: "missing", cut: "wrong-size"}
    await world.fix()
    assert world.problems == {missing: "missing", cut: "wrong-size"}


async def test_a_key_that_no_store_accepts_is_missing(world: World) -> None:
    await world.add_row("k" * 1030, "impossible")
    assert await world.check() == Report(rows=4, blobs=3, missing=1)


async def test_changes_during_the_listing_are_no_problems(world: World) -> None:
    async def change() -> None:
        await world.save("uploaded since")
        await world.write_queue.submit(DeleteElement("one", "t"))
        await world.delete_queued()

    world.storage.after_listing = change
    report = await world.check()
    assert (report.missing, report.wrong_size) == (0, 0)


async def test_blobs_in_the_deletion_queue_are_no_orphans(world: World) -> None:
    waiting = await world.put(new_key("deleted"))
    world.storage.set_age(2 * MINIMUM_AGE)
    await world.enqueue_deletion(waiting)
    assert await world.check() == Report(rows=3, blobs=4, queued=1)


async def test_foreign_blobs_are_left_alone(world: World) -> None:
    foreign = {
        await world.put("public/logo.png"),
        await world.put(new_key("e", thread="of another database")),
    }
    await world.put(adopted := "user/e/a.png")
    await world.add_row(adopted, "adopted")
    world.storage.set_age(2 * MINIMUM_AGE)
    assert await world.check() == Report(rows=4, blobs=6, foreign=1, unknown=1)
    await world.fix()
    assert await world.keys() >= {*foreign, adopted}


async def test_files_of_rows_that_sql_deleted_are_named_and_deleted_on_request(
    world: World,
) -> None:
    kept = await world.put("public/logo.png")
    async with world.database.write() as connection:
        await connection.execute(delete(threads))  # The elements go by cascade.
    world.storage.set_age(2 * MINIMUM_AGE)
    assert await world.check() == Report(blobs=4, unknown=3, foreign=1)
    assert await world.fix() == 0
    assert await world.fix(owns_store=True) == 3
    assert await world.keys() == {kept}


async def test_an_orphan_that_gets_a_row_before_its_deletion_is_kept(world: World) -> None:
    key = await world.put(new_key("four"))
    world.storage.set_age(2 * MINIMUM_AGE)
    assert await world.fix(before_deletion=lambda: world.add_row(key, "four")) == 0
    assert key in await world.keys()


async def test_a_fix_deletes_what_is_due_in_the_queue_and_in_this_store(world: World) -> None:
    due, later = await world.put(new_key("due")), await world.put(new_key("later"))
    await world.enqueue_deletion(due)
    await world.enqueue_deletion(later, now() + timedelta(hours=1))
    await world.enqueue_deletion(new_key("in another store"))
    assert await world.fix() == 1
    assert later in await world.keys()
    assert due not in await world.keys()
    assert (await world.check()).queued == 2


async def test_an_interrupted_fix_is_finished_by_the_deletion_queue(world: World) -> None:
    key = await world.put(new_key("four"))
    world.storage.set_age(2 * MINIMUM_AGE)
    world.storage.undeletable = True
    assert await world.fix() == 0
    assert (await world.check()).queued == 1
    world.storage.undeletable = False
    await world.delete_queued()
    assert key not in await world.keys()


async def test_unfinished_uploads_are_counted_and_removed(world: World) -> None:
    draft = next(world.storage.root.glob("??")) / f"{'0' * 64}.json.{'1' * 16}"
    draft.write_bytes(b"half")
    world.storage.set_age(2 * MINIMUM_AGE)
    assert (await world.check()).unfinished == 1
    await world.fix()
    assert not draft.exists()


async def test_an_unavailable_store_is_an_error(world: World) -> None:
    await world.add_row(new_key("missing"), "missing")
    world.storage.unavailable = True
    with pytest.raises(StorageUnavailable):
        await world.check()


async def test_everything_is_compared_over_several_pages(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.queries, "PAGE_SIZE", 2)
    monkeypatch.setattr(module, "_BATCH", 2)
    orphans = {await world.put(new_key(f"orphan {number}")) for number in range(5)}
    for number in range(5):
        await world.add_row(new_key("m"), f"missing {number}")
    for key in [await world.put(new_key("d")) for _ in range(3)]:
        await world.enqueue_deletion(key)
    world.storage.set_age(2 * MINIMUM_AGE)
    assert await world.check() == Report(rows=8, blobs=11, missing=5, orphaned=5, queued=3)
    await world.fix()
    assert not orphans & await world.keys()


ids = st.text(min_size=1).filter(lambda id: id.isprintable())


@given(ids, ids)
def test_created_keys_are_recognized(thread_id: str, element_id: str) -> None:
    assert is_own_key(new_object_key(thread_id, element_id))
