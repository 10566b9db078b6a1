"""Opening and ending asyncmy's connections so that nothing waits for a server that is silent."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from asyncmy.connection import Connection

from ..._internal.aio import start_background
from ..limits import CLOSE_SECONDS, SocketOptions, tune_socket


class BoundedConnection(Connection):
    """A connection whose polite end does not wait for a silent server."""

    async def ensure_closed(self) -> None:
        """Close the connection."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await super().ensure_closed()
        self.close()


async def connect(seconds: float, options: SocketOptions, **arguments: Any) -> BoundedConnection:
    """Open a connection within some seconds, and set options on its socket."""
    async with asyncio.timeout(seconds):
        connection = BoundedConnection(**arguments)  # type: ignore[no-untyped-call]
        # The event loop reads from it in the context of now, which may be a request's.
        await start_background(connection.connect())
    tune_socket(connection, options)
    return connection
