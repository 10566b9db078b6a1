"""Search with signatures: nothing is passed over that it must find, whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from chainlit.types import Feedback
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select, text, update

from chainlit_sqla.models import signatures, steps, threads
from chainlit_sqla.queries import search
from chainlit_sqla.queries.search_index import SearchIndex
from chainlit_sqla.writes import signatures as writing
from tests.contract.build import at, listed, message, new_id, person, said, tool
from tests.contract.test_properties import PROPERTY
from tests.contract.test_search import FOUND
from tests.until import PATIENCE

pytestmark = pytest.mark.ours


@pytest.fixture
def small_portions(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Phases and portions so short that a few threads cross their borders."""
    monkeypatch.setattr(search, "_NEWEST", 3)
    monkeypatch.setattr("chainlit_sqla.queries.search_index._PORTION", 2)
    monkeypatch.setattr("chainlit_sqla.queries.search_index._MESSAGES", 2)
    search._statement.cache_clear()
    yield
    search._statement.cache_clear()


async def long_ago(
    layer: Any, owner: Any, number: int, *outputs: str, name: str | None = None
) -> str:
    """Make a thread in which nothing was said for months."""
    thread_id = new_id()
    for output in outputs or ("0",):
        await layer.create_step(message(thread_id, output, createdAt=at(number)))
    await layer.update_thread(thread_id, user_id=owner.id, name=name)
    return thread_id


async def sign(layer: Any, owner: Any) -> int:
    return await SearchIndex(layer.database).sign(owner.id)


async def signed(layer: Any) -> int:
    query = select(func.count()).where(signatures.c.signature.is_not(None))
    return int(await layer.database.read(lambda connection: connection.scalar(query)))


async def test_signed_threads_are_found(layer: Any, alice: Any) -> None:
    places = {}
    for i, (output, _) in enumerate(FOUND):
        places[output] = {
            await long_ago(layer, alice, 2 * i, "0", f"See {output}!"),
            await long_ago(layer, alice, 2 * i + 1, name=f"See {output}!"),
        }
    assert await sign(layer, alice) == 2 * len(FOUND)
    assert await sign(layer, alice) == 0
    for _, term in FOUND:
        expected: set[str] = set()
        for output, ids in places.items():
            if term.casefold() in output.casefold():
                expected |= ids
        assert set(await listed(layer, alice, search=term)) == expected, term


async def test_signatures_find_the_same_of_letters_with_odd_cases(layer: Any, alice: Any) -> None:
    for number, output in enumerate(("İSTANBUL", "STRAẞE", "ΣΑΣ", "300 \u212aelvin", "ǅungla Ⱥbc")):
        await long_ago(layer, alice, number, output)
    terms = [
        *("istanbul", "i̇stanbul", "İstanbul", "stanbul", "straße", "strasse", "stra"),
        *("σας", "σασ", "kelvin", "elvin", "ǆungla", "ungla", "ⱥbc", "Ⱥbc"),
    ]
    before = {term: set(await listed(layer, alice, search=term)) for term in terms}
    assert await sign(layer, alice) == 5
    assert {term: set(await listed(layer, alice, search=term)) for term in terms} == before


Act = Callable[[Any, Any, str, str], Awaitable[Any]]


async def edit(layer: Any, owner: Any, thread_id: str, step_id: str) -> None:
    await layer.update_step({"id": step_id, "threadId": thread_id, "output": "a needle"})


async def rename(layer: Any, owner: Any, thread_id: str, step_id: str) -> None:
    await layer.update_thread(thread_id, name="a needle")


async def say(layer: Any, owner: Any, thread_id: str, step_id: str) -> None:
    await said(layer, thread_id, "a needle")


async def add_an_old_one(layer: Any, owner: Any, thread_id: str, step_id: str) -> None:
    await layer.create_step(message(thread_id, "a needle", createdAt=at(-100)))


async def add_by_an_update(layer: Any, owner: Any, thread_id: str, step_id: str) -> None:
    step = message(thread_id, "a needle", createdAt=datetime.now(UTC).isoformat())
    await layer.update_step(step)


async def make_a_message_of_a_tool(layer: Any, owner: Any, thread_id: str, step_id: str) -> None:
    step = tool(thread_id, output="a needle", createdAt=datetime.now(UTC).isoformat())
    await layer.create_step(dict(step))
    await sign(layer, owner)
    await layer.update_step({"id": step["id"], "threadId": thread_id, "type": "user_message"})


async def write_past_the_layer(layer: Any, owner: Any, thread_id: str, step_id: str) -> None:
    async with layer.database.write() as connection:
        await connection.execute(
            update(steps).where(steps.c.id == step_id).values(output="a needle")
        )


