"""The first use of a layer: tables are made on SQLite, asked for elsewhere; files by URL."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.errors import SchemaOutdated
from tests.contract.backends import Server
from tests.contract.build import message, new_id, steps_of
from tests.contract.ours import Ours

pytestmark = pytest.mark.ours


async def test_four_layers_may_start_at_once(tmp_path: Path) -> None:
    backend = Ours(tmp_path, f"sqlite:///{tmp_path / 'chats.db'}")
    layers = [backend.open() for _ in range(4)]
    thread_id = new_id()
    await asyncio.gather(*(layer.create_step(message(thread_id)) for layer in layers))
    assert len(await steps_of(layers[0], thread_id)) == 4
    await backend.close()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
async def test_a_database_in_memory_lives_as_long_as_its_layer(tmp_path: Path, url: str) -> None:
    layer = SQLADataLayer(url, storage=tmp_path.as_uri())
    thread_id = new_id()
    await asyncio.gather(*(layer.create_step(message(thread_id)) for _ in range(20)))
    found = await asyncio.gather(*(steps_of(layer, thread_id) for _ in range(20)))
    assert {len(steps) for steps in found} == {20}
    await layer.delete_thread(thread_id)
    assert await layer.get_thread(thread_id) is None
    await layer.close()


async def test_postgresql_asks_for_its_tables(tmp_path: Path, postgres: Server) -> None:
    url = postgres.create_database()
    layer = SQLADataLayer(url, storage=tmp_path.as_uri())
    with pytest.raises(SchemaOutdated, match="chainlit-sqla upgrade"):
        await layer.get_thread(new_id())
    with pytest.raises(SchemaOutdated, match="chainlit-sqla upgrade"):
        await layer.create_step(message(new_id()))
    await layer.close()
    postgres.drop_database(url)
