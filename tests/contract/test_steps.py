"""Every key of a step comes back as it was sent, with its type; writing a part erases nothing."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest

from tests.contract.build import (
    STEP_KEYS,
    as_read,
    at,
    message,
    new_id,
    same,
    steps_of,
    thread,
    tool,
)

ASK = {
    "id": "gpt-5",
    "temperature": 0.5,
    "messages": [{"role": "user", "content": "hé"}],
    "n": None,
}


async def test_a_message_comes_back_as_sent(layer: Any) -> None:
    thread_id = await thread(layer)
    sent = message(
        thread_id, "Bonjour\n\n*monde*", tags=["a", "b"], metadata={"k": [1, {"x": None}]}
    )
    await layer.create_step(copy.deepcopy(sent))
    assert same((await steps_of(layer, thread_id))[sent["id"]], as_read(sent))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("showInput", False),
        ("showInput", True),
        ("showInput", "json"),
        ("showInput", None),
        ("streaming", True),
        ("isError", True),
        ("isError", None),
        ("waitForAnswer", True),
        ("waitForAnswer", None),
        ("defaultOpen", True),
        ("autoCollapse", True),
        ("tags", []),
        ("tags", ["one", "zwei, drei", '"four"', "{five}"]),
        ("metadata", {"favorite": True, "a": {"b": [1, 2.5, "3", None, False]}}),
        ("generation", ASK),
        ("generation", {}),
        ("modes", {"reasoning": "deep", "model": "gpt"}),
        ("modes", {}),
        ("command", "Search"),
        ("language", "python"),
        ("icon", "globe"),
        ("type", "llm"),
        ("type", "a_type_of_next_year"),
        ("name", ""),
        ("input", ""),
        ("output", ""),
    ],
)
async def test_a_value_keeps_its_type(layer: Any, key: str, value: Any) -> None:
    thread_id = await thread(layer)
    sent = tool(thread_id, **{key: value})
    await layer.create_step(copy.deepcopy(sent))
    stored = (await steps_of(layer, thread_id))[sent["id"]]
    assert same(stored[key], value), stored[key]


async def test_a_step_has_every_key(layer: Any) -> None:
    thread_id = await thread(layer)
    least = {"id": new_id(), "threadId": thread_id, "type": "run", "name": "on_message"}
    await layer.create_step(dict(least))
    stored = (await steps_of(layer, thread_id))[least["id"]]
    assert stored.keys() == STEP_KEYS
    assert {key: stored[key] for key in least} == least
    assert (stored["input"], stored["output"], stored["metadata"]) == ("", "", {})
    optional = STEP_KEYS - least.keys() - {"input", "output", "metadata", "createdAt", "streaming"}
    assert {stored[key] for key in optional} == {None}
    assert not stored["streaming"]


@pytest.mark.parametrize("kind", [message, tool])
async def test_unknown_keys_come_back(layer: Any, kind: Any) -> None:
    thread_id = await thread(layer)
    sent = kind(thread_id, sparkles={"a": [True, "ü"]}, rank=3, note=None, flag=False)
    await layer.create_step(copy.deepcopy(sent))
    change = {"id": sent["id"], "threadId": thread_id, "output": "more", "rank": 4}
    await layer.update_step(dict(change))
    assert same((await steps_of(layer, thread_id))[sent["id"]], as_read(sent, change))


@pytest.mark.parametrize("key", ["output", "input", "name"])
async def test_an_empty_text_on_purpose_is_kept(layer: Any, key: str) -> None:
    thread_id = await thread(layer)
    sent = tool(thread_id, **{key: "something"})
    await layer.create_step(dict(sent))
    change = {"id": sent["id"], "threadId": thread_id, "type": "tool", key: ""}
    await layer.update_step(dict(change))
    assert (await steps_of(layer, thread_id))[sent["id"]][key] == ""


@pytest.mark.parametrize(
    ("key", "before"),
    [
        ("language", "json"),
        ("parentId", "p"),
        ("tags", ["a"]),
        ("generation", ASK),
        ("modes", {"a": "b"}),
        ("command", "Go"),
        ("isError", True),
        ("showInput", "json"),
        ("end", at(3)),
    ],
)
async def test_a_none_that_is_given_is_stored(layer: Any, key: str, before: Any) -> None:
    thread_id = await thread(layer)
    sent = tool(thread_id, **{key: before})
    await layer.create_step(copy.deepcopy(sent))
    await layer.update_step({**copy.deepcopy(sent), key: None})
    assert (await steps_of(layer, thread_id))[sent["id"]][key] is None


async def test_an_update_before_its_create_is_completed_by_it(layer: Any) -> None:
    thread_id = await thread(layer)
    sent = tool(thread_id, generation=ASK)
    late = {key: sent.pop(key) for key in ("output", "end", "metadata")}
    await layer.update_step({"id": sent["id"], "threadId": thread_id, "type": "tool", **late})
    assert (await steps_of(layer, thread_id))[sent["id"]]["output"] == late["output"]
    await layer.create_step(copy.deepcopy(sent))
    assert same((await steps_of(layer, thread_id))[sent["id"]], as_read(late, sent))


async def test_the_dict_given_is_not_changed(layer: Any) -> None:
    thread_id = await thread(layer)
    sent = tool(thread_id, showInput=False, generation=ASK, metadata={"a": {"b": 1}})
    given = copy.deepcopy(sent)
    await layer.create_step(given)
    assert same(given, sent)
    await layer.update_step(given)
    assert same(given, sent)


async def test_a_dict_changed_after_the_call_is_stored_as_it_was(layer: Any) -> None:
    thread_id = await thread(layer)
    sent = message(thread_id, "first", metadata={"round": [1]}, tags=["one"])
    given = copy.deepcopy(sent)
    writing = asyncio.create_task(layer.create_step(given))
    await asyncio.sleep(0)
    given["output"] = "second"
    given["metadata"]["round"].append(2)
    given["tags"].append("two")
    await writing
    assert same((await steps_of(layer, thread_id))[sent["id"]], as_read(sent))


async def test_get_step(layer: Any) -> None:
    thread_id = await thread(layer)
    sent = tool(thread_id, generation=ASK, showInput=False, sparkles=1)
    await layer.create_step(copy.deepcopy(sent))
    assert same(dict(await layer.get_step(sent["id"])), as_read(sent))
    assert await layer.get_step(new_id()) is None


@pytest.mark.parametrize("step_id", ["1", "step/ü 1", "a'b\"c%_\\", "x" * 200, "ID", "../../etc"])
async def test_any_text_is_an_id(layer: Any, step_id: str) -> None:
    thread_id = "thread " + step_id
    await layer.update_thread(thread_id, name="t")
    sent = tool(thread_id, id=step_id)
    child = tool(thread_id, id="child of " + step_id, parentId=step_id, createdAt=at(2))
    await layer.create_step(dict(sent))
    await layer.create_step(dict(child))
    found = await steps_of(layer, thread_id)
    parents = {id: step["parentId"] for id, step in found.items()}
    assert parents == {sent["id"]: None, child["id"]: sent["id"]}
    await layer.delete_step(step_id)
    assert await steps_of(layer, thread_id) == {}


async def test_ids_are_case_sensitive(layer: Any) -> None:
    thread_id = await thread(layer)
    for step_id in ("abc", "ABC"):
        await layer.create_step(message(thread_id, step_id, id=step_id))
    found = await steps_of(layer, thread_id)
    assert {id: step["output"] for id, step in found.items()} == {"abc": "abc", "ABC": "ABC"}