async def add_without_an_instant(layer: Any, owner: Any, thread_id: str, step_id: str) -> None:
    step = {"id": new_id(), "threadId": thread_id, "type": "assistant_message"}
    await layer.update_step(step | {"output": "a needle"})


async def rename_past_the_layer(layer: Any, owner: Any, thread_id: str, step_id: str) -> None:
    async with layer.database.write() as connection:
        await connection.execute(update(threads).values(name="a needle"))


@pytest.mark.parametrize(
    "act",
    [
        edit,
        rename,
        say,
        add_an_old_one,
        add_by_an_update,
        add_without_an_instant,
        make_a_message_of_a_tool,
        write_past_the_layer,
        rename_past_the_layer,
    ],
)
async def test_a_change_of_a_signed_thread_is_found(layer: Any, alice: Any, act: Act) -> None:
    thread_id = await long_ago(layer, alice, 0, "a thimble")
    (step,) = (await layer.get_thread(thread_id))["steps"]
    assert await sign(layer, alice) == 1
    assert await listed(layer, alice, search="needle") == []
    await act(layer, alice, thread_id, step["id"])
    assert await listed(layer, alice, search="Needle") == [thread_id]


@pytest.mark.parametrize("act", [edit, rename, say, write_past_the_layer])
async def test_a_change_while_a_thread_is_signed_is_found(layer: Any, alice: Any, act: Act) -> None:
    thread_id = await long_ago(layer, alice, 0, "a thimble")
    (step,) = (await layer.get_thread(thread_id))["steps"]
    database = layer.database
    place = (datetime.fromisoformat(at(0)), thread_id)
    async with database.write() as connection:
        claimed = await writing.claim(connection, database.dialect, alice.id, [place], "me")
    assert list(claimed) == [thread_id]
    await act(layer, alice, thread_id, step["id"])
    async with database.write() as connection:
        made = {thread_id: b"\0" * 32}  # As of a text without the needle.
        await writing.store(connection, made, "me")
    assert await listed(layer, alice, search="needle") == [thread_id]


async def test_a_thread_may_be_deleted_while_it_is_signed(layer: Any, alice: Any) -> None:
    thread_id = await long_ago(layer, alice, 0, "needle")
    database = layer.database
    place = (datetime.fromisoformat(at(0)), thread_id)
    async with database.write() as connection:
        await writing.claim(connection, database.dialect, alice.id, [place], "me")
    await layer.delete_thread(thread_id)
    async with database.write() as connection:
        await writing.store(connection, {thread_id: b"\0" * 32}, "me")
    assert await listed(layer, alice, search="needle") == []


@pytest.mark.usefixtures("small_portions")
async def test_two_processes_may_sign_the_same_threads(layer: Any, alice: Any) -> None:
    ids = [await long_ago(layer, alice, i, "needle", "bye", "hello") for i in range(6)]
    await asyncio.gather(*(sign(layer, alice) for _ in range(3)))
    await sign(layer, alice)
    assert await signed(layer) == 6
    assert await listed(layer, alice, search="needle") == ids[::-1]


