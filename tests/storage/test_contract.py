"""What every storage client promises, asked of each of them."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from chainlit_sqla.errors import BlobNotFound, StorageError
from chainlit_sqla.storage.base import BlobSource, StorageClient
from chainlit_sqla.storage.s3.client import S3Storage

from .conftest import Store

KEYS = (
    "user/thread/element/photo.png",
    "Ünïcode/日本語/😀.txt",
    "spaces and + & = ? # % %41.txt",
    "quotes '\" < > ` \\ back.txt",
    "../../etc/passwd",
    "a/./b/../c",
    "/absolute",
    "trailing/",
    "x" * 1024,
    "é" * 512,
)


async def blob(client: StorageClient, key: str) -> bytes:
    return b"".join([chunk async for chunk in client.open(key)])


async def failures(storage: Any) -> list[StorageError]:
    operations = [
        storage.put("k", BlobSource(data=b"x"), mime="text/plain"),
        storage.put("k", BlobSource(data=b"x" * 9 * 1024 * 1024), mime="text/plain"),
        blob(storage, "k"),
        storage.delete(["k", "k2"]),
        storage.check(),
        anext(storage.list_blobs()),
    ]
    if not isinstance(storage, S3Storage):  # The answers to its HEAD have no code.
        operations.append(storage.stat("k"))
    errors = []
    for operation in operations:
        with pytest.raises(StorageError) as caught:
            await operation
        assert "\n" not in str(caught.value)
        errors.append(caught.value)
    await storage.close()
    return errors


async def test_bytes_come_back_with_type_and_name(store: Store) -> None:
    size = await store.client.put(
        "a/b.png", BlobSource(data=b"\x00\x01png"), mime="image/png", name="b.png"
    )
    assert size == 5
    assert await blob(store.client, "a/b.png") == b"\x00\x01png"
    answer = await store.get("a/b.png")
    assert (answer.status_code, answer.content) == (200, b"\x00\x01png")
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-disposition"] == 'inline; filename="b.png"'


async def test_an_opened_file_may_be_deleted_before_it_is_stored(
    store: Store, tmp_path: Path
) -> None:
    path = tmp_path / "session-file"
    path.write_bytes(b"still there")
    source = BlobSource.opened(path)
    path.unlink()
    assert source.size == 11
    await store.client.put("k1", source, mime="text/plain")
    await store.client.put("k2", source, mime="text/plain")  # As a second try would.
    source.close()
    assert await blob(store.client, "k1") == await blob(store.client, "k2") == b"still there"


async def test_an_empty_blob_is_a_blob(store: Store) -> None:
    assert await store.client.put("empty", BlobSource(data=b""), mime="text/plain") == 0
    assert await blob(store.client, "empty") == b""
    answer = await store.get("empty")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("key", KEYS, ids=lambda key: ascii(key)[:24])
async def test_any_key_works_and_reaches_only_itself(store: Store, key: str) -> None:
    await check_key(store, key)


async def test_a_key_may_have_line_ends(signed_store: Store) -> None:
    # moto answers 404 to any path with %0A, so only the realistic stores are asked.
    await check_key(signed_store, "line\nbreak\ttab")


async def check_key(store: Store, key: str) -> None:
    other = key[:-1] + "_"
    await store.client.put(key, BlobSource(data=b"this"), mime="text/plain")
    await store.client.put(other, BlobSource(data=b"other"), mime="text/plain")
    assert await blob(store.client, key) == b"this"
    answer = await store.get(key)
    assert (answer.status_code, answer.content) == (200, b"this")
    await store.client.delete([key])
    with pytest.raises(BlobNotFound):
        await blob(store.client, key)
    assert await blob(store.client, other) == b"other"


@pytest.mark.parametrize("key", ["", "x" * 1025, "é" * 513, "lone \ud800"], ids=ascii)
async def test_an_impossible_key_is_refused(store: Store, key: str) -> None:
    client = store.client
    put = client.put(key, BlobSource(data=b"x"), mime="text/plain")
    for attempt in (put, client.read_urls([key]), blob(client, key), client.delete([key])):
        with pytest.raises(StorageError, match=r"object key .*; use"):
            await attempt


@pytest.mark.parametrize(
    ("name", "offered"),
    [
        ('say "hi".txt', 'say "hi".txt'),
        ("報告書 2024.pdf", "報告書 2024.pdf"),
        ("דוח.pdf", "דוח.pdf"),
        ("50%_off;a=b.txt", "50%_off;a=b.txt"),
        ("../../etc/passwd", "passwd"),
        ("a\r\nSet-Cookie: x=1.txt", "a__Set-Cookie: x=1.txt"),
        ("invoice\u202efdp.exe", "invoice_fdp.exe"),
    ],
    ids=ascii,
)
async def test_a_browser_is_offered_the_name(store: Store, name: str, offered: str) -> None:
    await store.client.put("k", BlobSource(data=b"x"), mime="application/pdf", name=name)
    answer = await store.get("k")
    assert "set-cookie" not in answer.headers
    header = answer.headers["content-disposition"]
    extended = re.search(r"filename\*=UTF-8''([^;]+)$", header)
    plain = re.search(r'filename="([^"]*)"', header)
    assert plain is not None
    assert (unquote(extended[1]) if extended else plain[1]) == offered


@pytest.mark.parametrize(
    "mime", ["text/html", "image/svg+xml", "TEXT/HTML; charset=utf-8", "application/xhtml+xml"]
)
async def test_what_runs_script_is_a_download(store: Store, mime: str) -> None:
    await store.client.put("k", BlobSource(data=b"<script>"), mime=mime, name="x")
    assert (await store.get("k")).headers["content-disposition"].startswith("attachment")


@pytest.mark.parametrize(
    "mime", ["", "nonsense", "text/html\r\nSet-Cookie: x=1", "a/b, text/html", "*/*"]
)
async def test_an_invalid_type_becomes_plain_bytes(store: Store, mime: str) -> None:
    await store.client.put("k", BlobSource(data=b"x"), mime=mime)
    answer = await store.get("k")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert "set-cookie" not in answer.headers


async def test_a_second_put_replaces_all_of_the_first(store: Store) -> None:
    await store.client.put("k", BlobSource(data=b"long old text"), mime="text/html", name="old")
    await store.client.put("k", BlobSource(data=b"new"), mime="image/png", name="new.png")
    answer = await store.get("k")
    assert answer.content == b"new"
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-disposition"] == 'inline; filename="new.png"'


async def test_deleting_is_idempotent(store: Store) -> None:
    await store.client.put("k", BlobSource(data=b"x"), mime="text/plain")
    await store.client.delete(["k", "never", "k"])
    await store.client.delete(["k"])
    await store.client.delete([])
    with pytest.raises(BlobNotFound, match=r"'k'.*deleted or never stored"):
        await blob(store.client, "k")
    assert (await store.get("k")).status_code == 404


async def test_impossible_keys_keep_no_other_from_being_deleted(store: Store) -> None:
    keys = [f"k{number}" for number in range(3)]
    for key in keys:
        await store.client.put(key, BlobSource(data=b"x"), mime="text/plain")
    with pytest.raises(StorageError, match=r"object key .*; use"):
        await store.client.delete(["", keys[0], "x" * 1025, keys[1], "lone \ud800", keys[2]])
    for key in keys:
        with pytest.raises(BlobNotFound):
            await blob(store.client, key)


async def test_concurrent_puts_do_not_mix(store: Store) -> None:
    keys = [f"k{number}" for number in range(20)]
    await asyncio.gather(
        *(store.client.put(k, BlobSource(data=k.encode() * 1000), mime="text/plain") for k in keys)
    )
    found = await asyncio.gather(*(blob(store.client, key) for key in keys))
    assert found == [key.encode() * 1000 for key in keys]


async def test_one_call_signs_links_for_all_keys(store: Store) -> None:
    keys = [f"key {number}" for number in range(50)]
    urls = await store.client.read_urls([*keys, keys[0]])
    assert list(urls) == keys
    assert len(set(urls.values())) == 50
    assert await store.client.read_urls([]) == {}


async def test_an_altered_link_is_refused(signed_store: Store) -> None:
    client = signed_store.client
    await client.put("mine", BlobSource(data=b"x"), mime="text/plain")
    await client.put("theirs", BlobSource(data=b"secret"), mime="text/plain")
    url = (await client.read_urls(["mine"]))["mine"]
    last = "A" if url[-1] != "A" else "B"
    if "mine" in url:
        altered = [url.replace("mine", "theirs"), url.split("?")[0], url[:-1] + last]
        longer = re.sub(r"(X-Amz-Expires|X-Goog-Expires)=\d+", r"\1=86400", url)
        altered += [longer.replace("?se=2", "?se=3")]
    else:
        start = url.rindex("/") + 1
        altered = [url[:-1] + last, url[:-2], url + "A", url[:start] + "A" * 96]
        for at in range(start, len(url)):
            altered.append(url[:at] + ("A" if url[at] != "A" else "B") + url[at + 1 :])
    for attempt in altered:
        answer = await signed_store.http.get(attempt)
        assert answer.status_code in (400, 401, 403), attempt
        assert b"secret" not in answer.content
    assert (await signed_store.http.get(url)).status_code == 200


async def test_an_expired_link_is_refused(signed_store: Store) -> None:
    await signed_store.client.put("k", BlobSource(data=b"x"), mime="text/plain")
    assert signed_store.past is not None
    answer = await signed_store.http.get(await signed_store.past("k"))
    assert answer.status_code in (400, 403)  # Google says "ExpiredToken" with 400.
    assert (await signed_store.get("k")).status_code == 200


async def test_a_source_that_is_gone_is_the_callers_fault(store: Store, tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(StorageError, match="Cannot read the file to be stored under 'k'"):
            await store.client.put("k", BlobSource(path=path), mime="text/plain")
    closed = BlobSource.opened(Path(__file__))
    closed.close()
    with pytest.raises(StorageError, match="Cannot read the file to be stored under 'k'"):
        await store.client.put("k", closed, mime="text/plain")


async def test_reading_may_stop_early(store: Store) -> None:
    await store.client.put("k", BlobSource(data=b"x" * 2_000_000), mime="text/plain")
    chunks = store.client.open("k")
    assert await anext(chunks)
    await chunks.aclose()
    assert len(await blob(store.client, "k")) == 2_000_000


async def test_check_names_the_store_and_closing_twice_is_harmless(store: Store) -> None:
    for _ in range(2):  # The first leaves nothing that the second trips over.
        assert (await store.client.check()).startswith("the ")
    await store.client.close()
    await store.client.close()
