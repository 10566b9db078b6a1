"""Writes and reads whose sessions end, become read-only, or share a pooler with others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from sqlalchemy import func, select

from chainlit_sqla.database import Database
from chainlit_sqla.models import Step
from chainlit_sqla.writes.operations import SaveFeedback, SaveStep
from chainlit_sqla.writes.queue import WriteQueue
from tests.servers.proxy import FlakyProxy
from tests.until import until
from tests.writes.test_failures import started_queue

MANY, QUIET = 40, 3
"""How many sessions write; the connection of a few is idle in between."""


async def write_during(
    write_queue: WriteQueue, disturb: Callable[[], object], *, times: int, writers: int = MANY
) -> tuple[int, list[BaseException]]:
    """Write as many sessions, by both ways, while something happens several times.

    Returns how many writes were acknowledged, and the errors of the others.
    """
    is_over, acknowledged = False, 0
    errors: list[BaseException] = []

    async def write(writer: int) -> None:
        nonlocal acknowledged
        number = 0
        while not is_over:
            number += 1
            thread_id = f"w{writer}"
            op = SaveStep(thread_id, f"{number:05}", {"output": "x"})
            more = SaveFeedback(thread_id, f"{number:05}", f"f{number}", 1)
            try:
                await write_queue.submit(op)
                if number % 5 == 0 and writers > QUIET:
                    await write_queue.submit(more)
            except Exception as error:
                errors.append(error)
            else:
                acknowledged += 1
            await asyncio.sleep(0 if writers > QUIET else 0.02)

    tasks = [asyncio.create_task(write(number)) for number in range(writers)]
    for _ in range(times):
        before = acknowledged
        await until(lambda before=before: acknowledged > before + writers or bool(errors))  # type: ignore[misc]
        await asyncio.to_thread(disturb)
    is_over = True
    await asyncio.gather(*tasks)
    return acknowledged, errors


async def steps_in(database: Database) -> int:
    count = select(func.count()).select_from(Step)
    return int(await database.read(lambda c: c.scalar(count)) or 0)


@pytest.mark.parametrize("writers", [QUIET, MANY])
async def test_a_server_that_ends_its_connections_in_two_steps_costs_nothing(
    proxy: FlakyProxy, behind_proxy: Database, write_queue: WriteQueue, writers: int
) -> None:
    """It says so, and closes a while later; in between, the driver is out of step."""
    acknowledged, errors = await write_during(
        write_queue, lambda: proxy.end_in_two_steps(0.05), times=12, writers=writers
    )
    assert errors == []
    assert await steps_in(behind_proxy) == acknowledged + 1


@pytest.fixture
async def write_queue(behind_proxy: Database) -> AsyncIterator[WriteQueue]:
    async with started_queue(behind_proxy) as made:
        yield made
