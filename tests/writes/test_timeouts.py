"""Servers that give no answer: connections that a network has forgotten, and locked rows."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import Text, cast, func, literal, select, text
from sqlalchemy.util import greenlet_spawn

from chainlit_sqla.database import Database, engine
from chainlit_sqla.database.migrator import upgrade
from chainlit_sqla.dialects import BoundStatement
from chainlit_sqla.errors import DatabaseUnavailable
from chainlit_sqla.models import Thread
from chainlit_sqla.settings import Settings
from chainlit_sqla.writes.operations import Op, SaveStep, SaveUser
from chainlit_sqla.writes.queue import WriteQueue
from tests.servers.mysql import MySQLServer, start_mysql
from tests.servers.pgbouncer import start_pgbouncer
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import FlakyProxy
from tests.until import until
from tests.writes.test_failures import ids, started_queue, step

SECONDS = 0.5
"""The time limit of a statement in these tests."""
SOON = 6.0
"""No wait is longer: a timeout, the end of the connection, a new one, and a busy machine."""
ONE: BoundStatement = (select(literal(1)), {})
URL = "postgresql://me@127.0.0.1:1/chats"


@pytest.fixture(
    scope="module",
    params=[
        "postgresql",
        pytest.param("mysql", marks=pytest.mark.full),
        pytest.param("mariadb", marks=pytest.mark.full),
    ],
)
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer | MySQLServer]:
    if request.param == "postgresql":
        yield request.getfixturevalue("postgres")
        return
    made = start_mysql(request.param)
    yield made
    made.stop()


@asynccontextmanager
async def limited_by(behind_proxy: Database, **limits: float) -> AsyncIterator[Database]:
    settings = behind_proxy.settings.model_copy(update={"command_timeout": SECONDS, **limits})
    made = Database(behind_proxy.given_url, settings=settings)
    yield made
    async with within(SOON):
        await made.close()


@pytest.fixture
async def database(behind_proxy: Database) -> AsyncIterator[Database]:
    async with limited_by(behind_proxy) as made:
        yield made


@pytest.fixture
async def write_queue(database: Database) -> AsyncIterator[WriteQueue]:
    async with started_queue(database) as made:
        yield made


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """Fail where something waits longer, even if it cannot be cancelled."""
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        yield
    assert time.monotonic() - began < seconds


async def fill_pool(database: Database) -> None:
    """Leave as many idle connections as the pool keeps."""
    connections = [await database.engine.raw_connection() for _ in range(5)]
    for connection in connections:
        await greenlet_spawn(connection.close)


FEW = [step(1)]
"""Written by one statement."""
MANY: list[Op] = [step(1), step(2), SaveUser("ann", {"id": "a"})]
"""Written statement by statement, the steps by one for many rows."""


@pytest.mark.parametrize("ops", [FEW, MANY], ids=["one statement", "many statements"])
async def test_a_forgotten_connection_delays_writes_by_one_timeout(
    proxy: FlakyProxy, database: Database, write_queue: WriteQueue, ops: list[Op]
) -> None:
    await fill_pool(database)
    proxy.go_silent()
    async with within(SOON):
        await asyncio.gather(*map(write_queue.submit, ops))
    steps = [op.id for op in ops if isinstance(op, SaveStep)]
    assert await ids(database) == ["s000", *steps]


async def test_a_page_of_a_silent_server_fails_soon_and_a_slow_one_is_shown(
    proxy: FlakyProxy, behind_proxy: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new connection tells them apart, long before its time limit."""
    monkeypatch.setattr(engine, "_FIRST_READ_SECONDS", 0.4)
    sleep = "sleep" if behind_proxy.dialect.name == "mysql" else "pg_sleep"
    async with limited_by(behind_proxy, command_timeout=30, connect_timeout=30) as database:
        await database.read(lambda c: c.scalar(text(f"SELECT {sleep}(1)")))
        proxy.blackhole()
        async with within(SOON):
            with pytest.raises(DatabaseUnavailable, match="does not answer"):
                await database.read(lambda c: c.scalar(select(literal(1))))
        proxy.restore()


async def test_a_statement_that_cannot_be_sent(
    proxy: FlakyProxy, database: Database, write_queue: WriteQueue
) -> None:
    """The network takes a part of it, then nothing."""
    large: list[Op] = [SaveStep("t", f"l{n}", {"output": "x" * 9_000_000}) for n in range(2)]
    proxy.blackhole()
    writes = [asyncio.create_task(write_queue.submit(op)) for op in [*large, *MANY]]
    async with within(SOON):
        await until(lambda: write_queue.outage.seconds is not None)
    proxy.restore()
    async with within(2 * SOON):
        await asyncio.gather(*writes)
    assert await ids(database) == ["l0", "l1", "s000", "s001", "s002"]


@pytest.mark.parametrize(
    ("at", "deliver"),
    [(b"SELECT threads.id", False), (b"INSERT INTO", False), (b"COMMIT", False), (b"COMMIT", True)],
)
async def test_a_connection_that_is_forgotten_in_a_transaction(
    proxy: FlakyProxy, database: Database, write_queue: WriteQueue, at: bytes, deliver: bool
) -> None:
    """The server ends the transaction, and releases its locks, by itself."""
    proxy.cut_at(at, deliver=deliver, silently=True)
    async with within(2 * SOON):
        await asyncio.gather(*map(write_queue.submit, MANY))
    assert not proxy.cut_pending
    assert await ids(database) == ["s000", "s001", "s002"]


