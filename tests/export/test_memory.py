"""What an export holds in memory does not grow with what people said."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from chainlit_sqla.database import Database
from chainlit_sqla.models import steps
from tests.export import many
from tests.importers.bulk import run

MESSAGES, LENGTH = 75, 2_000_000
_MOST_MB = 200


@pytest.mark.parametrize(
    ("url", "form"),
    [
        ("sqlite", "html"),
        ("sqlite", "markdown"),
        ("postgresql", "markdown"),
        ("mariadb", "html"),
        ("mysql", "markdown"),
    ],
    indirect=["url"],
)
async def test_a_few_long_messages_are_not_held_together(
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
