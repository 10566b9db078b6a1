"""Reads on the driver's own connections: lost, cancelled, out of room, behind a pooler."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from sqlalchemy import Text, cast, event, func, literal, select, table

from chainlit_sqla.database import Database
from chainlit_sqla.dialects import BoundStatement
from chainlit_sqla.errors import DatabaseUnavailable, SchemaOutdated
from chainlit_sqla.models import threads
from chainlit_sqla.settings import Settings
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import FlakyProxy
from tests.until import until

ONE: BoundStatement = (select(literal(1)), {})
SESSION: BoundStatement = (select(func.pg_backend_pid()), {})
SLOW: BoundStatement = (select(cast(func.pg_sleep(600), Text)), {})
THREADS: BoundStatement = (select(threads.c.id), {})


async def idle(database: Database, count: int) -> None:
    await asyncio.gather(
        *(database.fetch((select(cast(func.pg_sleep(0.1), Text)), {})) for _ in range(count))
    )


def out(database: Database) -> int:
    return int(database.engine.sync_engine.pool.checkedout())  # type: ignore[attr-defined]


@pytest.mark.parametrize("server_restarts", [False, True])
async def test_idle_connections_that_were_lost_are_replaced(
    postgres: PostgresServer, proxy: FlakyProxy, behind_proxy: Database, server_restarts: bool
) -> None:
    await idle(behind_proxy, 5)
    if server_restarts:
        await asyncio.to_thread(postgres.kill)
        await asyncio.to_thread(postgres.start)
    else:
        proxy.drop_all()
    for _ in range(10):
        assert await behind_proxy.fetch(ONE) == [[(1,)]]
    assert out(behind_proxy) == 0


async def test_a_connection_lost_in_mid_query_is_retried(
    proxy: FlakyProxy, behind_proxy: Database
) -> None:
    await behind_proxy.fetch(THREADS)
    proxy.cut_at(b"threads", deliver=True)
    other: BoundStatement = (select(threads.c.id, threads.c.name), {})
    assert await behind_proxy.fetch(other) == [[]]
    assert not proxy.cut_pending
    assert out(behind_proxy) == 0


async def test_an_unavailable_server_is_reported(proxy: FlakyProxy, behind_proxy: Database) -> None:
    await behind_proxy.fetch(ONE)
    proxy.refuse()
    proxy.drop_all()
    with pytest.raises(DatabaseUnavailable):
        await behind_proxy.fetch(ONE)
    proxy.accept()
    assert await behind_proxy.fetch(ONE) == [[(1,)]]


async def test_a_refused_statement_leaves_its_connection_usable(behind_proxy: Database) -> None:
    [[[before]]] = await behind_proxy.fetch(SESSION)
    with pytest.raises(SchemaOutdated, match="chainlit-sqla upgrade"):
        await behind_proxy.fetch(
            (select(func.length(literal("a"))).select_from(table("not_there")), {})
        )
    [[[after]]] = await behind_proxy.fetch(SESSION)
    assert before == after
    assert out(behind_proxy) == 0


async def test_a_cancelled_reader_frees_its_connection(behind_proxy: Database) -> None:
    settings = behind_proxy.settings.model_copy(update={"pool_size": 1, "max_overflow": 0})
    database = Database(behind_proxy.given_url, settings=settings)
    await database.fetch(ONE)
    for _ in range(3):
        reader = asyncio.create_task(database.fetch(SLOW))
        await until(lambda: out(database) == 1)
        await asyncio.sleep(0)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert await database.fetch(ONE) == [[(1,)]], "the only place is free and works"
    await database.close()


async def test_more_readers_than_connections_take_turns(database: Database) -> None:
    found = await asyncio.gather(*(database.fetch(ONE) for _ in range(100)))
    assert [list(map(tuple, rows)) for [rows] in found] == [[(1,)]] * 100


async def test_a_full_pool_is_reported(behind_proxy: Database) -> None:
    settings = behind_proxy.settings.model_copy(
        update={"pool_size": 1, "max_overflow": 0, "connect_timeout": 0.2}
    )
    database = Database(behind_proxy.given_url, settings=settings)

    async def logged_in() -> bool:
        """The login must take no longer, either; the connection then stays open."""
        with suppress(DatabaseUnavailable):
            return await database.fetch(ONE) == [[(1,)]]
        return False

    await until(logged_in)
    reader = asyncio.create_task(database.fetch(SLOW))
    await until(lambda: out(database) == 1)
    with pytest.raises(DatabaseUnavailable):
        await database.fetch(ONE)
    reader.cancel()
    await asyncio.wait([reader])
    await database.close()


async def test_behind_a_transaction_pooler_all_of_a_reading_is_one_transaction(
    postgres: PostgresServer, behind_proxy: Database
) -> None:
    settings = Settings.load(prepared_statements=False)
    database = Database(behind_proxy.given_url, settings=settings)
    seen: list[str] = []
    event.listen(
        database.engine.sync_engine,
        "connect",
        lambda dbapi, _: dbapi.driver_connection.add_query_logger(
            lambda record: seen.append(record.query.split()[0].rstrip(";"))
        ),
    )
    await database.fetch(ONE, ONE)
    await asyncio.sleep(0)
    assert seen[-4:] == ["BEGIN", "SELECT", "SELECT", "COMMIT"]
    await database.close()
