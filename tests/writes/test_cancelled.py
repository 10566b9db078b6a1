"""Writes of many rows to PostgreSQL that are cancelled while they are sent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import insert, text

from chainlit_sqla._internal import aio
from chainlit_sqla.database import Database
from chainlit_sqla.database.migrator import upgrade
from chainlit_sqla.models import users
from tests.servers.postgres import PostgresServer
from tests.until import PATIENCE, until

ROWS = 400


def rows() -> list[dict[str, Any]]:
    """More than all buffers between client and server hold."""
    names = [f"u{number:03}" for number in range(ROWS)]
    wide = {"text": "x" * 100_000}
    return [{"id": one, "identifier": one, "metadata": wide} for one in names]


async def write(database: Database, drivers: list[Any]) -> None:
    async with database.write() as connection:
        drivers.append((await connection.get_raw_connection()).driver_connection)
        await database.dialect.execute_many(connection, insert(users), rows())


@pytest.mark.parametrize("goes_on", [True, False], ids=["the server goes on", "it does not"])
async def test_a_write_that_is_cancelled_while_it_is_sent_ends(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, goes_on: bool
) -> None:
    monkeypatch.setattr(aio, "SHIELD_SECONDS", PATIENCE if goes_on else 0.1)
    url = postgres.create_database()
    database = Database(url)
    await upgrade(database)
    drivers: list[Any] = []
    async with database.engine.connect() as holder:  # Rolls back at its end.
        await holder.execute(insert(users), rows()[0])  # The other one waits for it.
        writing = asyncio.create_task(write(database, drivers))
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
    postgres.drop_database(url)
