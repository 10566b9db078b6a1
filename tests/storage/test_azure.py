"""What is particular to Azure: snapshots, keys as names of blobs."""

from __future__ import annotations

import asyncio
import re

from hypothesis import given
from hypothesis import strategies as st

from chainlit_sqla.storage.azure.client import blob_name, key_of
from chainlit_sqla.storage.base import BlobSource

from .conftest import Container


async def test_hundreds_of_blobs_are_deleted_with_their_snapshots(container: Container) -> None:
    storage = container.storage(prefix="p")
    stored = [f"k{number}" for number in range(0, 700, 10)]
    await asyncio.gather(
        *(storage.put(key, BlobSource(data=b"x"), mime="text/plain") for key in stored)
    )
    container.sdk.get_blob_client("p/k0").create_snapshot()
    await storage.delete([f"k{number}" for number in range(700)])
    assert container.names() == []


KEYS = st.one_of(
    st.text(min_size=1, max_size=60), st.text("./~\\2EF0%\x07é", min_size=1, max_size=40)
)
REFUSED = re.compile(r"[\x00-\x1f\x7f-\x9f\\\ufffe\uffff]|//|^/|/$|\.(/|$)")


@given(KEYS)
def test_a_name_has_nothing_that_azure_refuses(key: str) -> None:
    name = blob_name(key)
    assert not REFUSED.search(name)
    assert key_of(name) == key


def test_a_name_has_no_more_parts_than_azure_takes() -> None:
    name = blob_name("a/" * 300)
    assert len(name.split("/")) == 254
    assert key_of(name) == "a/" * 300
