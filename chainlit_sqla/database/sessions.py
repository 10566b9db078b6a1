"""Keeps the pooled connections of a database usable after errors that concern their sessions.

Invariants:

1. A connection whose state is unknown after an error is closed instead of returned to the pool.
2. After an error that concerns all sessions (lost server, read-only server), a connection that was
   opened before it is replaced at its next checkout. Of concurrent errors, only the first one
   counts: the connections of the others were opened before it, too.
3. Behind a transaction pooler nothing stays prepared. A pooler is recognized when a connection is
   opened, by the process id of its server, before any statement is prepared; one that hides it, by
   the errors about prepared statements. Their names are unique to the process, so that a pooler
   cannot run another process's statement instead.
4. When the server accepts no further connection while others of ours work, callers wait for one of
   those. Nobody who holds a connection waits for a second one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeVar
from weakref import WeakSet

from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, DisconnectionError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from .._internal.aio import PerLoop
from ..dialects import Dialect, ErrorKind, SessionFault, one_line
from ..settings import Settings

log = logging.getLogger(__name__)

T = TypeVar("T")
_GENERATION = "chainlit_sqla_generation"
_RAISE_LIMIT_SECONDS = 300.0
_NO_ROOM_PAUSE = 0.01
_SETTING = "CHAINLIT_SQLA_PREPARED_STATEMENTS"


class _NoRoom(Exception):
    """No connection is opened beside those that the server accepts; there are idle ones."""


class Sessions:
    """The sessions of one database, in the pools of its engines."""

    def __init__(self, dialect: Dialect, settings: Settings, label: str, *, pooler: bool) -> None:
        self.pooler = pooler
        """Whether statements are not prepared, because of a transaction pooler."""
        self._dialect = dialect
        self._label = label
        self._seconds = settings.connect_timeout
        self._detects_pooler = settings.prepared_statements is None
        self.generation = 0
        """Counts what made the connections before it suspect."""
        self._limit = PerLoop(lambda: ConnectionLimit(label, self._seconds))
        self._records: WeakSet[Any] = WeakSet()

    def install(self, engine: Engine, *, is_shared: bool = True) -> None:
        """Attach the events of an engine; one that is not shared has connections beside it."""
        if engine.dialect.is_async:  # Others run in threads, and reach no server.
            if is_shared:
                event.listen(engine, "do_connect", self._refuse_more)
                event.listen(engine, "connect", self._count)
            event.listen(engine, "do_connect", self._connect)
        event.listen(engine, "connect", self._mark)
        event.listen(engine, "checkout", self._refuse_stale)
        event.listen(engine, "handle_error", self._handle_error)

    async def checkout(self, connect: Callable[[], Awaitable[T]]) -> T:
        """Check out a connection by a function; `checkin` follows it, unless this raises.

        Where the server has no more, wait for one that another caller returns.
        """
        limit = self._limit.get()
        deadline = time.monotonic() + self._seconds
        while True:
            await limit.acquire()
            began = time.monotonic()
            try:
                return await connect()
            except _NoRoom:  # The pool returned a place whose connection was lost.
                limit.release()
                if time.monotonic() > deadline:  # A closed pool's connections count, too.
                    raise PoolTimeout(f"no connection became free in {self._seconds:g} s") from None
                await asyncio.sleep(_NO_ROOM_PAUSE)
            except Exception as error:
                limit.release()
                is_full = self._is_full(error, limit, began)
                if not (is_full and limit.lower(self._count_open(), error)):
                    raise
            except BaseException:
                limit.release()
                raise

    def checkin(self) -> None:
        """Let a waiting caller check out a connection."""
        limit = self._limit.get()
        limit.last_checkin = time.monotonic()
        limit.release()

    def _count_open(self) -> int:
        return sum(record.dbapi_connection is not None for record in self._records)

    def after_error(
        self, error: BaseException, info: MutableMapping[Any, Any], driver: Any
    ) -> tuple[bool, Exception | None]:
        """React to an error on a connection.

        Args:
            error: The driver's error, or what cancelled the caller.
            info: The ``info`` of the connection.
            driver: The driver's connection.

        Returns:
            Whether the connection must be closed, and an error that says more than the given one.
        """
        if not isinstance(error, Exception):
            return True, None
        if isinstance(error, StatementError) and not isinstance(error, DBAPIError):
            return False, None  # The values were not sent.
        fault = self._dialect.session_fault(error)
        if fault is SessionFault.UNPREPARED:
            self._stop_preparing(f"a pooler mixes prepared statements up ({one_line(error)})")
        elif fault is SessionFault.STALE:
            self.replace(info.get(_GENERATION))
        # A driver may stumble over its own closed connection with any error.
        is_unknown = self._dialect.classify(error) is ErrorKind.OTHER
        if fault is SessionFault.BROKEN and is_unknown and self._dialect.is_lost(driver):
            return True, ConnectionResetError(one_line(error))
        return fault is not None, None

    def replace(self, generation: int | None) -> None:
        """Replace all connections of a generation, unless that was ordered before."""
        if generation == self.generation:
            self.generation += 1

    def _stop_preparing(self, reason: str) -> None:
        if not self.pooler:
            self.pooler = True
            self.generation += 1
            log.warning(
                "Statements of %s are no longer prepared: %s; set %s=false to do so from the "
                "beginning, or true if it pools whole sessions",
                self._label,
                reason,
                _SETTING,
            )

    def _is_full(self, error: Exception, limit: ConnectionLimit, began: float) -> bool:
        """Return whether a server has no connection left, while others of ours work."""
        fault = self._dialect.session_fault(error.__cause__ or error)
        timed_out = isinstance(error, TimeoutError) and limit.last_checkin > began
        return fault is SessionFault.FULL or timed_out

    # Events

    def _refuse_more(self, *_arguments: Any) -> None:
        if self._limit.get().is_reached(self._count_open()):
            raise _NoRoom

    def _connect(self, dialect: Any, _record: Any, arguments: Any, options: Any) -> Any:
        if not (unprepared := self._dialect.unprepared):
            return None
        while True:
            prepares = not self.pooler
            choices = options if prepares else options | unprepared
            connection = dialect.connect(*arguments, **choices)
            is_pooled = connection.run_async(self._is_pooled)
            if not (prepares and (self.pooler or (is_pooled and self._detects_pooler))):
                return connection
            connection.close()
            self._stop_preparing("a pooler is between it and this process")

    async def _is_pooled(self, driver: Any) -> bool:
        """Run the first query; a pooler without a free connection does not answer it."""
        try:
            async with asyncio.timeout(self._seconds):
                return await self._dialect.is_pooled(driver)
        except BaseException:
            self._dialect.abort(driver)
            raise

    def _mark(self, _connection: Any, record: Any) -> None:
        record.info[_GENERATION] = self.generation

    def _count(self, _connection: Any, record: Any) -> None:
        self._records.add(record)
        self._limit.get().allow(self._count_open())

    def _refuse_stale(self, connection: Any, record: Any, _proxy: Any) -> None:
        if record.info.get(_GENERATION) != self.generation:
            raise DisconnectionError("opened before an error of the server")
        if self._dialect.is_broken(getattr(connection, "driver_connection", connection)):
            raise DisconnectionError("closed by the server")

    def _handle_error(self, context: ExceptionContext) -> Exception | None:
        connection = context.connection
        if connection is None or connection.closed or connection.invalidated:
            return None
        error, pooled = context.original_exception, connection.connection
        driver = pooled.driver_connection
        must_close, better = self.after_error(error, pooled.info, driver)
        if must_close and isinstance(error, Exception):
            context.is_disconnect = True
            self._dialect.abort(driver)
        return better


class ConnectionLimit:
    """Limits how many connections are checked out, once the server has refused another one.

    The pool opens a connection only where none is idle, so it opens no more than that.
    """

    def __init__(self, label: str, seconds: float) -> None:
        self.last_checkin = float("-inf")
        self._label = label
        self._seconds = seconds
        self._acquired = 0
        self._most: int | None = None
        self._raise_at = 0.0
        self._waiters: deque[asyncio.Future[None]] = deque()

    async def acquire(self) -> None:
        """Wait until another connection may be checked out; raise an error if that takes long."""
        if self._most is not None and time.monotonic() >= self._raise_at:
            self._most += 1  # The server may have more by now.
            self._raise_at += _RAISE_LIMIT_SECONDS
        if self._has_room and not self._waiters:
            self._acquired += 1
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(self._seconds):
                await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled():
                self.release()  # The turn came together with the end.
            else:
                self._waiters.remove(waiter)
            if isinstance(error, TimeoutError):
                raise PoolTimeout(
                    f"no connection of {self._most} became free in {self._seconds:g} s"
                ) from None
            raise

    def release(self) -> None:
        """Let the next callers in."""
        self._acquired -= 1
        while self._waiters and self._has_room:
            waiter = self._waiters.popleft()
            if not waiter.done():
                self._acquired += 1
                waiter.set_result(None)

    def is_reached(self, number: int) -> bool:
        """Return whether no connection may be opened beside so many."""
        return self._most is not None and number >= self._most

    def allow(self, is_open: int) -> None:
        """Count a connection that was being opened when the server refused another one."""
        if self._most is not None:
            self._most = max(self._most, is_open)

    def lower(self, is_open: int, error: Exception) -> bool:
        """Use no more connections than are open now; return False if there are none."""
        if not is_open:
            return False
        if self._most is None:
            log.warning(
                "%s has no other connection for this process (%s): reads and writes share those "
                "that are open. Lower CHAINLIT_SQLA_POOL_SIZE and CHAINLIT_SQLA_MAX_OVERFLOW, or "
                "raise the limit of the server or pooler",
                self._label,
                one_line(error),
            )
        self._most = is_open if self._most is None else min(self._most, is_open)
        self._raise_at = time.monotonic() + _RAISE_LIMIT_SECONDS
        return True

    @property
    def _has_room(self) -> bool:
        return self._most is None or self._acquired < self._most
