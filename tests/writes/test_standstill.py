"""Nobody stands still: reads, logins and closing while the database is silent, away or locked."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from chainlit.types import Pagination, ThreadFilter
from chainlit.user import User
from sqlalchemy import text

from chainlit_sqla import SQLADataLayer, data_layer
from chainlit_sqla._internal import outage
from chainlit_sqla.database import Database
from chainlit_sqla.database.migrator import downgrade
from chainlit_sqla.errors import DatabaseUnavailable, SchemaOutdated
from chainlit_sqla.integration import lifecycle
from chainlit_sqla.settings import Settings
from chainlit_sqla.writes import attempts
from tests.servers.proxy import FlakyProxy
from tests.until import until

SLOW = 30.0
"""What a wait without a limit takes at least here, for instance the time to connect."""


@pytest.fixture
async def layer(
    behind_proxy: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[SQLADataLayer]:
    """A layer whose limits are tenths of a second, with a user and a thread."""
    settings = behind_proxy.settings.model_copy(
        update={"close_seconds": 2.0, "read_seconds": 0.5, "connect_timeout": SLOW}
    )
    database = Database(behind_proxy.given_url, settings=settings)
    made = SQLADataLayer(database, storage=f"file://{tmp_path}", settings=settings)
    await made.create_user(User(identifier="alice", metadata={"n": 1}))
    await made.update_thread("t", name="Before")
    for module, name, seconds in (
        (lifecycle, "_SETTLE_SECONDS", 0.2),
        (lifecycle, "_SETTLE_SECONDS_IN_OUTAGE", 0.1),
        (lifecycle, "_READ_SECONDS_IN_OUTAGE", 0.2),
        (data_layer, "_LOOKUP_SECONDS", 0.3),
        (data_layer, "_LOGIN_SECONDS", 0.3),
        (outage, "GRACE", 0.05),
    ):
        monkeypatch.setattr(module, name, seconds)
    yield made
    await made.close()


class Timed:
    """Measures a block."""

    async def __aenter__(self) -> Timed:
        self._began = time.monotonic()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.seconds = time.monotonic() - self._began


async def page(layer: SQLADataLayer) -> Any:
    return await layer.list_threads(Pagination(first=20), ThreadFilter(userId="nobody"))


async def test_a_page_shows_what_is_there_while_a_write_waits_for_a_lock(
    layer: SQLADataLayer, behind_proxy: Database
) -> None:
    async with behind_proxy.engine.connect() as other, other.begin():
        await other.execute(text("SELECT 1 FROM threads WHERE id = 't' FOR UPDATE"))
        rename = asyncio.create_task(layer.update_thread("t", name="After"))
        async with Timed() as reading:
            thread = await layer.get_thread("t")
            await page(layer)
        assert thread is not None
        assert thread["name"] == "Before"
        assert 0.2 < reading.seconds < SLOW / 2
        assert layer.stats().pending_writes == 1
    await rename
    thread = await layer.get_thread("t")
    assert thread is not None
    assert thread["name"] == "After"


async def test_pages_and_logins_fail_soon_while_the_server_is_silent(
    layer: SQLADataLayer, proxy: FlakyProxy, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.blackhole()
    async with Timed() as silence:
        with pytest.raises(DatabaseUnavailable, match=r"user bob is not written yet"):
            await layer.create_user(User(identifier="bob"))
        for _ in range(5):
            with pytest.raises(DatabaseUnavailable, match=r"does not answer \(no answer for"):
                await layer.get_user("bob")
            with pytest.raises(DatabaseUnavailable):
                await page(layer)
    assert silence.seconds < SLOW / 2
    await until(lambda: len(caplog.messages) > 0)
    assert [message.split(":")[0] for message in caplog.messages] == ["Not read yet"]
    proxy.restore()
    await layer.write_queue.flush()
    await until(lambda: bob_is_written(layer))  # His login was not lost.
    assert caplog.messages[-1].startswith("Read again after ")


async def test_a_write_without_an_answer_is_reported(
    layer: SQLADataLayer,
    proxy: FlakyProxy,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attempts, "_UNANSWERED", 0.1)
    proxy.blackhole()
    rename = asyncio.create_task(layer.update_thread("t", name="After"))
    await until(lambda: len(caplog.messages) > 0)
    assert caplog.messages[0].startswith("Not written yet: 1 writes")
    assert "no answer for 0.1 s" in caplog.messages[0]
    proxy.restore()
    await rename
    assert caplog.messages[-1].startswith("Written again after ")


async def bob_is_written(layer: SQLADataLayer) -> bool:
    try:
        return await layer.get_user("bob") is not None
    except DatabaseUnavailable:
        return False


async def test_who_was_seen_lately_is_known_in_an_outage(
    layer: SQLADataLayer, proxy: FlakyProxy
) -> None:
    """Otherwise Chainlit's session has no user, and its conversation belongs to nobody."""
    user = await layer.get_user("alice")
    assert user is not None
    proxy.refuse()
    proxy.drop_all()
    with pytest.raises(DatabaseUnavailable):  # The login of a second window.
        await layer.create_user(User(identifier="alice", metadata={"n": 2}))
    again = await layer.get_user("alice")
    assert again is not None
    assert again.id == user.id
    with pytest.raises(DatabaseUnavailable):
        await layer.get_user("bob")
    proxy.accept()
    await layer.write_queue.flush()
    written = await layer.get_user("alice")
    assert written is not None
    assert written.metadata == {"n": 2}


