"""A resumed thread shows its steps in the order in which they happened, parents first."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.contract.backends import Backend
from tests.contract.build import at, message, new_id, steps_of, thread, tool


async def outputs(layer: Any, thread_id: str) -> list[str]:
    return [step["output"] for step in (await steps_of(layer, thread_id)).values()]


# As text "…:05.5Z" sorts before "…:05Z".
FRACTIONS = ["12:00:04.999999Z", "12:00:05Z", "12:00:05.000001Z", "12:00:05.25Z", "12:00:05.5Z"]
OFFSETS = ["12:30:00+02:00", "09:00:00-02:00", "12:00:00Z"]


@pytest.mark.parametrize("times", [FRACTIONS, OFFSETS], ids=["fractions", "offsets"])
async def test_steps_are_ordered_by_time(layer: Any, times: list[str]) -> None:
    thread_id = await thread(layer)
    for time in (times[1], *times[2:], times[0]):
        await layer.create_step(message(thread_id, time, createdAt=f"2026-03-01T{time}"))
    assert await outputs(layer, thread_id) == times


async def test_equal_times_keep_the_order_of_arrival(layer: Any, backend: Backend) -> None:
    thread_id = await thread(layer)
    sent = [message(thread_id, str(i)) for i in range(30)]
    for step in sent[:10]:
        await layer.create_step(dict(step))
    await asyncio.gather(*(layer.create_step(dict(step)) for step in sent[10:]))
    expected = [str(i) for i in range(30)]
    assert await outputs(layer, thread_id) == expected
    await layer.update_step({**sent[3], "isError": True})
    layer = await backend.reopen(layer)
    assert await outputs(layer, thread_id) == expected


async def test_arrival_goes_on_after_a_restart(layer: Any, backend: Backend) -> None:
    thread_id = await thread(layer)
    for i in range(3):
        await layer.create_step(message(thread_id, str(i)))
        layer = await backend.reopen(layer)
    assert await outputs(layer, thread_id) == ["0", "1", "2"]


async def test_parents_come_before_their_children(layer: Any) -> None:
    thread_id = await thread(layer)
    ids = [new_id() for _ in range(4)]
    for depth in (3, 1, 2, 0):  # Each is older than its parent.
        parent = ids[depth - 1] if depth else None
        step = tool(thread_id, id=ids[depth], parentId=parent, createdAt=at(10 - depth))
        await layer.create_step(step)
    assert list(await steps_of(layer, thread_id)) == ids


async def test_parents_come_first_at_equal_times(layer: Any) -> None:
    thread_id = await thread(layer)
    parent = new_id()
    children = [tool(thread_id, parentId=parent, output=str(i)) for i in range(3)]
    for child in children:
        await layer.create_step(dict(child))
    await layer.create_step(tool(thread_id, id=parent, output="parent"))
    assert await outputs(layer, thread_id) == ["parent", "0", "1", "2"]


async def test_a_child_without_its_parent_is_shown(layer: Any) -> None:
    thread_id = await thread(layer)
    await layer.create_step(message(thread_id, "first", createdAt=at(1)))
    await layer.create_step(tool(thread_id, output="orphan", parentId=new_id(), createdAt=at(2)))
    await layer.create_step(message(thread_id, "last", createdAt=at(3)))
    assert await outputs(layer, thread_id) == ["first", "orphan", "last"]


@pytest.mark.parametrize("length", [1, 2, 3])
async def test_steps_that_are_their_own_ancestors_are_all_shown(layer: Any, length: int) -> None:
    thread_id = await thread(layer)
    ids = [new_id() for _ in range(length)]
    for i, step_id in enumerate(ids):
        await layer.create_step(tool(thread_id, id=step_id, parentId=ids[i - 1], createdAt=at(i)))
    await layer.create_step(message(thread_id, createdAt=at(10)))
    assert len(await steps_of(layer, thread_id)) == length + 1


@pytest.mark.ours  # The others take ten seconds for it.
async def test_a_deep_chain_is_read(layer: Any) -> None:
    thread_id = await thread(layer)
    ids = [f"{i:04}" for i in range(1200)]
    writes = [
        layer.create_step(tool(thread_id, id=step_id, parentId=ids[i - 1] if i else None))
        for i, step_id in enumerate(ids)
    ]
    await asyncio.gather(*reversed(writes))
    assert list(await steps_of(layer, thread_id)) == ids
