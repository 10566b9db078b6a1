"""A client lives through event loops that end, and through its own closing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from chainlit_sqla.storage.base import BlobSource, Inventory
from chainlit_sqla.storage.local.client import LocalStorage

from .test_contract import blob


@pytest.fixture(params=["local", "moto", "google", "container"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Inventory:
    """A client that has done nothing yet."""
    if request.param == "local":
        return LocalStorage(tmp_path / "files")
    made: Inventory = request.getfixturevalue(request.param).storage()
    return made


async def use(storage: Inventory, key: str) -> None:
    await storage.put(key, BlobSource(data=b"x"), mime="text/plain")
    assert await blob(storage, key) == b"x"


async def end(storage: Inventory) -> None:
    await use(storage, "third")
    await storage.close()


def test_it_serves_one_loop_after_another(storage: Inventory) -> None:
    asyncio.run(use(storage, "first"))  # Without close: the command line may end like this.
    asyncio.run(use(storage, "second"))
    asyncio.run(end(storage))


async def test_closed_it_opens_again_when_used(storage: Inventory) -> None:
    await use(storage, "k")
    await storage.close()
    assert await blob(storage, "k") == b"x"
    await use(storage, "l")
    await storage.close()
