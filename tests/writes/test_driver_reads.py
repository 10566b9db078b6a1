"""Reads on the driver's own connections: lost, cancelled, out of room, behind a pooler."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import Text, cast, event, func, literal, select, table

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.database import Database
from chainlit_sqla.database import migrator as migrations
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
    """Leave so many open connections in the pool."""
    await asyncio.gather(
        *(database.fetch((select(cast(func.pg_sleep(0.1), Text)), {})) for _ in range(count))
    )


def out(database: Database) -> int:
    return int(database.pool.checkedout())  # type: ignore[attr-defined]


async def test_all_idle_connections_that_were_dropped_are_replaced(
    proxy: FlakyProxy, behind_proxy: Database
) -> None:
    await idle(behind_proxy, 5)
    proxy.drop_all()
    for _ in range(10):
        assert await behind_proxy.fetch(ONE) == [[(1,)]]
    assert out(behind_proxy) == 0


async def test_a_server_that_was_killed_and_started_again_is_read_on(
    postgres: PostgresServer, behind_proxy: Database
) -> None:
    await idle(behind_proxy, 3)
    await asyncio.to_thread(postgres.kill)
    await asyncio.to_thread(postgres.start)
    assert await behind_proxy.fetch(ONE) == [[(1,)]]


async def test_a_connection_lost_in_mid_query_is_asked_again(
    proxy: FlakyProxy, behind_proxy: Database
) -> None:
    await behind_proxy.fetch(THREADS)
    proxy.cut_at(b"threads", deliver=True)
    other: BoundStatement = (select(threads.c.id, threads.c.name), {})
    assert await behind_proxy.fetch(other) == [[]]
    assert not proxy.cut_pending
    assert out(behind_proxy) == 0


async def test_a_server_that_stays_away_is_said(proxy: FlakyProxy, behind_proxy: Database) -> None:
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


async def test_a_cancelled_reader_frees_its_place(behind_proxy: Database) -> None:
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


async def test_more_readers_than_places_take_turns(database: Database) -> None:
    found = await asyncio.gather(*(database.fetch(ONE) for _ in range(100)))
    assert [list(map(tuple, rows)) for [rows] in found] == [[(1,)]] * 100


async def test_no_place_in_time_is_said(behind_proxy: Database) -> None:
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


async def test_a_layer_in_a_schema_of_its_own_reads_there(
    postgres: PostgresServer, tmp_path: Any
) -> None:
    url = postgres.create_database()
    layer = SQLADataLayer(
        url,
        storage=tmp_path.as_uri(),
        settings=Settings.load(db_schema='we "ird', auto_upgrade=True),
    )
    await migrations.upgrade(layer.database)
    await layer.create_step({"id": "s", "threadId": "t", "type": "tool"})  # type: ignore[typeddict-item]
    found = await layer.get_thread("t")
    assert found is not None
    assert [step["id"] for step in found["steps"]] == ["s"]
    await layer.close()
    postgres.drop_database(url)
