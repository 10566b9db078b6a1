"""Refusals are seen, readers may go away, two processes may collide, blobs and rows agree."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from typing import Any

import pytest
from chainlit.types import Feedback, Pagination, ThreadFilter

from chainlit_sqla.errors import ThreadDeleted, WriteError
from tests.contract.backends import Backend
from tests.contract.build import (
    at,
    elements_of,
    file_element,
    message,
    new_id,
    read,
    said,
    steps_of,
    thread,
    tool,
)

pytestmark = pytest.mark.ours


@pytest.mark.parametrize(
    "step",
    [
        {"threadId": "t", "output": "no id"},
        {"id": "", "threadId": "t"},
        {"id": None, "threadId": "t"},
        {"id": "s", "output": "no thread"},
        {"id": "s", "threadId": ""},
        {"id": 5, "threadId": "t"},
    ],
)
async def test_a_step_without_a_place_is_refused(layer: Any, step: dict[str, Any]) -> None:
    for write in (layer.create_step, layer.update_step):
        with pytest.raises(WriteError):
            await write(dict(step))
    with pytest.raises(WriteError):
        await layer.update_thread("", name="no id")
    assert (await layer.get_thread("t"), await layer.get_thread("")) == (None, None)


async def test_a_refused_write_that_nobody_awaits_is_logged(
    layer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    thread_id = await thread(layer)
    endless: dict[str, Any] = {}
    endless["self"] = endless
    step = message(thread_id, "a secret text", metadata=endless)
    with caplog.at_level(logging.ERROR):
        task = asyncio.create_task(layer.create_step(step))
        await asyncio.wait([task])
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert step["id"] in record.getMessage()
    assert "a secret text" not in record.getMessage()
    assert isinstance(task.exception(), WriteError)


async def test_what_is_read_is_json(layer: Any, alice: Any) -> None:
    thread_id = await thread(layer, alice, name="n", metadata={"x": float("nan")}, tags=["t"])
    step_id = await said(layer, thread_id, metadata={"x": {1, 2}, "favorite": True})
    await layer.create_element(file_element(thread_id, step_id))
    await layer.upsert_feedback(Feedback(forId=step_id, value=1, threadId=thread_id))
    page = await layer.list_threads(Pagination(first=5), ThreadFilter(userId=alice.id))
    for found in (
        await read(layer, thread_id),
        page.to_dict(),
        await layer.get_favorite_steps(alice.id),
        await layer.get_step(step_id),
    ):
        json.dumps(found, allow_nan=False)


async def test_readers_that_go_away_leave_no_connection(layer: Any, alice: Any) -> None:
    thread_id = await thread(layer, alice)
    await asyncio.gather(*(layer.create_step(message(thread_id)) for _ in range(50)))
    for turns in range(40):
        reading = asyncio.create_task(layer.get_thread(thread_id))
        for _ in range(turns):
            await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading])
    found = await asyncio.gather(*(layer.get_thread(thread_id) for _ in range(60)))
    assert {len(one["steps"]) for one in found} == {50}


async def test_a_deletion_wins_over_another_process(layer: Any, backend: Backend) -> None:
    other = backend.open()
    for _ in range(15):
        thread_id = await thread(layer)
        await said(other, thread_id)
        answers = await asyncio.gather(
            other.create_step(message(thread_id)),
            layer.delete_thread(thread_id),
            other.update_thread(thread_id, metadata={"a": 1}),
            other.create_element(file_element(thread_id, new_id())),
            other.upsert_feedback(Feedback(forId=new_id(), value=1, threadId=thread_id)),
            return_exceptions=True,
        )
        errors = [answer for answer in answers if isinstance(answer, Exception)]
        assert all(isinstance(error, ThreadDeleted) for error in errors), errors
        assert await layer.get_thread(thread_id) is None
        assert await other.get_thread(thread_id) is None
    await backend.until_blobs(0)


async def test_two_processes_in_the_same_threads(layer: Any, backend: Backend, alice: Any) -> None:
    writers = (layer, backend.open())
    threads = [await thread(layer, alice) for _ in range(6)]
    dice = random.Random(5)
    writes = []
    for i in range(240):
        writer, one = writers[i % 2], dice.choice(threads)
        step = tool(one, id=f"step {i // 2} of {one}", output=str(i), createdAt=at(i))
        writes.append(writer.create_step(step))
        if i % 3 == 0:
            writes.append(writer.update_thread(one, metadata={f"key {i}": i}, user_id=alice.id))
        if i % 7 == 0:
            feedback = Feedback(forId=step["id"], value=i % 2, threadId=one)
            writes.append(writer.upsert_feedback(feedback))
        if i % 11 == 0:
            writes.append(writer.delete_step(f"step {i // 4} of {one}"))
    dice.shuffle(writes)
    await asyncio.gather(*writes)
    kept = [await read(writers[0], one) for one in threads]
    assert kept == [await read(writers[1], one) for one in threads]
    keys = {key for one in kept for key in one["metadata"]}
    assert keys == {f"key {i}" for i in range(0, 240, 3)}


async def test_rows_and_blobs_agree_after_any_story(layer: Any, backend: Backend) -> None:
    dice = random.Random(7)
    threads = [await thread(layer) for _ in range(2)]
    elements = [
        file_element(one, f"step {i % 2}", id=f"element {i}") for one in threads for i in range(3)
    ]
    for round_ in range(15):
        writes = []
        for element in dice.choices(elements, k=5):
            element.content = f"{round_} {element.id}".encode()
            writes.append(asyncio.create_task(layer.create_element(element)))
            await asyncio.sleep(0)
            if dice.random() < 0.4:
                deletion = layer.delete_element(element.id, element.thread_id)
                writes.append(asyncio.create_task(deletion))
        await asyncio.gather(*writes)
        found = {}
        for one in threads:
            for element_id, element in (await elements_of(layer, one)).items():
                found[one, element_id] = await backend.fetch(element["url"])
        latest = {(e.thread_id, e.id): e.content for e in elements}
        assert all(latest[key] == content for key, content in found.items())
        await backend.until_blobs(len(found))
    for one in threads:
        await layer.delete_thread(one)
    await backend.until_blobs(0)


async def test_a_step_is_read_whole_while_it_changes(layer: Any) -> None:
    # Every reader sees one of the states that were written, never a mixture.
    thread_id = await thread(layer)
    step = message(thread_id, "0", metadata={"n": 0})
    await layer.create_step(dict(step))

    async def write() -> None:
        for n in range(1, 40):
            await layer.update_step({**step, "output": str(n), "metadata": {"n": n}})

    writing = asyncio.create_task(write())
    last = 0
    while not writing.done():
        found = (await steps_of(layer, thread_id))[step["id"]]
        assert found["output"] == str(found["metadata"]["n"])
        assert int(found["output"]) >= last, "a reader went back in time"
        last = int(found["output"])
    await writing
