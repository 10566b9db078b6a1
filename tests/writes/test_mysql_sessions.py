"""MySQL and MariaDB whose sessions become read-only, or that have no session left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress

import pytest
from asyncmy.errors import MySQLError
from sqlalchemy import make_url, text

from chainlit_sqla.database import Database
from chainlit_sqla.database.migrator import upgrade
from chainlit_sqla.errors import DatabaseUnavailable
from chainlit_sqla.writes.operations import SaveStep
from chainlit_sqla.writes.queue import WriteQueue
from tests.servers.mysql import MySQLServer, connect, start_mysql
from tests.servers.mysql_process import LocalServer
from tests.servers.proxy import FlakyProxy
from tests.until import until
from tests.writes.test_sessions import steps_in, write_during

KINDS = ("mariadb", "mysql")
MANY = 12
"""More callers than sessions."""


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[MySQLServer]:
    made = start_mysql(request.param, own=True)
    yield made
    made.stop()


@pytest.fixture
async def app(server: MySQLServer, behind_proxy: Database) -> AsyncIterator[Database]:
    """The database by an account that a read-only server binds, as it does not its owner."""
    create_account(server, behind_proxy, "app")
    account = behind_proxy.given_url.set(username="app", password="app")
    made = Database(account, settings=behind_proxy.settings)
    yield made
    await made.close()
    server.execute("DROP USER app@'%'")


def create_account(server: MySQLServer, database: Database, name: str, limit: str = "") -> None:
    server.execute(f"CREATE USER {name}@'%' IDENTIFIED BY '{name}' {limit}")
    server.execute(f"GRANT ALL ON {database.url.database}.* TO {name}@'%'")


def read_only(server: MySQLServer, value: str) -> None:
    server.execute(f"SET GLOBAL read_only = {value}")


def read_only_transactions(server: MySQLServer, value: str) -> None:
    name = "tx_read_only" if server.url.startswith("mariadb") else "transaction_read_only"
    server.execute(f"SET GLOBAL {name} = {value}")


def read_only_files(server: MySQLServer, value: str) -> None:
    engine = server._own()
    assert isinstance(engine, LocalServer)
    engine.stop_cleanly()
    engine.write("accounts.sql", "SELECT 1;\n")  # They are there, and nothing can be written.
    engine.settings["innodb-read-only"] = value
    engine.start()


def read_only_database(server: MySQLServer, value: str) -> None:
    for row in server.execute("SHOW DATABASES LIKE 'test%'"):
        [name] = row.values()
        server.execute(f"ALTER DATABASE {name} READ ONLY = {int(value == 'ON')}")


def offline(server: MySQLServer, value: str) -> None:
    server.execute(f"SET GLOBAL offline_mode = {value}")


@pytest.mark.parametrize(
    ("server", "switch", "error"),
    [
        *((kind, read_only, "1290") for kind in KINDS),
        # Sessions keep it: those that began meanwhile never write again.
        *((kind, read_only_transactions, "1792") for kind in KINDS),
        *((kind, read_only_files, "read only") for kind in KINDS),
        ("mysql", read_only_database, "3989"),
        ("mysql", offline, "3032"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
    indirect=["server"],
)
async def test_a_server_that_is_read_only_for_a_while_costs_nothing(
    server: MySQLServer,
    proxy: FlakyProxy,
    app: Database,
    switch: Callable[[MySQLServer, str], None],
    error: str,
) -> None:
    write_queue = WriteQueue(app)
    held, loop = list[int](), asyncio.get_running_loop()

    async def interrupt() -> None:
        await asyncio.to_thread(switch, server, "ON")
        proxy.drop_all()
        await until(lambda: error in (write_queue.outage.reason or ""))
        held.append(write_queue.counters().held)
        await asyncio.to_thread(switch, server, "OFF")

    acknowledged, errors = await write_during(
        write_queue,
        lambda: asyncio.run_coroutine_threadsafe(interrupt(), loop).result(),
        times=1,
    )
    await write_queue.close()
    assert errors == []
    assert await steps_in(app) == acknowledged
    assert held == [0], "nobody alone is to blame"


async def test_writes_follow_a_switchover_behind_one_address(
    server: MySQLServer, proxy: FlakyProxy, app: Database
) -> None:
    """The old primary still answers, but takes no writes any more."""
    other = start_mysql("mariadb" if server.url.startswith("mariadb") else "mysql", own=True)
    promoted = Database(make_url(other.url).set(database=app.url.database))
    write_queue = WriteQueue(app)
    is_switched = False

    def switch() -> None:
        nonlocal is_switched
        if not is_switched:
            is_switched = True
            read_only(server, "ON")
            proxy.switch_to(other.address[1])

    try:
        other.execute(f"CREATE DATABASE {app.url.database}")
        create_account(other, app, "app")
        await upgrade(promoted)
        acknowledged, errors = await write_during(write_queue, switch, times=4)
        assert errors == []
        proxy.drop_all()
        followed = await steps_in(promoted)
        assert await steps_in(app) == followed > 0
        old = make_url(server.url).set(database=app.url.database)
        before = Database(old)
        assert await steps_in(before) + followed == acknowledged
        await before.close()
    finally:
        read_only(server, "OFF")
        await write_queue.close()
        await promoted.close()
        other.stop()


async def test_an_account_with_fewer_sessions_than_the_pool(
    server: MySQLServer, behind_proxy: Database, caplog: pytest.LogCaptureFixture
) -> None:
    create_account(server, behind_proxy, "few", "WITH MAX_USER_CONNECTIONS 2")
    account = behind_proxy.given_url.set(username="few", password="few")
    database = Database(account, settings=behind_proxy.settings)
    write_queue = WriteQueue(database)
    pause = text("SELECT sleep(0.01)")
    for _ in range(2):
        await asyncio.gather(
            *(database.read(lambda c: c.scalar(pause)) for _ in range(MANY)),
            *(write_queue.submit(SaveStep("t", f"s{n}", {})) for n in range(MANY)),
        )
    assert await steps_in(database) == MANY
    [warning] = [line for line in caplog.messages if "CHAINLIT_SQLA_POOL_SIZE" in line]
    assert "has no other connection for this process" in warning
    await write_queue.close()
    await database.close()
    server.execute("DROP USER few@'%'")


async def test_a_server_without_a_free_session_is_waited_for(
    server: MySQLServer, app: Database
) -> None:
    """The sessions of others occupy it, until they leave."""
    [limit] = server.execute("SELECT @@GLOBAL.max_connections AS n")
    server.execute("SET GLOBAL max_connections = 10")
    account = app.given_url.render_as_string(hide_password=False)
    others = []
    write_queue = WriteQueue(app)
    try:
        with suppress(MySQLError):
            while True:
                others.append(await connect(account))
        with pytest.raises(DatabaseUnavailable, match="no connection left"):
            await steps_in(app)
        writes = [
            asyncio.create_task(write_queue.submit(SaveStep("t", f"s{n}", {}))) for n in range(MANY)
        ]
        await until(lambda: "1040" in (write_queue.outage.reason or ""))
        assert not any(write.done() for write in writes)
    finally:
        for other in others:
            await other.ensure_closed()
        server.execute("SET GLOBAL max_connections = %s", limit["n"])
    await asyncio.gather(*writes)
    assert await steps_in(app) == MANY
    await write_queue.close()
