"""Opening and ending asyncpg's connections so that nothing waits for a server that is silent.

asyncpg cancels a statement that takes too long by a message on another connection, then waits for
the answer on the first one. Where the server is silent there, whatever is done next on the
connection would wait as long again: rolling back, or closing it. So it is ended immediately.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import asyncpg
from sqlalchemy import event
from sqlalchemy.util import await_only

from ..._internal.aio import start_background
from ..error_kinds import CommandTimeout
from ..limits import CLOSE_SECONDS, SocketOptions, tune_socket

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import ExceptionContext
    from sqlalchemy.ext.asyncio import AsyncEngine

_PROCESS = secrets.token_hex(4)
_REFUSED_SETTING = re.compile("parameter|option", re.IGNORECASE)


class Connection(asyncpg.Connection):  # type: ignore[misc]
    """Names prepared statements uniquely for this process.

    Where a pooler hands a session on, another process's statement of the same name would run
    instead, with these arguments. This way it is an error. asyncpg counts in each process.
    """

    def _get_unique_id(self, prefix: str) -> str:
        return f"{super()._get_unique_id(prefix)}{_PROCESS}_{os.getpid():x}"


class Connector:
    """Opens connections with settings of the server and of the socket.

    Poolers may refuse logins with settings; they get none from then on.
    """

    def __init__(self, server_settings: Mapping[str, str], options: SocketOptions) -> None:
        self._settings = dict(server_settings)
        self._options = options
        self._first_host = 0

    async def connect(self, **arguments: Any) -> Any:
        """Open a connection; see ``asyncpg.connect``."""
        given = arguments.pop("server_settings", {})
        for name in ("host", "port"):
            if isinstance(addresses := arguments.get(name), list):
                first = self._first_host % len(addresses)
                arguments[name] = addresses[first:] + addresses[:first]
        try:
            driver = await _open(server_settings=given | self._settings, **arguments)
        except TimeoutError:
            self._first_host += 1  # The limit is for all hosts, and this one has used it up.
            raise
        except asyncpg.PostgresError as error:
            if not self._settings or not _REFUSED_SETTING.search(str(error)):
                raise
            self._settings = {}
            driver = await _open(server_settings=given, **arguments)
        tune_socket(driver, self._options)
        return driver


def _open(**arguments: Any) -> Awaitable[Any]:
    """Open a connection in the background: the event loop reads from it in the context of now."""
    return start_background(asyncpg.connect(**arguments))


def milliseconds(seconds: float) -> str:
    """Return a time limit as the server takes it, at least 1: 0 is no limit there."""
    return f"{max(seconds * 1000, 1):.0f}"


async def end_after_timeout(driver: Any) -> CommandTimeout:
    """End a connection, and cancel its statement in a server that answers; return the error."""
    with suppress(Exception):
        await driver.close(timeout=CLOSE_SECONDS)
    return CommandTimeout()


@asynccontextmanager
async def transaction(
    driver: Any, begin: str = "BEGIN", seconds: float | None = None
) -> AsyncIterator[None]:
    """Open a transaction, whose end does not wait for a silent server, unlike asyncpg's own."""
    await driver.execute(begin, timeout=seconds)
    try:
        yield
    except asyncpg.PostgresError:
        await driver.execute("ROLLBACK", timeout=seconds)
        raise
    await driver.execute("COMMIT", timeout=seconds)


def listen(engine: AsyncEngine) -> None:
    """Attach the events that end connections."""
    event.listen(engine.sync_engine, "close", _terminate)
    event.listen(engine.sync_engine, "handle_error", _handle_timeout)


def _terminate(connection: Any, _record: Any) -> None:
    """Send the end of the session, without waiting until the server has closed it."""
    connection.driver_connection.terminate()


def _handle_timeout(context: ExceptionContext) -> Exception | None:
    if not isinstance(context.original_exception, TimeoutError) or context.connection is None:
        return None
    context.is_disconnect = True
    return await_only(end_after_timeout(context.connection.connection.driver_connection))
