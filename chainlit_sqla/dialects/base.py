"""What differs between databases, asked for in one place.

A `Dialect` answers everything that the rest of the package may not decide by a
database's name. The defaults here are plain SQLAlchemy; a subclass overrides what its
database does otherwise, or faster.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Executable,
    Insert,
    Table,
    Text,
    func,
    literal,
    tuple_,
)
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from .._internal import json as _json
from .cursor import Portioned
from .error_kinds import ErrorKind, driver_error
from .valued import Valued

if TYPE_CHECKING:
    from sqlalchemy import PoolProxiedConnection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from ..settings import Settings
    from .fast_batch import FastBatch, FastBatchOutcome
    from .in_place import TableReplacement
    from .search import SearchIndex
    from .sqlite.worker import SQLiteWorker

BoundStatement = tuple[Executable, Mapping[str, Any]]
"""A statement that is kept for good, and the values of its parameters."""
CompiledCall = tuple[str, Sequence[Any]]
"""SQL as the driver takes it, and its arguments in order."""
Rows = Sequence[Sequence[Any]]
"""Rows as tuples, in the order of the statement's columns."""


T = TypeVar("T")
_HERE = {"", "localhost", "127.0.0.1", "::1"}
"""Names of one server: this machine's."""


class Dialect(Valued, Portioned, ABC):
    """One kind of database."""

    name: str
    """SQLAlchemy's name of the backend, as in a URL."""
    title: str
    """The name for people."""
    driver: str
    """The async driver that a plain URL is given."""
    port: int | None = None
    """The port of a URL that names none."""
    auto_upgrade: bool = False
    """Whether the schema is made on first use unless a setting says otherwise."""
    ignores_case: bool = False
    """Whether names that differ in the case of letters are the same, quoted or not."""
    has_schemas: bool = False
    """Whether `Settings.db_schema` means anything."""
    bound_to_loop: bool = True
    """Whether a connection works only in the event loop that opened it."""
    max_parameters: int = 30_000
    """Bind parameters in one statement."""
    search_index: SearchIndex | None = None
    """The index that ``chainlit-sqla search enable`` builds; None: no index is worth it here."""
    commits_ddl: bool = False
    """Whether each change of the schema is final at once, whatever fails after it."""
    fetches_on_driver: bool = False
    """Whether `fetch` reads past SQLAlchemy, on the driver."""
    has_fast_batch: bool = False
    """Whether `write_fast_batch` writes a usual batch in one statement."""

    # Connections

    def engine_url(self, url: URL) -> URL:
        """Give a plain URL the async driver."""
        return url.set(drivername=f"{self.name}+{self.driver}")

    def reading_url(self, url: URL) -> URL:
        """An engine's URL for a database that must not be changed by opening it.

        Raises:
            ConfigurationError: It is a file that is not there.
        """
        return url

    def place(self, url: URL) -> str:
        """A name for the database that does not depend on the login."""
        port = url.port or self.port
        host = (url.host or "").lower()
        host = "localhost" if host in _HERE else host
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
        """Whether the driver knows that a pooled connection has ended."""
        return False

    def is_broken(
        self,
        connection: PoolProxiedConnection,  # noqa: ARG002 - others look at it
        error: BaseException,
    ) -> bool:
        """Whether a pooled connection can no longer be used after an error."""
        return not isinstance(error, self.errors)

    def read_options(self) -> dict[str, Any]:
        """Execution options of a connection that only reads."""
        return {}

    def write_options(self) -> dict[str, Any]:
        """Execution options of a connection that writes."""
        return {}

    async def see_all(self, connection: AsyncConnection) -> None:
        """Let the transaction fail where rows would be hidden from it."""

    async def read_undecodable_text(self, connection: AsyncConnection) -> None:
        """Read text that is not valid UTF-8 as `UndecodableText` on a connection."""

    def snapshot_options(self) -> dict[str, Any]:
        """Execution options of a transaction that sees one state of the database to its end."""
        return {}

    @abstractmethod
    async def server_version(self, connection: AsyncConnection) -> str:
        """The server's version for people."""

    def schema_name(self, name: str) -> str:
        """Check the name of a schema.

        Raises:
            ConfigurationError: The database would cut or refuse it.
        """
        return name

    # Reads

    def worker(self, url: URL, readers: int) -> SQLiteWorker | None:  # noqa: ARG002 - for SQLite
        """Threads that run whole transactions and reads; None: the async driver does.

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
        """Run reading statements on the driver itself; only where `fetches_on_driver`.

        Args:
            connection: A pooled connection in no transaction.
            calls: Statements that select what `select_timestamp` and `select_json` return,
                flags (which may come as numbers), text and numbers.
            pooler: Whether a transaction pooler is between, which may give each
                transaction another session.

        Returns:
            The rows of each statement.
        """
        raise NotImplementedError

    # Statements

    @abstractmethod
    def upsert(self, table: Table, keys: Sequence[str], update: Iterable[str]) -> Insert:
        """Insert a row, or update the named columns of the one with the same keys.

        Args:
            table: The table.
            keys: Names of the columns of the unique key that decides.
            update: Names of the columns written where the row exists; none: it stays.
        """

    async def execute_many(
        self, connection: AsyncConnection, statement: Any, rows: Sequence[Mapping[str, Any]]
    ) -> None:
        """Run one statement for many rows: the seam for a faster path than SQLAlchemy's."""
        await connection.execute(statement, rows)

    async def run_to_end(self, connection: AsyncConnection, work: Callable[[Connection], T]) -> T:
        """Run a synchronous function on a connection in a transaction."""
        return await connection.run_sync(work)

    async def write_fast_batch(
        self,
        connection: PoolProxiedConnection,
        batch: FastBatch,
        schema: str | None,
        *,
        pooler: bool,
    ) -> FastBatchOutcome:
        """Write a batch in one statement; only where `has_fast_batch`.

        Args:
            connection: A pooled connection in no transaction.
            batch: The rows to write.
            schema: The schema of our tables; None: the connection's default one.
            pooler: Whether a transaction pooler is between, which may give each
                transaction another session.
        """
        raise NotImplementedError

    @abstractmethod
    def search_term(self, text: str) -> str:
        """A text in the form that `contains` takes."""

    @abstractmethod
    def contains(
        self, column: ColumnElement[str], term: ColumnElement[str], *, icu: bool = True
    ) -> ColumnElement[bool]:
        """Whether a text contains another one, literally and without regard to case.

        Args:
            column: The text.
            term: What `search_term` made.
            icu: Whether the server has ICU collations; only PostgreSQL asks.
        """

    def before(
        self, place: Sequence[ColumnElement[Any]], other: Sequence[ColumnElement[Any]]
    ) -> ColumnElement[bool]:
        """Whether a row stands before another, in the order of several columns.

        Args:
            place: The columns of the row.
            other: Those of the other one.
        """
        return tuple_(*place) < tuple_(*other)

    @abstractmethod
    def json_is_true(self, column: ColumnElement[Any], key: str) -> ColumnElement[bool]:
        """Whether a member of a JSON object is ``true``."""

    def numbers_rows(self, connection: Connection, table: str) -> bool:  # noqa: ARG002 - for SQLite
        """Whether a table has the order of `physical_order`.

        Args:
            connection: To the database.
            table: The name of a table that is there.
        """
        return True

    def physical_order(self) -> ColumnElement[Any]:
        """Orders the rows of a table about as they were written, where no column does.

        Raises:
            NotImplementedError: Databases of this kind do not tell, nor do Chainlit's own
                layers know them.
        """
        raise NotImplementedError

    def json_has(self, column: ColumnElement[Any], item: str) -> ColumnElement[bool]:
        """Whether a JSON array holds a text.

        Args:
            column: The array; NULL holds nothing.
            item: The text.
        """
        # MySQL's and MariaDB's name for it.
        return func.json_contains(column, literal(_json.dumps(item), Text())) == 1

    async def refresh_statistics(
        self, connection: AsyncConnection, tables: Iterable[Table], schema: str | None
    ) -> None:
        """Tell the planner that much has been written; it finds out by itself, but later.

        Args:
            connection: In a transaction.
            tables: Those that were written to.
            schema: Where they are; None: the connection's default one.
        """

    # Migrations

    def table_replacement(self) -> TableReplacement:
        """Replaces tables in place.

        Raises:
            NotImplementedError: The database cannot do that in one transaction.
        """
        raise NotImplementedError

    @contextmanager
    def migration_lock(self, connection: Connection) -> Iterator[None]:
        """Let one process at a time migrate; a transaction is open inside."""
        with connection.begin():
            yield

    # Errors

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """What a connection can raise: SQLAlchemy 2.0 lets some errors of connecting through."""
        return (SQLAlchemyError, OSError)

    def classify(self, error: BaseException) -> ErrorKind:
        """Tell by the driver's code what an error means for a write."""
        if isinstance(error, (OSError, PoolTimeout)):
            return ErrorKind.TRANSIENT
        if isinstance(error, DBAPIError):
            if error.connection_invalidated:
                return ErrorKind.TRANSIENT
            return self.classify_driver_error(driver_error(error))
        if isinstance(error, self.errors) and not isinstance(error, SQLAlchemyError):
            return self.classify_driver_error(error)
        return ErrorKind.REJECTED

    @abstractmethod
    def classify_driver_error(self, error: BaseException) -> ErrorKind:
        """The same for an error of the driver itself."""

    @abstractmethod
    def explain(self, error: BaseException, url: URL) -> str | None:
        """Say in one sentence with the repair why a connection fails; None: not known."""
