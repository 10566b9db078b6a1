"""Deletions at sizes and times that are not usual."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, insert, select

from chainlit_sqla._internal.timestamps import now
from chainlit_sqla.database import Database
from chainlit_sqla.models import Element, Feedback, Step, Tombstone
from chainlit_sqla.writes.operations import DeleteStep, SaveElement, SaveFeedback, SaveStep, Scope
from chainlit_sqla.writes.queue import WriteQueue

MANY = 40_000


async def count(database: Database, table: Any) -> int:
    return await database.read(lambda c: c.scalar(select(func.count()).select_from(table))) or 0


@pytest.mark.parametrize(
    "database",
    ["sqlite", pytest.param("postgresql", marks=pytest.mark.full), "mariadb"],
    indirect=True,
)
async def test_a_step_with_more_descendants_than_a_statement_has_parameters(
    database: Database,
) -> None:
    write_queue = WriteQueue(database)
    await write_queue.submit(SaveStep("t", "root", {}))
    await write_queue.submit(SaveStep("t", "other", {}))
    row = {"threadId": "t", "createdAt": now(), "metadata": {}, "name": "", "type": "tool"}
    row |= {"streaming": False}
    async with database.write() as connection:
        await connection.execute(
            insert(Step.__table__),  # type: ignore[arg-type]
            [
                {**row, "id": f"s{n}", "parentId": f"s{n // 2}" if n else "root", "ordinal": n}
                for n in range(MANY)
            ],
        )
    assert await write_queue.submit(DeleteStep("root"))
    assert await count(database, Step) == 1
    assert await count(database, Tombstone) == MANY + 1
    await write_queue.close()


@pytest.mark.parametrize("in_session", [True, False])
async def test_what_came_before_a_step_goes_with_its_deletion(
    database: Database, in_session: bool
) -> None:
    """Chainlit flushes queued calls method by method: a deletion can come before all else."""
    write_queue = WriteQueue(database)
    await write_queue.submit(SaveElement("t", "e", {"forId": "s"}))
    await write_queue.submit(SaveFeedback("t", "s", "f", 1))
    if not in_session:
        await write_queue.submit(SaveStep("t", "s", {}))
    await write_queue.submit(DeleteStep("s", Scope("t") if in_session else Scope()))
    await write_queue.submit(SaveStep("t", "s", {}))
    assert [await count(database, model) for model in (Step, Element, Feedback)] == [0, 0, 0]
    await write_queue.close()


async def test_a_circle_of_parents_ends(database: Database) -> None:
    write_queue = WriteQueue(database)
    for id, parent in (("a", "b"), ("b", "a"), ("c", "c")):
        await write_queue.submit(SaveStep("t", id, {"parentId": parent}))
    await write_queue.submit(DeleteStep("a"))
    assert await count(database, Step) == 1
    await write_queue.close()
