"""`Dialect`: everything that differs between databases.

The rest of the package never compares names of databases. The defaults are plain SQLAlchemy; a
subclass overrides what its database does differently, or faster.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

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
from sqlalchemy.exc import DBAPIError, SQLAlchemyError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.types import TypeEngine

from .._internal import json as _json
from .._internal.timestamps import format_instant
from ..errors import RejectedRow
from .error_kinds import ErrorKind, SessionFault, driver_error

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from ..settings import Settings
    from .fast_batch import FastBatchResult
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
DriverFetch = Callable[..., Awaitable[list[Rows]]]
"""Called with the driver's connection, `CompiledCall`s, ``pooler``, and ``seconds``, after which
it raises `CommandTimeout` unless they are None."""
FastBatchWriter = Callable[..., "Awaitable[FastBatchResult]"]
"""Called with the driver's connection, a `FastBatch`, a schema, ``pooler`` and ``lock_timeout``."""

NO_LIMITS = {"command_timeout": 0.0, "lock_timeout": 0.0}
"""The settings of connections for long work, such as migrations."""
_LOOPBACK = {"", "localhost", "127.0.0.1", "::1"}


class Dialect(ABC):
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
    has_schemas: bool = False
    """Whether `Settings.db_schema` has an effect."""
    unprepared: ClassVar[Mapping[str, Any]] = {}
    """Arguments of a connection that prepares no statements, for a transaction pooler."""
    bound_to_loop: bool = True
    """Whether a connection works only in the event loop that opened it."""
    max_parameters: int = 30_000
    """The largest number of bind parameters in one statement."""
    longest_id: int = 1_024
    """The longest id of a thread or of a row in it, in characters."""
    longest_identifier: int = 1_024
    """The longest identifier of a user, in characters."""
    commits_ddl: bool = False
    """Whether DDL commits the transaction."""
    read_options: ClassVar[Mapping[str, Any]] = {}
    """Execution options of a connection that only reads."""
    write_options: ClassVar[Mapping[str, Any]] = {}
    """Execution options of a connection that writes."""
    snapshot_options: ClassVar[Mapping[str, Any]] = {}
    """Execution options of a transaction that reads one snapshot."""
    timestamp_type: TypeEngine[Any]
    """The column type of a timestamp with microseconds."""
    json_type: TypeEngine[Any]
    """The column type of a JSON document; SQL NULL for None."""
    text_type: TypeEngine[Any] = Text()
    """The column type of a text of any length."""
    object_key_type: TypeEngine[Any] = Text()
    """The column type of an object key in a primary key: up to 1,024 bytes."""
    search_index: SearchIndex | None = None
    """The index that ``chainlit-sqla search enable`` builds; None: this database has none."""
    unwanted_grants: Callable[..., list[tuple[str, str]]] | None = None
    """Reads who else may use tables; None: new tables are never open to others."""
    fetch_on_driver: DriverFetch | None = None
    """Runs statements that select text, numbers, flags, `select_timestamp` and `select_json` on
    the driver's connection, outside a transaction; None: SQLAlchemy does.

    ``pooler``: a transaction pooler may give each transaction another session."""
    write_fast_batch: FastBatchWriter | None = None
    """Writes a batch in one round trip, in the same way; None: only statement by statement."""

    # Connections

    def canonical_url(self, url: URL) -> URL:
        """Return a URL in the form that the other methods take."""
        return url

    def engine_url(self, url: URL) -> URL:
        """Return a URL with the async driver."""
        return url.set(drivername=f"{self.name}+{self.driver}")

    def reading_url(self, url: URL) -> URL:
        """Return an engine's URL for a database that opening must not change."""
        return url

    def location(self, url: URL) -> str:
        """Return an identification of the database that does not depend on the login."""
        return f"{self.name}://{local_name(url.host)}:{url.port or self.port}/{url.database or ''}"

    def with_url(self, url: URL, settings: Settings) -> Settings:  # noqa: ARG002
        """Return the settings with those of a URL, which win; no limits without a network."""
        return settings.model_copy(update=NO_LIMITS)

    @abstractmethod
    def engine_options(self, url: URL, settings: Settings) -> dict[str, Any]:
        """Return keyword arguments for ``create_async_engine``."""

    def install(self, engine: AsyncEngine) -> None:  # noqa: B027
        """Attach connection events."""

    def is_lost(self, driver: Any) -> bool:  # noqa: ARG002
        """Return whether the driver knows that its connection is closed."""
        return False

    def is_broken(self, driver: Any) -> bool:
        """Return whether a connection in the pool is unusable."""
        return self.is_lost(driver)

    def abort(self, driver: Any) -> None:  # noqa: B027
        """Close the socket of a broken connection without waiting for the server."""

    def is_replaceable(self, url: URL) -> bool:  # noqa: ARG002 - for SQLite
        """Return whether another connection reaches the same data."""
        return True

    async def is_pooled(self, driver: Any) -> bool:  # noqa: ARG002 - for PostgreSQL
        """Ask a new connection whether a pooler is between it and the server."""
        return False

    async def refuse_hidden_rows(self, connection: AsyncConnection) -> None:  # noqa: B027
        """Make the transaction fail if row level security would hide rows."""

    async def limit_locks(self, connection: AsyncConnection, seconds: float) -> None:  # noqa: B027
        """Limit waits for locks in a transaction behind a transaction pooler."""

    async def read_undecodable_text(self, connection: AsyncConnection) -> None:  # noqa: B027
        """Read text that is not valid UTF-8 as `UndecodableText` on a connection."""

    @abstractmethod
    def check_server(self, connection: Connection, tables: Sequence[str]) -> None:
        """Raise `ServerUnsuitable` where the server, or our tables on it, would lose rows."""

    @abstractmethod
    async def server_version(self, connection: AsyncConnection) -> str:
        """Return the server's name and version."""

    def schema_name(self, name: str) -> str:
        """Check the name of a schema; a database that would refuse it raises an error."""
        return name

    # Values: columns have the types of `column_types`, which call `bind_…` and `result_…`. Hot
    # reads select by `select_…` and convert by `format_timestamp` and `load_json` instead.

    def key_type(self, length: int) -> TypeEngine[Any]:  # noqa: ARG002 - for MySQL
        """Return the column type of a text in a key or an index, of so many characters."""
        return self.text_type

    def bind_object_key(self, value: str) -> Any:
        """Convert an object key for the driver."""
        return value

    def result_object_key(self, value: Any) -> str:
        """Convert the driver's value to an object key."""
        return value  # type: ignore[no-any-return]

    def bind_timestamp(self, value: Any) -> Any:
        """Convert an aware UTC datetime for the driver."""
        return value

    def result_timestamp(self, value: Any) -> Any:
        """Convert the driver's value to an aware UTC datetime."""
        return value

    def bind_json(self, value: Any) -> Any:
        """Convert a value or `JsonText` for the driver."""
        return value

    def result_json(self, value: Any) -> Any:
        """Convert the driver's value to Python's objects."""
        return value

    def select_timestamp(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return a timestamp in the cheapest form that `format_timestamp` takes."""
        return column

    def format_timestamp(self, value: Any) -> str | None:
        """Format a value of `select_timestamp` as `format_instant` does."""
        return format_instant(value)

    def select_json(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return a JSON document in the cheapest form that `load_json` takes."""
        return column

    def load_json(self, value: Any) -> Any:
        """Convert a value of `select_json` to new objects."""
        return value

    # Reads and writes

    def packed(
        self,
        columns: Sequence[ColumnElement[Any]],  # noqa: ARG002 - for PostgreSQL
        order_by: ColumnElement[Any] | None = None,  # noqa: ARG002
    ) -> ColumnElement[Any] | None:
        """Return a row as a JSON array, to read it in the same statement as other rows.

        With an order, the array holds all rows of a subquery. None: an additional statement costs
        less.
        """
        return None

    def worker(self, url: URL, readers: int) -> SQLiteWorker | None:  # noqa: ARG002 - for SQLite
        """Return threads that run transactions and reads; None where the async driver does."""
        return None

    def size_of(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return the approximate size of a value in bytes; NULL for NULL."""
        return func.octet_length(column)

    @asynccontextmanager
    async def cursor(
        self, connection: AsyncConnection, query: Select[Any]
    ) -> AsyncIterator[FetchMany]:
        """Read the rows of a query in portions, without reading ahead.

        The connection is in a transaction, and the block runs no other statement on it.
        """
        async with connection.stream(query) as rows:
            yield rows.fetchmany

    def upsert(self, table: Table, keys: Sequence[str], update: Iterable[str]) -> Insert:
        """Insert a row, or update the named columns of the row with the same keys."""
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

    @abstractmethod
    def search_term(self, text: str) -> str:
        """Return a text in the form that `contains` takes."""

    @abstractmethod
    def contains(
        self, column: ColumnElement[str], term: ColumnElement[str], *, icu: bool = True
    ) -> ColumnElement[bool]:
        """Return whether a text contains a `search_term`, literally and case-insensitively.

        Only PostgreSQL asks whether the server has ICU collations.
        """

    def before(
        self, columns: Sequence[ColumnElement[Any]], values: Sequence[ColumnElement[Any]]
    ) -> ColumnElement[bool]:
        """Return whether a row precedes other values in the order of several columns."""
        return tuple_(*columns) < tuple_(*values)

    @abstractmethod
    def json_is_true(self, column: ColumnElement[Any], key: str) -> ColumnElement[bool]:
        """Return whether a member of a JSON object is ``true``."""

    def json_has(self, column: ColumnElement[Any], item: str) -> ColumnElement[bool]:
        """Return whether a JSON array contains a text; NULL contains nothing."""
        return func.json_contains(column, literal(_json.dumps(item), Text())) == 1

    def numbers_rows(self, connection: Connection, table: str) -> bool:  # noqa: ARG002 - for SQLite
        """Return whether a table has the order of `physical_order`."""
        return True

    def physical_order(self) -> ColumnElement[Any] | None:
        """Return what orders rows roughly as they were written; None: the database cannot."""
        return None

    async def refresh_statistics(  # noqa: B027
        self, connection: AsyncConnection, tables: Iterable[Table], schema: str | None
    ) -> None:
        """Refresh the planner's statistics of tables, which the server would do later."""

    # Migrations

    def table_replacement(self) -> TableReplacement | None:
        """Return what replaces tables in place; None: not possible in one transaction."""
        return None

    @contextmanager
    def migration_lock(self, connection: Connection) -> Iterator[None]:
        """Let one process at a time migrate; a transaction is open inside."""
        with connection.begin():
            yield

    # Errors

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """The errors of a connection; SQLAlchemy 2.0 does not wrap all errors of connecting."""
        return (SQLAlchemyError, OSError)

    def classify(self, error: BaseException) -> ErrorKind:
        """Classify an error: what it means for a write."""
        if isinstance(error, RejectedRow):
            return ErrorKind.REJECTED
        if isinstance(error, (OSError, PoolTimeout)):
            return ErrorKind.TRANSIENT
        if isinstance(error, DBAPIError):
            if error.connection_invalidated:
                return ErrorKind.TRANSIENT
            return self.classify_driver_error(driver_error(error))
        if isinstance(error, StatementError):  # The values could not be bound.
            is_value = isinstance(error.orig, (TypeError, ValueError, ArithmeticError))
            return ErrorKind.REJECTED if is_value else ErrorKind.OTHER
        if isinstance(error, self.errors) and not isinstance(error, SQLAlchemyError):
            return self.classify_driver_error(error)
        # Raised by a driver that encodes a value.
        is_value = isinstance(error, (UnicodeEncodeError, OverflowError))
        return ErrorKind.REJECTED if is_value else ErrorKind.OTHER

    def is_refusal(self, error: BaseException) -> bool:
        """Return whether an error is the fault of a row, not of the connection or the schema."""
        return self.classify(error) in (ErrorKind.REJECTED, ErrorKind.REPEAT)

    def is_transient(self, error: BaseException) -> bool:
        """Return whether the same statements may succeed on another connection, or later."""
        return self.classify(error) in (ErrorKind.TRANSIENT, ErrorKind.LOCKED)

    @abstractmethod
    def classify_driver_error(self, error: BaseException) -> ErrorKind:
        """Classify an error of the driver itself, by its code."""

    @abstractmethod
    def session_fault(self, error: BaseException) -> SessionFault | None:
        """Return what an error says about sessions; None where its session can be used again."""

    @abstractmethod
    def explain(self, error: BaseException, url: URL) -> str | None:
        """Explain in one sentence, with the repair, why a connection fails; None if unknown."""


def local_name(host: str | None) -> str:
    """Return a host's name, one for all names of this machine."""
    host = (host or "").lower()
    return "localhost" if host in _LOOPBACK else host


@lru_cache(maxsize=512)
def _upsert(dialect: Dialect, table: Table, keys: Sequence[str], update: Sequence[str]) -> Insert:
    return dialect.build_upsert(table, keys, update)


def insert_on_conflict(insert: Any, keys: Sequence[str], update: Sequence[str]) -> Insert:
    """Complete a dialect's ``insert(table)`` for databases with ``ON CONFLICT``; see `upsert`."""
    changes = {name: insert.excluded[name] for name in update}
    if not changes:
        return insert.on_conflict_do_nothing(index_elements=list(keys))  # type: ignore[no-any-return]
    return insert.on_conflict_do_update(  # type: ignore[no-any-return]
        index_elements=list(keys), set_=changes
    )
