"""Threads: made by the first write into them, renamed, merged, tagged, owned."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chainlit_sqla.errors import WriteError
from tests.contract.backends import Backend
from tests.contract.build import (
    INSTANT,
    WRITES,
    element_as_read,
    file_element,
    listed,
    message,
    new_id,
    read,
    same,
    thread,
    without_place,
)


async def test_an_unknown_thread_has_no_author(layer: Any) -> None:
    assert await layer.get_thread(new_id()) is None
    assert await layer.get_thread_author(new_id()) == ""


async def test_a_thread_has_all_its_fields(layer: Any, alice: Any, backend: Backend) -> None:
    thread_id = new_id()
    await layer.update_thread(
        thread_id, name="Trip", user_id=alice.id, metadata={"a": {"b": [1]}}, tags=["x", "y"]
    )
    step = message(thread_id)
    await layer.create_step(dict(step))
    element = file_element(thread_id, step["id"])
    await layer.create_element(element)
    for _ in range(2):
        found = await read(layer, thread_id)
        assert INSTANT.fullmatch(found["createdAt"])
        expected = {"id": thread_id, "name": "Trip", "tags": ["x", "y"]}
        expected |= {"userId": alice.id, "userIdentifier": "alice@example.org"}
        expected |= {"metadata": {"a": {"b": [1]}}}
        assert same({key: found[key] for key in expected}, expected)
        assert [step["id"] for step in found["steps"]] == [step["id"]]
        assert [without_place(one) for one in found["elements"]] == [element_as_read(element)]
        assert await layer.get_thread_author(thread_id) == "alice@example.org"
        layer = await backend.reopen(layer)


async def test_a_bare_thread_has_empty_fields(layer: Any) -> None:
    thread_id = await thread(layer, metadata={})
    found = await read(layer, thread_id)
    assert (found["name"], found["userId"], found["userIdentifier"]) == (None, None, None)
    assert (found["metadata"], found["steps"], found["elements"]) == ({}, [], [])
    assert not found["tags"]
    assert await layer.get_thread_author(thread_id) == ""


@pytest.mark.parametrize("how", ["create_step", "update_step", "element", "feedback", "metadata"])
async def test_the_first_write_makes_the_thread(layer: Any, alice: Any, how: str) -> None:
    thread_id = new_id()
    await WRITES[how](layer, thread_id, new_id())
    found = await read(layer, thread_id)
    assert (found["userId"], found["userIdentifier"], found["name"]) == (None, None, None)
    assert found["metadata"] == ({"a": 1} if how == "metadata" else {})
    assert await layer.get_thread_author(thread_id) == ""
    assert await listed(layer, alice) == []
    await layer.update_thread(thread_id, name="Hello", user_id=alice.id)
    assert await layer.get_thread_author(thread_id) == alice.identifier
    assert await listed(layer, alice) == [thread_id]


async def test_what_is_not_given_stays(layer: Any, alice: Any) -> None:
    thread_id = await thread(layer, alice, name="n", metadata={"a": 1}, tags=["t"])
    before = await read(layer, thread_id)
    await layer.update_thread(thread_id)
    await layer.update_thread(thread_id, name=None, user_id=None, metadata=None, tags=None)
    await layer.update_thread(thread_id, metadata={})
    assert same(await read(layer, thread_id), before)


async def test_tags_are_replaced_and_emptied(layer: Any) -> None:
    thread_id = await thread(layer, name="n", tags=["a", "b, c", "d"])
    await layer.update_thread(thread_id, tags=["e"])
    assert (await read(layer, thread_id))["tags"] == ["e"]
    await layer.update_thread(thread_id, tags=[], name="")
    found = await read(layer, thread_id)
    assert (found["tags"], found["name"]) == ([], ""), "empty on purpose"


async def test_sharing_and_unsharing(layer: Any, alice: Any) -> None:
    thread_id = await thread(layer, alice, metadata={"chat_profile": "x"})
    shared = {"is_shared": True, "shared_at": "2026-03-01T12:00:00Z"}
    await layer.update_thread(thread_id=thread_id, metadata=shared)
    assert same((await read(layer, thread_id))["metadata"], {"chat_profile": "x"} | shared)
    await layer.update_thread(thread_id=thread_id, metadata={"is_shared": False, "shared_at": None})
    found = (await read(layer, thread_id))["metadata"]
    assert same(found, {"chat_profile": "x", "is_shared": False})


async def test_a_thread_can_change_its_owner(layer: Any, alice: Any, bob: Any) -> None:
    thread_id = await thread(layer, alice)
    await layer.update_thread(thread_id, user_id=bob.id)
    found = await read(layer, thread_id)
    assert (found["userId"], found["userIdentifier"]) == (bob.id, bob.identifier)
    assert await layer.get_thread_author(thread_id) == bob.identifier
    assert await listed(layer, alice) == []
    assert await listed(layer, bob) == [thread_id]


async def test_an_unknown_owner_is_refused_alone(layer: Any, alice: Any) -> None:
    thread_id = await thread(layer, alice, name="before")
    other, missing = new_id(), new_id()
    results = await asyncio.gather(
        layer.create_step(message(other, "safe")),
        layer.update_thread(thread_id, name="after", user_id=new_id()),
        layer.update_thread(other, name="safe too", user_id=alice.id),
        layer.update_thread(missing, user_id=new_id()),
        return_exceptions=True,
    )
    assert isinstance(results[3], WriteError), results
    assert await layer.get_thread(missing) is None
    assert isinstance(results[1], WriteError), results
    assert "create_user" in str(results[1])
    assert (results[0], results[2]) == (None, None)
    found = await read(layer, thread_id)
    assert (found["name"], found["userId"]) == ("before", alice.id)
    found = await read(layer, other)
    assert (found["name"], len(found["steps"])) == ("safe too", 1)


async def test_the_debug_url_is_text(layer: Any) -> None:
    assert isinstance(await layer.build_debug_url(), str)
