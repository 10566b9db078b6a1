"""Copies between stores: nothing is lost, nothing is taken for copied that is not."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chainlit_sqla.errors import BlobNotFound, ConfigurationError, StorageError, StorageUnavailable
from chainlit_sqla.settings import Settings
from chainlit_sqla.storage.base import BlobInfo, BlobSource, Inventory
from chainlit_sqla.storage.chainlit_adapter import ChainlitClientStorage
from chainlit_sqla.storage.copy import LIMIT, Plan, Progress, Result, Transfer
from chainlit_sqla.storage.copy_endpoints import Ends
from chainlit_sqla.storage.journal import Amount, Journal
from chainlit_sqla.storage.local.client import LocalStorage
from tests.cli.programs import ROOT
from tests.servers.proxy import FlakyProxy
from tests.storage.conftest import Bucket


class Blob(NamedTuple):
    data: bytes
    mime: str = "text/plain"
    name: str = ""


ODD = {
    "user/thread/picture.png": Blob(b"\x89PNG" * 5000, "image/png", "picture.png"),
    "ä/🙂/\u05d0": Blob("ünï".encode(), "text/plain; charset=utf-8", "ünï 🙂.txt"),
    'it\'s "quoted" & <odd> %41?#+': Blob(b"quotes", "text/plain", 'a "b".txt'),
    "line\nend\ttab": Blob(b"newline", "application/pdf", "a.pdf"),
    "a/../b/./.../..~": Blob(b"dots", "application/json", "dots.json"),
    "empty": Blob(b"", "application/octet-stream"),
}


class Watched(LocalStorage):
    """A folder that counts what is read and written, and fails as a test says."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.opened: Counter[str] = Counter()
        self.written: Counter[str] = Counter()
        self.fail: Callable[[str], None] = lambda key: None
        self.change: Callable[[str, bytes], bytes] = lambda key, data: data
        self.after_listing: Callable[[], Any] | None = None

    @property
    def changed(self) -> set[str]:
        """The keys that were written, but for those of trials."""
        return {key for key in self.written if not key.startswith("chainlit-sqla-check")}

    async def open(self, key: str) -> AsyncGenerator[bytes, None]:
        self.opened[key] += 1
        self.fail(key)
        async for chunk in super().open(key):
            yield self.change(key, chunk)

    async def put(self, key: str, source: BlobSource, *, mime: str, name: str = "") -> int:
        self.written[key] += 1
        told = source.size
        stored = await super().put(key, source, mime=mime, name=name)
        assert stored == told
        return stored

    async def list_blobs(self) -> AsyncGenerator[BlobInfo, None]:
        async for info in super().list_blobs():
            yield info
        if self.after_listing is not None:
            await self.after_listing()


class Torn(LocalStorage):
    """A folder on a disk that loses bits."""

    async def put(self, key: str, source: BlobSource, *, mime: str, name: str = "") -> int:
        with source.reader() as reader:
            data = reader.read()
        if key.startswith("bad"):
            data = b"?" + data[1:]
        return await super().put(key, BlobSource(data=data), mime=mime, name=name)


@pytest.fixture
def source(tmp_path: Path) -> Watched:
    return Watched(tmp_path / "source")


@pytest.fixture
def target(tmp_path: Path) -> Watched:
    return Watched(tmp_path / "target")


