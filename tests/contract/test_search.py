"""Search and the feedback filter of the sidebar."""

from __future__ import annotations

from typing import Any

import pytest
from chainlit.types import Feedback

from tests.contract.build import listed, said, thread, tool

FOUND = [
    ("The quick brown fox", "quick"),
    ("The lazy Dog sleeps", "LAZY dOG"),
    ("über Äpfel", "ÜBER äpfel"),
    ("Привет, мир", "ПРИВЕТ"),
    ("ΑΘΗΝΑ", "αθηνα"),
    ("東京タワーへの行き方", "タワー"),
    ("你好世界", "世界"),
    ("Ĉu ĝi?", "ĉU ĜI"),
    ("100% sure", "0% s"),
    ("snake_case_name", "e_c"),
    ("C:\\temp\\new", "p\\n"),
    ('it\'s a "quote"', "it's a \"Q"),
    ("a `tick` {b} :name $1", "{b} :NAME $1"),
    ("two\nlines", "two\nlines"),
    ("👍 great", "👍"),
]


@pytest.mark.parametrize("place", ["name", "message"])
async def test_texts_are_found(layer: Any, alice: Any, place: str) -> None:
    threads = {}
    for text, _ in FOUND:
        name = f"See {text}!" if place == "name" else "0"
        threads[text] = await thread(layer, alice, name=name)
        await said(layer, threads[text], "0" if place == "name" else f"See {text}!")
    for text, search in FOUND:
        found = await listed(layer, alice, search=search)
        expected = {threads[one] for one, _ in FOUND if search.casefold() in one.casefold()}
        assert set(found) == expected, search
        assert threads[text] in found


@pytest.mark.parametrize(
    ("text", "search"),
    [
        ("abc", "a%c"),
        ("abc", "%"),
        ("abc", "a_c"),
        ("abc", "_"),
        ("abc", "\\"),
        ("a%c", "a\\%c"),
        ("abc", "'"),
        ("abc", "abcd"),
        ("abc", "[a-c]"),
        ("abc", "a*"),
        ("abc def", "abc  def"),
        ("naive", "naïve"),
        ("abc", "abc OR 1=1"),
    ],
)
async def test_a_search_is_literal(layer: Any, alice: Any, text: str, search: str) -> None:
    thread_id = await thread(layer, alice, name=text)
    await said(layer, thread_id, text)
    assert await listed(layer, alice, search=search) == []


async def test_messages_of_both_sides_are_searched_and_tools_are_not(
    layer: Any, alice: Any
) -> None:
    said_by_user, said_by_bot, done_by_tool = [await thread(layer, alice) for _ in range(3)]
    await said(layer, said_by_user, "needle", type="user_message")
    for _ in range(2):  # A thread is listed once.
        await said(layer, said_by_bot, "a Needle too", type="assistant_message")
    await layer.create_step(tool(done_by_tool, output="needle", input="needle", name="needle"))
    assert await listed(layer, alice, search="needle") == [said_by_bot, said_by_user]


async def test_an_edited_text_is_found_by_its_new_words(layer: Any, alice: Any) -> None:
    thread_id = await thread(layer, alice, name="before")
    step_id = await said(layer, thread_id, "Old Words")
    await layer.update_step({"id": step_id, "threadId": thread_id, "output": "Neue Wörter"})
    await layer.update_thread(thread_id, name="After")
    assert await listed(layer, alice, search="old words") == []
    assert await listed(layer, alice, search="before") == []
    assert await listed(layer, alice, search="WÖRTER") == [thread_id]
    assert await listed(layer, alice, search="after") == [thread_id]


async def test_a_search_stays_with_its_user(layer: Any, alice: Any, bob: Any) -> None:
    mine, yours = await thread(layer, alice), await thread(layer, bob, name="needle")
    await said(layer, mine, "needle")
    await said(layer, yours, "needle")
    assert await listed(layer, alice, search="needle") == [mine]


async def test_an_empty_search_is_none(layer: Any, alice: Any) -> None:
    threads = [await thread(layer, alice) for _ in range(2)]
    for empty in ("", None):
        assert await listed(layer, alice, search=empty) == threads[::-1]


async def rated(layer: Any, owner: Any, *values: int, name: str = "") -> str:
    thread_id = await thread(layer, owner, name=name)
    for value in values:
        step_id = await said(layer, thread_id, f"rated {value}")
        await layer.upsert_feedback(Feedback(forId=step_id, value=value, threadId=thread_id))
    return thread_id


async def test_threads_are_filtered_by_feedback(layer: Any, alice: Any, bob: Any) -> None:
    down = await rated(layer, alice, 0, 0)
    up = await rated(layer, alice, 1)
    both = await rated(layer, alice, 0, 1)
    none = await rated(layer, alice)
    await rated(layer, bob, 0, 1)
    assert await listed(layer, alice, feedback=0) == [both, down]
    assert await listed(layer, alice, feedback=1) == [both, up]
    assert await listed(layer, alice, feedback=None) == [none, both, up, down]


async def test_the_feedback_filter_follows_the_feedback(layer: Any, alice: Any) -> None:
    thread_id = await thread(layer, alice)
    step_id = await said(layer, thread_id)
    feedback_id = await layer.upsert_feedback(Feedback(forId=step_id, value=0, threadId=thread_id))
    await layer.upsert_feedback(
        Feedback(forId=step_id, value=1, threadId=thread_id, id=feedback_id)
    )
    assert await listed(layer, alice, feedback=0) == []
    assert await listed(layer, alice, feedback=1) == [thread_id]
    await layer.delete_feedback(feedback_id)
    assert await listed(layer, alice, feedback=1) == []


@pytest.mark.parametrize("size", [1, 2, 10])
async def test_filters_combine_and_page(layer: Any, alice: Any, size: int) -> None:
    wanted = []
    for i in range(5):
        wanted.append(await rated(layer, alice, 0, name=f"Trip {i}"))
        await rated(layer, alice, 1, name=f"trip up {i}")
        await rated(layer, alice, 0, name="other")
    assert await listed(layer, alice, page=size, feedback=0, search="TRIP") == wanted[::-1]
