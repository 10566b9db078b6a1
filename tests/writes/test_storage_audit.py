"""Rows and blobs that do not fit together: found while both are in use, and repaired."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import insert, select, update

from chainlit_sqla._internal.timestamps import now
from chainlit_sqla.database import Database
from chainlit_sqla.errors import ConfigurationError, StorageError
from chainlit_sqla.integration.deserialize import element_operation
from chainlit_sqla.models import LOST_KEY, blob_deletions, elements, threads
from chainlit_sqla.storage import check_audit as storage_audit
from chainlit_sqla.storage import check_repair as storage_repair
from chainlit_sqla.storage.base import BlobInfo, BlobSource
from chainlit_sqla.storage.check_audit import Counts, audit, is_ours
from chainlit_sqla.storage.check_ledger import Finding, Kind, Ledger
from chainlit_sqla.storage.check_repair import Repaired, repair
from chainlit_sqla.storage.deletion_queue import DeletionQueue
from chainlit_sqla.storage.local.client import LocalStorage
from chainlit_sqla.storage.uploads import Uploads, object_key
from chainlit_sqla.writes.deletion_queue import due
from chainlit_sqla.writes.operations import DeleteElement, DeleteThread, SaveElement
from chainlit_sqla.writes.queue import Pipeline

OLD = timedelta(hours=2)


class Folder(LocalStorage):
    """A local folder in which something happens at a moment that a test names."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.after_listing: Callable[[], Awaitable[None]] | None = None
        self.after_stat: Callable[[str], Awaitable[None]] | None = None
        self.after_put: Callable[[], Awaitable[None]] | None = None
        self.away = False
        self.slow_by = timedelta(0)
        """How far the clock of the store is behind, for what it tells of one blob."""

    async def put(self, key: str, source: BlobSource, *, mime: str, name: str = "") -> int:
        size = await super().put(key, source, mime=mime, name=name)
        if self.after_put:
            await self.after_put()
        return size

    async def list_blobs(self) -> AsyncIterator[BlobInfo]:  # type: ignore[override]
        async for info in super().list_blobs():
            yield info
        if self.after_listing:
            await self.after_listing()

    async def stat(self, key: str) -> BlobInfo:
        if self.away:
            raise StorageError("The store is away; try again")
        try:
            info = await super().stat(key)
            return replace(info, modified=info.modified - self.slow_by)
        finally:
            if self.after_stat:
                await self.after_stat(key)

    def grow_old(self, by: timedelta = OLD) -> None:
        """Let all that is there have been stored long ago."""
        then = (now() - by).timestamp()
        for path in self.root.rglob("*"):
            os.utime(path, (then, then))


@dataclass
class World:
    """A database and a store."""

    database: Database
    storage: Folder
    pipeline: Pipeline
    found: dict[Kind, list[Finding]] = field(default_factory=dict)

    async def blob(self, key: str, size: int = 5) -> str:
        await self.storage.put(key, BlobSource(data=b"x" * size), mime="text/plain")
        return key

    async def row(self, key: str, element: str, size: int | None = 5, **extra: Any) -> None:
        values = {"objectKey": key, "byteSize": size, "name": f"{element}.txt"}
        await self.pipeline.submit(SaveElement("t", element, values, extra))

    async def save(self, element: str, size: int = 5) -> str:
        """Store an element with its bytes."""
        key = await self.blob(new_key(element), size)
        await self.row(key, element, size)
        return key

    async def erase(self, element: str) -> None:
        """Delete an element and its bytes, as the data layer does."""
        await self.pipeline.submit(DeleteElement(element, "t"))
        await DeletionQueue(self.database, self.storage).drain()

    async def element(self, id: str) -> Any:
        query = select(elements).where(elements.c.id == id)
        return (await self.database.read(lambda c: c.execute(query))).one()

    async def keys(self) -> set[str]:
        return {info.key async for info in LocalStorage.list_blobs(self.storage)}

    async def outbox(self) -> Sequence[str]:
        return await self.database.read(lambda c: c.run_sync(due, 100))

    async def look(self, **options: Any) -> Counts:
        with Ledger.opened() as ledger:
            counts = await audit(self.database, self.storage, ledger, **options)
            self.found = {kind: ledger.findings(kind) for kind in Kind}
        return counts

    async def fix(
        self, meanwhile: Callable[[], Awaitable[Any]] | None = None, force: bool = False
    ) -> tuple[Counts, Repaired]:
        with Ledger.opened() as ledger:
            counts = await audit(self.database, self.storage, ledger)
            if meanwhile:
                await meanwhile()
            done = await repair(self.database, self.storage, ledger, counts, force=force)
        return counts, done


