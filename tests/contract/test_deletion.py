"""What is deleted is gone, with all that belongs to it, and stays gone."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

import pytest
from chainlit.context import context, init_ws_context
from chainlit.types import Feedback

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.errors import ThreadDeleted
from tests.contract.backends import Backend
from tests.contract.build import (
    WRITES,
    at,
    elements_of,
    file_element,
    listed,
    message,
    new_id,
    person,
    read,
    said,
    steps_of,
    thread,
    tool,
)
from tests.contract.fixtures import Socket


async def test_a_deleted_thread_is_gone(layer: Any, alice: Any, backend: Backend) -> None:
    thread_id, other = await thread(layer, alice, name="gone"), await thread(layer, alice)
    step_id = await said(layer, thread_id, metadata={"favorite": True})
    element = file_element(thread_id, step_id)
    await layer.create_element(element)
    feedback = await layer.upsert_feedback(Feedback(forId=step_id, value=1, threadId=thread_id))
    kept = file_element(other, new_id())
    await layer.create_element(kept)
    assert len(backend.blobs()) == 2
    await layer.delete_thread(thread_id)
    assert await layer.get_thread(thread_id) is None
    assert await listed(layer, alice) == [other]
    assert await layer.get_thread_author(thread_id) == ""
    assert await layer.get_element(thread_id, element.id) is None
    assert await layer.get_step(step_id) is None
    assert await layer.get_favorite_steps(alice.id) == []
    assert await layer.delete_feedback(feedback) is False
    found = (await elements_of(layer, other))[kept.id]
    assert await backend.fetch(found["url"]) == b"some bytes"
    await backend.until_blobs(1)


@pytest.mark.parametrize("late", WRITES)
async def test_a_deleted_thread_stays_deleted(
    layer: Any, alice: Any, backend: Backend, late: str
) -> None:
    thread_id = await thread(layer, alice)
    step_id = await said(layer, thread_id)
    await layer.delete_thread(thread_id)
    for id in (step_id, new_id()):
        with suppress(ThreadDeleted):
            await WRITES[late](layer, thread_id, id)
        assert await layer.get_thread(thread_id) is None
        assert await listed(layer, alice) == []
        assert await layer.get_step(id) is None
        layer = await backend.reopen(layer)
    await backend.until_blobs(0)


@pytest.mark.ours
async def test_whoever_writes_to_a_deleted_thread_is_told_once_a_window(
    backend: Any, socket: Socket, caplog: pytest.LogCaptureFixture
) -> None:
    """A thread is deleted in one window; another goes on in it, and a third is closed."""
    told: list[tuple[str, str]] = []

    class Layer(SQLADataLayer):
        async def on_deleted_thread(self, thread_id: str) -> None:
            told.append((context.session.id, thread_id))
            raise RuntimeError("the window is gone")

    layer = Layer(backend.url, storage=backend.storage())
    user = await person(layer)
    thread_id = await thread(layer, user)
    sessions = [socket.enter(thread_id) for _ in range(2)]
    await layer.delete_thread(thread_id)
    caplog.set_level(logging.INFO)
    await layer.update_thread(thread_id, metadata={"closed": True})
    assert told == []
    for session in sessions:
        init_ws_context(session)
        for write in ("create_step", "element", "update_step", "feedback", "name"):
            with pytest.raises(ThreadDeleted, match=f"of thread {thread_id}|thread {thread_id}"):
                await WRITES[write](layer, thread_id, new_id())
    assert told == [(session.id, thread_id) for session in sessions]
    lines = [(line.levelname, line.getMessage()) for line in caplog.records]
    dropped = [level for level, line in lines if line.startswith("Not written: ")]
    assert dropped == ["INFO", "WARNING", "WARNING"]
    assert sum(line == f"Not reported: deleted thread {thread_id}" for _, line in lines) == 2
    await layer.update_thread(thread_id, user_id=user.id)  # The user's next message.
    await WRITES["create_step"](layer, thread_id, "kept")
    assert list(await steps_of(layer, thread_id)) == ["kept"]
    await layer.close()


async def test_an_owner_brings_a_thread_id_to_life_again_empty(layer: Any, alice: Any) -> None:
    thread_id = await thread(layer, alice, name="old", metadata={"a": 1}, tags=["t"])
    step_id = await said(layer, thread_id)
    await layer.create_element(file_element(thread_id, step_id))
    await layer.delete_thread(thread_id)
    await layer.update_thread(thread_id, metadata={"late": 1})
    await layer.update_thread(thread_id, user_id=alice.id, name="new")
    found = await read(layer, thread_id)
    assert (found["name"], found["metadata"]) == ("new", {})
    assert not found["steps"] + found["elements"]
    assert not found["tags"]
    assert await listed(layer, alice) == [thread_id]
    await said(layer, thread_id, "again")
    assert len(await steps_of(layer, thread_id)) == 1


async def test_deleting_what_is_not_there(layer: Any) -> None:
    await layer.delete_thread(new_id())
    await layer.delete_step(new_id())
    await layer.delete_element(new_id())
    await layer.delete_element(new_id(), new_id())
    assert await layer.delete_feedback(new_id()) is False


async def test_a_step_takes_its_descendants_along(layer: Any, alice: Any, backend: Backend) -> None:
    thread_id = await thread(layer, alice)
    before = await said(layer, thread_id, createdAt=at(0))
    ids = [new_id() for _ in range(5)]
    for i, step_id in enumerate(ids):
        parent = ids[i - 1] if i else before
        await layer.create_step(tool(thread_id, id=step_id, parentId=parent, createdAt=at(i)))
        await layer.create_element(file_element(thread_id, step_id))
        await layer.upsert_feedback(Feedback(forId=step_id, value=0, threadId=thread_id))
    sibling = tool(thread_id, parentId=before, createdAt=at(9))
    await layer.create_step(dict(sibling))
    kept = file_element(thread_id, sibling["id"])
    await layer.create_element(kept)
    await layer.delete_step(ids[1])
    assert list(await steps_of(layer, thread_id)) == [before, ids[0], sibling["id"]]
    elements = await elements_of(layer, thread_id)
    assert {element["forId"] for element in elements.values()} == {ids[0], sibling["id"]}
    await layer.delete_step(ids[0])
    assert list(await elements_of(layer, thread_id)) == [kept.id]
    assert await listed(layer, alice, feedback=0) == []
    await backend.until_blobs(1)
    url = (await elements_of(layer, thread_id))[kept.id]["url"]
    assert await backend.fetch(url) == b"some bytes"


@pytest.mark.parametrize("late", ["create_step", "update_step"])
async def test_a_deleted_step_stays_deleted(layer: Any, backend: Backend, late: str) -> None:
    thread_id = await thread(layer)
    other = await said(layer, thread_id)
    step = message(thread_id)
    child = tool(thread_id, parentId=step["id"])
    await layer.create_step(dict(step))
    await layer.create_step(dict(child))
    await layer.delete_step(step["id"])
    for _ in range(2):
        await getattr(layer, late)(dict(step))
        # Message.remove() while a step below it still runs: the step's end comes after.
        await getattr(layer, late)({**child, "output": "done"})
        assert list(await steps_of(layer, thread_id)) == [other]
        assert await layer.get_step(step["id"]) is None
        layer = await backend.reopen(layer)


async def test_a_deleted_element_is_gone_with_its_blob(layer: Any, backend: Backend) -> None:
    thread_id = await thread(layer)
    step_id = await said(layer, thread_id)
    element, other = file_element(thread_id, step_id), file_element(thread_id, step_id)
    await layer.create_element(element)
    await layer.create_element(other)
    await layer.delete_element(element.id, thread_id)
    assert list(await elements_of(layer, thread_id)) == [other.id]
    assert await layer.get_element(thread_id, element.id) is None
    await backend.until_blobs(1)
    await layer.delete_element(other.id)
    assert await elements_of(layer, thread_id) == {}
    await backend.until_blobs(0)
