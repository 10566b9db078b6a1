"""Many writes in one moment, two processes on one database, and the end of a layer."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from chainlit_sqla.errors import WriteQueueClosed
from tests.contract.backends import Backend
from tests.contract.build import (
    WRITES,
    as_read,
    at,
    elements_of,
    file_element,
    message,
    new_id,
    person,
    read,
    said,
    steps_of,
    thread,
)


async def test_dropped_tasks_keep_their_order(layer: Any) -> None:
    # As Message.send and Message.update do: create_task, and the result is dropped.
    thread_id = await thread(layer)
    steps = [message(thread_id, "", createdAt=at(i)) for i in range(20)]
    running = set()
    for round_ in range(10):
        for step in steps:
            method = layer.update_step if round_ else layer.create_step
            task = asyncio.create_task(method({**step, "output": f"round {round_}"}))
            running.add(task)
            task.add_done_callback(running.discard)
    assert len(running) == 200
    await asyncio.wait(list(running))
    found = await read(layer, thread_id)
    assert found["steps"] == [as_read(step, {"output": "round 9"}) for step in steps]


async def test_a_read_sees_the_writes_made_before_it(layer: Any, alice: Any) -> None:
    thread_id = new_id()
    step = message(thread_id, "first")
    tasks = [
        asyncio.create_task(layer.create_step(dict(step))),
        asyncio.create_task(layer.update_step({**step, "output": "last"})),
        asyncio.create_task(layer.update_thread(thread_id, user_id=alice.id, name="n")),
    ]
    await asyncio.sleep(0)
    found = await read(layer, thread_id)
    assert (found["name"], found["userId"]) == ("n", alice.id)
    assert [one["output"] for one in found["steps"]] == ["last"]
    assert await layer.get_thread_author(thread_id) == alice.identifier
    await asyncio.gather(*tasks)


async def test_a_read_waits_for_files_on_their_way(layer: Any, backend: Backend) -> None:
    # A page that is reloaded right after the answer was shown.
    thread_id = await thread(layer)
    element = file_element(thread_id, new_id(), content=b"x" * 500_000)
    for content in (b"x" * 500_000, b"y" * 500_000):
        element.content = content
        writing = asyncio.create_task(layer.create_element(element))
        await asyncio.sleep(0)
        one = await layer.get_element(thread_id, element.id)
        assert await backend.fetch(one["url"]) == content
        found = await elements_of(layer, thread_id)
        assert await backend.fetch(found[element.id]["url"]) == content
        await writing


async def test_close_drains(layer: Any, backend: Backend) -> None:
    thread_id = await thread(layer)
    steps = [message(thread_id, str(i), createdAt=at(i)) for i in range(100)]
    tasks = [asyncio.create_task(layer.create_step(dict(step))) for step in steps]
    element = file_element(thread_id, steps[0]["id"])
    tasks.append(asyncio.create_task(layer.create_element(element)))
    await asyncio.sleep(0)
    backend.layers.remove(layer)
    await layer.close()
    fresh = backend.open()
    assert list(await steps_of(fresh, thread_id)) == [step["id"] for step in steps]
    url = (await elements_of(fresh, thread_id))[element.id]["url"]
    assert await backend.fetch(url) == b"some bytes"
    assert await asyncio.gather(*tasks) == [None] * 101


async def test_a_closed_layer_takes_no_writes(layer: Any, backend: Backend) -> None:
    thread_id = await thread(layer)
    step_id = await said(layer, thread_id)
    backend.layers.remove(layer)
    await layer.close()
    for write in (
        *(partial(write, layer, thread_id, step_id) for write in WRITES.values()),
        lambda: layer.delete_step(step_id),
        lambda: layer.delete_element(new_id(), thread_id),
        lambda: layer.delete_thread(thread_id),
        lambda: layer.delete_feedback(new_id()),
        lambda: person(layer),
    ):
        with pytest.raises(WriteQueueClosed, match="make a new one"):
            await write()
    await layer.close()  # A second time is harmless.
    fresh = backend.open()
    assert list(await steps_of(fresh, thread_id)) == [step_id]


async def test_a_layer_that_did_nothing_closes(backend: Backend) -> None:
    await backend.make().close()