async def test_closing_a_silent_database_ends_and_names_what_is_lost(
    layer: SQLADataLayer, proxy: FlakyProxy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "chainlit_sqla")
    proxy.blackhole()
    steps = [{"id": f"s{number:04}", "threadId": "t", "type": "run"} for number in range(3_000)]
    tasks = [asyncio.create_task(layer.create_step(step)) for step in steps]  # type: ignore[arg-type]
    reading = asyncio.create_task(page(layer))
    await until(lambda: layer.stats().pending_writes == len(steps))
    async with Timed() as closing:
        await layer.close()
    assert closing.seconds < 5
    await asyncio.gather(*tasks, reading, return_exceptions=True)
    lines = [record for record in caplog.records if record.levelno > logging.INFO]
    assert len(lines) < 30
    assert "Not finished in " in lines[-1].getMessage() or "Not closed" in lines[-1].getMessage()
    assert any("3000 writes" in record.getMessage() for record in lines)
    named = {message.split()[3] for message in caplog.messages if "Not written: step" in message}
    assert named == {step["id"] for step in steps}  # The others at DEBUG.


async def test_the_numbers_of_a_layer(layer: SQLADataLayer, proxy: FlakyProxy) -> None:
    stats = layer.stats()
    assert (stats.pending_writes, stats.waiting_seconds, stats.last_error) == (0, 0.0, None)
    assert (stats.written, stats.refused) == (2, 0)
    assert stats.connections_open >= 1
    assert stats.connections_in_use == 0
    proxy.refuse()
    proxy.drop_all()
    write = asyncio.create_task(layer.update_thread("t", name="After"))
    await until(lambda: layer.stats().waiting_seconds > 0)
    stats = layer.stats()
    assert stats.pending_writes == 1
    assert stats.pending_bytes > 0
    assert stats.last_error
    assert "t" in stats.last_error
    proxy.accept()
    await write
    assert layer.stats().written == 3
    assert layer.stats().last_error is None


async def test_tables_that_were_dropped_are_created_again(tmp_path: Path) -> None:
    settings = Settings.load(database_url=f"sqlite:///{tmp_path / 'chats.db'}", auto_upgrade=True)
    made = SQLADataLayer(settings=settings, storage=f"file://{tmp_path}")
    assert (await page(made)).data == []
    await downgrade(made.database, "base")
    with pytest.raises(SchemaOutdated):
        await page(made)
    assert (await page(made)).data == []
    await made.close()


async def test_a_forgotten_upgrade_is_one_line(
    postgres_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database(postgres_url, settings=Settings.load(auto_upgrade=False))
    made = SQLADataLayer(database, storage=f"file://{tmp_path}")
    for _ in range(20):
        with pytest.raises(Exception, match="chainlit-sqla upgrade"):
            await page(made)
    await until(lambda: len(caplog.messages) > 0)
    [message] = caplog.messages
    assert message.startswith("Not ready yet: the tables: ")
    assert "run: chainlit-sqla upgrade" in message
    await made.close()
