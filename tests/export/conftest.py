"""Databases of both kinds, and a layer that writes into them as an application does."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.database import Database
from chainlit_sqla.database import migrator as migrations
from chainlit_sqla.settings import Settings
from chainlit_sqla.transfer.exporting import Export, ExportResult, Selection
from chainlit_sqla.transfer.exporting.formatting import Write
from tests.export.story import Story, tell
from tests.servers.fixtures import *  # noqa: F403
from tests.servers.fixtures import url_of

EVERYWHERE = pytest.mark.parametrize("url", ["sqlite", "postgresql", "mariadb"], indirect=True)
"""For dialect code; other tests run on two databases."""


class Memory:
    """An export in memory: files by name; a single file has an empty name."""

    result: ExportResult

    def __init__(self, *, is_folder: bool = False) -> None:
        self.is_folder = is_folder
        self.files: dict[str, bytes] = {}

    @contextmanager
    def file(self, name: str | None = None) -> Iterator[Write]:
        parts: list[bytes] = []
        yield parts.append
        assert (name or "") not in self.files, "two conversations in one file"
        self.files[name or ""] = b"".join(parts)

    @property
    def text(self) -> str:
        return self.files[""].decode()

    @property
    def lines(self) -> list[dict[str, Any]]:
        if not self.files:
            return []
        assert self.text == "" or self.text.endswith("\n")
        return [orjson.loads(line) for line in self.text.splitlines()]


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
    database = Database(url, settings=Settings.load())
    await migrations.upgrade(database)
    yield database
    await database.close()


@pytest.fixture
async def layer(database: Database) -> AsyncIterator[SQLADataLayer]:
    """What an application writes with."""
    layer = SQLADataLayer(database.given_url.render_as_string(hide_password=False))
    yield layer
    await layer.close()


@pytest.fixture
async def story(layer: SQLADataLayer) -> Story:
    """Three conversations."""
    return await tell(layer)


Exported = Callable[..., Awaitable[Memory]]


@pytest.fixture
def exported(database: Database) -> Exported:
    """Export a selection: ``await exported("html", tags=["a"])``."""

    async def run(form: str, *, chat: Any = None, folder: bool = False, **which: Any) -> Memory:
        memory = Memory(is_folder=folder)
        reader = Database(
            database.given_url.render_as_string(hide_password=False),
            settings=database.settings,
            read_only=True,
        )
        try:
            work = Export(reader, form, Selection.parse(**which), chat=chat, release="9.9")
            memory.result = await work.run(memory)
        finally:
            await reader.close()
        return memory

    return run