async def test_pages_are_read_by_another_connection(proxy: FlakyProxy, database: Database) -> None:
    for read in (
        lambda: database.fetch(ONE),
        lambda: database.read(lambda connection: connection.scalar(select(literal(1)))),
    ):
        await fill_pool(database)
        proxy.go_silent()
        async with within(SOON):
            assert await read() in (1, [[(1,)]])


async def test_a_server_without_answers_is_reported(
    proxy: FlakyProxy, behind_proxy: Database
) -> None:
    async with limited_by(behind_proxy, connect_timeout=SECONDS) as database:
        await until(lambda: database.fetch(ONE))
        await fill_pool(database)
        proxy.go_silent(new=True)
        async with within(SOON):
            with pytest.raises(DatabaseUnavailable, match="does not answer"):
                await database.fetch(ONE)


async def test_closing_waits_for_no_answer(proxy: FlakyProxy, database: Database) -> None:
    await fill_pool(database)
    proxy.go_silent(new=True)
    reads = [asyncio.create_task(database.fetch(ONE)) for _ in range(3)]
    await asyncio.sleep(0)
    async with within(SOON):
        await database.close()
    for read in reads:
        read.cancel()
    await asyncio.wait(reads)


async def test_the_system_watches_the_network(behind_proxy: Database) -> None:
    url = f"{behind_proxy.given_url.render_as_string(hide_password=False)}?tcp_user_timeout=7000"
    async with Database(url).connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        watched = driver._transport.get_extra_info("socket")  # type: ignore[union-attr]
        assert watched.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert watched.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
        assert watched.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 7_000


async def test_long_work_has_no_limit(database: Database) -> None:
    sleep = func.pg_sleep if database.dialect.name == "postgresql" else func.sleep
    slow = select(cast(sleep(3 * SECONDS), Text))
    with pytest.raises(DatabaseUnavailable):
        await database.read(lambda connection: connection.execute(slow))
    async with database.connect_without_limits() as connection:
        await connection.execute(slow)
    unlimited = Database(database.given_url, settings=database.settings, limits=False)
    async with unlimited.snapshot() as connection:
        await connection.execute(slow)
    await unlimited.close()


@pytest.mark.parametrize("answer", [b"", b"S"], ids=["of nothing", "but of TLS"])
async def test_a_server_that_accepts_and_says_nothing(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await reader.read()

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with await asyncio.start_server(serve, "127.0.0.1", port):
        url = f"postgresql://me@127.0.0.1:{port}/chats?connect_timeout=1"
        database = Database(url, settings=Settings.load(connect_timeout=600))
        async with within(SOON):
            with pytest.raises(DatabaseUnavailable, match="does not answer"):
                await database.fetch(ONE)
        await database.close()


async def test_the_server_cancels_what_takes_too_long(postgres: PostgresServer) -> None:
    """Otherwise searches that were given up would pile up in it."""
    url = postgres.create_database()
    database = Database(url, settings=Settings.load(command_timeout=SECONDS))
    running = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND state = 'active' AND pid <> pg_backend_pid()"
    )
    with pytest.raises(DatabaseUnavailable):
        await database.fetch((select(cast(func.pg_sleep(literal(601)), Text)), {}))
    assert await database.read(lambda connection: connection.scalar(running)) == 0
    await database.close()
    postgres.drop_database(url)


async def test_a_locked_thread_delays_no_other(behind_proxy: Database) -> None:
    async with (
        limited_by(behind_proxy, lock_timeout=0.1, command_timeout=30) as database,
        started_queue(database) as write_queue,
        behind_proxy.write() as blocker,
    ):
        await blocker.execute(select(Thread.id).where(Thread.id == "t").with_for_update())
        locked = asyncio.create_task(write_queue.submit(step(1)))
        others = [SaveStep(f"u{number}", f"u{number}", {}) for number in range(20)]
        async with within(2 * SOON):
            await asyncio.gather(*map(write_queue.submit, others))
        assert not locked.done()
        await blocker.rollback()
        await locked


@pytest.mark.parametrize("mode", ["transaction", "session"])
async def test_a_pooler_that_refuses_settings_gets_none(
    postgres: PostgresServer, mode: str
) -> None:
    url = postgres.create_database()
    with start_pgbouncer(url, mode=mode) as pooler, FlakyProxy("127.0.0.1", pooler.port) as proxy:
        settings = Settings.load(command_timeout=SECONDS, lock_timeout=0.1, retry_seconds=300)
        database = Database(proxy.url(url), settings=settings)
        await upgrade(database)
        async with started_queue(database) as write_queue:
            await fill_pool(database)
            proxy.go_silent()
            async with within(SOON):
                await asyncio.gather(*map(write_queue.submit, MANY), database.fetch(ONE))
            assert await ids(database) == ["s000", "s001", "s002"]
            async with database.write() as blocker:
                await blocker.execute(select(Thread.id).with_for_update())
                locked = asyncio.create_task(write_queue.submit(step(1)))
                async with within(SOON):
                    await write_queue.submit(SaveStep("u", "u", {}))
                assert not locked.done()
            await locked
        await database.close()
    postgres.drop_database(url)
