"""Memory that uploads share is given out in turn, and never lost."""

from __future__ import annotations

import asyncio

import pytest

from chainlit_sqla.storage.base import CHUNK
from chainlit_sqla.storage.budget import Budget
from tests.until import PATIENCE

SIZE = 10 * CHUNK


async def begun(*tasks: asyncio.Task[int]) -> None:
    """Let tasks run until each waits or is done."""
    for _ in range(3):
        await asyncio.sleep(0)


async def test_who_wants_much_is_not_overtaken_by_who_wants_little() -> None:
    budget = Budget(SIZE)
    taken = await budget.take(SIZE - CHUNK)
    much = asyncio.create_task(budget.take(SIZE))
    await begun(much)
    little = asyncio.create_task(budget.take(1))
    await begun(much, little)
    assert not much.done()
    assert not little.done()
    budget.give(taken)
    await begun(much, little)
    assert much.done()
    assert not little.done()
    budget.give(await much)
    assert await little == CHUNK


async def test_more_than_all_is_all() -> None:
    budget = Budget(SIZE)
    assert await budget.take(5 * SIZE) == SIZE


@pytest.mark.parametrize("granted", [False, True])
async def test_who_gives_up_while_waiting_takes_nothing_along(granted: bool) -> None:
    budget = Budget(SIZE)
    taken = await budget.take(SIZE - CHUNK)
    impatient = asyncio.create_task(budget.take(2 * CHUNK))
    await begun(impatient)
    behind = asyncio.create_task(budget.take(CHUNK))
    await begun(behind)
    if granted:
        budget.give(taken)  # And cancelled before it has seen that.
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    budget.give(await asyncio.wait_for(behind, PATIENCE))
    if not granted:
        budget.give(taken)
    assert await asyncio.wait_for(budget.take(SIZE), PATIENCE) == SIZE