def new_key(element: str, thread: str = "t") -> str:
    return object_key({"threadId": thread, "id": element})


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[World]:
    """Three elements with their blobs, which are old."""
    made = World(database, Folder(tmp_path / "files"), Pipeline(database))
    for element in ("one", "two", "three"):
        await made.save(element)
    made.storage.grow_old()
    yield made
    await made.pipeline.close()


async def test_where_all_is_well_nothing_is_found_and_nothing_changed(world: World) -> None:
    before = sorted(world.storage.root.rglob("*"))
    assert await world.look() == Counts(rows=3, present=3, blobs=3)
    assert sorted(world.storage.root.rglob("*")) == before


async def test_an_old_blob_without_row_is_deleted(world: World) -> None:
    keys = await world.keys()
    orphan = await world.blob(new_key("four"), size=7)
    probe = await world.blob("chainlit-sqla-check/0123456789abcdef")
    world.storage.grow_old()
    counts = await world.look()
    assert (counts.no_row, counts.wrong, counts.doubt) == (2, 2, "")
    assert {(f.key, f.size) for f in world.found[Kind.NO_ROW]} == {(orphan, 7), (probe, 5)}
    _, done = await world.fix()
    assert done.deleted == 2
    assert await world.keys() == keys
    assert await world.outbox() == []
    assert (await world.look()).wrong == 0


async def test_an_upload_under_way_is_not_harmed(world: World) -> None:
    outbox = DeletionQueue(world.database, world.storage)
    uploads = Uploads(
        world.pipeline, world.storage, outbox, world.database.read, element_operation, 10
    )
    stored, go_on = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        world.storage.after_put = None
        stored.set()
        await go_on.wait()

    world.storage.after_put = wait
    orphan = await LocalStorage(world.storage.root).put(
        new_key("gone"), BlobSource(data=b"x"), mime="text/plain"
    )
    assert orphan == 1
    world.storage.grow_old()
    element = {"threadId": "t", "id": "slow", "name": "slow.txt"}
    upload = asyncio.create_task(uploads.save(element, BlobSource(data=b"slow")))
    await stored.wait()
    counts, done = await world.fix()
    assert (counts.fresh, counts.no_row, done.deleted) == (1, 1, 1)
    go_on.set()
    await upload
    await outbox.close()
    row = await world.element("slow")
    assert row.objectKey in await world.keys()
    assert (await world.look()).wrong == 0


async def test_what_is_uploaded_after_the_listing_is_there(world: World) -> None:
    async def upload() -> None:
        await world.save("late")

    world.storage.after_listing = upload
    assert await world.look() == Counts(rows=4, present=4, blobs=3)


async def test_what_is_deleted_after_the_listing_is_no_blob_without_row(world: World) -> None:
    world.storage.after_listing = lambda: world.erase("two")
    counts = await world.look()
    assert (counts.rows, counts.wrong) == (2, 0)


async def test_what_is_deleted_while_it_is_looked_up_is_no_row_without_blob(world: World) -> None:
    key = (await world.element("two")).objectKey
    await world.storage.delete([key])

    async def erase(_key: str) -> None:
        world.storage.after_stat = None
        await world.erase("two")

    world.storage.after_stat = erase
    assert (await world.look()).wrong == 0


