"""Feedback: one a step, wherever it comes from and whenever it comes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from chainlit.types import Feedback

from chainlit_sqla.errors import WriteError
from tests.contract.backends import Backend
from tests.contract.build import message, new_id, said, same, steps_of, thread


async def feedback_of(layer: Any, thread_id: str, step_id: str) -> Any:
    return (await steps_of(layer, thread_id))[step_id]["feedback"]


def as_stored(step_id: str, id: str, value: int, comment: str | None) -> dict[str, Any]:
    return {"forId": step_id, "id": id, "value": value, "comment": comment}


@pytest.mark.parametrize("value", [0, 1])
@pytest.mark.parametrize("comment", [None, "", "sehr schön\n'quoted'"])
async def test_feedback_comes_back(
    layer: Any, backend: Backend, value: Any, comment: str | None
) -> None:
    thread_id = await thread(layer)
    step_id, other = await said(layer, thread_id), await said(layer, thread_id)
    given = Feedback(forId=step_id, value=value, threadId=thread_id, comment=comment)
    feedback_id = await layer.upsert_feedback(given)
    expected = as_stored(step_id, feedback_id, value, comment)
    for _ in range(2):
        assert same(await feedback_of(layer, thread_id, step_id), expected)
        assert await feedback_of(layer, thread_id, other) is None
        layer = await backend.reopen(layer)
    assert same((await layer.get_step(step_id))["feedback"], expected)


@pytest.mark.parametrize("with_id", [True, False])
async def test_a_second_feedback_replaces_the_first(layer: Any, with_id: bool) -> None:
    thread_id = await thread(layer)
    step_id = await said(layer, thread_id)
    first = await layer.upsert_feedback(
        Feedback(forId=step_id, value=1, threadId=thread_id, comment="good")
    )
    given = Feedback(forId=step_id, value=0, threadId=thread_id, comment="bad")
    given.id = first if with_id else None
    second = await layer.upsert_feedback(given)
    stored = as_stored(step_id, second, 0, "bad")
    assert await feedback_of(layer, thread_id, step_id) == stored
    assert await layer.delete_feedback(second) is True
    assert await feedback_of(layer, thread_id, step_id) is None


async def test_the_id_given_with_new_feedback_is_used(layer: Any) -> None:
    thread_id = await thread(layer)
    step_id = await said(layer, thread_id)
    given = Feedback(forId=step_id, value=1, threadId=thread_id, id="feedback/ü 1")
    assert await layer.upsert_feedback(given) == "feedback/ü 1"
    assert (await feedback_of(layer, thread_id, step_id))["id"] == "feedback/ü 1"


async def test_deleting_says_whether_it_was_there(layer: Any) -> None:
    thread_id = await thread(layer)
    step_id, other = await said(layer, thread_id), await said(layer, thread_id)
    mine = await layer.upsert_feedback(Feedback(forId=step_id, value=1, threadId=thread_id))
    await layer.upsert_feedback(Feedback(forId=other, value=1, threadId=thread_id))
    assert await layer.delete_feedback(new_id()) is False
    assert await layer.delete_feedback(mine) is True
    assert await layer.delete_feedback(mine) is False
    assert await feedback_of(layer, thread_id, step_id) is None
    assert (await feedback_of(layer, thread_id, other))["value"] == 1


@pytest.mark.parametrize("is_written", [True, False])
async def test_feedback_without_a_thread_finds_it_by_the_step(layer: Any, is_written: bool) -> None:
    # As Slack and Teams send it, perhaps before the step is written.
    thread_id = await thread(layer)
    step = message(thread_id)
    step_id = step["id"]
    writing = asyncio.create_task(layer.create_step(step))
    await (writing if is_written else asyncio.sleep(0))
    feedback_id = await layer.upsert_feedback(Feedback(forId=step_id, value=0, comment="c"))
    assert await feedback_of(layer, thread_id, step_id) == as_stored(step_id, feedback_id, 0, "c")
    await writing


async def test_feedback_for_nothing_known_is_refused(layer: Any) -> None:
    with pytest.raises(WriteError):
        await layer.upsert_feedback(Feedback(forId=new_id(), value=1))


async def test_feedback_before_its_step_waits_for_it(layer: Any, backend: Backend) -> None:
    # The greeting of on_chat_start is stored only after the user's first message.
    thread_id = new_id()
    step = message(thread_id, "Welcome")
    feedback_id = await layer.upsert_feedback(
        Feedback(forId=step["id"], value=1, threadId=thread_id, comment="nice")
    )
    layer = await backend.reopen(layer)
    await layer.create_step(dict(step))
    found = (await steps_of(layer, thread_id))[step["id"]]
    assert found["output"] == "Welcome"
    assert found["feedback"] == as_stored(step["id"], feedback_id, 1, "nice")


async def test_a_step_read_and_written_back_is_the_same(layer: Any) -> None:
    thread_id = await thread(layer)
    step = message(thread_id, metadata={"favorite": True}, sparkles=[1])
    await layer.create_step(dict(step))
    await layer.upsert_feedback(Feedback(forId=step["id"], value=0, threadId=thread_id))
    before = await steps_of(layer, thread_id)
    await layer.update_step(dict(before[step["id"]]))
    assert same(await steps_of(layer, thread_id), before)
