"""A disk that is full before the bytes of a blob are all there."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chainlit_sqla.errors import StorageError
from chainlit_sqla.storage.base import BlobSource
from chainlit_sqla.storage.local.client import LocalStorage

from .test_contract import blob

MIB = 1024 * 1024


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let the system refuse to write more into a file, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_disk_that_is_full_halfway_keeps_the_old_blob_and_no_rest(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    await storage.put("k", BlobSource(data=b"old"), mime="text/plain")
    before = sorted(tmp_path.rglob("*"))
    with (
        largest_file(MIB),
        pytest.raises(StorageError, match=r"Cannot write 'k' in the folder .*; free some space"),
    ):
        await storage.put("k", BlobSource(data=b"x" * 2 * MIB), mime="text/plain")
    assert await blob(storage, "k") == b"old"
    assert sorted(tmp_path.rglob("*")) == before
    assert await storage.put("k", BlobSource(data=b"x" * 2 * MIB), mime="text/plain") == 2 * MIB