async def test_blobs_in_the_outbox_wait_for_their_deletion(world: World) -> None:
    key = (await world.element("two")).objectKey
    await world.pipeline.submit(DeleteElement("two", "t"))
    counts, done = await world.fix()
    assert (counts.waiting, counts.wrong, counts.no_row) == (1, 0, 0)
    assert done.waiting == 1
    assert key not in await world.keys()
    assert await world.outbox() == []


async def test_what_is_not_to_be_deleted_yet_goes_on_waiting(world: World) -> None:
    key = await world.blob(new_key("four"))
    row = {"objectKey": key, "attempts": 0, "createdAt": now() + timedelta(hours=1)}
    async with world.database.write() as connection:
        await connection.execute(insert(blob_deletions), row)
    await world.pipeline.submit(DeleteElement("two", "t"))
    counts, done = await world.fix()
    assert (counts.waiting, done.waiting) == (2, 1)
    assert key in await world.keys()


async def test_a_blob_that_a_row_has_by_now_is_kept(world: World) -> None:
    key = await world.blob(new_key("four"))
    world.storage.grow_old()
    counts, done = await world.fix(meanwhile=lambda: world.row(key, "four"))
    assert (counts.no_row, done.deleted) == (1, 0)
    assert key in await world.keys()


async def test_what_is_not_ours_is_left_alone_unless_it_waits(world: World) -> None:
    strangers = {
        await world.blob(key)
        for key in (
            "user/element/photo.png",
            "threads/t/e/report.pdf",
            "threads/t/0123456789abcdef0123456789abcdef",
            "backup/threads/t/e/0123456789abcdef0123456789abcdef",
            "threads/t/e/0123456789ABCDEF0123456789ABCDEF",
        )
    }
    adopted = await world.blob("user/adopted/photo.png")
    await world.row(adopted, "adopted")
    world.storage.grow_old()
    counts, _ = await world.fix(force=True)
    assert (counts.strangers, counts.wrong, counts.rows, counts.blobs) == (5, 0, 4, 4)
    assert await world.keys() >= {*strangers, adopted}


async def test_what_a_row_has_is_not_deleted_though_it_is_in_the_outbox(world: World) -> None:
    key = (await world.element("two")).objectKey
    async with world.database.write() as connection:
        await connection.execute(insert(blob_deletions), {"objectKey": key, "attempts": 0})
    await world.fix()
    assert key in await world.keys()
    assert await world.outbox() == []


async def test_a_row_without_blob_stays_and_gets_its_blob_back_when_it_is_restored(
    world: World,
) -> None:
    key = await world.save("four")
    await world.row(key, "four", origin="scanner")
    await world.storage.delete([key])
    counts, done = await world.fix()
    assert (counts.no_blob, counts.wrong, done.unlinked) == (1, 1, 1)
    row = await world.element("four")
    assert (row.objectKey, row.name, row.byteSize) == (None, "four.txt", 5)
    assert row.extra == {"origin": "scanner", LOST_KEY: key}
    assert await world.look() == Counts(rows=3, present=3, blobs=3, lost_earlier=1)
    (finding,) = world.found[Kind.LOST_EARLIER]
    assert (finding.key, finding.id, finding.name, finding.size) == (key, "four", "four.txt", 5)

    await world.blob(key)
    world.storage.grow_old()
    counts, done = await world.fix()
    assert (counts.found_again, counts.no_row, done.linked) == (1, 0, 1)
    row = await world.element("four")
    assert (row.objectKey, row.extra) == (key, {"origin": "scanner"})
    assert await world.look() == Counts(rows=4, present=4, blobs=4)


async def test_what_comes_back_or_is_deleted_while_it_is_looked_up_is_not_lost_any_more(
    world: World,
) -> None:
    back, gone, _ = keys = [(await world.element(id)).objectKey for id in ("one", "two", "three")]
    await world.storage.delete(keys)
    await world.fix(force=True)
    assert (await world.look()).lost_earlier == 3

    async def change() -> None:
        world.storage.after_listing = None
        await world.blob(back)

    async def erase(key: str) -> None:
        if key == gone:
            await world.erase("two")

    world.storage.after_listing, world.storage.after_stat = change, erase
    counts = await world.look()
    assert (counts.found_again, counts.lost_earlier) == (1, 1)
    assert [finding.id for finding in world.found[Kind.LOST_EARLIER]] == ["three"]


