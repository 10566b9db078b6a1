"""The links of stored files: no loss, and never shown instead of a fresh one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import select, text

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.models import elements
from tests.adoption.ways import adopt, digests, opened, unadopt
from tests.frozen.load import Shelf, execute
from tests.official.backends import FolderClient

OLD = "https://bucket.example/a?X-Amz-Expires=3600"
BOTH = ["sqlite_v8", "postgres_v8"]


async def links(url: str) -> dict[str, str | None]:
    """The column of links, by element."""
    async with opened(url) as database, database.connect() as connection:
        rows = await connection.execute(text("SELECT id, url FROM elements"))
        return {str(row.id): row.url for row in rows}


def with_links(frozen: Shelf, name: str) -> str:
    """A database in which every stored file has a link as well."""
    url = frozen.load(name)
    execute(url, f"UPDATE elements SET url = '{OLD}' WHERE \"objectKey\" IS NOT NULL")
    return url


@pytest.mark.parametrize("type_", ["TEXT", "VARCHAR"])
@pytest.mark.parametrize("name", BOTH)
async def test_unadopt_puts_the_links_back(frozen: Shelf, name: str, type_: str) -> None:
    url = with_links(frozen, name)
    if type_ == "VARCHAR" and name.startswith("postgres"):
        execute(url, "ALTER TABLE elements ALTER COLUMN url TYPE VARCHAR")
    before = await links(url)
    assert OLD in before.values()
    await adopt(url)
    assert OLD not in (await links(url)).values()
    ours = await digests(url)
    await unadopt(url)
    assert await links(url) == before
    await adopt(url)
    assert await digests(url) == ours


@pytest.mark.parametrize("name", BOTH)
async def test_a_fresh_link_wins_over_the_one_that_was_kept(
    frozen: Shelf, tmp_path: Any, name: str
) -> None:
    url = with_links(frozen, name)
    await adopt(url)
    async with opened(url) as database:
        async with database.connect() as connection:
            query = select(elements.c.threadId, elements.c.id, elements.c.extra)
            rows = await connection.execute(query.where(elements.c.objectKey.is_not(None)))
            thread_id, id, extra = rows.first() or ("", "", None)
        assert json.loads(json.dumps(extra))["url"] == OLD
        layer = SQLADataLayer(database, storage=FolderClient(tmp_path), settings=database.settings)
        found = await layer.get_element(thread_id, id)
        assert found is not None
        assert found["url"]
        assert found["url"] != OLD
        await layer.close()
