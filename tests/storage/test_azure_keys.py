"""Keys as names of blobs in Azure, for any text; and what Azure's own emulator makes of them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainlit_sqla.errors import StorageError
from chainlit_sqla.storage.azure.names import blob_name, key_of
from chainlit_sqla.storage.base import BlobSource

from .conftest import Store
from .test_contract import blob

KEYS = st.one_of(
    st.text(min_size=1, max_size=60), st.text("./~\\2EF0%\x07é", min_size=1, max_size=40)
)
REFUSED = re.compile(r"[\x00-\x1f\x7f-\x9f\\\ufffe\uffff]|//|^/|/$|\.(/|$)")

ODD = (
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
)


@given(KEYS)
def test_a_name_has_nothing_that_azure_refuses(key: str) -> None:
    name = blob_name(key)
    assert not REFUSED.search(name)
    assert key_of(name) == key


@given(KEYS, KEYS)
def test_different_keys_have_different_names(one: str, other: str) -> None:
    assert (blob_name(one) == blob_name(other)) == (one == other)


@pytest.mark.parametrize(
    "key", ["user/thread/element/photo.png", "Ünïcode/日本語/😀.txt", "100% ~ a.b", "x" * 1024]
)
def test_a_usual_key_is_its_own_name(key: str) -> None:
    assert blob_name(key) == key


def test_a_name_has_no_more_parts_than_azure_takes() -> None:
    name = blob_name("a/" * 300)
    assert len(name.split("/")) == 254
    assert key_of(name) == "a/" * 300


def test_a_key_that_gets_too_long_is_refused() -> None:
    with pytest.raises(StorageError, match=r"has 1,092 characters once .*; use one of 1 to 1,024"):
        blob_name("\\" * 34 + "x" * 990)


@given(st.text("~0123456789ABCDEFabx/.", max_size=30))
def test_the_name_of_a_foreign_blob_can_be_read(name: str) -> None:
    assert isinstance(key_of(name), str)


async def test_odd_keys_go_there_and_back(azure_store: Store) -> None:
    for key in ODD:
        await azure_store.client.put(key, BlobSource(data=key.encode()), mime="text/plain")
    assert {info.key async for info in azure_store.client.list_blobs()} == set(ODD)  # type: ignore[attr-defined]
    urls = await azure_store.client.read_urls(ODD)
    for key in ODD:
        assert await blob(azure_store.client, key) == key.encode()
        assert (await azure_store.http.get(urls[key])).content == key.encode(), key
    await azure_store.client.delete(ODD)
    assert [info async for info in azure_store.client.list_blobs()] == []  # type: ignore[attr-defined]
