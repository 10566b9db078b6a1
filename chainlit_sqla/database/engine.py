"""`Database`: the URL, dialect, engine and connection pool of a database."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, Executable, select
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.util import greenlet_spawn

from .._internal.aio import PerLoop
from .._internal.outage import OutageLog
from .._internal.retry import retry
from ..dialects import (
    NO_LIMITS,
    BoundStatement,
    CommandTimeout,
    CompiledCall,
    Dialect,
    ErrorKind,
    Rows,
    dialect_named,
    driver_error,
    one_line,
)
from ..dialects.compiled import compile_statement
from ..dialects.fast_batch import FastBatch, FastBatchOutcome, FastBatchResult
from ..errors import ConfigurationError, DatabaseUnavailable, SchemaError, SchemaOutdated
from ..settings import Settings
from .sessions import Sessions
from .urls import create_folder, label_of, parse_url

log = logging.getLogger(__name__)

T = TypeVar("T")
_READ_ATTEMPTS = 3
_READ_PAUSE = 0.2
_FIRST_READ_SECONDS = 2.5
"""How long the first attempt of a read may take. Somebody waits for it, and is given up after 5 to
10 s; repeating a slow read costs less than waiting for a connection that is lost."""
_STATEMENTS_IN_TIME = 10
"""How many times the limit of a statement a transaction may take, whatever its driver waits for."""
_STATEMENTS = 256
"""How many compiled statements are kept; a statement must be one object that is used again."""
_FAST_BATCH_AGAIN = 300.0


class Database:
    """A database and its connections.

    Connections are opened on first use. Several databases can be used side by side.

    Args:
        url: A URL with or without a driver (``postgresql://…``, ``mysql://…``,
            ``sqlite:///chats.db``); None uses the one of the settings.
        settings: The settings; None reads them from the environment.
        read_only: Whether to prevent all changes, including the journal of a SQLite file.
        limits: Whether the settings limit statements and waits for locks. False for long work:
            imports, exports and migrations.

    Raises:
        ConfigurationError: The URL cannot work.

    Example:
        >>> database = Database("sqlite:///chats.db")
        >>> async with database.write() as connection:
        ...     await connection.execute(...)
    """

    def __init__(
        self,
        url: str | URL | None = None,
        *,
        settings: Settings | None = None,
        read_only: bool = False,
        limits: bool = True,
    ) -> None:
        settings = settings or Settings.load()
        parsed = parse_url(url or settings.database)
        self.dialect: Dialect = dialect_named(parsed.get_backend_name())
        self.given_url = self.dialect.canonical_url(parsed)
        settings = self.dialect.with_url(self.given_url, settings)
        self.settings = settings if limits else settings.model_copy(update=NO_LIMITS)
        self.url = self.dialect.engine_url(self.given_url)
        if read_only:
            self.url = self.dialect.reading_url(self.url)
        self.schema: str | None = None
        if self.settings.db_schema and self.dialect.has_schemas:
            self.schema = self.dialect.schema_name(self.settings.db_schema)
        if self.given_url == parse_url(self.settings.embedded_database):
            create_folder(self.given_url)
        pooler = bool(self.dialect.unprepared) and self.settings.prepared_statements is False
        self._sessions = Sessions(self.dialect, self.settings, self.label, pooler=pooler)
        self.engine = self._create_engine(self.settings)
        self._no_fast_batch_before = 0.0
        self._compile = lru_cache(maxsize=_STATEMENTS)(compile_statement)
        # More concurrent reads are not faster, because rows are parsed one after the other.
        # They would delay the writer, and open connections that the pool does not keep.
        readers = self.settings.pool_size // 2 + 1
        self._reader_slots = PerLoop(lambda: asyncio.Semaphore(readers))
        self._worker = self.dialect.worker(self.url, readers)
        if self._worker:
            self._sessions.install(self._worker.engine)
        self._loop: asyncio.AbstractEventLoop | None = None
        self.outage = OutageLog(log, "read", lambda: self.label)

    def __repr__(self) -> str:
        return f"Database({self.label!r})"

    @property
    def label(self) -> str:
        """The URL without secrets, for messages."""
        return label_of(self.given_url)

    @property
    def identity(self) -> str:
        """Identifies the tables: equal for all URLs and logins that reach the same ones."""
        return f"{self.dialect.location(self.given_url)} {self.schema or ''}"

    @property
    def auto_upgrade(self) -> bool:
        """Whether the tables are created and upgraded on first use."""
        automatic = self.settings.auto_upgrade
        return self.dialect.auto_upgrade if automatic is None else automatic

    @property
    def sync_engines(self) -> list[Engine]:
        """The synchronous engines under this database, for event listeners and tracing."""
        return [self.engine.sync_engine, *([self._worker.engine] if self._worker else [])]

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection in a transaction that commits at the end of the block."""
        async with self._open(self.dialect.write_options) as connection, connection.begin():
            if self._sessions.pooler:  # Its sessions have settings of their own.
                await self.dialect.limit_locks(connection, self.settings.lock_timeout)
            yield connection

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection for reading."""
        async with self._open(self.dialect.read_options) as connection:
            yield connection

    @asynccontextmanager
    async def connect_without_limits(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection for a migration: no statement and no wait for a lock times out."""
        self.adopt_loop()
        if not (self.settings.command_timeout or self.settings.lock_timeout):
            async with self._open({}) as connection:
                yield connection
            return
        settings = self.settings.model_copy(update=NO_LIMITS)
        engine = self._create_engine(settings, is_shared=False)
        try:
            async with engine.connect() as connection:
                yield connection
        finally:
            await engine.dispose()

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection that reads one snapshot of the database, in one transaction."""
        async with self._open(self.dialect.snapshot_options) as connection, connection.begin():
            await self.dialect.refuse_hidden_rows(connection)
            yield connection

    @asynccontextmanager
    async def _open(self, options: Mapping[str, Any]) -> AsyncIterator[AsyncConnection]:
        self.adopt_loop()
        engine = self.engine.execution_options(**options)
        connection = await self._sessions.checkout(lambda: engine.connect().start())
        try:
            yield connection
        finally:
            try:  # As SQLAlchemy's own context manager does.
                await asyncio.shield(asyncio.create_task(connection.close()))
            finally:
                self._sessions.checkin()

    @asynccontextmanager
    async def _driver(self) -> AsyncIterator[Any]:
        """Check out the driver's connection, without a transaction: a third of `connect`'s cost.

        A connection that an error leaves broken is removed from the pool.
        """
        self.adopt_loop()
        pooled = await self._sessions.checkout(self._checkout)
        driver = pooled.driver_connection
        try:
            yield driver
        except BaseException as error:
            must_close, better = self._sessions.after_error(error, pooled.info, driver)
            if must_close:
                pooled.invalidate(error)  # Does not wait, so that a cancelled caller ends.
            if better:
                raise better from error
            raise
        finally:
            try:
                await greenlet_spawn(pooled.close)  # Waits only where the pool is full.
            finally:
                self._sessions.checkin()

    async def transact(self, work: Callable[[Connection], T]) -> T:
        """Run a synchronous function in a write transaction, as fast as the database allows.

        On SQLite it runs in the writer's thread; elsewhere its statements are awaited on the
        event loop by ``AsyncConnection.run_sync``.

        Args:
            work: Called with a connection; committed when it returns. Must not block otherwise.

        Returns:
            The result of the function.

        Example:
            >>> await database.transact(lambda connection: connection.execute(statement, rows))
        """
        self.adopt_loop()
        if self._worker:
            return await self._worker.write(work)
        limit = self.settings.command_timeout * _STATEMENTS_IN_TIME or None
        async with self.write() as connection, self._time_limit(limit):
            return await self.dialect.run_to_end(connection, work)

    async def write_fast_batch(self, batch: FastBatch) -> FastBatchResult | None:
        """Write a batch in one round trip; None: write it statement by statement."""
        clock, write = asyncio.get_running_loop().time, self.dialect.write_fast_batch
        if write is None or clock() < self._no_fast_batch_before:
            return None
        async with self._driver() as driver:
            pooler, lock_timeout = self._sessions.pooler, self.settings.lock_timeout
            result = await write(
                driver, batch, self.schema, pooler=pooler, lock_timeout=lock_timeout
            )
        if result.outcome is FastBatchOutcome.UNSUPPORTED:
            log.info("%s has no fast batch; writing statement by statement", self.label)
            # Not for ever: a migration may be under way.
            self._no_fast_batch_before = clock() + _FAST_BATCH_AGAIN
        written_or_refused = (FastBatchOutcome.WRITTEN, FastBatchOutcome.REFUSED)
        return result if result.outcome in written_or_refused else None

    async def read(self, query: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run a query that does not write, and repeat it after a lost connection."""

        async def once(seconds: float | None) -> T:
            async with self.connect() as connection, self._time_limit(seconds):
                return await query(connection)

        return await self._again(once)

    async def fetch(self, *statements: BoundStatement, slow: bool = False) -> list[Rows]:
        """Run statements that only read, by the fastest method of the database; see `read`.

        Args:
            *statements: Statements that are compiled once, with the values of their parameters.
                They select timestamps and documents by `Dialect.select_timestamp` and
                ``select_json``.
            slow: Whether they may take seconds, so that the first attempt has as long as others.

        Returns:
            The rows of each statement as tuples.

        Example:
            >>> [rows] = await database.fetch((BY_NAME, {"name": "me"}))
        """
        return await self._again(lambda seconds: self._fetch(statements, seconds), slow=slow)

    async def _fetch(
        self, statements: Sequence[BoundStatement], seconds: float | None
    ) -> list[Rows]:
        self.adopt_loop()
        async with self._reader_slot():
            if self._worker:
                return await self._worker.fetch([self._call(*bound) for bound in statements])
            if fetch := self.dialect.fetch_on_driver:
                calls = [self._call(*bound) for bound in statements]
                async with self._driver() as driver:
                    return await fetch(driver, calls, pooler=self._sessions.pooler, seconds=seconds)
            async with self.connect() as connection, self._time_limit(seconds):
                return await self.dialect.run_to_end(
                    connection, lambda sync: [sync.execute(*bound).all() for bound in statements]
                )

    @asynccontextmanager
    async def _reader_slot(self) -> AsyncIterator[None]:
        """Limit concurrent reads; after a long wait, read without a slot."""
        slots, acquired = self._reader_slots.get(), True
        try:
            async with asyncio.timeout(self.settings.connect_timeout):
                await slots.acquire()
        except TimeoutError:
            acquired = False  # The pool raises the error that explains the delay.
        try:
            yield
        finally:
            if acquired:
                slots.release()

    @asynccontextmanager
    async def _time_limit(self, seconds: float | None) -> AsyncIterator[None]:
        """Cancel statements that take too long; SQLAlchemy then closes their connection."""
        generation = self._sessions.generation
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            if seconds is None or isinstance(error, CommandTimeout):
                raise
            self._sessions.replace(generation)
            raise CommandTimeout from error

    def _call(self, statement: Executable, values: Mapping[str, Any]) -> CompiledCall:
        compiled = self._compile(statement, self.engine.dialect, self.schema)
        return compiled.sql, compiled.arguments(values)

    async def _again(
        self, once: Callable[[float | None], Awaitable[T]], *, slow: bool = False
    ) -> T:
        """Run a read, and repeat it a few times after a lost connection.

        The first attempt gets less time than the others: its connection may have been forgotten
        by the network, and somebody waits for the page.
        """
        limit = self.settings.command_timeout or None
        seconds = limit if slow else limit and min(limit, _FIRST_READ_SECONDS)
        timeouts = 0

        async def attempt() -> T:
            if timeouts:  # Where a new connection has no answer either, the server is silent.
                async with asyncio.timeout(_FIRST_READ_SECONDS), self.connect() as connection:
                    await connection.execute(select(1))
            return await once(seconds)

        def is_transient(error: Exception) -> bool:
            nonlocal seconds, timeouts
            seconds = limit
            if isinstance(error, CommandTimeout):
                timeouts += 1
                return timeouts == 1
            # A connection attempt without an answer would only be without an answer again.
            timed_out = isinstance(driver_error(error), TimeoutError)
            return self.dialect.is_transient(error) and not timed_out

        in_outage = self.outage.seconds is not None  # Then a person waits for a short answer.
        try:
            with self.translated_errors():
                result = await retry(
                    attempt,
                    is_transient,
                    attempts=1 if in_outage else _READ_ATTEMPTS,
                    first_pause=_READ_PAUSE,
                    on_retry=lambda error, _: self.outage.failed(one_line(error)),
                )
        except (DatabaseUnavailable, SchemaError) as error:
            self.outage.failed(str(error))
            raise
        self.outage.succeeded()
        return result

    @contextmanager
    def translated_errors(self) -> Iterator[None]:
        """Raise the errors of the driver as exceptions of ours, whose messages name the repair."""
        try:
            yield
        except self.dialect.errors as error:
            raise self.translate(error) from error

    def translate(self, error: BaseException) -> BaseException:
        """Return an exception whose message names the repair, or the error itself."""
        if sentence := self.dialect.explain(error, self.given_url):
            return DatabaseUnavailable(sentence)
        kind = self.dialect.classify(error)
        if kind is ErrorKind.SCHEMA:
            return SchemaOutdated(
                f"The tables in {self.label} do not fit this release ({one_line(error)}); "
                "run: chainlit-sqla upgrade"
            )
        if kind is ErrorKind.TRANSIENT:
            return self._unanswered(one_line(error))
        return error

    def no_answer(self, reason: str) -> DatabaseUnavailable:
        """Record that a read was given up without an answer; return the exception to raise."""
        self.outage.failed(reason)
        return self._unanswered(reason)

    def _unanswered(self, reason: str) -> DatabaseUnavailable:
        return DatabaseUnavailable(
            f"{self.label} does not answer ({reason}); check that the server runs, then try again"
        )

    def connections(self) -> tuple[int, int]:
        """Return the numbers of open connections and of those in use."""
        pools: list[Any] = [engine.pool for engine in self.sync_engines]
        in_use = sum(pool.checkedout() for pool in pools)
        return in_use + sum(pool.checkedin() for pool in pools), in_use

    async def close(self, seconds: float | None = None) -> None:
        """Close all connections; a later use opens new ones.

        A server that does not answer for ``seconds`` is left without a farewell.
        """
        self.adopt_loop()
        self.outage.close()
        if self._worker:
            await self._worker.close()
        disposal = asyncio.ensure_future(self.engine.dispose())
        await asyncio.wait([disposal], timeout=seconds)
        if disposal.done():
            disposal.result()
        else:
            self.engine.sync_engine.dispose(close=False)

    async def _checkout(self) -> PoolProxiedConnection:
        """Check out a connection as SQLAlchemy's pool has it."""
        try:
            return await self.engine.raw_connection()
        except Exception as error:
            # A raw connection raises the error class of SQLAlchemy's adapter.
            if isinstance(error.__cause__, self.dialect.errors):
                raise error.__cause__ from None
            raise

    def adopt_loop(self) -> asyncio.AbstractEventLoop:
        """Return the event loop; abandon the connections of an earlier one that has ended.

        A script may call ``asyncio.run`` several times; connections cannot change loops.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._loop is not None:
                if self._loop.is_running():
                    raise ConfigurationError(
                        f"{self.label} is in use in another event loop; "
                        "create a Database or a data layer for each loop"
                    )
                if self.dialect.bound_to_loop:
                    self.engine.sync_engine.dispose(close=False)
            self._loop = loop
        return loop

    def _create_engine(self, settings: Settings, *, is_shared: bool = True) -> AsyncEngine:
        try:
            options = self.dialect.engine_options(self.given_url, settings)
            engine = create_async_engine(self.url, hide_parameters=True, **options)
        except (ModuleNotFoundError, NoSuchModuleError) as error:
            raise ConfigurationError(
                f"{self.label} needs a driver that is not installed ({error}); "
                "use the URL without '+driver'"
            ) from None
        except (ArgumentError, ValueError, TypeError) as error:
            raise ConfigurationError(
                f"{self.label} is not a valid database URL ({one_line(error)}); correct it"
            ) from None
        self.dialect.install(engine)
        if self.dialect.is_replaceable(self.url):
            self._sessions.install(engine.sync_engine, is_shared=is_shared)
        if self.schema:
            engine = engine.execution_options(schema_translate_map={None: self.schema})
        return engine
