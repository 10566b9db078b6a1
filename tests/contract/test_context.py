"""Inside of a session and outside: the queue before the first message, objects as sent."""

from __future__ import annotations

import asyncio
import contextvars
import copy
from typing import Any

import pytest
from chainlit.context import context_var, init_http_context
from chainlit.element import Text
from chainlit.message import Message
from chainlit.step import Step
from chainlit.types import Feedback

from tests.contract.build import (
    as_read,
    element_as_read,
    elements_of,
    file_element,
    message,
    new_id,
    read,
    said,
    same,
    steps_of,
    thread,
    tool,
    without_place,
)
from tests.contract.fixtures import Socket


async def test_everything_works_without_a_context(layer: Any, alice: Any) -> None:
    # Background jobs and scripts run outside of any session.
    async def write_all() -> None:
        assert context_var.get(None) is None
        thread_id = await thread(layer, alice)
        step = message(thread_id)
        await layer.create_step(dict(step))
        await layer.update_step({**step, "output": "more"})
        element = file_element(thread_id, step["id"])
        await layer.create_element(element)
        await layer.set_step_favorite(dict(step), True)
        assert [one["id"] for one in await layer.get_favorite_steps(alice.id)] == [step["id"]]
        await layer.delete_element(element.id, thread_id)
        await layer.delete_step(step["id"])
        found = await read(layer, thread_id)
        assert (found["steps"], found["elements"]) == ([], [])

    await asyncio.create_task(write_all(), context=contextvars.Context())


async def test_chainlits_own_objects_come_back(layer: Any, socket: Socket) -> None:
    thread_id = await thread(layer)
    socket.enter(thread_id)
    parent = Step(name="run", type="run", show_input=False, auto_collapse=True)
    parent.icon = "globe"  # From Chainlit 2.11 on, it is stored in the metadata.
    parent.input, parent.output = {"a": 1}, [1, 2]
    said = Message(content={"a": "é"}, author="Bot", metadata={"x": 1}, modes={"m": "n"})
    asked = Message(content="Hi", type="user_message", command="Go", parent_id=parent.id)
    note = Text(content="note", name="n", for_id=said.id)
    said.created_at = asked.created_at = parent.created_at
    for step in (parent, said, asked):
        await layer.create_step(copy.deepcopy(step.to_dict()))
    await layer.create_element(note)
    found = await steps_of(layer, thread_id)
    for step in (parent, said, asked):
        assert same(found[step.id], as_read(dict(step.to_dict())))
    (stored,) = (await elements_of(layer, thread_id)).values()
    assert same(without_place(stored), element_as_read(note))
    resumed = Message.from_dict(found[said.id])  # type: ignore[arg-type]
    assert (resumed.content, resumed.author) == (said.content, "Bot")


async def test_nothing_is_stored_before_the_first_message(layer: Any, socket: Socket) -> None:
    thread_id = new_id()
    session = socket.enter(thread_id, interacted=False)
    step = message(thread_id)
    element = file_element(thread_id, step["id"])
    await layer.create_element(element)
    await layer.create_step(dict(step))
    await layer.update_step({**step, "output": "Welcome"})
    assert await layer.get_thread(thread_id) is None
    assert await layer.get_step(step["id"]) is None
    assert any(session.thread_queues.values())
    session.has_first_interaction = True
    await layer.update_thread(thread_id, name="Hi")
    await session.flush_method_queue()
    found = await read(layer, thread_id)
    assert same(found["steps"], [as_read(step, {"output": "Welcome"})])
    assert [one["id"] for one in found["elements"]] == [element.id]


async def test_updates_and_children_before_their_steps(layer: Any, socket: Socket) -> None:
    # Chainlit flushes method by method; on every layer the rows end complete.
    thread_id = new_id()
    session = socket.enter(thread_id, interacted=False)
    removed, removed_element = message(thread_id), file_element(thread_id, new_id())
    parent = tool(thread_id)
    child = tool(thread_id, parentId=parent["id"])
    element = file_element(thread_id, child["id"])
    await layer.create_element(element)
    await layer.create_element(removed_element)
    await layer.update_step({"id": child["id"], "threadId": thread_id, "tags": ["late"]})
    for step in (child, parent, removed):
        sent = {key: value for key, value in step.items() if key != "tags"}
        await layer.create_step(sent)
    await layer.delete_step(removed["id"])
    await layer.delete_element(removed_element.id, thread_id)
    session.has_first_interaction = True
    await session.flush_method_queue()
    found = await read(layer, thread_id)
    assert [step["id"] for step in found["steps"]] == [parent["id"], child["id"]]
    assert same(found["steps"][1], as_read(child, {"tags": ["late"]}))
    assert [one["id"] for one in found["elements"]] == [element.id]


async def test_reads_feedback_and_threads_are_not_queued(
    layer: Any, alice: Any, socket: Socket
) -> None:
    thread_id = await thread(layer, alice)
    step_id = await said(layer, thread_id)
    socket.enter(new_id(), interacted=False)
    await layer.upsert_feedback(Feedback(forId=step_id, value=1, threadId=thread_id))
    await layer.update_thread(thread_id, name="renamed")
    found = await read(layer, thread_id)
    assert found["name"] == "renamed"
    assert found["steps"][0]["feedback"]["value"] == 1
    assert await layer.get_user(alice.identifier) == alice
    await layer.delete_thread(thread_id)
    assert await layer.get_thread(thread_id) is None


async def test_an_http_session_writes_at_once(layer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # Slack, Teams and Discord have no queue.
    monkeypatch.setattr("chainlit.data._data_layer", None)
    monkeypatch.setattr("chainlit.data._data_layer_initialized", True)
    thread_id = new_id()
    token = context_var.set(init_http_context(thread_id=thread_id, client_type="slack"))
    try:
        sent = Message(content="Hi", type="user_message")
        sent.created_at = "2026-03-01T12:00:00Z"
        await layer.create_step(sent.to_dict())
    finally:
        context_var.reset(token)
        context_var.set(None)  # type: ignore[arg-type]
    assert list(await steps_of(layer, thread_id)) == [sent.id]


async def test_a_favorite_can_be_set_before_the_first_message(
    layer: Any, alice: Any, socket: Socket
) -> None:
    # A resumed thread: its session has sent nothing yet.
    thread_id = await thread(layer, alice)
    step_id = await said(layer, thread_id)
    session = socket.enter(thread_id, interacted=False)
    (step,) = (await steps_of(layer, thread_id)).values()
    await layer.set_step_favorite(step, True)
    session.has_first_interaction = True
    await session.flush_method_queue()
    assert [one["id"] for one in await layer.get_favorite_steps(alice.id)] == [step_id]
