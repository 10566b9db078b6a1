"""The guarantees of docs/exporting.md: real examples, one snapshot, bounded memory."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import func, select

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.database import Database
from chainlit_sqla.models import steps, threads
from tests.contract import build
from tests.export import many, sample
from tests.importers.bulk import run

from .conftest import EVERYWHERE


async def test_the_examples_are_up_to_date() -> None:
    written = sample.FILE.read_text(encoding="utf-8")
    assert written == sample.page(written, await sample.examples()), (
        "run: python -m tests.export.sample"
    )


COUNT = select(func.count()).select_from(threads)


@EVERYWHERE
async def test_a_snapshot_does_not_see_later_writes(
    database: Database, layer: SQLADataLayer
) -> None:
    me = await build.person(layer)
    await build.thread(layer, me)
    async with database.snapshot() as connection:
        before = await connection.scalar(COUNT)
        await build.thread(layer, me)
        assert await connection.scalar(COUNT) == before == 1
    async with database.snapshot() as connection:
        assert await connection.scalar(COUNT) == 2


MESSAGES, LENGTH = 75, 2_000_000
_MOST_MB = 200


@pytest.mark.full
@pytest.mark.parametrize(
    ("url", "form"),
    [("sqlite", "html"), ("postgresql", "markdown"), ("mariadb", "html")],
    indirect=["url"],
)
async def test_long_messages_are_not_held_together(
    database: Database, tmp_path: Path, form: str
) -> None:
    await many.store(database, "long", 1)
    text = ("lorem ipsum " * LENGTH)[: LENGTH - 1]
    for number in range(MESSAGES):
        row = {
            "threadId": "long",
            "id": f"m{number}",
            "type": "user_message" if number % 2 else "assistant_message",
            "name": "ada",
            "output": f"{number % 10}{text}",
            "metadata": {},
            "createdAt": many.START,
            "ordinal": 10 + number,
        }
        async with database.write() as connection:
            await connection.execute(steps.insert(), row)
    url = database.given_url.render_as_string(hide_password=False)
    path = tmp_path / f"chats.{form}"
    arguments = ["export", "--url", url, "--format", form, "-o", str(path)]
    child = await asyncio.to_thread(run, *arguments)
    assert path.stat().st_size > MESSAGES * LENGTH
    assert child.peak < _MOST_MB