async def test_a_row_that_was_sent_again_keeps_its_new_blob(world: World) -> None:
    await world.storage.delete([(await world.element("two")).objectKey])
    counts, done = await world.fix(meanwhile=lambda: world.save("two"))
    assert (counts.no_blob, done.unlinked) == (1, 0)
    row = await world.element("two")
    assert row.objectKey in await world.keys()
    assert row.extra is None


@pytest.mark.parametrize("whose", ["of a row", "of another element", "in the outbox"])
async def test_a_row_gets_no_blob_that_is_not_its_own(world: World, whose: str) -> None:
    key = await world.blob(new_key("thief" if whose == "in the outbox" else "other"))
    if whose == "of a row":
        await world.row(key, "other")
    if whose == "in the outbox":
        async with world.database.write() as connection:
            await connection.execute(insert(blob_deletions), {"objectKey": key, "attempts": 0})
    await world.pipeline.submit(SaveElement("t", "thief", {}, {LOST_KEY: key}))
    world.storage.grow_old()
    counts, done = await world.fix()
    assert (counts.found_again, done.linked) == (0, 0)
    assert (await world.element("thief")).objectKey is None


async def test_members_of_extra_that_only_look_like_a_lost_key_are_left_alone(
    world: World,
) -> None:
    for number, value in enumerate([None, 5, {"a": 1}, ""]):
        await world.pipeline.submit(SaveElement("t", f"x{number}", {}, {LOST_KEY: value}))
    async with world.database.write() as connection:
        a_list = update(elements).where(elements.c.id == "x0").values(extra=[LOST_KEY])
        await connection.execute(a_list)
    counts, _ = await world.fix()
    assert counts == Counts(rows=3, present=3, blobs=3)


async def test_a_blob_of_another_size_is_reported_and_left_alone(world: World) -> None:
    key = (await world.element("two")).objectKey
    await world.blob(key, size=3)
    await world.row(await world.blob(new_key("sizeless")), "sizeless", size=None)
    counts, _ = await world.fix()
    assert (counts.damaged, counts.wrong, counts.repairable) == (1, 1, 0)
    await world.look()
    (finding,) = world.found[Kind.DAMAGED]
    assert (finding.id, finding.key, finding.size, finding.stored) == ("two", key, 5, 3)
    assert (await world.element("two")).objectKey == key


async def test_a_store_without_any_of_the_files_is_refused(world: World, tmp_path: Path) -> None:
    right, world.storage = world.storage, Folder(tmp_path / "wrong")
    with pytest.raises(ConfigurationError, match=r"None of the 3 files.*--force"):
        await world.fix()
    assert (await world.element("two")).objectKey in {i.key async for i in right.list_blobs()}
    _, done = await world.fix(force=True)
    assert done.unlinked == 3


async def test_a_database_without_any_files_is_refused(world: World) -> None:
    keys = await world.keys()
    async with world.database.write() as connection:
        await connection.execute(elements.delete())
    with pytest.raises(ConfigurationError, match="3 files of conversations"):
        await world.fix()
    assert await world.keys() == keys
    _, done = await world.fix(force=True)
    assert done.deleted == 3


async def test_files_of_another_database_in_the_same_store_are_left_alone(world: World) -> None:
    strange = [await world.blob(new_key("e", thread=f"of another {n}")) for n in range(3)]
    orphan = await world.blob(new_key("four"))
    world.storage.grow_old()
    counts, done = await world.fix()
    assert (counts.unknown, counts.no_row, counts.wrong, counts.doubt) == (3, 1, 1, "")
    assert done.deleted == 1
    assert {*strange} <= await world.keys()
    assert orphan not in await world.keys()
    counts = await world.look()
    assert (counts.unknown, counts.wrong) == (3, 0)
    assert [finding.key for finding in world.found[Kind.UNKNOWN]] == sorted(strange)
    counts, done = await world.fix(force=True)
    assert done.deleted == 3
    assert await world.look() == Counts(rows=3, present=3, blobs=3)


