"""What calls cost: statements and transactions are counted, and do not grow with the history."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import product
from typing import Any

import pytest
from chainlit.types import Feedback, Pagination, ThreadFilter
from sqlalchemy import event

from tests.contract.build import (
    at,
    file_element,
    listed,
    message,
    new_id,
    read,
    said,
    thread,
    tool,
)

pytestmark = pytest.mark.ours

FRAME = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "PRAGMA", "SET ")
LITERAL = re.compile(r"'(?:[^']|'')*'|\b\d+\b|\bNULL\b")
WRITE = re.compile(r"\b(INSERT INTO|UPDATE|DELETE FROM)\b")


class Count:
    def __init__(self) -> None:
        self.statements: list[str] = []
        self.commits = 0

    def saw(self, sql: str) -> None:
        if not sql.lstrip(" (;").upper().startswith(FRAME):
            self.statements.append(sql)


class Driver:
    """Counts on the driver's connections what they really run."""

    def __init__(self) -> None:
        self.count = Count()
        self._watched: dict[int, Any] = {}
        self._loggers: dict[int, Any] = {}

    def checkout(self, dbapi: Any, record: Any, proxy: Any) -> None:
        driver = record.driver_connection
        if id(driver) in self._watched:
            return
        self._watched[id(driver)] = driver
        if hasattr(driver, "add_query_logger"):
            self._loggers[id(driver)] = self._logger()
            driver.add_query_logger(self._loggers[id(driver)])
        elif isinstance(driver, sqlite3.Connection):
            driver.set_trace_callback(self._trace)

    async def leave(self) -> None:
        await asyncio.sleep(0)  # asyncpg calls its loggers in the loop's next turn.
        for driver in self._watched.values():
            if hasattr(driver, "remove_query_logger"):
                driver.remove_query_logger(self._loggers[id(driver)])
            elif isinstance(driver, sqlite3.Connection):
                with suppress(sqlite3.ProgrammingError):  # It was closed.
                    driver.set_trace_callback(None)

    def _logger(self) -> Callable[[Any], None]:
        """For one connection of asyncpg: a write outside a transaction commits itself."""
        within = False

        def log(record: Any) -> None:
            nonlocal within
            first = record.query.lstrip(" (;").split()[0].upper().rstrip(";")
            within = (within or first == "BEGIN") and first not in ("COMMIT", "ROLLBACK")
            alone = not within and WRITE.search(record.query) is not None
            self.count.commits += first == "COMMIT" or alone
            self.count.saw(record.query)

        return log

    def _trace(self, sql: str) -> None:
        """SQLite names each row of an executemany; they are one statement."""
        self.count.commits += sql == "COMMIT"
        shape = LITERAL.sub("?", sql)
        if self.count.statements[-1:] != [shape] and not sql.startswith("--"):
            self.count.saw(shape)


@asynccontextmanager
async def counted(layer: Any) -> AsyncIterator[Count]:
    """Count on the engine and, for what goes past it, on the driver; the larger is told."""
    engines = layer.database.sync_engines
    count, driver = Count(), Driver()

    def execute(conn: Any, cursor: Any, sql: str, *rest: Any) -> None:
        count.saw(sql)

    def commit(conn: Any) -> None:
        count.commits += 1

    listeners = [
        ("before_cursor_execute", execute),
        ("commit", commit),
        ("checkout", driver.checkout),
    ]
    for engine, (name, listener) in product(engines, listeners):
        event.listen(engine, name, listener)
    try:
        yield count
    finally:
        for engine, (name, listener) in product(engines, listeners):
            event.remove(engine, name, listener)
        await driver.leave()
        count.commits = max(count.commits, driver.count.commits)
        if len(driver.count.statements) > len(count.statements):
            count.statements = driver.count.statements


async def fill(layer: Any, thread_id: str, steps: int) -> None:
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
    async with counted(layer) as count:
        await layer.create_step(message(thread_id))
    assert count.commits == 1, count.statements
    most = 1 if layer.database.dialect.write_fast_batch else 6
    assert 1 <= len(count.statements) <= most, count.statements


async def test_many_concurrent_writes_are_a_few_transactions(layer: Any, alice: Any) -> None:
    # A thread alone has a limited share of a batch.
    ids = [await thread(layer, alice) for _ in range(10)]
    await said(layer, ids[0])
    async with counted(layer) as count:
        await asyncio.gather(*(layer.create_step(message(id)) for id in ids * 20))
    assert 1 <= count.commits <= 3, "what arrives meanwhile is written together"


async def statements_to_read(layer: Any, thread_id: str, steps: int) -> list[str]:
    await fill(layer, thread_id, steps)
    await read(layer, thread_id)
    async with counted(layer) as count:
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
        async with counted(layer) as count:
            await layer.list_threads(Pagination(first=35), ThreadFilter(userId=alice.id, **filters))
        counts.append(count.statements)
    few, many = counts
    assert len(few) == len(many), many
    assert 1 <= len(many) <= 2, many


@pytest.mark.parametrize("steps", [5, 300])
async def test_deleting_a_thread_does_not_grow(layer: Any, alice: Any, steps: int) -> None:
    thread_id = await thread(layer, alice)
    await fill(layer, thread_id, steps)
    async with counted(layer) as count:
        await layer.delete_thread(thread_id)
    assert 1 <= len(count.statements) <= 12, count.statements
