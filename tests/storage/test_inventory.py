"""What every inventory promises: it lists all that was stored, and knows each blob."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from chainlit_sqla.errors import BlobNotFound, StorageError
from chainlit_sqla.storage.base import BlobSource, Inventory
from chainlit_sqla.storage.cloud import stat_or_none
from chainlit_sqla.storage.local.client import LocalStorage

from .conftest import Bucket, small_pages
from .test_contract import KEYS, blob


async def clear(store: Inventory, *, hours: int, remove: bool = True) -> int:
    """Clear what is older than some hours from now, whosever it is."""
    before = datetime.now(UTC) + timedelta(hours=hours)
    return await store.clear_unfinished(before, is_ours=lambda _: True, remove=remove)


async def sizes(store: Inventory) -> dict[str, int]:
    return {info.key: info.size async for info in store.list_blobs()}


async def test_all_blobs_are_listed_under_the_keys_they_were_stored_by(
    inventory: Inventory,
) -> None:
    keys = [*KEYS, "a/..~/b", "a/.~~", "~", *(f"threads/t/{number}" for number in range(20))]
    await asyncio.gather(
        *(
            inventory.put(key, BlobSource(data=b"x" * number), mime="text/plain")
            for number, key in enumerate(keys)
        )
    )
    assert await sizes(inventory) == {key: number for number, key in enumerate(keys)}
    await inventory.delete(keys[:5])
    assert set(await sizes(inventory)) == set(keys[5:])


# What the console makes of "create folder", names that no key leads to, and other prefixes.
FOREIGN = {
    "swift": ("p/", "p/a/./b", "p/a/../c", "p/..", "pp/x", "other"),
    "google": ("p/", "p/a/./b", "p/code%25of", "pp/x", "other"),
    "container": ("p~2Fa", "pp/x", "other"),
}


@pytest.mark.parametrize("kind", FOREIGN)
async def test_a_listing_in_pages_holds_all_blobs_below_the_prefix_and_nothing_foreign(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    bucket: Any = request.getfixturevalue(kind)
    store = bucket.storage(prefix="/p/")
    for name in FOREIGN[kind]:
        if kind == "swift":
            bucket.boto.put_object(Bucket=bucket.name, Key=name, Body=b"theirs")
        elif kind == "google":
            foreign = store._bucket().blob(name)
            await asyncio.to_thread(foreign.upload_from_string, b"theirs", retry=None)
        else:
            bucket.sdk.upload_blob(name, b"theirs")
    if kind == "google":
        bucket.server.front.page_size = 2
    else:
        await small_pages(store, 2, monkeypatch)
    keys = {"a", "b/c", "ours/./k", "trailing/", "100%25"}
    for key in keys:
        await store.put(key, BlobSource(data=b"12"), mime="text/plain")
    listed = [info async for info in store.list_blobs()]
    assert len(listed) == len(keys)
    assert {(info.key, info.size) for info in listed} == {(key, 2) for key in keys}
    with pytest.raises(StorageError, match=r"once .*use one of|has 1,026 bytes; use one of"):
        await store.put("\x07" * 1024, BlobSource(data=b"x"), mime="text/plain")
    assert await stat_or_none(store, "../" + "k" * 1019) is None  # Its name is p/..~/kkk…


ODD = {
    "google": ("a\r\nb", "bell\x07\x7f", "%0A", "%25%", ".well-known/acme-challenge/x", ".", ".."),
    "container": (
        "bell\x07 return\r nul\x00",
        "back\\slash",
        "dot.",
        "a./b../c",
        "two//slashes///",
        "//",
        "~2E",
        "~7E~2E.",
        "\x85 \x9f \x7f",
        "no \uffff character \ue000",
        "many/" * 200 + "parts",
        "many/" * 204,
        "a/" * 300,
        "./../.~/..~",
        "?query=1&sig=x#fragment",
        "' \" ` <>",
    ),
}


@pytest.mark.parametrize("kind", ODD)
async def test_keys_that_a_cloud_refuses_as_names(
    request: pytest.FixtureRequest, http: httpx.AsyncClient, kind: str
) -> None:
    bucket: Any = request.getfixturevalue(kind)
    store, keys = bucket.storage(), ODD[kind]
    for key in keys:
        await store.put(key, BlobSource(data=key.encode()), mime="text/plain")
    assert {info.key async for info in store.list_blobs()} == set(keys)
    urls = await store.read_urls(keys)
    for key in keys:
        assert (await store.stat(key)).key == key
        assert await blob(store, key) == key.encode()
        assert (await http.get(urls[key])).content == key.encode(), key
    await store.delete(keys)
    assert bucket.names() == []


async def test_a_blob_is_known_with_size_time_type_and_name(inventory: Inventory) -> None:
    before = datetime.now(UTC) - timedelta(seconds=5)
    source = BlobSource(data=b"12345")
    await inventory.put("k/é.pdf", source, mime="application/pdf", name="Übung 1.pdf")
    info = await inventory.stat("k/é.pdf")
    assert (info.key, info.size) == ("k/é.pdf", 5)
    assert (info.mime, info.name) == ("application/pdf", "Übung 1.pdf")
    assert before <= info.modified <= datetime.now(UTC) + timedelta(seconds=5)
    (listed,) = [info async for info in inventory.list_blobs()]
    assert (listed.key, listed.size) == (info.key, 5)
    assert abs(listed.modified - info.modified) < timedelta(seconds=2)


async def test_what_is_not_there_is_not_found(inventory: Inventory) -> None:
    with pytest.raises(BlobNotFound, match="nowhere"):
        await inventory.stat("nowhere/at/all")
    await inventory.put("k", BlobSource(data=b"x"), mime="text/plain")
    await inventory.delete(["k"])
    with pytest.raises(BlobNotFound, match="'k'"):
        await inventory.stat("k")


async def test_parts_of_an_upload_that_never_ended_are_removed(swift: Bucket) -> None:
    for key in ("p/ours", "p/somebody's", "q/of-others"):
        swift.boto.create_multipart_upload(Bucket=swift.name, Key=key)
    store = swift.storage(prefix="p")
    now = datetime.now(UTC)
    long_ago, soon = now - timedelta(hours=1), now + timedelta(hours=1)

    def is_ours(key: str) -> bool:
        return key == "ours"

    assert await store.clear_unfinished(long_ago, is_ours=is_ours, remove=True) == 0
    assert await store.clear_unfinished(soon, is_ours=is_ours, remove=False) == 1
    assert await store.clear_unfinished(soon, is_ours=is_ours, remove=True) == 1
    assert await store.clear_unfinished(soon, is_ours=is_ours, remove=True) == 0
    left = swift.boto.list_multipart_uploads(Bucket=swift.name)["Uploads"]
    assert [upload["Key"] for upload in left] == ["p/somebody's", "q/of-others"]


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


async def test_what_a_killed_process_left_in_a_folder_is_cleared(tmp_path: Path) -> None:
    store = LocalStorage(tmp_path)
    await store.put("k", BlobSource(data=b"x"), mime="text/plain")
    await store.read_urls(["k"])
    before = files(tmp_path)
    (description,) = tmp_path.glob("??/*.json")
    (tmp_path / "ab").mkdir()
    digest = "ab" + "0" * 62
    left = {
        f"ab/{digest}.{'1' * 16}.part",
        f"ab/{digest}.json.{'2' * 16}",
        f".secret.{'3' * 16}",
        f".gitignore.{'4' * 16}",
        str(description.with_suffix(f".{'5' * 16}").relative_to(tmp_path)),  # It was replaced.
    }
    for name in left:
        (tmp_path / name).write_bytes(b"half")
    (tmp_path / "ab" / "notes.txt").write_text("somebody's own")
    assert await clear(store, hours=-1) == 0
    assert await clear(store, hours=1, remove=False) == len(left)
    assert files(tmp_path) == before | left | {"ab/notes.txt"}
    assert await clear(store, hours=1) == len(left)
    assert files(tmp_path) == before | {"ab/notes.txt"}
    assert await sizes(store) == {"k": 1}


async def test_a_file_that_was_cut_shows_its_real_size(tmp_path: Path) -> None:
    store = LocalStorage(tmp_path)
    await store.put("k", BlobSource(data=b"12345"), mime="text/plain")
    (path,) = [path for path in tmp_path.glob("??/*") if path.suffix != ".json"]
    path.write_bytes(b"12")
    assert await sizes(store) == {"k": 2}
    assert (await store.stat("k")).size == 2
    path.unlink()
    assert await sizes(store) == {}


async def test_a_damaged_description_is_reported_and_its_bytes_are_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = LocalStorage(tmp_path)
    await store.put("k", BlobSource(data=b"x"), mime="text/plain")
    (description,) = tmp_path.glob("??/*.json")
    whole = json.loads(description.read_text())
    for damage in ("", "{", "{}", json.dumps({**whole, "version": "../../x"})):
        description.write_text(damage)
        assert await sizes(store) == {}
        assert "is damaged" in caplog.text
        caplog.clear()
        for read in (store.stat("k"), blob(store, "k")):
            with pytest.raises(StorageError, match=r"is damaged.*restore it or delete it"):
                await read
    assert await clear(store, hours=1) == 0
    assert len(list(tmp_path.glob("??/*"))) == 2


@pytest.mark.parametrize("lost", ["description", "bytes"])
async def test_half_of_a_pair_of_files_is_kept_for_the_other_half(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, lost: str
) -> None:
    store = LocalStorage(tmp_path)
    await store.put("k", BlobSource(data=b"precious"), mime="text/plain", name="a.txt")
    (description,) = tmp_path.glob("??/*.json")
    (data,) = [path for path in tmp_path.glob("??/*") if path != description]
    path = description if lost == "description" else data
    content = path.read_bytes()
    path.unlink()
    assert await sizes(store) == {}
    assert await clear(store, hours=1) == 0
    if lost == "description":
        assert "one is missing; restore it from a backup" in caplog.text
    path.write_bytes(content)
    info = await store.stat("k")
    assert (info.size, info.name) == (8, "a.txt")


@pytest.fixture(params=["local", "moto", "google", "container"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Inventory:
    if request.param == "local":
        return LocalStorage(tmp_path / "files")
    made: Inventory = request.getfixturevalue(request.param).storage()
    return made


async def use(storage: Inventory, key: str) -> None:
    await storage.put(key, BlobSource(data=b"x"), mime="text/plain")
    assert await blob(storage, key) == b"x"


async def close_and_use(storage: Inventory) -> None:
    await use(storage, "third")
    await storage.close()
    assert await blob(storage, "third") == b"x"
    await use(storage, "fourth")
    await storage.close()


def test_it_serves_one_loop_after_another_and_opens_again_when_closed(storage: Inventory) -> None:
    asyncio.run(use(storage, "first"))  # Without close: the command line may end like this.
    asyncio.run(use(storage, "second"))
    asyncio.run(close_and_use(storage))