@pytest.mark.parametrize(
    "thread", ["a" * 64, "long" * 60, "..", "nul\x00"], ids=["hex", "long", "dots", "nul"]
)
async def test_what_a_key_says_of_its_thread_is_not_taken_for_more(
    world: World, thread: str
) -> None:
    """A long id stands hashed in the key: whose it is must be looked up all the same."""
    foreign = await world.blob(new_key("e", thread=thread))
    world.storage.grow_old()
    counts, done = await world.fix()
    assert (counts.unknown, counts.no_row, done.deleted) == (1, 0, 0)
    assert foreign in await world.keys()


@pytest.mark.parametrize("deleted", [False, True])
@pytest.mark.parametrize("thread", ["a" * 64, "long" * 60, "/" * 67], ids=["hex", "long", "short"])
async def test_a_thread_is_known_by_an_id_that_stands_hashed_in_the_key(
    world: World, thread: str, deleted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_audit, "_PORTION", 2)
    for id in (thread, *(f"{number}" * 100 for number in range(4))):
        await world.pipeline.submit(SaveElement(id, "e", {}, {}))
    if deleted:
        await world.pipeline.submit(DeleteThread(thread))
    orphans = [await world.blob(new_key("e", thread=thread)) for _ in range(3)]
    foreign = await world.blob(new_key("e", thread="other" * 60))
    world.storage.grow_old()
    counts, done = await world.fix()
    assert (counts.unknown, counts.no_row, done.deleted) == (1, 3, 3)
    assert not {*orphans} & await world.keys()
    assert foreign in await world.keys()


async def test_a_store_that_is_mostly_of_another_database_is_refused(world: World) -> None:
    for number in range(10):
        await world.blob(new_key("e", thread=f"of another {number}"))
    orphans = {await world.blob(new_key(f"o{number}")) for number in range(9)}
    world.storage.grow_old()
    with pytest.raises(ConfigurationError, match="another database may use the same store"):
        await world.fix()
    assert orphans <= await world.keys()
    await world.blob(new_key("o9"))
    world.storage.grow_old()
    _, done = await world.fix()
    assert done.deleted == 10


async def test_a_database_that_knows_none_of_the_threads_is_refused(world: World) -> None:
    async with world.database.write() as connection:
        await connection.execute(threads.delete())
    with pytest.raises(ConfigurationError, match="3 files of conversations"):
        await world.fix()
    assert len(await world.keys()) == 3


async def test_what_unfinished_uploads_left_is_removed(world: World) -> None:
    bytes_file = next(path for path in world.storage.root.rglob("*") if path.suffix == ".json")
    left = bytes_file.with_suffix(".0123456789abcdef")
    left.write_bytes(b"half")
    assert (await world.look()).unfinished == 0
    then = (now() - timedelta(hours=25)).timestamp()
    os.utime(left, (then, then))
    assert (await world.look()).unfinished == 1
    assert left.exists()
    counts, done = await world.fix()
    assert (counts.wrong, done.unfinished) == (1, 1)
    assert not left.exists()


async def test_what_the_store_calls_young_is_no_unfinished_upload(world: World) -> None:
    """Whatever the clock of this machine says."""
    bytes_file = next(path for path in world.storage.root.rglob("*") if path.suffix == ".json")
    left = bytes_file.with_suffix(".0123456789abcdef")
    left.write_bytes(b"half")
    then = (now() - timedelta(hours=25)).timestamp()
    os.utime(left, (then, then))
    world.storage.slow_by = timedelta(hours=2)
    _, done = await world.fix()
    assert done.unfinished == 0
    assert left.exists()