@pytest.mark.usefixtures("small_portions")
async def test_signing_ends_when_it_is_closed_and_goes_on_later(
    layer: Any, alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chainlit_sqla.queries.search_index._FEW", 1)
    for i in range(8):
        await long_ago(layer, alice, i, "needle")
    before = asyncio.all_tasks()
    index = SearchIndex(layer.database)
    index.wanted(alice.id)
    async with asyncio.timeout(PATIENCE):
        while not await signed(layer):
            await asyncio.sleep(0)
    await index.close()
    assert asyncio.all_tasks() <= before
    await sign(layer, alice)
    assert await signed(layer) == 8
    assert len(await listed(layer, alice, search="needle")) == 8


async def test_what_is_gone_is_not_found(layer: Any, alice: Any) -> None:
    thread_id = await long_ago(layer, alice, 0, "needle", name="thimble")
    other = await long_ago(layer, alice, 1, "needle")
    await sign(layer, alice)
    (step,) = (await layer.get_thread(thread_id))["steps"]
    await layer.delete_step(step["id"])
    assert await listed(layer, alice, search="needle") == [other]
    await layer.delete_thread(other)
    assert await listed(layer, alice, search="needle") == []
    assert await signed(layer) == 1, "what is known of a deleted thread is deleted"


async def test_a_thread_is_found_by_its_new_owner_only(layer: Any, alice: Any, bob: Any) -> None:
    thread_id = await long_ago(layer, alice, 0, "needle")
    await long_ago(layer, bob, 0, "thimble")
    await sign(layer, alice)
    await sign(layer, bob)
    await layer.update_thread(thread_id, user_id=bob.id)
    assert await listed(layer, alice, search="needle") == []
    assert await listed(layer, bob, search="needle") == [thread_id]
    await sign(layer, bob)
    assert await listed(layer, bob, search="needle") == [thread_id]


async def test_a_thread_that_is_not_quiet_is_left(layer: Any, alice: Any) -> None:
    thread_id = await long_ago(layer, alice, 0, "before")
    await said(layer, thread_id, "needle")
    assert await sign(layer, alice) == 0
    assert await listed(layer, alice, search="needle") == [thread_id]


@pytest.mark.parametrize("size", [1, 2, 4, 100])
@pytest.mark.usefixtures("small_portions")
async def test_pages_join_across_signed_and_new_threads(
    layer: Any, alice: Any, bob: Any, size: int
) -> None:
    expected = []
    for i in range(14):
        output = "a needle" if i % 3 else "thimbles"
        thread_id = await long_ago(layer, alice, i, "hello", output, "bye", name=f"Trip {i}")
        await long_ago(layer, bob, i, "needle")
        if i % 3:
            expected.append(thread_id)
        if i == 9:
            assert await sign(layer, alice) == 10
    expected = expected[::-1]
    assert await listed(layer, alice, page=size, search="NEEDLE") == expected
    assert await listed(layer, alice, page=size, search="ed") == expected, "too short to sign"
    assert len(await listed(layer, alice, page=size, search="trip")) == 14
    assert await listed(layer, alice, page=size, search="nothing") == []
    rated = [expected[1], expected[7]]
    for thread_id in rated:
        step = (await layer.get_thread(thread_id))["steps"][0]
        await layer.upsert_feedback(Feedback(forId=step["id"], value=1, threadId=thread_id))
    assert await listed(layer, alice, page=size, search="NEEDLE", feedback=1) == rated


letters = st.text("aA bBéÉжЖ世界%_\\'\"", min_size=0, max_size=8)
histories = st.lists(
    st.tuples(st.lists(letters, min_size=1, max_size=4), letters, st.booleans()), max_size=9
)


@PROPERTY
@given(history=histories, terms=st.lists(letters.filter(bool), min_size=1, max_size=4))
@pytest.mark.usefixtures("small_portions")
async def test_a_search_finds_what_a_model_finds(
    layer: Any, history: list[tuple[list[str], str, bool]], terms: list[str]
) -> None:
    owner = await person(layer)
    model: dict[str, list[str]] = {}
    for i, (outputs, name, sign_now) in enumerate(history):
        thread_id = await long_ago(layer, owner, i, *outputs, name=name)
        model[thread_id] = [name, *outputs]
        if sign_now:
            await sign(layer, owner)
    for term in terms:
        expected = [
            thread_id
            for thread_id, found in reversed(model.items())
            if any(term.casefold() in one.casefold() for one in found)
        ]
        assert await listed(layer, owner, page=2, search=term) == expected, term


async def test_who_searches_gets_signatures(
    layer: Any, alice: Any, bob: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chainlit_sqla.queries.search_index._FEW", 3)
    await asyncio.gather(*(long_ago(layer, alice, i, "hello") for i in range(5)))
    await long_ago(layer, bob, 1, "hello")
    assert await listed(layer, alice) == await listed(layer, alice, search="hello")
    async with asyncio.timeout(PATIENCE):
        while await signed(layer) < 5:
            await asyncio.sleep(0.02)
    assert len(await listed(layer, bob, search="hello")) == 1
    assert await signed(layer) == 5, "one thread is read as quickly"


async def test_a_search_works_where_signatures_cannot_be_written(
    layer: Any,
    alice: Any,
    bob: Any,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("chainlit_sqla.queries.search_index._FEW", 1)
    thread_id = await long_ago(layer, alice, 0, "needle")
    async with layer.database.write() as connection:
        await connection.execute(
            text("ALTER TABLE chainlit_sqla_signatures RENAME COLUMN claim TO x")
        )
    other = await long_ago(layer, bob, 0, "needle")
    with caplog.at_level("DEBUG", "chainlit_sqla.queries.search_index"):
        for number, (user, found) in enumerate([(alice, thread_id), (bob, other)], 1):
            assert await listed(layer, user, search="needle") == [found]
            async with asyncio.timeout(PATIENCE):
                while caplog.text.count("not signed") < number:
                    await asyncio.sleep(0.02)
    levels = [record.levelname for record in caplog.records if "not signed" in record.message]
    assert levels == ["INFO", "DEBUG"], "it is told once"
    assert await listed(layer, alice, search="needle") == [thread_id]
