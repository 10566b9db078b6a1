"""`Dialect`: everything that differs between databases.

The rest of the package never compares names of databases. The defaults are plain SQLAlchemy; a
subclass overrides what its database does differently, or faster.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Executable,
    Insert,
    Select,
    Table,
    Text,
    func,
    literal,
    tuple_,
)

from .._internal import json as _json
from .error_kinds import ErrorClassification
from .values import ValueConversion

if TYPE_CHECKING:
    from sqlalchemy import PoolProxiedConnection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from ..settings import Settings
    from .fast_batch import FastBatch, FastBatchOutcome
    from .in_place import TableReplacement
    from .search_index import SearchIndex
    from .sqlite.worker import SQLiteWorker

T = TypeVar("T")
BoundStatement = tuple[Executable, Mapping[str, Any]]
"""A statement that is one object for all calls, and the values of its parameters."""
CompiledCall = tuple[str, Sequence[Any]]
"""SQL with the driver's placeholders, and its arguments in order."""
Rows = Sequence[Sequence[Any]]
"""Rows as tuples, in the order of the statement's columns."""
FetchMany = Callable[[int], Awaitable[Sequence[Any]]]
"""Returns the next rows, at most the given number; an empty result ends them."""

_LOOPBACK = {"", "localhost", "127.0.0.1", "::1"}


