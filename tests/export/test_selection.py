"""Which conversations are exported."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.database import Database
from chainlit_sqla.errors import ConfigurationError
from chainlit_sqla.models import threads
from chainlit_sqla.transfer.exporting import Selection

from .conftest import EVERYWHERE, Exported
from .story import Story


async def selected(exported: Exported, **which: Any) -> set[str]:
    """The threads, which must be the same in all forms."""
    lines = (await exported("jsonl", **which)).lines
    found = {line["id"] for line in lines if line["kind"] == "thread"}
    transcript = await exported("markdown", **which)
    assert transcript.result.conversations == len(found)
    assert bool(transcript.text) == bool(found)
    return found


@EVERYWHERE
async def test_each_condition_narrows(exported: Exported, story: Story) -> None:
    paris, silent, rome = story.paris, story.silent, story.rome
    assert await selected(exported) == {paris, silent, rome}
    assert await selected(exported, users=["alice@example.org"]) == {paris, silent}
    assert await selected(exported, users=[story.alice.id, "bob"]) == {paris, silent, rome}
    assert await selected(exported, threads=[rome, silent]) == {rome, silent}
    assert await selected(exported, feedback="up") == {paris}
    assert await selected(exported, feedback="down") == {rome}
    assert await selected(exported, feedback="any") == {paris, rome}
    assert await selected(exported, tags=["weather"]) == {paris}
    assert await selected(exported, tags=['a"b']) == {rome}
    assert await selected(exported, tags=["weather", "travel"]) == {paris, rome}
    assert await selected(exported, tags=["weath"]) == set()
    assert await selected(exported, users=["alice@example.org"], feedback="any") == {paris}


@EVERYWHERE
async def test_instants_bound_the_last_activity(
    exported: Exported, story: Story, database: Database
) -> None:
    moment = datetime(2026, 1, 31, 12, tzinfo=UTC)
    days = {story.paris: moment, story.silent: moment - timedelta(days=1)}
    async with database.write() as connection:
        for id, day in days.items():
            change = threads.update().where(threads.c.id == id).values(updatedAt=day)
            await connection.execute(change)
    assert await selected(exported, since="2026-01-31", until="2026-01-31") == {story.paris}
    assert await selected(exported, until="2026-01-30") == {story.silent}
    assert await selected(exported, until="2026-01-31T12:00:00Z") == {story.silent}
    assert await selected(exported, since="2026-01-31T13:00:00+01:00", until="2026-02-01") == {
        story.paris
    }
    assert await selected(exported, since="2026-01-31T12:00:00.000001") == {story.rome}
    assert await selected(exported, until="9999-12-31") == set(days) | {story.rome}


@pytest.mark.parametrize(
    ("which", "words"),
    [
        ({"users": ["alice@example.org", "carol"]}, "no user 'carol'; correct --user"),
        ({"threads": ["lost"]}, "no thread 'lost'; correct --thread"),
    ],
)
async def test_a_name_that_is_not_there_is_refused(
    exported: Exported, story: Story, which: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        await exported("jsonl", **which)


async def test_a_thread_may_name_a_user_who_is_not_there(
    exported: Exported, layer: SQLADataLayer, story: Story, database: Database
) -> None:
    async with database.write() as connection:
        await connection.execute(
            threads.update()
            .where(threads.c.id == story.silent)
            .values(userId=None, userIdentifier="carol")
        )
    assert await selected(exported, users=["carol"]) == {story.silent}


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "", "31.1.2026"])
def test_what_is_no_instant_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigurationError, match="write it as 2026-01-31"):
        Selection.parse(since=text)