class Copy:
    """Runs copies with one journal."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def forget(self) -> None:
        self.path.unlink()

    async def __call__(self, source: Any, target: Any, **options: Any) -> Result:
        with Journal(self.path, "from", "to") as journal:
            return await Transfer(source, target, journal, pauses=(0, 0), **options).run()


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path / "journal.db")


async def fill(store: Inventory, blobs: dict[str, Blob]) -> None:
    for key, blob in blobs.items():
        await store.put(key, BlobSource(data=blob.data), mime=blob.mime, name=blob.name)


async def contents(store: Inventory) -> dict[str, Blob]:
    found = {}
    for key in [info.key async for info in store.list_blobs()]:
        info = await store.stat(key)
        data = b"".join([chunk async for chunk in store.open(key)])
        found[key] = Blob(data, info.mime, info.name)
    return found


def some(count: int, start: str = "k") -> dict[str, Blob]:
    return {f"{start}{n:02}": Blob(b"%d" % (n % 10) * 100) for n in range(count)}


def size(blobs: dict[str, Blob]) -> int:
    return sum(len(blob.data) for blob in blobs.values())


async def test_bytes_types_and_names_arrive(source: Watched, target: Watched, copy: Copy) -> None:
    await fill(source, ODD)
    result = await copy(source, target)
    assert result == Result(copied=Amount(len(ODD), size(ODD)))
    assert await contents(target) == await contents(source) == ODD


async def test_they_arrive_in_a_bucket(source: Watched, moto: Bucket, copy: Copy) -> None:
    blobs = {key: blob for key, blob in ODD.items() if "\n" not in key}  # moto takes no line ends.
    blobs["in parts"] = Blob(bytes(range(256)) * 24_000, "video/mp4", "film.mp4")
    await fill(source, blobs)
    bucket = moto.storage(prefix="chat/files", part_size=5 * 1024 * 1024)
    result = await copy(source, bucket)
    assert (result.copied.blobs, result.failed) == (len(blobs), 0)
    assert await contents(bucket) == blobs
    again = await copy(source, bucket)
    assert again == Result(kept=Amount(len(blobs), size(blobs)))
    await bucket.close()


async def test_they_arrive_from_a_bucket(swift: Bucket, target: Watched, copy: Copy) -> None:
    bucket = swift.storage(prefix="chat")
    await fill(bucket, ODD)
    whole = swift.storage()
    await fill(whole, {"beside the prefix": Blob(b"not ours")})
    await whole.close()
    result = await copy(bucket, target)
    assert result == Result(copied=Amount(len(ODD), size(ODD)))
    assert await contents(target) == ODD
    await bucket.close()


async def test_a_marker_and_a_name_that_no_key_leads_to_are_no_blobs(
    moto: Bucket, target: Watched, copy: Copy
) -> None:
    bucket = moto.storage(prefix="chat")
    await fill(bucket, some(2))
    for name in ("chat/", "chat/threads/./x"):
        moto.boto.put_object(Bucket=moto.name, Key=name, Body=b"")
    result = await copy(bucket, target)
    assert (result.copied.blobs, result.failed, result.gone) == (2, 0, 0)
    again = await copy(bucket, target)
    assert (again.kept.blobs, again.failed, again.gone) == (2, 0, 0)
    await bucket.close()


async def test_wrong_bytes_are_found_by_reading_back(
    source: Watched, tmp_path: Path, copy: Copy
) -> None:
    blobs = some(3) | some(2, "bad")
    await fill(source, blobs)
    result = await copy(source, Torn(tmp_path / "target"))
    assert (result.copied.blobs, result.failed) == (3, 2)
    assert [key for key, _ in result.failures] == ["bad00", "bad01"]
    assert "other bytes than were written" in result.failures[0][1]
    # What lies there has the right size: only its checksum tells.
    repaired = Watched(tmp_path / "target")
    result = await copy(source, repaired)
    assert (result.copied.blobs, result.kept.blobs, result.failed) == (2, 3, 0)
    assert repaired.changed == {"bad00", "bad01"}
    assert await contents(repaired) == blobs


async def test_an_answer_that_was_cut_is_no_blob(
    source: Watched, target: Watched, copy: Copy
) -> None:
    await fill(source, some(3))
    source.change = lambda key, data: data[:-1] if key == "k01" else data
    result = await copy(source, target)
    assert (result.copied.blobs, result.failed) == (2, 1)
    assert "gave 99 bytes of 'k01', which has 100" in result.failures[0][1]
    assert "k01" not in await contents(target)


async def test_the_next_run_does_only_what_is_left(
    source: Watched, target: Watched, copy: Copy
) -> None:
    await fill(source, some(6))
    await copy(source, target)
    await fill(source, {"new": Blob(b"new"), "k00": Blob(b"longer now" * 100)})
    await target.delete(["k01"])
    await fill(target, {"k02": Blob(b"other size")})
    for store in (source, target):
        store.opened.clear()
        store.written.clear()
    result = await copy(source, target)
    expected = {"new", "k00", "k01", "k02"}
    assert result.copied.blobs == len(expected)
    assert result.kept == Amount(3, 300)
    assert set(source.opened) == expected
    assert target.changed == expected
    assert await contents(target) == await contents(source)


async def test_a_blob_of_the_same_size_and_another_time_is_compared(
    source: Watched, target: Watched, copy: Copy
) -> None:
    await fill(source, {"same": Blob(b"same"), "other": Blob(b"before")})
    await copy(source, target)
    await asyncio.sleep(0.01)  # A time of its own on a file system with coarse ones.
    await fill(source, {"same": Blob(b"same"), "other": Blob(b"after!")})
    target.written.clear()
    result = await copy(source, target)
    assert (result.copied.blobs, result.kept.blobs) == (1, 1)
    assert target.changed == {"other"}
    assert await contents(target) == await contents(source)


async def test_without_the_journal_blobs_are_compared_not_written(
    source: Watched, target: Watched, copy: Copy
) -> None:
    await fill(source, some(4))
    await copy(source, target)
    copy.forget()
    await fill(target, {"k01": Blob(b"x" * 100), "k02": some(4)["k02"]._replace(mime="image/png")})
    target.written.clear()
    result = await copy(source, target)
    assert (result.copied.blobs, result.kept.blobs) == (2, 2)
    assert target.changed == {"k01", "k02"}
    assert await contents(target) == some(4)


async def test_a_blob_that_was_deleted_meanwhile_is_no_failure(
    source: Watched, target: Watched, copy: Copy
) -> None:
    await fill(source, some(4))
    source.after_listing = lambda: source.delete(["k02"])
    result = await copy(source, target)
    assert (result.copied.blobs, result.gone, result.failed) == (3, 1, 0)
    assert "k02" not in await contents(target)


async def test_what_the_target_has_too_much_is_told_and_left(
    source: Watched, target: Watched, copy: Copy
) -> None:
    await fill(source, some(4))
    await copy(source, target)
    await source.delete(["k00", "k01"])
    await fill(target, {"of somebody else": Blob(b"")})
    for _ in range(2):
        result = await copy(source, target)
        assert (result.kept.blobs, result.left_over, result.gone) == (2, 2, 0)
    assert some(4).keys() < (await contents(target)).keys()
    await target.delete(["k00"])
    assert (await copy(source, target)).left_over == 1


async def test_a_blob_that_fails_stops_no_other(
    source: Watched, target: Watched, copy: Copy
) -> None:
    await fill(source, some(30))

    def fail(key: str) -> None:
        if key == "k05":
            raise StorageError("no permission; ask")
        if key == "k06":
            raise ValueError("a bug")

    source.fail = fail
    result = await copy(source, target)
    assert (result.copied.blobs, result.failed, result.stopped) == (28, 2, "")
    assert result.failures == (
        ("k05", "no permission; ask"),
        ("k06", "Unexpected ValueError: a bug"),
    )
    source.fail = lambda key: None
    result = await copy(source, target)
    assert (result.copied.blobs, result.kept.blobs, result.failed) == (2, 28, 0)


async def test_a_target_that_loses_a_blob_at_once_is_a_failure(
    source: Watched, target: Watched, copy: Copy
) -> None:
    await fill(source, some(2))

    def lost(key: str) -> None:
        if key == "k00":
            raise BlobNotFound("there is no such blob; it was deleted or never stored")

    target.fail = lost
    result = await copy(source, target)
    assert (result.copied.blobs, result.gone, result.failed) == (1, 0, 1)


async def test_a_store_that_is_away_for_a_moment_is_tried_again(
    source: Watched, target: Watched, copy: Copy
) -> None:
    await fill(source, some(5))

    def fail(key: str) -> None:
        if source.opened[key] <= 2:
            raise StorageUnavailable("away; wait")

    source.fail = fail
    result = await copy(source, target)
    assert (result.copied.blobs, result.failed) == (5, 0)


async def test_lost_connections_are_ridden_out(source: Watched, moto: Bucket, copy: Copy) -> None:
    await fill(source, some(20))
    port = int(moto.server.endpoint.rpartition(":")[2])
    with FlakyProxy("127.0.0.1", port) as proxy:
        bucket = moto.storage(endpoint=f"http://127.0.0.1:{proxy.port}", attempts=1)
        drops = [3, 9]

        def watch(progress: Progress) -> None:
            if progress.stage == "copy" and drops and progress.done.blobs >= drops[0]:
                drops.pop(0)
                proxy.drop_all()

        result = await copy(source, bucket, watch=watch)
        await bucket.close()
    assert not drops
    assert (result.copied.blobs, result.failed) == (20, 0)


async def test_a_store_that_fails_again_and_again_ends_the_copy(
    source: Watched, target: Watched, copy: Copy
) -> None:
    blobs = some(LIMIT + 5, "bad") | some(5, "good")
    await fill(source, blobs)

    def fail(key: str) -> None:
        if key.startswith("bad"):
            raise StorageError("damaged; restore it")

    source.fail = fail
    result = await copy(source, target, parallel=1)
    assert f"{LIMIT} blobs in a row" in result.stopped
    assert (result.copied.blobs, result.failed, len(result.failures)) == (0, LIMIT, LIMIT)
    # Those come last now, so that they do not stand in the way of the others for ever.
    result = await copy(source, target, parallel=1)
    assert result.copied.blobs == 5


async def test_many_failures_among_others_end_nothing(
    source: Watched, target: Watched, copy: Copy
) -> None:
    blobs = some(2 * LIMIT + 10)
    await fill(source, blobs)

    def fail(key: str) -> None:
        if int(key[1:]) % 2:
            raise StorageError("damaged; restore it")

    source.fail = fail
    result = await copy(source, target, parallel=1)
    assert (result.copied.blobs, result.failed, result.stopped) == (LIMIT + 5, LIMIT + 5, "")
    assert len(result.failures) == LIMIT


async def test_a_target_that_takes_nothing_is_told_at_once(
    source: Watched, tmp_path: Path, copy: Copy
) -> None:
    class ReadOnly(LocalStorage):
        async def put(self, key: str, source: BlobSource, *, mime: str, name: str = "") -> int:
            raise StorageError("no permission; give it")

    await fill(source, some(3))
    with pytest.raises(StorageError, match="no permission"):
        await copy(source, ReadOnly(tmp_path / "target"))
    assert not source.opened


@pytest.mark.parametrize("end", ["source", "target"])
async def test_a_store_that_cannot_be_used_is_told_at_once(
    source: Watched, target: Watched, moto: Bucket, copy: Copy, end: str
) -> None:
    await fill(source, some(3))
    missing = moto.storage(bucket="no-such-bucket")
    ends = (missing, target) if end == "source" else (source, missing)
    with pytest.raises(StorageError, match="NoSuchBucket"):
        await copy(*ends)
    assert not source.opened
    await missing.close()


def test_a_store_without_a_listing_is_refused(source: Watched, tmp_path: Path) -> None:
    class Client:
        async def upload_file(self) -> None: ...

    adapter = ChainlitClientStorage(Client())
    with Journal(None, "from", "to") as journal:
        with pytest.raises(ConfigurationError, match=r"cannot be copied from; open .* by a URL"):
            Transfer(adapter, source, journal)
        with pytest.raises(ConfigurationError, match="cannot be copied to"):
            Transfer(source, adapter, journal)


async def test_a_plan_writes_nothing(source: Watched, target: Watched) -> None:
    await fill(source, some(5))
    await fill(target, {"k00": some(1)["k00"], "k01": Blob(b"shorter")})
    target.written.clear()
    with Journal(None, "from", "to") as journal:
        plan = await Transfer(source, target, journal).plan()
    assert plan == Plan(Amount(5, 500), Amount(1, 100), Amount(), gone=0, left_over=0)
    assert not target.written
    assert not source.opened


async def test_the_progress_ends_with_all(source: Watched, target: Watched, copy: Copy) -> None:
    await fill(source, some(30))
    seen: list[Progress] = []
    await copy(source, target, watch=seen.append)
    assert list(dict.fromkeys(p.stage for p in seen)) == ["source", "target", "copy"]
    assert seen[-1].done == seen[-1].total == Amount(30, 3000)
    copying = [p for p in seen if p.stage == "copy"]
    assert all(p.done.size <= p.total.size for p in copying)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("file:///srv/files", "file:///srv/../srv/files/"),
        ("file:///srv/files", "file:///srv/files/below"),
        ("s3://bucket", "s3://bucket/prefix"),
        ("s3://bucket/a%20b/", "s3://bucket/a b?region=eu-west-1"),
        ("s3://bucket/a", "s3://bucket/a?endpoint=http://Here:9000/"),
        ("gs://bucket/a", "gs://bucket/a/b?project=other"),
        ("az://files?account=one", "az://files/a?account=one"),
    ],
)
def test_a_store_is_not_copied_into_itself(first: str, second: str) -> None:
    settings = Settings.load(aws_endpoint="http://here:9000")
    for urls in ((first, second), (second, first)):
        with pytest.raises(ConfigurationError, match="the same store, or one is inside"):
            Ends.open(*urls, settings)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("s3://bucket/a", "s3://bucket/ab"),
        ("s3://bucket/a", "s3://other/a"),
        ("s3://bucket?endpoint=http://one", "s3://bucket?endpoint=http://two"),
        ("s3://bucket", "file:///bucket"),
        ("az://files?account=one", "az://files?account=two"),
    ],
)
def test_neighbours_are_two_stores(first: str, second: str) -> None:
    ends = Ends.open(first, second, Settings.load())
    assert ends.digest == Ends.open(first, second, Settings.load()).digest
    assert str(ends.source_place) != str(ends.target_place)


def test_a_folder_that_is_not_there_is_no_source(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no folder .* to copy from"):
        Ends.open(f"file://{tmp_path}/none", "s3://bucket", Settings.load())


def test_a_journal_is_of_one_copy(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    Journal(path, "a", "b").close()
    assert path.stat().st_mode & 0o077 == 0
    with pytest.raises(ConfigurationError, match=r"from a to b; name another file by --journal"):
        Journal(path, "a", "c")


def test_a_journal_is_used_by_one_process(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    program = (
        "import sys; from pathlib import Path; from chainlit_sqla.storage.journal import Journal\n"
        "Journal(Path(sys.argv[1]), 'a', 'b'); print('opened', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "opened\n"
        for _ in range(2):
            with pytest.raises(StorageError, match="Another copy is under way"):
                Journal(path, "a", "b")
        other.kill()
    Journal(path, "a", "b").close()


def test_a_database_of_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE threads (id)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="is a database of something else"):
        Journal(path, "a", "b")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"no database" * 100,
        lambda data: data[:5000],
        lambda data: data[: len(data) // 2] + b"?" * (len(data) // 2),
    ],
)
def test_a_damaged_journal_is_told(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "journal.db"
    with Journal(path, "a", "b") as journal:
        journal.note_source([BlobInfo(f"k{n}", 1, datetime.now(UTC)) for n in range(300)])
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(StorageError, match=r"is damaged .*; delete it and run the same command"):
        Journal(path, "a", "b")


@pytest.mark.parametrize("place", ["none/journal.db", "."])
def test_a_place_for_no_journal_is_told(tmp_path: Path, place: str) -> None:
    with pytest.raises(StorageError, match="--journal"):
        Journal(tmp_path / place, "a", "b")


NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
KEYS = st.sampled_from(["a", "a\x00b", "é", "'; --"])
OUTCOMES = st.dictionaries(KEYS, st.sampled_from(["copied", "failed", "gone"]))
LISTING = st.dictionaries(KEYS, st.tuples(st.integers(0, 2), st.integers(0, 1)))
RUNS = st.lists(
    st.tuples(
        LISTING, LISTING, st.dictionaries(KEYS, st.sampled_from(["copied", "failed", "gone"]))
    ),
    min_size=1,
    max_size=4,
)


def infos(listing: dict[str, tuple[int, int]]) -> list[BlobInfo]:
    return [
        BlobInfo(key, size, NOON + timedelta(seconds=modified))
        for key, (size, modified) in listing.items()
    ]


@settings(max_examples=60)
@given(RUNS)
@example([({"a": (0, 0)}, {}, {"a": "copied"}), ({}, {}, {}), ({"a": (0, 0)}, {"a": (0, 0)}, {})])
def test_a_journal_trusts_only_what_both_listings_confirm(runs: list[Any]) -> None:
    """Against a model: a dictionary of what was verified, with the listing it was of."""
    verified: dict[str, tuple[int, int]] = {}
    ever: set[str] = set()
    with tempfile.TemporaryDirectory() as folder:
        for listed, found, outcomes in runs:
            with Journal(Path(folder) / "journal.db", "a", "b") as journal:
                journal.note_source(infos(listed))
                journal.note_target(infos(found))
                journal.settle()
                verified = {
                    key: entry
                    for key, entry in verified.items()
                    if listed.get(key) == entry and key in found and found[key][0] == entry[0]
                }
                ever |= set(listed)
                todo = {blob.key: blob for blob in journal.todo()}
                assert set(todo) == set(listed) - set(verified)
                for key, blob in todo.items():
                    assert blob.size == listed[key][0]
                    assert blob.found_size == (found[key][0] if key in found else None)
                kept = Amount(len(verified), sum(size for size, _ in verified.values()))
                assert journal.amount("copied") == kept
                assert journal.left_over() == len((ever & set(found)) - set(listed))
                for key in set(todo) & set(outcomes):
                    if outcomes[key] == "copied":
                        journal.copied(key, listed[key][0], "0" * 64)
                        verified[key] = listed[key]
                    elif outcomes[key] == "failed":
                        journal.failed(key, "why")
                    else:
                        journal.gone(key)
