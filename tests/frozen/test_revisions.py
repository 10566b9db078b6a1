"""Our own databases of each revision: brought to the newest one, back, and up again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import combinations

import pytest
from chainlit.types import Pagination, ThreadFilter

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.database import Database
from chainlit_sqla.database import migrator as migrations
from chainlit_sqla.database.revision import HEAD, REVISIONS
from chainlit_sqla.settings import Settings
from tests.frozen import conversations as said
from tests.frozen import original, ours
from tests.frozen.catalog import CATALOG, DIALECTS, names
from tests.frozen.comparable import differences
from tests.frozen.load import Rows, Shelf, rows

DERIVED = "chainlit_sqla_signatures"
KEPT = {"chainlit_sqla_imports", "chainlit_sqla_quarantine"}
PAIRS = list(combinations(REVISIONS, 2))


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    database = Database(url, settings=Settings.load())
    try:
        yield database
    finally:
        await database.close()


async def durable_rows(url: str) -> Rows:
    """All rows but the signatures, which were derived from messages and which 0004 drops."""
    return {name: lines for name, lines in (await rows(url)).items() if name != DERIVED}


def held(before: Rows, after: Rows) -> tuple[Rows, Rows]:
    """The rows of both, with the tables and columns that the first has."""
    columns = {name: set(lines[0]) for name, lines in before.items() if lines}
    return tuple(  # type: ignore[return-value]
        {
            name: sorted(
                ({key: row.get(key) for key in sorted(columns[name])} for row in one[name]),
                key=repr,
            )
            for name in columns
        }
        for one in (before, after)
    )


@pytest.mark.parametrize("name", names("ours"))
async def test_the_newest_release_reads_every_conversation(frozen: Shelf, name: str) -> None:
    url = frozen.load(name)
    async with opened(url) as database:
        assert await migrations.current(database) == CATALOG[name].revision
        await migrations.upgrade(database)
        assert await migrations.current(database) == HEAD
        await migrations.check(database)
    assert differences(ours.conversations(), await original.read_ours(url)) == []
    async with opened(url) as database:
        layer = SQLADataLayer(database, settings=database.settings)
        thread = await layer.get_thread(said.thread_id(6))
        assert thread is not None
        [odd] = [step for step in thread["steps"] if step["id"] == said.step_id(6, 11)]
        assert odd["later"] == {"a": [1]}, "what a later Chainlit sent is kept"  # type: ignore[typeddict-item]
        for user, term, expected in ((1, "without a NAME", 3), (1, "a twin", 3), (2, "漢字 🙂", 2)):
            filters = ThreadFilter(userId=said.user_id(user), search=term)
            page = await layer.list_threads(Pagination(first=20), filters)
            assert [one["id"] for one in page.data] == [said.thread_id(expected)]
        await layer.close()


@pytest.mark.parametrize(("lower", "upper"), PAIRS)
@pytest.mark.parametrize("prefix", DIALECTS)
async def test_going_up_and_back_changes_no_row(
    frozen: Shelf, prefix: str, lower: str, upper: str
) -> None:
    url = frozen.load(f"{prefix}_ours_{lower}")
    before = await durable_rows(url)
    async with opened(url) as database:
        for revision in (upper, lower):
            await migrations.upgrade(database, revision)
            if revision == lower:
                await migrations.downgrade(database, lower)
            first, then = held(before, await durable_rows(url))
            assert first == then, f"at {revision}"
    assert set(await durable_rows(url)) == set(before)


@pytest.mark.parametrize(("lower", "upper"), PAIRS)
@pytest.mark.parametrize("prefix", DIALECTS)
async def test_going_back_and_up_keeps_what_the_lower_revision_holds(
    frozen: Shelf, prefix: str, lower: str, upper: str
) -> None:
    url = frozen.load(f"{prefix}_ours_{upper}")
    expected = await durable_rows(frozen.load(f"{prefix}_ours_{lower}"))
    before = await durable_rows(url)
    for name in KEPT & set(before):  # What has no place in the lower one stays beside it.
        assert before[name]
        expected[name] = before[name]
    async with opened(url) as database:
        await migrations.downgrade(database, lower)
        first, then = held(expected, await durable_rows(url))
        assert first == then
        assert set(await durable_rows(url)) == set(expected)
        await migrations.upgrade(database)
        await migrations.check(database)
    first, then = held(expected, await durable_rows(url))
    assert first == then
    assert differences(ours.conversations(), await original.read_ours(url)) == []
