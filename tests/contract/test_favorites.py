"""Favourite messages of a user."""

from __future__ import annotations

import copy
from typing import Any

from tests.contract.backends import Backend
from tests.contract.build import as_read, at, message, said, same, thread


async def favorites(layer: Any, user: Any) -> list[str]:
    return [step["id"] for step in await layer.get_favorite_steps(user.id)]


async def test_marking_and_unmarking(layer: Any, alice: Any, backend: Backend) -> None:
    thread_id = await thread(layer, alice)
    step = message(thread_id, "Say it", type="user_message", metadata={"k": "v"}, modes={"a": "b"})
    await layer.create_step(copy.deepcopy(step))
    given = await layer.set_step_favorite(copy.deepcopy(step), True)
    assert given["metadata"] == {"k": "v", "favorite": True}
    expected = as_read(step, {"metadata": {"k": "v", "favorite": True}})
    layer = await backend.reopen(layer)
    assert same([dict(one) for one in await layer.get_favorite_steps(alice.id)], [expected])
    (found,) = await layer.get_favorite_steps(alice.id)
    await layer.set_step_favorite(found, False)
    assert await layer.get_favorite_steps(alice.id) == []
    assert (await layer.get_step(step["id"]))["metadata"] == {"k": "v", "favorite": False}


async def test_favorites_come_newest_first_from_all_threads(layer: Any, alice: Any) -> None:
    one, two = await thread(layer, alice), await thread(layer, alice)
    ids = {}
    for second, thread_id in ((2, one), (9, two), (4, one), (6, two)):
        ids[second] = await said(
            layer, thread_id, createdAt=at(second), metadata={"favorite": True}
        )
    await said(layer, one)
    assert await favorites(layer, alice) == [ids[9], ids[6], ids[4], ids[2]]


async def test_favorites_are_of_ones_own_threads(layer: Any, alice: Any, bob: Any) -> None:
    mine = await said(layer, await thread(layer, alice), metadata={"favorite": True})
    yours = await said(layer, await thread(layer, bob), metadata={"favorite": True})
    await said(layer, await thread(layer), metadata={"favorite": True})
    assert await favorites(layer, alice) == [mine]
    assert await favorites(layer, bob) == [yours]


async def test_only_a_true_mark_is_a_favorite(layer: Any, alice: Any) -> None:
    thread_id = await thread(layer, alice)
    for metadata in (
        {"favorite": False},
        {"favorite": None},
        {"note": '"favorite": true'},
        {"inner": {"favorite": True}},
        {"favorites": True},
        {"favorite": "true"},
        {"favorite": 1},
    ):
        await said(layer, thread_id, metadata=metadata)
    wanted = await said(layer, thread_id, metadata={"z": 1, "favorite": True, "a": [{}]})
    assert await favorites(layer, alice) == [wanted]
