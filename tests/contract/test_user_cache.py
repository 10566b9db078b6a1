"""A user is answered from memory, but never an old one: this process knows what it writes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from chainlit.user import User

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.queries.user_cache import KnownUser, UserCache
from chainlit_sqla.settings import Settings
from tests.contract.build import person
from tests.contract.test_statements import counted
from tests.until import PATIENCE, until

pytestmark = pytest.mark.ours


async def metadata(layer: Any, identifier: str) -> Any:
    user = await layer.get_user(identifier)
    return None if user is None else user.metadata


async def test_a_second_reading_asks_nobody(layer: Any) -> None:
    user = await person(layer)
    async with counted(layer) as count:
        await layer.get_user(user.identifier)
    assert count.statements == []


async def test_readers_beside_a_writer_never_go_back(layer: Any) -> None:
    await layer.create_user(User(identifier="me", metadata={"n": 0}))
    done = asyncio.Event()

    async def watch() -> list[int]:
        seen = []
        while not done.is_set():
            seen.append((await metadata(layer, "me"))["n"])
            await asyncio.sleep(0)
        return seen

    watching = [asyncio.create_task(watch()) for _ in range(5)]
    for number in range(1, 30):
        await layer.create_user(User(identifier="me", metadata={"n": number}))
        assert await metadata(layer, "me") == {"n": number}
    done.set()
    for seen in await asyncio.gather(*watching):
        assert seen == sorted(seen)


async def test_a_writer_who_goes_away_leaves_no_old_answer(layer: Any) -> None:
    await layer.create_user(User(identifier="me", metadata={"n": 0}))
    writer = asyncio.create_task(layer.create_user(User(identifier="me", metadata={"n": 1})))
    await asyncio.sleep(0)
    writer.cancel()
    await metadata(layer, "me")  # May be the old one, and must not stay.
    await layer.write_queue.flush()
    assert await metadata(layer, "me") == {"n": 1}


@pytest.mark.parametrize("seconds", [0.0, 0.2])
async def test_what_another_process_writes_is_seen_in_time(
    backend: Any, layer: Any, seconds: float
) -> None:
    settings = Settings.load(user_cache_seconds=seconds)
    reader = SQLADataLayer(backend.url, storage=backend.storage(), settings=settings)
    backend.layers.append(reader)
    await layer.create_user(User(identifier="me", metadata={"n": 0}))
    assert await metadata(reader, "me") == {"n": 0}
    await layer.create_user(User(identifier="me", metadata={"n": 1}))
    async with asyncio.timeout(PATIENCE):
        while await metadata(reader, "me") != {"n": 1}:
            assert seconds, "0 asks every time"
            await asyncio.sleep(0.02)


async def test_who_is_not_there_may_come_at_any_time(backend: Any, layer: Any) -> None:
    other = backend.open()
    assert await layer.get_user("new") is None
    await person(other, "new")
    assert (await layer.get_user("new")).identifier == "new"


async def test_callers_may_change_what_they_get(layer: Any) -> None:
    await layer.create_user(User(identifier="me", metadata={"list": [1]}))
    one, other = await layer.get_user("me"), await layer.get_user("me")
    one.metadata["list"].append(2)
    one.identifier = "somebody else"
    assert other.metadata == await metadata(layer, "me") == {"list": [1]}
    assert (await layer.get_user("me")).identifier == "me"


class Source:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.value = 0
        self.open = asyncio.Event()

    async def read(self, identifier: str) -> KnownUser | None:
        self.asked.append(identifier)
        value = self.value
        await self.open.wait()
        return KnownUser("id", identifier, None, f'{{"n":{value}}}', "2026-01-31T08:00:00Z")


async def number(cache: UserCache, identifier: str = "me") -> Any:
    user = await cache.get(identifier)
    assert user
    return user.own_metadata()["n"]


async def test_a_reading_from_before_a_write_is_not_kept() -> None:
    source = Source()
    cache = UserCache(source.read, 60)
    early = asyncio.create_task(number(cache))
    await until(lambda: len(source.asked) == 1)
    written = cache.writing("me")
    within = asyncio.create_task(number(cache))
    await until(lambda: len(source.asked) == 2)
    source.value = 1
    written()
    late = asyncio.create_task(number(cache))
    await until(lambda: len(source.asked) == 3)
    source.open.set()
    assert await asyncio.gather(early, within, late) == [0, 0, 1]
    assert await number(cache) == 1
    assert len(source.asked) == 3


async def test_nothing_is_kept_while_one_of_two_writes_goes_on() -> None:
    source = Source()
    source.open.set()
    cache = UserCache(source.read, 60)
    first, second = cache.writing("me"), cache.writing("me")
    first()
    await number(cache)
    source.value = 1
    assert await number(cache) == 1
    second()
    assert [await number(cache), await number(cache)] == [1, 1]
    assert len(source.asked) == 3


async def test_readers_at_once_ask_once_also_when_the_first_goes_away() -> None:
    source = Source()
    cache = UserCache(source.read, 60)
    readers = [asyncio.create_task(number(cache)) for _ in range(50)]
    await asyncio.sleep(0)
    readers[0].cancel()
    source.open.set()
    answers = await asyncio.gather(*readers, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert answers[1:] == [0] * 49
    assert source.asked == ["me"]


async def test_a_failed_reading_is_everybodys_and_not_kept() -> None:
    answers: list[Exception | None] = [OSError("away"), None]

    async def read(_: str) -> KnownUser | None:
        if error := answers.pop(0):
            raise error
        return None

    cache = UserCache(read, 60)
    failed = await asyncio.gather(cache.get("me"), cache.get("me"), return_exceptions=True)
    assert [type(error) for error in failed] == [OSError, OSError]
    assert await cache.get("me") is None


async def test_so_many_are_kept_and_the_last_used_stay() -> None:
    source = Source()
    source.open.set()
    cache = UserCache(source.read, 60, size=3)
    for name in ("a", "b", "c", "a", "d"):
        await number(cache, name)
    assert len(cache) == 3
    source.asked.clear()
    for name in ("a", "c", "d", "b"):
        await number(cache, name)
    assert source.asked == ["b"]


def test_a_reading_of_a_loop_that_ended_holds_nobody_up() -> None:
    source = Source()
    cache = UserCache(source.read, 60)

    async def leave() -> None:
        asyncio.create_task(number(cache))  # noqa: RUF006
        await asyncio.sleep(0)

    asyncio.run(leave())
    source.open = asyncio.Event()
    source.open.set()
    assert asyncio.run(number(cache)) == 0
