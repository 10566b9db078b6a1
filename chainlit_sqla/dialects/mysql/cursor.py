"""Results of MySQL and MariaDB that the driver does not receive before they are wanted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from ..cursor import Fetch

_WAIT = text("SET SESSION net_write_timeout = 3600")
"""Seconds that the server waits for a reader who is writing meanwhile, instead of 60."""


@asynccontextmanager
async def held_back(connection: AsyncConnection, query: Select[Any]) -> AsyncIterator[Fetch]:
    """See `Portioned.cursor`.

    The server sends all rows at once, and the driver keeps what comes, also while nobody asks
    it for rows. So its socket is read only while somebody does.
    """
    await connection.execute(_WAIT)
    transport = await _transport(connection)
    async with connection.stream(query) as rows:
        transport.pause_reading()

        async def fetch(number: int) -> Sequence[Any]:
            transport.resume_reading()
            try:
                found: Sequence[Any] = await rows.fetchmany(number)
                return found
            finally:
                transport.pause_reading()

        try:
            yield fetch
        finally:
            transport.resume_reading()


async def _transport(connection: AsyncConnection) -> Any:
    driver: Any = (await connection.get_raw_connection()).driver_connection
    # Not public: without it there is nothing to hold back, and more memory is needed.
    return getattr(driver, "_transport", None) or _Nothing()


class _Nothing:
    """In the place of a transport."""

    def pause_reading(self) -> None:
        """Let it come."""

    def resume_reading(self) -> None:
        """It comes."""
