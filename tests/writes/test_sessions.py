"""Writes and reads whose sessions end, become read-only, or share a pooler with others."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from sqlalchemy import func, make_url, select

from chainlit_sqla.database import Database
from chainlit_sqla.database.migrator import upgrade
from chainlit_sqla.models import Step
from chainlit_sqla.writes.operations import SaveFeedback, SaveStep
from chainlit_sqla.writes.queue import WriteQueue
from tests.servers.postgres import PostgresServer
from tests.servers.postgres_process import LocalCluster, find_binaries
from tests.servers.proxy import FlakyProxy
from tests.servers.require import unavailable
from tests.until import until
from tests.writes.test_failures import direct, started_queue

MANY, QUIET = 40, 3
"""How many sessions write; the connection of a few is idle in between."""


async def write_during(
    write_queue: WriteQueue,
    disturb: Callable[[], object],
    *,
    times: int,
    writers: int = MANY,
    prefix: str = "w",
) -> tuple[int, list[BaseException]]:
    """Write as many sessions, by both ways, while something happens several times.

    Returns how many writes were acknowledged, and the errors of the others.
    """
    is_over, acknowledged = False, 0
    errors: list[BaseException] = []

    async def write(writer: int) -> None:
        nonlocal acknowledged
        number = 0
        while not is_over:
            number += 1
            thread_id = f"{prefix}{writer}"
            op = SaveStep(thread_id, f"{number:05}", {"output": "x"})
            more = SaveFeedback(thread_id, f"{number:05}", f"f{number}", 1)
            try:
                await write_queue.submit(op)
                if number % 5 == 0 and writers > QUIET:
                    await write_queue.submit(more)
            except Exception as error:
                errors.append(error)
            else:
                acknowledged += 1
            await asyncio.sleep(0 if writers > QUIET else 0.02)

    tasks = [asyncio.create_task(write(number)) for number in range(writers)]
    for _ in range(times):
        before = acknowledged
        await until(lambda before=before: acknowledged > before + writers or bool(errors))  # type: ignore[misc]
        await asyncio.to_thread(disturb)
    is_over = True
    await asyncio.gather(*tasks)
    return acknowledged, errors


async def steps_in(database: Database) -> int:
    count = select(func.count()).select_from(Step)
    return int(await database.read(lambda c: c.scalar(count)) or 0)


@pytest.mark.parametrize("writers", [QUIET, MANY])
async def test_a_server_that_ends_its_connections_in_two_steps_costs_nothing(
    proxy: FlakyProxy, behind_proxy: Database, write_queue: WriteQueue, writers: int
) -> None:
    """It says so, and closes a while later; in between, the driver is out of step."""
    acknowledged, errors = await write_during(
        write_queue, lambda: proxy.end_in_two_steps(0.05), times=12, writers=writers
    )
    assert errors == []
    assert await steps_in(behind_proxy) == acknowledged + 1


@pytest.mark.full
async def test_fast_restarts_cost_nothing(
    postgres: PostgresServer, behind_proxy: Database, write_queue: WriteQueue
) -> None:
    """The server ends its sessions, tells the others that it shuts down, then that it starts."""
    restarted = 0

    def restart() -> None:
        nonlocal restarted
        engine = postgres._own()
        assert isinstance(engine, LocalCluster)
        os.kill(int((engine.folder / "data/postmaster.pid").read_text().split()[0]), signal.SIGINT)
        engine.kill()  # Waits for its end.
        engine.start()
        restarted += 1

    acknowledged, errors = await write_during(write_queue, restart, times=6)
    assert errors == []
    assert restarted == 6
    assert await steps_in(behind_proxy) == acknowledged + 1


@pytest.fixture
def other_server(behind_proxy: Database) -> Iterator[LocalCluster]:
    """A server with the same account and an empty database of the same name."""
    binaries = find_binaries()
    if binaries is None:
        unavailable("no initdb and postgres on this machine", "apt install postgresql")
    made = LocalCluster(binaries)
    server, name = PostgresServer(made.url, "binaries", made), behind_proxy.url.database
    server.execute(f"ALTER ROLE postgres PASSWORD '{behind_proxy.url.password}'")
    made.password = str(behind_proxy.url.password)
    PostgresServer(made.url, "binaries", made).execute(f'CREATE DATABASE "{name}"')
    yield made
    made.stop()


async def test_writes_follow_a_switchover_behind_one_address(
    postgres: PostgresServer,
    other_server: LocalCluster,
    proxy: FlakyProxy,
    behind_proxy: Database,
) -> None:
    """The old primary still answers, but takes no writes any more."""
    promoted = Database(make_url(other_server.url).set(database=behind_proxy.url.database))
    await upgrade(promoted)
    name = behind_proxy.url.database
    settings = behind_proxy.settings.model_copy(update={"retry_seconds": 10})
    database = Database(behind_proxy.given_url, settings=settings)
    write_queue = WriteQueue(database)
    is_switched = False

    def switch() -> None:
        nonlocal is_switched
        if is_switched:
            return
        is_switched = True
        proxy.switch_to(other_server.port)
        postgres.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        postgres.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        postgres.execute("SELECT pg_reload_conf()")

    try:
        acknowledged, errors = await write_during(write_queue, switch, times=6)
        assert errors == []
        own = await asyncio.to_thread(
            postgres.execute, "SELECT 1 FROM steps", url=direct(postgres, behind_proxy)
        )
        assert await steps_in(promoted) + len(own) == acknowledged
        assert await steps_in(database) == await steps_in(promoted), "reads followed, too"
    finally:
        postgres.execute("ALTER SYSTEM RESET default_transaction_read_only")
        postgres.execute("SELECT pg_reload_conf()")
        await write_queue.close()
        await database.close()
        await promoted.close()


@pytest.fixture
async def write_queue(behind_proxy: Database) -> AsyncIterator[WriteQueue]:
    async with started_queue(behind_proxy) as made:
        yield made
