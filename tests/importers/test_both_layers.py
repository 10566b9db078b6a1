"""A database with the tables of both of Chainlit's layers: no conversations stay behind unsaid."""

from __future__ import annotations

from tests.frozen.catalog import CATALOG
from tests.frozen.load import Shelf, execute
from tests.importers.conftest import Targets, bring


async def test_what_was_not_read_is_named(frozen: Shelf, targets: Targets) -> None:
    url = frozen.load("postgres_prisma")
    execute(url, CATALOG["postgres_v8"].file.read_bytes().decode())
    target = await targets.make("sqlite")
    first = await bring(url, url, target)
    assert [note for note in first.notes if "--layer asyncpg" in note]
    second = await bring(url, url, await targets.make("sqlite"), layer="asyncpg")
    assert not [note for note in second.notes if "--layer" in note]
    assert first.rows
    assert second.rows > 0
    assert second.comparison is not None
    assert second.comparison.equal
