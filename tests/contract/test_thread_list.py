"""The sidebar: threads by last activity, page by page, none twice and none missed."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from chainlit.types import Feedback, Pagination, ThreadFilter

from chainlit_sqla.errors import ChainlitSqlaError, InvalidCursor
from tests.contract.backends import Backend
from tests.contract.build import (
    INSTANT,
    at,
    file_element,
    listed,
    message,
    new_id,
    now,
    read,
    said,
    thread,
    tool,
)

FAR = base64.urlsafe_b64encode(b'["9999-12-31T23:59:59-12:00","x"]').decode()
NAIVE = base64.urlsafe_b64encode(b'["2026-01-01T00:00:00","x"]').decode()


async def page(
    layer: Any, owner: Any, first: int, cursor: str | None = None, **filters: Any
) -> Any:
    return await layer.list_threads(
        Pagination(first=first, cursor=cursor), ThreadFilter(userId=owner.id, **filters)
    )


def ids(found: Any) -> list[str]:
    return [one["id"] for one in found.data]


async def test_the_list_names_its_threads(layer: Any, alice: Any) -> None:
    thread_id = await thread(layer, alice, name="Trip", metadata={"a": 1}, tags=["t"])
    step = await said(layer, thread_id)
    await layer.create_element(file_element(thread_id, step))
    (one,) = (await page(layer, alice, 35)).data
    assert INSTANT.fullmatch(one["createdAt"])
    assert (one["id"], one["name"]) == (thread_id, "Trip")
    assert (one["userId"], one["userIdentifier"]) == (alice.id, alice.identifier)
    assert one["steps"] == [], "a list that carries steps weighs what the history weighs"
    assert not one.get("elements")


@pytest.mark.parametrize("user_id", [None, ""])
async def test_a_list_of_everybodys_threads_is_refused(layer: Any, user_id: str | None) -> None:
    await thread(layer)
    with pytest.raises(ChainlitSqlaError):
        await layer.list_threads(Pagination(first=5), ThreadFilter(userId=user_id))


@pytest.mark.parametrize("cursor", ["nonsense", "null", "a" * 500, "é", FAR, NAIVE])
async def test_a_foreign_cursor_is_refused(layer: Any, alice: Any, cursor: str) -> None:
    await thread(layer, alice)
    with pytest.raises(InvalidCursor):
        await page(layer, alice, 5, cursor)


async def test_newest_activity_comes_first(layer: Any, alice: Any) -> None:
    threads = [await thread(layer, alice, name=str(i)) for i in range(4)]
    assert await listed(layer, alice) == threads[::-1]
    await said(layer, threads[1])
    await said(layer, threads[0], type="user_message")
    found = await page(layer, alice, 35)
    assert ids(found) == [threads[0], threads[1], threads[3], threads[2]]
    times = [one["createdAt"] for one in found.data]
    assert times == sorted(times, reverse=True), "the list is sorted by the times it shows"
    created = [(await read(layer, id))["createdAt"] for id in threads]
    assert created == sorted(created), "messages change the time in the list only"
    assert times[0] > times[1] > max(created)


ACTS: dict[str, Callable[[Any, str, dict[str, Any], Any], Awaitable[Any]]] = {
    "look": lambda layer, id, step, user: layer.get_thread(id),
    "rename": lambda layer, id, step, user: layer.update_thread(id, name="another"),
    "end_session": lambda layer, id, step, user: layer.update_thread(
        id, metadata={"chat_settings": {}}
    ),
    "own_again": lambda layer, id, step, user: layer.update_thread(id, user_id=user.id, tags=["t"]),
    "rate": lambda layer, id, step, user: layer.upsert_feedback(
        Feedback(forId=step["id"], value=1, threadId=id)
    ),
    "run_tool": lambda layer, id, step, user: layer.create_step(tool(id, createdAt=now())),
    "edit": lambda layer, id, step, user: layer.update_step({**step, "output": "edited"}),
    "edit_a_part": lambda layer, id, step, user: layer.update_step(
        {"id": step["id"], "threadId": id, "type": step["type"], "output": "edited"}
    ),
    "attach": lambda layer, id, step, user: layer.create_element(file_element(id, step["id"])),
}
"""What a user or Chainlit does in a thread that has a message."""


@pytest.mark.parametrize("act", ACTS)
async def test_only_a_new_message_moves_a_thread(layer: Any, alice: Any, act: str) -> None:
    older, newer = await thread(layer, alice), await thread(layer, alice)
    step = message(older, "question", createdAt=now())
    await layer.create_step(dict(step))
    await said(layer, newer)
    before = (await page(layer, alice, 5)).data
    await ACTS[act](layer, older, step, alice)
    after = (await page(layer, alice, 5)).data
    assert [one["id"] for one in after] == [newer, older]
    assert [one["createdAt"] for one in after] == [one["createdAt"] for one in before]


@pytest.mark.parametrize("first", [1, 3, 7, 50])
async def test_pages_join_to_the_whole(layer: Any, alice: Any, bob: Any, first: int) -> None:
    threads = [await thread(layer, alice) for _ in range(7)]
    others = [await thread(layer, owner) for owner in (bob, None, bob)]
    assert await listed(layer, alice, page=first) == threads[::-1]
    assert await listed(layer, bob, page=first) == [others[2], others[0]]
    whole = await page(layer, alice, 7)
    assert not whole.pageInfo.hasNextPage


async def test_a_page_says_whether_there_is_another(
    layer: Any, alice: Any, backend: Backend
) -> None:
    threads = [await thread(layer, alice) for _ in range(3)][::-1]
    one = await page(layer, alice, 2)
    assert (ids(one), one.pageInfo.hasNextPage) == (threads[:2], True)
    layer = await backend.reopen(layer)  # A cursor outlives a restart.
    two = await page(layer, alice, 2, one.pageInfo.endCursor)
    assert (ids(two), two.pageInfo.hasNextPage) == (threads[2:], False)
    assert isinstance(one.pageInfo.endCursor, str)
    assert isinstance(one.pageInfo.startCursor, str)


async def test_pages_survive_what_happens_between_them(layer: Any, alice: Any) -> None:
    threads = [await thread(layer, alice) for _ in range(8)][::-1]
    one = await page(layer, alice, 3)
    await thread(layer, alice, name="newer")
    await layer.delete_thread(threads[2])  # The very thread that the cursor stands on.
    await layer.delete_thread(threads[3])
    await said(layer, threads[7])  # Moves to the top, where the reader has been.
    two = await page(layer, alice, 2, one.pageInfo.endCursor)
    await layer.delete_thread(threads[5])
    three = await page(layer, alice, 3, two.pageInfo.endCursor)
    assert ids(one) + ids(two) + ids(three) == [*threads[:3], threads[4], threads[5], threads[6]]
    assert not three.pageInfo.hasNextPage


async def test_threads_of_one_moment_are_all_listed(
    layer: Any, alice: Any, backend: Backend
) -> None:
    threads = [new_id() for _ in range(20)]
    for one in threads:  # The first message makes the thread, at the message's time.
        await layer.create_step(message(one, createdAt=at()))
        await layer.update_thread(one, user_id=alice.id)
    times = {one["createdAt"] for one in (await page(layer, alice, 20)).data}
    assert times == {at()}
    for size in (1, 6, 20):
        assert sorted(await listed(layer, alice, page=size)) == sorted(threads)
