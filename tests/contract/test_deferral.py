"""Calls before the first message: they wait, and end as if each had been executed when it came."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from chainlit.action import Action
from chainlit.emitter import ChainlitEmitter
from chainlit.message import AskActionMessage
from chainlit.session import WebsocketSession

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
)
from tests.contract.fixtures import Socket

pytestmark = pytest.mark.ours

Call = Callable[[Any, str, str], Awaitable[None]]


def creates(**values: Any) -> Call:
    return lambda layer, thread, id: layer.create_step(message(thread, id=id, **values))


def updates(**values: Any) -> Call:
    return lambda layer, thread, id: layer.update_step(
        {"threadId": thread, "id": id, "createdAt": at(), **values}
    )


CALLS: dict[str, Call] = {
    "create": creates(output="created", tags=["new"], command="Go"),
    "create other": creates(output="other", metadata={"m": 1}, language="fr"),
    "update": updates(output="updated", tags=["changed"]),
    "update other": updates(language="de", metadata={"m": 2}, tags=None),
    "delete": lambda layer, thread, id: layer.delete_step(id),
    "attach": lambda layer, thread, id: layer.create_element(
        file_element(thread, id=f"e{id}", name="first")
    ),
    "attach other": lambda layer, thread, id: layer.create_element(
        file_element(thread, id=f"e{id}", name="second")
    ),
    "detach": lambda layer, thread, id: layer.delete_element(f"e{id}", thread),
}
PAIRS = list(itertools.product(CALLS, repeat=2))


async def outcome(layer: Any, thread_id: str) -> dict[str, Any]:
    found = await read(layer, thread_id)
    contents = {}
    for step in found["steps"]:
        contents[step["id"]] = {k: v for k, v in step.items() if k != "threadId"}
    for element in found["elements"]:
        contents[element["id"]] = element["name"]
    return contents


def until_flushed(session: WebsocketSession) -> asyncio.Task[None]:
    """Take the user's first message as Chainlit does, and wait for the end of its flush."""
    session.has_first_interaction = True
    return asyncio.create_task(ChainlitEmitter(session).init_thread("Hi"))


async def rest() -> None:
    """Wait for every task that Chainlit would have dropped."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    own = [task for task in others if "Task" in type(task).__name__ and is_call(task)]
    await asyncio.gather(*own, return_exceptions=True)


def is_call(task: asyncio.Task[Any]) -> bool:
    name = getattr(task.get_coro(), "__qualname__", "")
    return name.startswith(("SQLADataLayer.", "ChainlitEmitter.", "WebsocketSession."))


@pytest.fixture(autouse=True)
def chainlits_layer(layer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chainlit.data._data_layer", layer)
    monkeypatch.setattr("chainlit.data._data_layer_initialized", True)


@pytest.mark.parametrize("second", ["before", "with", "after", "during the flush"])
async def test_pairs_of_calls_end_as_in_their_order(
    layer: Any, socket: Socket, second: str
) -> None:
    """The first of each pair comes before the message, the second when the parameter says."""
    usual = new_id()
    socket.enter(usual)
    await layer.update_thread(usual)
    for number, (first, last) in enumerate(PAIRS):
        for name in (first, last):
            await CALLS[name](layer, usual, str(number))
    expected = await outcome(layer, usual)

    thread_id = new_id()
    session = socket.enter(thread_id, interacted=False)
    for number, (first, _) in enumerate(PAIRS):
        await CALLS[first](layer, thread_id, str(number))
    last_calls = [
        CALLS[last](layer, thread_id, str(number)) for number, (_, last) in enumerate(PAIRS)
    ]
    if second == "before":
        for call in last_calls:
            await call
        assert await layer.get_thread(thread_id) is None
    beginning = until_flushed(session)
    if second == "after":
        await beginning
    if second == "during the flush":
        await beginning
        await asyncio.sleep(0)  # Chainlit's flush waits for the commit of its first call.
    if second != "before":
        await asyncio.gather(*map(asyncio.ensure_future, last_calls))
    await beginning
    await rest()
    assert await outcome(layer, thread_id) == expected


async def test_an_answered_question_keeps_its_answer(layer: Any, socket: Socket) -> None:
    """An AskActionMessage in on_chat_start, after a greeting: its answer is the first message."""
    thread_id = new_id()
    session = socket.enter(thread_id, interacted=False)

    async def answer(event: str, data: Any, timeout: int) -> Any:
        await asyncio.sleep(0)  # A person takes longer than the task that Chainlit began.
        return {"name": "yes", "label": "Yes", "payload": {}, "forId": data["msg"]["id"]}

    session.emit_call = answer
    greetings = [message(thread_id, f"greeting {number}") for number in range(3)]
    for greeting in greetings:
        await layer.create_step(greeting)
    question = AskActionMessage("Go on?", [Action(name="yes", payload={}, label="Yes")])
    await question.send()
    await rest()
    steps = await steps_of(layer, thread_id)
    assert [steps[greeting["id"]]["output"] for greeting in greetings] == [
        f"greeting {number}" for number in range(3)
    ]
    assert (steps[question.id]["output"], steps[question.id]["waitForAnswer"]) == (
        "**Selected:** Yes",
        False,
    )


async def test_calls_about_another_thread_do_not_wait(layer: Any, socket: Socket) -> None:
    """A favorite is taken back in a fresh chat, whose user then leaves."""
    other = await thread(layer)
    liked = await said(layer, other, metadata={"favorite": True})
    removed, element = await said(layer, other), file_element(other)
    await layer.create_element(element)
    session = socket.enter(new_id(), interacted=False)
    (step,) = [one for one in (await read(layer, other))["steps"] if one["id"] == liked]
    await layer.set_step_favorite(step, False)
    session.user = None
    added = file_element(other)
    await layer.create_element(added)
    await layer.create_step(message(other, "added", id="added"))
    assert set(await steps_of(layer, other)) == {liked, removed, "added"}
    assert (await layer.get_step(liked))["metadata"] == {"favorite": False}
    assert set(await elements_of(layer, other)) == {element.id, added.id}
    assert not any(session.thread_queues.values())
