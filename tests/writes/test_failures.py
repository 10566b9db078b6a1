"""The write queue while its server dies, comes back, and conflicts, and writes are cancelled."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import insert, select, text

from chainlit_sqla._internal import aio
from chainlit_sqla.database import Database
from chainlit_sqla.database.migrator import upgrade
from chainlit_sqla.errors import DatabaseUnavailable, RetriesExhausted
from chainlit_sqla.models import Step, Thread, users
from chainlit_sqla.writes.operations import (
    DeleteStep,
    DeleteThread,
    Op,
    SaveFeedback,
    SaveStep,
    SaveThread,
    SaveUser,
    Scope,
    describe,
)
from chainlit_sqla.writes.queue import WriteQueue
from tests.servers.mysql import MySQLServer
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import FlakyProxy
from tests.until import PATIENCE, until


def step(number: int) -> Op:
    return SaveStep("t", f"s{number:03}", {"output": str(number)})


@asynccontextmanager
async def started_queue(database: Database) -> AsyncIterator[WriteQueue]:
    """A queue that has written the first step."""
    made = WriteQueue(database)
    await made.submit(step(0))
    yield made
    await made.close()


@pytest.fixture
async def write_queue(behind_proxy: Database) -> AsyncIterator[WriteQueue]:
    async with started_queue(behind_proxy) as made:
        yield made


@asynccontextmanager
async def impatient(behind_proxy: Database, **seconds: float) -> AsyncIterator[WriteQueue]:
    """A queue of a database with other limits, which has written the first step."""
    settings = behind_proxy.settings.model_copy(update=seconds)
    database = Database(behind_proxy.given_url, settings=settings)
    async with started_queue(database) as made:
        yield made
    await database.close()


async def ids(database: Database) -> list[str]:
    return list(await database.read(lambda c: c.scalars(select(Step.id).order_by(Step.id))))


async def write_while_it_is_killed(
    server: PostgresServer | MySQLServer, write_queue: WriteQueue
) -> None:
    """Submit 119 steps, of which half meet a server that was killed; then start it."""
    tasks: list[asyncio.Task[Any]] = []
    for number in range(1, 120):
        tasks.append(asyncio.create_task(write_queue.submit(step(number))))
        if number == 60:
            await asyncio.to_thread(server.kill)
        await asyncio.sleep(0)
    assert not tasks[-1].done()
    await asyncio.to_thread(server.start)
    await asyncio.gather(*tasks)


async def test_a_server_that_is_killed_and_started_again_costs_nothing(
    postgres: PostgresServer, behind_proxy: Database, write_queue: WriteQueue
) -> None:
    await write_while_it_is_killed(postgres, write_queue)
    assert await ids(behind_proxy) == [f"s{n:03}" for n in range(120)]
    assert await write_queue.close() == []


@pytest.mark.parametrize("deliver", [False, True])
@pytest.mark.parametrize(
    ("at", "more"),
    [
        (b"COMMIT", [SaveUser("ann", {"id": "a"})]),
        (b"s001", []),
        (b"s001", [SaveFeedback("t", "s000", "f", 1)]),
    ],
    ids=["the commit of a batch by statements", "a turn, which has none", "any fast batch"],
)
async def test_a_connection_that_is_lost_at_the_end_costs_nothing(
    proxy: FlakyProxy,
    behind_proxy: Database,
    write_queue: WriteQueue,
    deliver: bool,
    at: bytes,
    more: list[Op],
) -> None:
    """Whether the server got the COMMIT cannot be known; writing again is harmless."""
    proxy.cut_at(at, deliver=deliver)
    await asyncio.gather(*(write_queue.submit(op) for op in [step(1), *more]))
    assert not proxy.cut_pending
    assert await ids(behind_proxy) == ["s000", "s001"]


@pytest.mark.parametrize("held", [False, True])
async def test_a_deletion_whose_answer_is_lost_has_deleted(
    proxy: FlakyProxy, behind_proxy: Database, held: bool
) -> None:
    """Otherwise `delete_feedback` would answer, and `delete_step` log, that there was none."""
    async with (
        impatient(behind_proxy, lock_timeout=0.1) as write_queue,
        behind_proxy.engine.connect() as blocker,
    ):
        if held:
            await blocker.execute(select(Thread.id).with_for_update())
            deletion = asyncio.create_task(write_queue.submit(DeleteStep("s000", Scope("t"))))
            await until(lambda: write_queue.counters().held == 1)
            proxy.cut_at(b"s000", deliver=True)
            await blocker.rollback()
            assert await deletion is True
        else:
            proxy.cut_at(b"s000", deliver=True)
            assert await write_queue.submit(DeleteStep("s000", Scope("t"))) is True
        assert not proxy.cut_pending
        assert await write_queue.submit(DeleteStep("s000", Scope("t"))) is False


async def test_idle_connections_that_were_dropped_are_replaced(
    proxy: FlakyProxy, behind_proxy: Database, write_queue: WriteQueue
) -> None:
    proxy.drop_all()
    await write_queue.submit(step(1))
    proxy.drop_all()
    assert await behind_proxy.read(lambda c: c.scalar(select(Thread.id))) == "t"


async def test_an_unavailable_server_is_reported_and_later_writes_work(
    proxy: FlakyProxy, behind_proxy: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async with impatient(behind_proxy, retry_seconds=0.3) as write_queue:
        proxy.refuse()
        proxy.drop_all()
        with pytest.raises(RetriesExhausted, match=r"step s001 of thread t.*0\.3 s of trying"):
            await write_queue.submit(step(1))
        assert "Not written: step s001 of thread t" in caplog.text
        proxy.accept()
        await write_queue.submit(step(2))
    assert await ids(behind_proxy) == ["s000", "s002"]


async def test_a_server_without_a_free_connection_is_retried(
    postgres: PostgresServer, behind_proxy: Database
) -> None:
    where = direct(postgres, behind_proxy)
    for statement in (
        "DROP ROLE IF EXISTS limited",
        "CREATE ROLE limited LOGIN PASSWORD 'limited' CONNECTION LIMIT 0",
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO limited",
    ):
        await asyncio.to_thread(postgres.execute, statement, url=where)
    url = behind_proxy.given_url.set(username="limited", password="limited")
    database = Database(url, settings=behind_proxy.settings)
    with pytest.raises(DatabaseUnavailable, match="no connection left"):
        await database.read(lambda c: c.scalar(select(Thread.id)))
    write_queue = WriteQueue(database)
    write = asyncio.create_task(write_queue.submit(step(1)))
    await asyncio.sleep(0)
    await asyncio.to_thread(postgres.execute, "ALTER ROLE limited CONNECTION LIMIT 5")
    await write
    assert await ids(behind_proxy) == ["s001"]
    await write_queue.close()
    await database.close()
    for statement in ("DROP OWNED BY limited", "DROP ROLE limited"):
        await asyncio.to_thread(postgres.execute, statement, url=where)


async def test_close_names_what_it_could_not_write(
    proxy: FlakyProxy, behind_proxy: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async with impatient(behind_proxy, close_seconds=0.3) as write_queue:
        proxy.refuse()
        proxy.drop_all()
        tasks = [asyncio.create_task(write_queue.submit(step(n))) for n in (1, 2)]
        await asyncio.sleep(0)
        assert [describe(op) for op in await write_queue.close()] == [
            f"step s00{number} of thread t" for number in (1, 2)
        ]
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [RetriesExhausted] * 2
    for number in (1, 2):
        assert f"Not written: step s00{number}" in caplog.text


async def test_a_deadlock_is_retried(
    postgres: PostgresServer, behind_proxy: Database, write_queue: WriteQueue
) -> None:
    await asyncio.gather(*(write_queue.submit(SaveThread(id, {"name": "old"})) for id in "ab"))
    other = await asyncpg.connect(direct(postgres, behind_proxy))
    await other.execute("SET deadlock_timeout = '1min'")  # Otherwise it may be the victim.
    transaction = other.transaction()
    await transaction.start()
    await other.execute("UPDATE threads SET name = 'other' WHERE id = 'b'")
    writes = asyncio.gather(*(write_queue.submit(SaveThread(id, {"name": "new"})) for id in "ab"))
    await waits_for_a_lock(behind_proxy)
    await other.execute("UPDATE threads SET name = 'other' WHERE id = 'a'")  # They meet here.
    await transaction.commit()
    await writes
    async with behind_proxy.connect() as connection:
        names = list(await connection.scalars(select(Thread.name).where(Thread.id != "t")))
    assert names == ["new", "new"]
    await other.close()


async def write_beside_a_deletion(
    database: Database, write_queue: WriteQueue, wait_for_a_lock: Awaitable[None]
) -> None:
    """Write into a thread that a transaction, of another process, is deleting."""
    async with database.engine.connect() as other, other.begin():
        await other.execute(text("SELECT 1 FROM threads WHERE id = 't' FOR UPDATE"))
        await other.execute(text("INSERT INTO chainlit_sqla_tombstones VALUES ('t', '', now())"))
        await other.execute(text("DELETE FROM threads WHERE id = 't'"))
        late = asyncio.gather(
            write_queue.submit(step(1)), write_queue.submit(SaveThread("t", {}, {"late": True}))
        )
        await wait_for_a_lock
    await late
    assert await ids(database) == []
    assert await database.read(lambda c: c.scalar(select(Thread.id))) is None


async def test_a_thread_that_another_process_is_deleting_stays_deleted(
    behind_proxy: Database, write_queue: WriteQueue
) -> None:
    await write_beside_a_deletion(behind_proxy, write_queue, waits_for_a_lock(behind_proxy))


async def test_a_thread_removed_by_hand_is_recreated_by_the_next_write(
    postgres: PostgresServer, behind_proxy: Database, write_queue: WriteQueue
) -> None:
    other = await asyncpg.connect(direct(postgres, behind_proxy))
    await other.execute("DELETE FROM threads")  # No tombstone: nobody asked the layer.
    await write_queue.submit(step(1))
    assert await ids(behind_proxy) == ["s001"]
    await write_queue.submit(DeleteThread("t"))
    await other.close()


def direct(server: PostgresServer | MySQLServer, behind_proxy: Database) -> str:
    return server.url.rsplit("/", 1)[0] + f"/{behind_proxy.url.database}"


async def waits_for_a_lock(database: Database) -> None:
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )

    async def waits() -> bool:
        return bool(await database.read(lambda c: c.scalar(waiting)))

    await until(waits)


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("40001", id="serialization failure"),
        pytest.param("40P01", id="deadlock"),
        pytest.param("55P03", id="lock timeout"),
        pytest.param("57014", id="statement timeout"),
        pytest.param("53100", id="disk full"),
    ],
)
async def test_transient_errors_are_retried(
    postgres: PostgresServer, behind_proxy: Database, write_queue: WriteQueue, code: str
) -> None:
    for statement in (
        "CREATE SEQUENCE tries",
        # A sequence is not rolled back, so the third attempt gets through.
        f"""CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('tries') < 3 THEN RAISE 'not now' USING ERRCODE = '{code}'; END IF;
            RETURN NEW; END $$""",
        "CREATE TRIGGER refuse BEFORE INSERT ON steps FOR EACH STATEMENT EXECUTE FUNCTION refuse()",
    ):
        where = direct(postgres, behind_proxy)
        await asyncio.to_thread(postgres.execute, statement, url=where)
    await asyncio.gather(write_queue.submit(step(1)), write_queue.submit(step(2)))
    assert await ids(behind_proxy) == ["s000", "s001", "s002"]


async def test_a_cancelled_write_keeps_no_lock_on_the_file(tmp_path: Path) -> None:
    """SQLite keeps a closed connection while one of its statements is not over."""
    database = Database(f"sqlite:///{tmp_path / 'chats.db'}")
    entered, leave = threading.Event(), threading.Event()

    def wait_here() -> int:
        entered.set()
        leave.wait(PATIENCE)
        return 1

    async def write() -> None:
        async with database.write() as connection:
            driver = (await connection.get_raw_connection()).driver_connection
            await driver.create_function("wait_here", 0, wait_here)  # type: ignore[union-attr]
            await connection.execute(text("SELECT wait_here() UNION ALL SELECT 2"))

    writer = asyncio.create_task(write())
    await until(entered.is_set)
    writer.cancel()
    await asyncio.sleep(0)
    leave.set()
    # Its traceback holds the statement, as a task that was cancelled holds it.
    with pytest.raises(asyncio.CancelledError) as cancelled:
        await writer
    with closing(sqlite3.connect(tmp_path / "chats.db", timeout=0)) as other:
        other.execute("BEGIN IMMEDIATE")
    assert cancelled.value.__traceback__
    await database.close()


def wide_rows() -> list[dict[str, Any]]:
    """More than all buffers between client and server hold."""
    names = [f"u{number:03}" for number in range(400)]
    wide = {"text": "x" * 100_000}
    return [{"id": one, "identifier": one, "metadata": wide} for one in names]


async def write_many(database: Database, drivers: list[Any]) -> None:
    async with database.write() as connection:
        drivers.append((await connection.get_raw_connection()).driver_connection)
        await database.dialect.execute_many(connection, insert(users), wide_rows())


@pytest.mark.parametrize("goes_on", [True, False], ids=["the server goes on", "it does not"])
async def test_a_write_that_is_cancelled_while_it_is_sent_ends(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, goes_on: bool
) -> None:
    monkeypatch.setattr(aio, "SHIELD_SECONDS", PATIENCE if goes_on else 0.1)
    database = Database(postgres_url)
    await upgrade(database)
    drivers: list[Any] = []
    async with database.engine.connect() as holder:  # Rolls back at its end.
        await holder.execute(insert(users), wide_rows()[0])  # The other one waits for it.
        writing = asyncio.create_task(write_many(database, drivers))
        await until(lambda: bool(drivers) and drivers[0]._transport.get_write_buffer_size() > 0)
        writing.cancel()
        if not goes_on:
            await asyncio.wait([writing], timeout=PATIENCE)
            assert writing.done()
    await asyncio.wait([writing], timeout=PATIENCE)
    assert writing.cancelled()
    async with database.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM users"))).scalar() == 0
    await database.close()
