"""A pooler between the layer and PostgreSQL, and a server with few connections."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import bindparam, func, literal, literal_column, select, text

from chainlit_sqla.database import Database
from chainlit_sqla.database.migrator import upgrade
from chainlit_sqla.errors import DatabaseUnavailable
from chainlit_sqla.settings import Settings
from chainlit_sqla.writes.operations import SaveStep
from chainlit_sqla.writes.queue import WriteQueue
from tests.servers.pgbouncer import start_pgbouncer
from tests.servers.postgres import PostgresServer
from tests.writes.test_sessions import steps_in, write_during

SETTING = "CHAINLIT_SQLA_PREPARED_STATEMENTS"
READERS = 12
# Built once, as hot statements are.
ECHO = select(literal(1), func.pg_sleep(0.01), bindparam("number"))
PID = select(func.pg_backend_pid())


@asynccontextmanager
async def layers(url: str, number: int, **choices: Any) -> AsyncIterator[list[Database]]:
    """Databases with a queue each, as several processes would have them."""
    made = [Database(url, settings=Settings.load(**choices)) for _ in range(number)]
    yield made
    for database in made:
        await database.close()


@pytest.mark.parametrize("prepared", [None, True])
async def test_a_transaction_pooler_costs_nothing_with_the_default_setting(
    postgres_url: str, prepared: bool | None, caplog: pytest.LogCaptureFixture
) -> None:
    """Several clients share two sessions; statements that one prepared are the others', too."""
    await upgrade_once(postgres_url)
    with start_pgbouncer(postgres_url, pool_size=2) as pooler:
        url = pooler.reach(postgres_url)
        async with layers(url, 3, prepared_statements=prepared, retry_seconds=30) as databases:
            queues = [WriteQueue(database) for database in databases]

            async def read() -> None:
                for database in databases:
                    await asyncio.gather(*(database.fetch((ECHO, {"number": "1"})) for _ in "123"))

            def check() -> None:
                asyncio.run_coroutine_threadsafe(read(), loop).result()

            loop = asyncio.get_running_loop()
            results = await asyncio.gather(
                *(
                    write_during(queue, check, times=3, writers=9, prefix=f"{number}-")
                    for number, queue in enumerate(queues)
                )
            )
            acknowledged = sum(number for number, _ in results)
            errors = [error for _, errors in results for error in errors]
            assert errors == []
            assert await steps_in(databases[0]) == acknowledged
            for queue in queues:
                await queue.close()
    warned = [line for line in caplog.messages if SETTING in line]
    assert len(warned) == 3, "once for each"


async def upgrade_once(url: str) -> None:
    direct = Database(url)
    await upgrade(direct)
    await direct.close()


async def read_and_write(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """Ask for more connections than the server has, by all ways."""
    write_queue = WriteQueue(database)
    async with asyncio.timeout(20):
        for _ in range(2):
            await asyncio.gather(
                *(database.fetch((ECHO, {"number": str(n)})) for n in range(READERS)),
                *(database.read(lambda c: c.scalar(PID)) for _ in range(READERS)),
                *(write_queue.submit(SaveStep("t", f"s{n}", {})) for n in range(READERS)),
            )
    assert await steps_in(database) == READERS
    await write_queue.close()
    warned = [line for line in caplog.messages if "CHAINLIT_SQLA_POOL_SIZE" in line]
    assert len(warned) == 1
    assert "has no other connection for this process" in warned[0]


async def test_a_session_pooler_with_fewer_connections_than_the_pool(
    postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its third client would wait for ever for the sessions that our idle connections keep."""
    await upgrade_once(postgres_url)
    with start_pgbouncer(postgres_url, mode="session", pool_size=2) as pooler:
        async with layers(pooler.reach(postgres_url), 1, connect_timeout=0.5) as [database]:
            await read_and_write(database, caplog)


async def test_a_server_with_fewer_connections_than_the_pool(
    postgres: PostgresServer, postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    await upgrade_once(postgres_url)
    for statement in (
        "DROP ROLE IF EXISTS few",
        "CREATE ROLE few LOGIN PASSWORD 'few' CONNECTION LIMIT 2",
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO few",
    ):
        await asyncio.to_thread(postgres.execute, statement, url=postgres_url)
    url = Database(postgres_url).given_url.set(username="few", password="few")
    async with layers(url.render_as_string(hide_password=False), 1) as [database]:
        await read_and_write(database, caplog)
        with pytest.raises(DatabaseUnavailable, match="no connection left"):
            await upgrade(database)  # On a connection beside those.
    for statement in ("DROP OWNED BY few", "DROP ROLE few"):
        await asyncio.to_thread(postgres.execute, statement, url=postgres_url)


async def test_a_transaction_behind_a_pooler_waits_for_a_lock_as_long_as_others(
    postgres_url: str,
) -> None:
    """Whoever is not written in one round trip, too; sessions of the pooler keep nothing."""
    asked = text("SELECT current_setting('lock_timeout')")
    with start_pgbouncer(postgres_url, pool_size=1) as pooler:
        async with layers(pooler.reach(postgres_url), 1, lock_timeout=0.3) as [database]:
            assert await database.transact(lambda c: c.scalar(asked)) == "300ms"
            assert await database.read(lambda c: c.scalar(asked)) == "0"


@pytest.mark.full
async def test_no_other_process_prepares_statements_of_the_same_names(postgres_url: str) -> None:
    """Behind a pooler that hides, theirs would run instead; so it is an error."""
    code = "import asyncio, sys; from tests.writes.test_poolers import names; "
    code += "print(*asyncio.run(names(sys.argv[1])))"
    command = [sys.executable, "-c", code, postgres_url]
    other = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)
    own = await names(postgres_url)
    assert own
    assert other.stdout.split(), other.stderr
    assert own.isdisjoint(other.stdout.split())


async def names(url: str) -> set[str]:
    """The names of the statements that both ways of reading prepare."""
    query = select(literal_column("name")).select_from(text("pg_prepared_statements"))
    async with layers(url, 1) as [database]:
        await database.fetch((query, {}))
        return set(await database.read(lambda c: c.scalars(query)))


async def test_a_transaction_needs_one_connection_only(postgres_url: str) -> None:
    await upgrade_once(postgres_url)
    choices = {"pool_size": 1, "max_overflow": 0, "connect_timeout": 1}
    async with layers(postgres_url, 1, **choices) as [database]:
        write_queue = WriteQueue(database)
        await asyncio.gather(*(write_queue.submit(SaveStep("t", f"s{n}", {})) for n in range(9)))
        await database.transact(lambda c: c.execute(text("SELECT 1")))
        await write_queue.close()


async def test_a_connection_is_replaced_at_its_age(postgres_url: str) -> None:
    for seconds, are_same in ((0.0, True), (0.001, False)):
        async with layers(postgres_url, 1, connection_max_age=seconds) as [database]:
            for _ in range(2):
                first = await database.fetch((PID, {}))
                await asyncio.sleep(0.002)
                assert (await database.fetch((PID, {})) == first) is are_same
                last = await database.read(lambda c: c.scalar(PID))
                assert (last == first[0][0][0]) is are_same
