"""Databases of both kinds, and a layer that writes into them as an application does."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.database import Database
from chainlit_sqla.database import migrator as migrations
from chainlit_sqla.settings import Settings
from chainlit_sqla.transfer.exporting import Export, Selection
from tests.export.place import Memory
from tests.export.story import Story, tell
from tests.servers.fixtures import *  # noqa: F403
from tests.servers.fixtures import url_of

EVERYWHERE = pytest.mark.parametrize(
    "url", ["sqlite", "postgresql", "mariadb", "mysql"], indirect=True
)
"""For tests of what databases do each in their own way; others run on two."""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    yield from url_of(request, tmp_path)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("CHAINLIT_", "DATABASE_URL")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CHAINLIT_SQLA_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    """A database with our tables."""
    found = Database(url, settings=Settings.load())
    await migrations.upgrade(found)
    yield found
    await found.close()


@pytest.fixture
async def layer(database: Database) -> AsyncIterator[SQLADataLayer]:
    """What an application writes with."""
    found = SQLADataLayer(database.given_url.render_as_string(hide_password=False))
    yield found
    await found.close()


@pytest.fixture
async def story(layer: SQLADataLayer) -> Story:
    """Three conversations."""
    return await tell(layer)


Exported = Callable[..., Awaitable[Memory]]


@pytest.fixture
def exported(database: Database) -> Exported:
    """Export what is selected: ``await exported("html", tags=["a"])``."""

    async def run(form: str, *, chat: Any = None, folder: bool = False, **which: Any) -> Memory:
        memory = Memory(is_folder=folder)
        reader = Database(
            database.given_url.render_as_string(hide_password=False),
            settings=database.settings,
            read_only=True,
        )
        try:
            work = Export(reader, form, Selection.parse(**which), chat=chat, release="9.9")
            memory.done = await work.run(memory)
        finally:
            await reader.close()
        return memory

    return run
