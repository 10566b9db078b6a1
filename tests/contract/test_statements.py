"""What calls cost: statements and transactions are counted, and do not grow with the history."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from chainlit.types import Feedback, Pagination, ThreadFilter
from sqlalchemy import event

from tests.contract.build import at, file_element, listed, message, new_id, read, said, thread, tool

pytestmark = pytest.mark.ours

FRAME = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "PRAGMA", "SET ")


class Count:
    """What was sent to the database."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.commits = 0
        self.rollbacks = 0

    def saw(self, sql: str) -> None:
        """Note a statement unless it only frames others."""
        if not sql.lstrip(" (;").upper().startswith(FRAME):
            self.statements.append(sql)


@contextmanager
def counted(layer: Any) -> Iterator[Count]:
    """Count on the engine, and on asyncpg itself for what goes past the engine."""
    engine = layer.database.engine.sync_engine
    count, on_driver = Count(), Count()
    watched: dict[int, Any] = {}

    def execute(conn: Any, cursor: Any, sql: str, *rest: Any) -> None:
        count.saw(sql)

    def commit(conn: Any) -> None:
        count.commits += 1

    def rollback(conn: Any) -> None:
        count.rollbacks += 1

    def log(record: Any) -> None:
        on_driver.saw(record.query)

    def checkout(dbapi: Any, record: Any, proxy: Any) -> None:
        driver = dbapi.driver_connection
        if hasattr(driver, "add_query_logger") and id(driver) not in watched:
            watched[id(driver)] = driver
            driver.add_query_logger(log)

    listeners = [
        ("before_cursor_execute", execute),
        ("commit", commit),
        ("rollback", rollback),
        ("checkout", checkout),
    ]
    for name, listener in listeners:
        event.listen(engine, name, listener)
    try:
        yield count
    finally:
        for name, listener in listeners:
            event.remove(engine, name, listener)
        for driver in watched.values():
            driver.remove_query_logger(log)
        if len(on_driver.statements) > len(count.statements):
            count.statements = on_driver.statements


async def fill(layer: Any, thread_id: str, steps: int) -> None:
    """Fill a thread with steps, elements and feedback."""
    ids = [new_id() for _ in range(steps)]
    await asyncio.gather(
        *(
            layer.create_step(
                tool(thread_id, id=one, parentId=ids[i - 1] if i % 3 else None, createdAt=at(i))
            )
            for i, one in enumerate(ids)
        ),
        *(layer.create_element(file_element(thread_id, one)) for one in ids[::5]),
        *(
            layer.upsert_feedback(Feedback(forId=one, value=1, threadId=thread_id))
            for one in ids[::4]
        ),
    )


async def test_a_step_is_one_transaction(layer: Any, alice: Any) -> None:
    thread_id = await thread(layer, alice)
    await said(layer, thread_id)
    with counted(layer) as count:
        await layer.create_step(message(thread_id))
    assert count.commits == 1, count.statements
    assert 1 <= len(count.statements) <= 4, count.statements


async def test_a_burst_is_a_few_transactions(layer: Any, alice: Any) -> None:
    thread_id = await thread(layer, alice)
    await said(layer, thread_id)
    with counted(layer) as count:
        await asyncio.gather(*(layer.create_step(message(thread_id)) for _ in range(200)))
    assert 1 <= count.commits <= 3, "what arrives meanwhile is written together"


async def statements_to_read(layer: Any, thread_id: str, steps: int) -> list[str]:
    await fill(layer, thread_id, steps)
    await read(layer, thread_id)
    with counted(layer) as count:
        found = await read(layer, thread_id)
    assert len(found["steps"]) == steps
    return count.statements


async def test_reading_a_thread_takes_four_statements_at_most(layer: Any, alice: Any) -> None:
    few = await statements_to_read(layer, await thread(layer, alice), 5)
    many = await statements_to_read(layer, await thread(layer, alice), 300)
    assert len(few) == len(many), many
    assert 1 <= len(many) <= 4, many


@pytest.mark.parametrize("filters", [{}, {"search": "hello", "feedback": 1}])
async def test_listing_threads_takes_two_statements_at_most(
    layer: Any, alice: Any, filters: dict[str, Any]
) -> None:
    counts = []
    for number in (5, 295):
        ids = [new_id() for _ in range(number)]
        await asyncio.gather(
            *(layer.update_thread(one, name="Hello", user_id=alice.id) for one in ids)
        )
        for one in ids[:5]:
            await fill(layer, one, number // 25)
        await listed(layer, alice)
        with counted(layer) as count:
            await layer.list_threads(Pagination(first=35), ThreadFilter(userId=alice.id, **filters))
        counts.append(count.statements)
    few, many = counts
    assert len(few) == len(many), many
    assert 1 <= len(many) <= 2, many


@pytest.mark.parametrize("steps", [5, 300])
async def test_deleting_a_thread_does_not_grow(layer: Any, alice: Any, steps: int) -> None:
    thread_id = await thread(layer, alice)
    await fill(layer, thread_id, steps)
    with counted(layer) as count:
        await layer.delete_thread(thread_id)
    assert 1 <= len(count.statements) <= 12, count.statements


async def test_reading_a_user_is_one_statement(layer: Any, alice: Any) -> None:
    # It happens on every HTTP request.
    await layer.get_user(alice.identifier)
    with counted(layer) as count:
        await layer.get_user(alice.identifier)
    assert len(count.statements) == 1, count.statements


async def test_no_connection_is_left_checked_out(layer: Any, alice: Any) -> None:
    thread_id = await thread(layer, alice)
    await fill(layer, thread_id, 5)
    await asyncio.gather(*(layer.get_thread(thread_id) for _ in range(5)))
    pool = layer.database.engine.sync_engine.pool
    if hasattr(pool, "checkedout"):
        assert pool.checkedout() == 0