class Dialect(ValueConversion, ErrorClassification):
    """One kind of database."""

    name: str
    """SQLAlchemy's name of the backend, as in a URL."""
    title: str
    """The name in messages."""
    driver: str
    """The async driver, which is added to a URL without one."""
    port: int | None = None
    """The port of a URL without one."""
    auto_upgrade: bool = False
    """Whether the schema is created on first use unless a setting says otherwise."""
    ignores_case: bool = False
    """Whether names of tables and columns are case-insensitive, even quoted."""
    has_schemas: bool = False
    """Whether `Settings.db_schema` has an effect."""
    bound_to_loop: bool = True
    """Whether a connection works only in the event loop that opened it."""
    max_parameters: int = 30_000
    """The largest number of bind parameters in one statement."""
    search_index: SearchIndex | None = None
    """The index that ``chainlit-sqla search enable`` builds; None: this database has none."""
    commits_ddl: bool = False
    """Whether DDL commits the transaction."""
    fetches_on_driver: bool = False
    """Whether `fetch` is implemented, which reads on the driver itself."""
    has_fast_batch: bool = False
    """Whether `write_fast_batch` is implemented, which writes a batch in one statement."""

    # Connections

    def engine_url(self, url: URL) -> URL:
        """Return a URL with the async driver."""
        return url.set(drivername=f"{self.name}+{self.driver}")

    def reading_url(self, url: URL) -> URL:
        """Return an engine's URL for a database that opening must not change.

        Raises:
            ConfigurationError: The file does not exist.
        """
        return url

    def location(self, url: URL) -> str:
        """Return an identification of the database that does not depend on the login."""
        port = url.port or self.port
        host = (url.host or "").lower()
        host = "localhost" if host in _LOOPBACK else host
        return f"{self.name}://{host}:{port}/{url.database or ''}"

    @abstractmethod
    def engine_options(self, url: URL, settings: Settings) -> dict[str, Any]:
        """Keyword arguments for ``create_async_engine``."""

    def is_pooler(self, url: URL, settings: Settings) -> bool:  # noqa: ARG002
        """Whether the URL leads to a transaction pooler."""
        return False

    def install(self, engine: AsyncEngine) -> None:
        """Attach connection events."""

    def is_lost(self, connection: PoolProxiedConnection) -> bool:  # noqa: ARG002
        """Whether the driver knows that a pooled connection is closed."""
        return False

    def is_broken(
        self,
        connection: PoolProxiedConnection,  # noqa: ARG002 - for PostgreSQL
        error: BaseException,
    ) -> bool:
        """Whether an error leaves a pooled connection unusable."""
        return not isinstance(error, self.errors)

    def read_options(self) -> dict[str, Any]:
        """Return execution options of a connection that only reads."""
        return {}

    def write_options(self) -> dict[str, Any]:
        """Return execution options of a connection that writes."""
        return {}

    async def refuse_hidden_rows(self, connection: AsyncConnection) -> None:
        """Make the transaction fail if row level security would hide rows."""

    async def read_undecodable_text(self, connection: AsyncConnection) -> None:
        """Read text that is not valid UTF-8 as `UndecodableText` on a connection."""

    def snapshot_options(self) -> dict[str, Any]:
        """Return execution options of a transaction that reads one snapshot."""
        return {}

    @abstractmethod
    async def server_version(self, connection: AsyncConnection) -> str:
        """Return the server's name and version."""

    def schema_name(self, name: str) -> str:
        """Check the name of a schema.

        Raises:
            ConfigurationError: The database would truncate or refuse it.
        """
        return name

    # Reads and writes

    def packed(
        self,
        columns: Sequence[ColumnElement[Any]],  # noqa: ARG002 - for PostgreSQL
        order_by: ColumnElement[Any] | None = None,  # noqa: ARG002
    ) -> ColumnElement[Any] | None:
        """Return a row as a JSON array, to read it in the same statement as other rows.

        Args:
            columns: The values of the row: text, numbers and flags.
            order_by: The order of the rows of a subquery, for an array of all of them; None for
                one row.

        Returns:
            None where an additional statement costs less.
        """
        return None

    def worker(self, url: URL, readers: int) -> SQLiteWorker | None:  # noqa: ARG002 - for SQLite
        """Return threads that run transactions and reads; None where the async driver does.

        Args:
            url: The engine's URL.
            readers: How many reads run concurrently.
        """
        return None

    async def fetch(
        self,
        connection: PoolProxiedConnection,
        calls: Sequence[CompiledCall],
        *,
        pooler: bool,
    ) -> list[Rows]:
        """Run reading statements on the driver itself, where `fetches_on_driver`.

        Args:
            connection: A pooled connection outside a transaction.
            calls: Statements that select text, numbers, flags, `select_timestamp` and
                `select_json`.
            pooler: Whether a transaction pooler may give each transaction another session.

        Returns:
            The rows of each statement.
        """
        raise NotImplementedError

    def size_of(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return the approximate size of a value in bytes; NULL for NULL."""
        return func.octet_length(column)

    def cursor(
        self, connection: AsyncConnection, query: Select[Any]
    ) -> AbstractAsyncContextManager[FetchMany]:
        """Read the rows of a query in portions, without reading ahead.

        Args:
            connection: In a transaction; the block runs no other statement on it.
            query: The query.

        Example:
            >>> async with dialect.cursor(connection, select(steps.c.id)) as fetch_many:
            ...     while rows := await fetch_many(100):
            ...         ...
        """
        return _stream(connection, query)

    # Statements

    def upsert(self, table: Table, keys: Sequence[str], update: Iterable[str]) -> Insert:
        """Insert a row, or update the named columns of the one with the same keys.

        Args:
            table: The table.
            keys: Names of the columns of the unique key that decides.
            update: Names of the columns to update where the row exists.
        """
        return _upsert(self, table, tuple(keys), tuple(update))

    @abstractmethod
    def build_upsert(self, table: Table, keys: Sequence[str], update: Sequence[str]) -> Insert:
        """Build the statement of `upsert`, which caches it."""

    async def execute_many(
        self, connection: AsyncConnection, statement: Any, rows: Sequence[Mapping[str, Any]]
    ) -> None:
        """Run one statement for many rows; see `run_to_end`."""
        await self.run_to_end(connection, lambda sync: sync.execute(statement, rows))

    async def run_to_end(self, connection: AsyncConnection, work: Callable[[Connection], T]) -> T:
        """Run a synchronous function on a connection in a transaction.

        Cancelling the caller must not interrupt the driver in the middle of a message.
        """
        return await connection.run_sync(work)

    async def write_fast_batch(
        self,
        connection: PoolProxiedConnection,
        batch: FastBatch,
        schema: str | None,
        *,
        pooler: bool,
    ) -> FastBatchOutcome:
        """Write a batch in one statement, where `has_fast_batch`.

        Args:
            connection: A pooled connection outside a transaction.
            batch: The rows to write.
            schema: The schema of our tables; None: the connection's default one.
            pooler: Whether a transaction pooler may give each transaction another session.
        """
        raise NotImplementedError

    @abstractmethod
    def search_term(self, text: str) -> str:
        """Return a text in the form that `contains` takes."""

    @abstractmethod
    def contains(
        self, column: ColumnElement[str], term: ColumnElement[str], *, icu: bool = True
    ) -> ColumnElement[bool]:
        """Return whether a text contains another one, literally and case-insensitively.

        Args:
            column: The text.
            term: The result of `search_term`.
            icu: Whether the server has ICU collations; only PostgreSQL asks.
        """

    def before(
        self, columns: Sequence[ColumnElement[Any]], values: Sequence[ColumnElement[Any]]
    ) -> ColumnElement[bool]:
        """Return whether a row precedes another one in the order of several columns.

        Args:
            columns: The columns of the row.
            values: The values of the other row.
        """
        return tuple_(*columns) < tuple_(*values)

    @abstractmethod
    def json_is_true(self, column: ColumnElement[Any], key: str) -> ColumnElement[bool]:
        """Whether a member of a JSON object is ``true``."""

    def numbers_rows(self, connection: Connection, table: str) -> bool:  # noqa: ARG002 - for SQLite
        """Whether a table has the order of `physical_order`.

        Args:
            connection: To the database.
            table: The name of an existing table.
        """
        return True

    def physical_order(self) -> ColumnElement[Any] | None:
        """Return what orders rows roughly as they were written; None: the database cannot."""
        return None

    def json_has(self, column: ColumnElement[Any], item: str) -> ColumnElement[bool]:
        """Return whether a JSON array contains a text.

        Args:
            column: The array; NULL contains nothing.
            item: The text.
        """
        return func.json_contains(column, literal(_json.dumps(item), Text())) == 1

    async def refresh_statistics(
        self, connection: AsyncConnection, tables: Iterable[Table], schema: str | None
    ) -> None:
        """Refresh the planner's statistics, which the server would do later.

        Args:
            connection: In a transaction.
            tables: The tables that were written to.
            schema: The schema of the tables; None: the connection's default one.
        """

    # Migrations

    def table_replacement(self) -> TableReplacement | None:
        """Return what replaces tables in place; None: not possible in one transaction."""
        return None

    @contextmanager
    def migration_lock(self, connection: Connection) -> Iterator[None]:
        """Let one process at a time migrate; a transaction is open inside."""
        with connection.begin():
            yield


@lru_cache(maxsize=512)
def _upsert(dialect: Dialect, table: Table, keys: Sequence[str], update: Sequence[str]) -> Insert:
    return dialect.build_upsert(table, keys, update)


def insert_on_conflict(insert: Any, keys: Sequence[str], update: Sequence[str]) -> Insert:
    """Complete an INSERT for databases with ``ON CONFLICT``.

    Args:
        insert: The dialect's own ``insert(table)``.
        keys: See `Dialect.upsert`.
        update: See `Dialect.upsert`.
    """
    changes = {name: insert.excluded[name] for name in update}
    statement: Insert = (
        insert.on_conflict_do_update(index_elements=list(keys), set_=changes)
        if changes
        else insert.on_conflict_do_nothing(index_elements=list(keys))
    )
    return statement


@asynccontextmanager
async def _stream(connection: AsyncConnection, query: Select[Any]) -> AsyncIterator[FetchMany]:
    async with connection.stream(query) as rows:
        yield rows.fetchmany
