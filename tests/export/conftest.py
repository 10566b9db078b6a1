"""Databases of both kinds, and a layer that writes into them as an application does."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.database import Database
from chainlit_sqla.database import migrator as migrations
from chainlit_sqla.settings import Settings
from chainlit_sqla.transfer.exporting import (
    ExportResult,
    Format,
    Selection,
    export_conversations,
)
from tests.export.story import Story, tell
from tests.servers.fixtures import *  # noqa: F403
from tests.servers.fixtures import url_of

EVERYWHERE = pytest.mark.parametrize("url", ["sqlite", "postgresql", "mariadb"], indirect=True)
"""For dialect code; other tests run on two databases."""


@dataclass
class Memory:
    """An export in memory."""

    text: str
    result: ExportResult

    @property
    def lines(self) -> list[dict[str, Any]]:
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
    database = Database(url, settings=Settings.load())
    await migrations.upgrade(database)
    yield database
    await database.close()


@pytest.fixture
async def layer(database: Database) -> AsyncIterator[SQLADataLayer]:
    layer = SQLADataLayer(database.given_url.render_as_string(hide_password=False))
    yield layer
    await layer.close()


@pytest.fixture
async def story(layer: SQLADataLayer) -> Story:
    return await tell(layer)


Exported = Callable[..., Awaitable[Memory]]


@pytest.fixture
def exported(database: Database) -> Exported:
    """Export a selection: ``await exported("html", tags=["a"])``."""

    async def run(form: str, *, tools: bool = False, **which: Any) -> Memory:
        url = database.given_url.render_as_string(hide_password=False)
        reader = Database(url, settings=database.settings, read_only=True)
        parts: list[bytes] = []
        try:
            result = await export_conversations(
                reader, Format(form), Selection.parse(**which), parts.append, tools=tools
            )
        finally:
            await reader.close()
        return Memory(b"".join(parts).decode(), result)

    return run
