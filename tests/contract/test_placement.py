"""The thread is the unit: an id used again in another thread is another row there."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import nullcontext
from typing import Any

import pytest
from chainlit.types import Feedback

from chainlit_sqla.errors import NotTheAuthor
from tests.contract.backends import Backend
from tests.contract.build import (
    as_read,
    elements_of,
    file_element,
    message,
    read,
    same,
    steps_of,
    thread,
)
from tests.contract.fixtures import Socket

STEP, CHILD, OTHER, ELEMENT, FEEDBACK = (str(uuid.UUID(int=n)) for n in range(1, 6))


@pytest.fixture
async def victim(layer: Any, alice: Any) -> str:
    """Alice's thread with a step, an element and feedback."""
    thread_id = await thread(layer, alice, name="Alice's", metadata={"a": 1})
    await layer.create_step(message(thread_id, "Alice's", id=STEP))
    await layer.create_element(
        file_element(thread_id, STEP, id=ELEMENT, content=b"Alice's", name="Alice's")
    )
    await layer.upsert_feedback(
        Feedback(forId=STEP, value=1, threadId=thread_id, id=FEEDBACK, comment="Alice's")
    )
    return str(thread_id)


async def state(layer: Any, backend: Backend, thread_id: str) -> Any:
    """Everything a reader sees of a thread, its bytes too."""
    found = await read(layer, thread_id)
    for element in found["elements"]:
        element["bytes"] = await backend.fetch(element.pop("url"))
    return found


async def test_a_write_with_a_foreign_id_touches_nothing_there(
    layer: Any, backend: Backend, victim: str, bob: Any
) -> None:
    before = await state(layer, backend, victim)
    mine = await thread(layer, bob, name="Bob's")
    for write, value in (
        (layer.upsert_feedback, Feedback(forId=STEP, value=0, threadId=mine, comment="Bob's")),
        (layer.create_element, file_element(mine, STEP, id=ELEMENT, content=b"Bob's")),
        (layer.update_step, {"id": STEP, "threadId": mine, "output": "Bob's"}),
        (layer.create_step, message(mine, "Bob's step", id=STEP)),
        (layer.create_step, message(mine, "Bob's", id=OTHER)),
        (layer.upsert_feedback, Feedback(forId=OTHER, value=0, threadId=mine, id=FEEDBACK)),
    ):
        await write(value)
        assert same(await state(layer, backend, victim), before)
    found = (await steps_of(layer, mine))[STEP]
    assert (found["output"], found["feedback"]["comment"]) == ("Bob's step", "Bob's")
    for thread_id, content in ((victim, b"Alice's"), (mine, b"Bob's")):
        element = (await elements_of(layer, thread_id))[ELEMENT]
        assert await backend.fetch(element["url"]) == content
        element = await layer.get_element(thread_id, ELEMENT)
        assert element["threadId"] == thread_id
    await layer.delete_thread(mine)
    assert same(await state(layer, backend, victim), before)


async def test_an_element_is_read_and_deleted_in_its_own_thread_only(
    layer: Any, backend: Backend, victim: str
) -> None:
    before = await state(layer, backend, victim)
    mine = await thread(layer)
    assert await layer.get_element(mine, ELEMENT) is None
    assert await layer.get_element("a thread that does not exist", ELEMENT) is None
    await layer.delete_element(ELEMENT, mine)
    await layer.create_element(file_element(mine, STEP, id=ELEMENT))
    await layer.delete_element(ELEMENT, mine)
    assert await elements_of(layer, mine) == {}
    assert same(await state(layer, backend, victim), before)


@pytest.mark.parametrize("there", [True, False])
async def test_deleting_a_step_in_a_session_stays_in_its_thread(
    layer: Any, backend: Backend, victim: str, socket: Socket, there: bool
) -> None:
    before = await state(layer, backend, victim)
    mine = await thread(layer)
    if there:
        await layer.create_step(message(mine, id=STEP))
        await layer.create_step(message(mine, id=CHILD, parentId=STEP))
        await layer.create_element(file_element(mine, STEP, id=ELEMENT))
    socket.enter(mine)
    with nullcontext() if there else pytest.raises(NotTheAuthor):
        await layer.delete_step(STEP)
    assert await steps_of(layer, mine) == {}
    assert await elements_of(layer, mine) == {}
    assert same(await state(layer, backend, victim), before)


async def test_deleting_a_step_outside_of_a_session_removes_it_everywhere(
    layer: Any, victim: str
) -> None:
    mine = await thread(layer)
    await layer.create_step(message(mine, id=STEP))
    await layer.delete_step(STEP)
    for thread_id in (mine, victim):
        assert await steps_of(layer, thread_id) == {}
        assert await elements_of(layer, thread_id) == {}


async def test_a_step_deleted_here_can_be_written_there(layer: Any) -> None:
    one, two = await thread(layer), await thread(layer)
    await layer.create_step(message(one, id=STEP))
    await layer.delete_step(STEP)
    step = message(two, id=STEP)
    await layer.create_step(dict(step))
    assert await steps_of(layer, two) == {STEP: as_read(step)}


@pytest.mark.parametrize("names_its_thread", [True, False])
async def test_a_deletion_in_ones_own_thread_ends_no_upload_elsewhere(
    layer: Any, backend: Backend, socket: Socket, names_its_thread: bool
) -> None:
    one, two = await thread(layer), await thread(layer)
    element = file_element(one, STEP, id=ELEMENT, content=b"x" * 2_000_000)
    writing = asyncio.create_task(layer.create_element(element))
    await asyncio.sleep(0)
    socket.enter(two)
    await layer.delete_element(ELEMENT, *([two] if names_its_thread else []))
    await writing
    url = (await elements_of(layer, one))[ELEMENT]["url"]
    assert await backend.fetch(url) == element.content
