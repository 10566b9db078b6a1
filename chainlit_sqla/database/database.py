"""`Database`: a URL, its dialect, its engine and its pool."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, Executable, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import Pool, PoolProxiedConnection
from sqlalchemy.util import greenlet_spawn

from .._internal.aio import PerLoop
from .._internal.retry import retry
from ..dialects import (
    BoundStatement,
    CompiledCache,
    CompiledCall,
    Dialect,
    ErrorKind,
    FastBatch,
    FastBatchOutcome,
    Rows,
    dialect_named,
    driver_error,
    one_line,
)
from ..errors import ConfigurationError, DatabaseUnavailable, SchemaOutdated
from ..settings import Settings

log = logging.getLogger(__name__)

T = TypeVar("T")
_READ_ATTEMPTS = 3
_FAST_BATCH_AGAIN = 300.0
_SECRETS = {"password", "sslpassword", "passfile"}


class Database:
    """One database: everything that needs a connection is given one of these.

    Nothing is opened before the first use. Two databases can live side by side.

    Args:
        url: A URL with or without a driver (``postgresql://…``, ``mysql://…``,
            ``sqlite:///chats.db``);
            None takes it from the settings.
        settings: Settings; None reads the environment.
        read_only: Whether nothing at all is to be changed in it, neither a file's journal
            nor by a connection.

    Raises:
        ConfigurationError: The URL cannot be used; says why.

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
    ) -> None:
        self.settings = settings or Settings.load()
        self.given_url = parse_url(url or self.settings.database)
        self.dialect: Dialect = dialect_named(self.given_url.get_backend_name())
        self.url = self.dialect.engine_url(self.given_url)
        if read_only:
            self.url = self.dialect.reading_url(self.url)
        self.schema = self._checked_schema()
        self._make_folder()
        self.engine = self._make_engine()
        self._pooler = self.dialect.is_pooler(self.given_url, self.settings)
        self._no_fast_batch_before = 0.0
        self._compiled = CompiledCache()
        # More readers at once would not get more: their rows are made one after the other.
        # But the writer would wait for its turn, and connections beyond those that the pool
        # keeps would be made and closed.
        readers = self.settings.pool_size // 2 + 1
        self._reading = PerLoop(lambda: asyncio.Semaphore(readers))
        self._worker = self.dialect.worker(self.url, readers)
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        return f"Database({self.label!r})"

    @property
    def label(self) -> str:
        """The URL without its password, for people."""
        url = self.given_url
        shown = {name: v if name not in _SECRETS else "***" for name, v in url.query.items()}
        return url.set(query=shown).render_as_string(hide_password=True)

    @property
    def place(self) -> str:
        """The same for the same tables, however the URL is spelled and whoever logs in."""
        return f"{self.dialect.place(self.given_url)} {self.schema or ''}"

    @property
    def pool(self) -> Pool:
        """The connection pool."""
        return self.engine.sync_engine.pool

    @property
    def sync_engines(self) -> list[Engine]:
        """The synchronous engines under this database, for event listeners and tracing."""
        return [self.engine.sync_engine, *([self._worker.engine] if self._worker else [])]

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A connection in a transaction that commits at the end of the block."""
        self._adopt_loop()
        engine = self.engine.execution_options(**self.dialect.write_options())
        async with engine.connect() as connection, connection.begin():
            yield connection

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncConnection]:
        """A connection that only reads."""
        self._adopt_loop()
        engine = self.engine.execution_options(**self.dialect.read_options())
        async with engine.connect() as connection:
            yield connection

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncConnection]:
        """A connection that reads one state of the whole database, in one transaction."""
        self._adopt_loop()
        engine = self.engine.execution_options(**self.dialect.snapshot_options())
        async with engine.connect() as connection, connection.begin():
            await self.dialect.see_all(connection)
            yield connection

    @asynccontextmanager
    async def driver(self) -> AsyncIterator[PoolProxiedConnection]:
        """A pooled connection for the driver's own methods, in no transaction.

        A third of the price of `connect`. An error after which the connection cannot be
        used any more takes it out of the pool.
        """
        self._adopt_loop()
        pooled = await self._checkout()
        try:
            yield pooled
        except BaseException as error:
            # Where a query was cancelled or the server is gone, nobody knows its state.
            if self.dialect.is_broken(pooled, error):
                pooled.invalidate(error)  # Without waiting: whoever was cancelled goes on.
            raise
        finally:
            await greenlet_spawn(pooled.close)  # Waits only where the pool has too many.

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
        if self._worker:
            return await self._worker.write(work)
        async with self.write() as connection:
            return await self.dialect.run_to_end(connection, work)

    async def write_fast_batch(self, batch: FastBatch) -> bool:
        """Write a batch in one statement, where the database can.

        Args:
            batch: The rows to write.

        Returns:
            Whether it is written; if not, write it statement by statement.
        """
        clock = asyncio.get_running_loop().time
        if not self.dialect.has_fast_batch or clock() < self._no_fast_batch_before:
            return False
        async with self.driver() as connection:
            outcome = await self.dialect.write_fast_batch(
                connection, batch, self.schema, pooler=self._pooler
            )
        if outcome is FastBatchOutcome.UNSUPPORTED:
            log.info("%s has no fast batch; writing statement by statement", self.label)
            # Not for ever: a migration may be under way.
            self._no_fast_batch_before = clock() + _FAST_BATCH_AGAIN
        return outcome is FastBatchOutcome.WRITTEN

    async def read(self, query: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run a query, again where the connection was lost under it.

        Args:
            query: Called with a connection; must not write.

        Raises:
            DatabaseUnavailable: The database cannot be reached.
            SchemaOutdated: A table or column is missing.
        """

        async def once() -> T:
            async with self.connect() as connection:
                return await query(connection)

        return await self._again(once)

    async def fetch(self, *statements: BoundStatement) -> list[Rows]:
        """Run statements that only read, in the fastest way that the database has.

        Args:
            *statements: Statements that are kept, with the values of their parameters. They
                select instants and documents by `Dialect.select_timestamp` and ``select_json``.

        Returns:
            The rows of each statement as tuples.

        Raises:
            DatabaseUnavailable: The database cannot be reached.
            SchemaOutdated: A table or column is missing.

        Example:
            >>> [rows] = await database.fetch((BY_NAME, {"name": "me"}))
        """
        return await self._again(lambda: self._fetch(statements))

    async def _fetch(self, statements: Sequence[BoundStatement]) -> list[Rows]:
        async with self._turn_to_read():
            if self._worker:
                return await self._worker.fetch([self._call(*bound) for bound in statements])
            if self.dialect.fetches_on_driver:
                calls = [self._call(*bound) for bound in statements]
                async with self.driver() as pooled:
                    return await self.dialect.fetch(pooled, calls, pooler=self._pooler)
            async with self.connect() as connection:
                return [(await connection.execute(*bound)).all() for bound in statements]

    @asynccontextmanager
    async def _turn_to_read(self) -> AsyncIterator[None]:
        """One of a few places for readers; who waits for long tries without one."""
        reading, placed = self._reading.get(), True
        try:
            async with asyncio.timeout(self.settings.connect_timeout):
                await reading.acquire()
        except TimeoutError:
            placed = False  # The pool says what is the matter.
        try:
            yield
        finally:
            if placed:
                reading.release()

    def _call(self, statement: Executable, values: Mapping[str, Any]) -> CompiledCall:
        compiled = self._compiled.get(statement, self.engine.dialect, self.schema)
        return compiled.sql, compiled.arguments(values)

    async def _again(self, once: Callable[[], Awaitable[T]]) -> T:
        """Read once more after a lost connection, a few times."""

        def is_transient(error: Exception) -> bool:
            if not isinstance(error, self.dialect.errors):
                return False
            # A read without an answer would only be without an answer again.
            timed_out = isinstance(driver_error(error), TimeoutError)
            return self.dialect.classify(error) is ErrorKind.TRANSIENT and not timed_out

        try:
            return await retry(
                once,
                is_transient,
                attempts=_READ_ATTEMPTS,
                on_retry=lambda error, pause: log.warning(
                    "Read failed, retrying in %.2f s: %s", pause, one_line(error)
                ),
            )
        except self.dialect.errors as error:
            raise self.translate(error) from error

    def translate(self, error: BaseException) -> BaseException:
        """Give an error of the driver the form that a user can act on.

        Args:
            error: What the driver or SQLAlchemy raised.

        Returns:
            One of ours, or the error itself where it needs no words of ours.
        """
        if sentence := self.dialect.explain(error, self.given_url):
            return DatabaseUnavailable(sentence)
        fault = self.dialect.classify(error)
        if fault is ErrorKind.SCHEMA:
            return SchemaOutdated(
                f"The tables in {self.label} do not fit this release ({one_line(error)}); "
                "run: chainlit-sqla upgrade"
            )
        if fault is ErrorKind.TRANSIENT:
            return DatabaseUnavailable(
                f"{self.label} does not answer ({one_line(error)}); "
                "check that the server runs, then try again"
            )
        return error

    async def server_version(self) -> str:
        """The server's name and version for people."""
        return await self.read(self.dialect.server_version)

    async def close(self) -> None:
        """Close all connections; the database can be used again after."""
        self._adopt_loop()
        if self._worker:
            await self._worker.close()
        await self.engine.dispose()

    async def _checkout(self) -> PoolProxiedConnection:
        """A connection that is open as far as its driver knows."""
        try:
            while True:
                pooled = await self.engine.raw_connection()
                if not self.dialect.is_lost(pooled):
                    return pooled
                pooled.invalidate()
        except Exception as error:
            # Without SQLAlchemy's connection, its adapter's own class of error is raised.
            if isinstance(error.__cause__, self.dialect.errors):
                raise error.__cause__ from None
            raise

    def _adopt_loop(self) -> None:
        """Leave the connections of an event loop that has ended to it, and open new ones.

        A script may call ``asyncio.run`` several times; connections cannot change loops.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._loop is not None:
                if self._loop.is_running():
                    raise ConfigurationError(
                        f"{self.label} is in use in another event loop; "
                        "make a Database or a data layer for each loop"
                    )
                if self.dialect.bound_to_loop:
                    self.engine.sync_engine.dispose(close=False)
            self._loop = loop

    def _checked_schema(self) -> str | None:
        if not self.settings.db_schema or not self.dialect.has_schemas:
            return None
        return self.dialect.schema_name(self.settings.db_schema)

    def _make_folder(self) -> None:
        """The folder of the default SQLite file; others must exist, a typo shall show."""
        if self.given_url.database and self.given_url == make_url(self.settings.embedded_database):
            folder = Path(self.given_url.database).parent
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # Conversations are private.
                ignore = folder / ".gitignore"
                if not ignore.exists():
                    ignore.write_text("*\n")
            except OSError as error:
                raise ConfigurationError(
                    f"The folder {folder} cannot be made ({error.strerror}); give this user "
                    "write permission, or set DATABASE_URL or CHAINLIT_SQLA_DATA_DIR"
                ) from error

    def _make_engine(self) -> AsyncEngine:
        options = self.dialect.engine_options(self.given_url, self.settings)
        try:
            engine = create_async_engine(self.url, hide_parameters=True, **options)
        except (ModuleNotFoundError, NoSuchModuleError) as error:
            raise ConfigurationError(
                f"{self.label} needs a driver that is not installed ({error}); "
                "use the URL without '+driver'"
            ) from None
        except (ArgumentError, ValueError, TypeError) as error:
            raise ConfigurationError(
                f"{self.label} cannot be used as a database URL ({error}); correct it"
            ) from None
        self.dialect.install(engine)
        if self.schema:
            engine = engine.execution_options(schema_translate_map={None: self.schema})
        return engine


def parse_url(url: str | URL) -> URL:
    """Parse a database URL.

    Args:
        url: Text as found in environments, or a URL.

    Raises:
        ConfigurationError: It is no URL; the message holds no password.
    """
    try:
        parsed = make_url(url.strip().strip("'\"") if isinstance(url, str) else url)
        if isinstance(url, str) and _is_torn(parsed, url):
            raise ValueError("The password is not where it seems to be")
        if parsed.port is not None and not 0 < parsed.port < 65_536:
            raise ValueError(parsed.port)
        return parsed
    except (ArgumentError, ValueError):
        raise ConfigurationError(
            "The database URL cannot be read; write it as "
            "postgresql://user:password@host:5432/name, mysql://user:password@host:3306/name or "
            "sqlite:///file.db (special characters in the password as %40 for @, %2F for /)"
        ) from None


def _is_torn(parsed: URL, url: str) -> bool:
    """Whether an @ of the password was taken for its end: the host would show the rest of it."""
    names = (pair.partition("=")[0] for pair in url.partition("?")[2].split("&"))
    behind = (parsed.host or "", parsed.database or "", *names)
    return parsed.password is not None and any("@" in part for part in behind)


__all__ = ["Database", "parse_url"]