async def test_two_repairs_of_the_same_things_end_well(world: World) -> None:
    bytes_file = next(path for path in world.storage.root.rglob("*") if path.suffix == ".json")
    left = bytes_file.with_suffix(".0123456789abcdef")
    left.write_bytes(b"half")
    orphan = await world.blob(new_key("four"))
    await world.storage.delete([(await world.element("two")).objectKey])
    world.storage.grow_old(timedelta(hours=25))
    _, second = await world.fix(meanwhile=world.fix)
    assert (second.unlinked, second.unfinished) == (0, 0)
    assert not {orphan} & await world.keys()
    assert not left.exists()
    assert await world.look() == Counts(rows=2, present=2, blobs=2, lost_earlier=1)
    assert await world.outbox() == []
    assert LOST_KEY in (await world.element("two")).extra


async def test_a_store_that_is_away_has_not_lost_anything(world: World) -> None:
    await world.storage.delete([(await world.element("two")).objectKey])
    world.storage.away = True
    with pytest.raises(StorageError, match="away"):
        await world.fix()
    assert (await world.element("two")).objectKey is not None


async def test_listings_longer_than_a_portion(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_audit, "_PORTION", 3)
    monkeypatch.setattr(storage_audit, "_LOOKED_UP", 2)
    monkeypatch.setattr(storage_repair, "_PORTION", 1)
    keys = [await world.save(f"e{number}") for number in range(8)]
    await world.storage.delete(keys[:5])
    orphans = [await world.blob(new_key(f"o{number}")) for number in range(7)]
    for number in range(4):
        async with world.database.write() as connection:
            row = {"objectKey": new_key(f"w{number}"), "attempts": 0}
            await connection.execute(insert(blob_deletions), row)
    world.storage.grow_old()
    said: list[tuple[str, int, int | None]] = []
    counts = await world.look(progress=lambda *words: said.append(words))
    assert counts == Counts(rows=11, present=6, blobs=13, no_blob=5, no_row=7, waiting=4)
    assert ("files in the store", 13, 13) in said
    assert {finding.key for finding in world.found[Kind.NO_ROW]} == set(orphans)
    _, done = await world.fix()
    assert (done.unlinked, done.deleted, done.waiting) == (5, 7, 4)
    assert await world.look() == Counts(rows=6, present=6, blobs=6, lost_earlier=5)


KILLED = """
import asyncio, os, pathlib, signal, sys
from chainlit_sqla.database import Database
from chainlit_sqla.storage.local.client import LocalStorage
from chainlit_sqla.storage.check_audit import audit
from chainlit_sqla.storage.check_ledger import Ledger
from chainlit_sqla.storage.check_repair import repair

class Fatal(LocalStorage):
    async def delete(self, keys):
        if any(key.startswith("threads/") for key in keys):
            os.kill(os.getpid(), signal.SIGKILL)
        await super().delete(keys)

async def main(url, folder):
    database, storage = Database(url), Fatal(pathlib.Path(folder))
    with Ledger.opened() as ledger:
        counts = await audit(database, storage, ledger)
        await repair(database, storage, ledger, counts)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_what_a_killed_repair_left_is_deleted_by_the_next(
    world: World, tmp_path: Path
) -> None:
    orphan = await world.blob(new_key("four"))
    world.storage.grow_old()
    url = world.database.given_url.render_as_string(hide_password=False)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", KILLED, url, str(world.storage.root)),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert await process.wait() == -signal.SIGKILL
    assert await world.outbox() == [orphan]
    assert orphan in await world.keys()
    counts, _ = await world.fix()
    assert (counts.waiting, counts.no_row) == (1, 0)
    assert orphan not in await world.keys()


@given(st.text(max_size=60), st.text(max_size=300))
def test_keys_that_we_make_are_ours(thread_id: str, element_id: str) -> None:
    assert is_ours(object_key({"threadId": thread_id, "id": element_id}))


def test_the_temporary_file_is_gone_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def interrupted() -> None:
        with Ledger.opened():
            assert list(tmp_path.iterdir())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not list(tmp_path.iterdir())
