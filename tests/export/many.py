"""Long conversations, stored past the layer: quickly, and with instants that are known."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from chainlit_sqla.database import Database
from chainlit_sqla.models import steps, threads, users

START = datetime(2026, 1, 31, 8, tzinfo=UTC)
_AT_ONCE = 500


def turns(thread: str, number: int, text: str) -> Iterator[dict[str, Any]]:
    """Questions, each with a run, a tool in it and an answer: four steps a turn."""
    for turn in range(number):
        ids = [f"{thread}-{turn}-{kind}" for kind in ("question", "run", "tool", "answer")]
        question, run, tool, answer = ids
        rows = (
            (question, "user_message", "ada", None, text),
            (run, "run", "on_message", question, ""),
            (tool, "tool", "search", run, text),
            (answer, "assistant_message", "Assistant", run, text),
        )
        for place, (id, type_, name, parent, output) in enumerate(rows):
            order = turn * len(rows) + place
            yield {
                "threadId": thread,
                "id": id,
                "type": type_,
                "name": name,
                "parentId": parent,
                "output": output and f"{order}: {output}",
                "createdAt": START + timedelta(seconds=order),
                "metadata": {},
                "ordinal": order,
            }


async def store(database: Database, thread: str, number: int, text: str = "lorem ipsum") -> None:
    """Store a conversation of `number` turns; the user is made with the first one."""
    rows = turns(thread, number, text)
    async with database.write() as connection:
        if not await connection.scalar(users.select().where(users.c.id == "u")):
            await connection.execute(
                users.insert(), {"id": "u", "identifier": "ada", "createdAt": START, "metadata": {}}
            )
        values = {"createdAt": START, "updatedAt": START, "userId": "u", "metadata": {}}
        await connection.execute(threads.insert(), {"id": thread, "name": thread} | values)
        while part := list(islice(rows, _AT_ONCE)):
            await connection.execute(steps.insert(), part)
