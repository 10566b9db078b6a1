"""One layer in a script that runs several event loops, one after another."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.database import Database
from chainlit_sqla.database import migrator as migrations
from chainlit_sqla.errors import ConfigurationError
from chainlit_sqla.writes.operations import SaveThread
from chainlit_sqla.writes.queue import WriteQueue
from tests.servers.fixtures import url_of
from tests.until import PATIENCE


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    yield from url_of(request, tmp_path)


def upgraded(url: str, folder: Path) -> SQLADataLayer:
    layer = SQLADataLayer(url, storage=f"file://{folder / 'files'}")
    asyncio.run(migrations.upgrade(layer.database))
    return layer


def test_a_layer_outlives_an_event_loop(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    layer = upgraded(url, tmp_path)

    async def write(number: int) -> int:
        await layer.create_step({"id": f"s{number}", "threadId": "t", "type": "tool"})
        thread = await layer.get_thread("t")
        assert thread is not None
        return len(thread["steps"])

    assert [asyncio.run(write(number)) for number in range(3)] == [1, 2, 3]
    asyncio.run(layer.close())
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize("turns", range(1, 14, 3))
def test_a_loop_may_end_at_any_moment_of_a_write(url: str, tmp_path: Path, turns: int) -> None:
    """A thread's result may come when the loop that waits for it has ended."""
    layer = upgraded(url, tmp_path)

    async def leave() -> None:
        await layer.create_step({"id": "a", "threadId": "t", "type": "tool"})
        large = {"id": "b", "threadId": "t", "type": "tool", "output": "x" * 200_000}
        asyncio.create_task(layer.create_step(large))  # noqa: RUF006 - as Chainlit does
        for _ in range(turns):
            await asyncio.sleep(0)

    async def follow() -> list[list[str]]:
        async with asyncio.timeout(PATIENCE):
            await layer.create_step({"id": "c", "threadId": "t", "type": "tool"})
            threads = await asyncio.gather(*(layer.get_thread("t") for _ in range(5)))
            await layer.close()
        return [[step["id"] for step in thread["steps"]] for thread in threads if thread]

    asyncio.run(leave())
    assert asyncio.run(follow()) == [["a", "b", "c"]] * 5


def test_closing_in_another_loop_writes_what_was_left(url: str, tmp_path: Path) -> None:
    layer = upgraded(url, tmp_path)

    async def leave() -> None:
        asyncio.create_task(  # noqa: RUF006 - as Chainlit does
            layer.create_step({"id": "left", "threadId": "t", "type": "tool"})
        )
        await asyncio.sleep(0)

    asyncio.run(leave())
    asyncio.run(layer.close())
    again = upgraded(url, tmp_path)
    thread = asyncio.run(again.get_thread("t"))
    assert thread is not None
    assert [step["id"] for step in thread["steps"]] == ["left"]
    asyncio.run(again.close())


def test_calls_from_two_loops_are_refused_and_no_write_is_lost(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'chats.db'}")
    write_queue = WriteQueue(database, lambda: migrations.ensure(database))
    started, finish = threading.Event(), threading.Event()

    async def write_first() -> None:
        await write_queue.submit(SaveThread("first", {"name": "kept"}))
        started.set()
        await asyncio.to_thread(finish.wait)
        await write_queue.close()

    async def write_second() -> None:
        with pytest.raises(ConfigurationError, match="another event loop"):
            await write_queue.submit(SaveThread("second", {"name": "refused"}))
        with pytest.raises(ConfigurationError, match="another event loop"):
            await write_queue.flush()
        with pytest.raises(ConfigurationError, match="another event loop"):
            await migrations.current(database)

    thread = threading.Thread(target=lambda: asyncio.run(write_first()))
    thread.start()
    started.wait()
    asyncio.run(write_second())
    finish.set()
    thread.join()
    with closing(sqlite3.connect(tmp_path / "chats.db")) as connection:
        assert connection.execute("SELECT id FROM threads").fetchall() == [("first",)]


async def test_cancelled_reads_leave_a_database_in_memory_whole() -> None:
    layer = SQLADataLayer("sqlite://")
    await layer.update_thread("t", name="kept")
    for number in range(50):
        read = asyncio.create_task(layer.get_thread("t"))
        for _ in range(number % 7):
            await asyncio.sleep(0)
        read.cancel()
        await asyncio.wait([read])
    thread = await layer.get_thread("t")
    assert thread is not None
    assert thread["name"] == "kept"
    await layer.close()
