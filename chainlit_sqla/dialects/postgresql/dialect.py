"""PostgreSQL through asyncpg, also behind poolers and as a managed service."""

from __future__ import annotations

import inspect
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from datetime import UTC
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
from sqlalchemy import (
    URL,
    ClauseElement,
    ColumnElement,
    Connection,
    Executable,
    Insert,
    Select,
    Table,
    Text,
    case,
    cast,
    column,
    func,
    literal_column,
    select,
    text,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP, aggregate_order_by, insert
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.types import TypeEngine

from ..._internal import json as _json
from ..._internal.aio import shield_with_timeout
from ...errors import ConfigurationError
from ..base import CompiledCall, Dialect, FetchMany, Rows, insert_on_conflict
from ..error_kinds import ErrorKind
from . import errors as postgresql_errors
from . import fast_batch
from .search import TrigramIndex, folded

if TYPE_CHECKING:
    from sqlalchemy import PoolProxiedConnection
    from sqlalchemy.ext.asyncio import AsyncConnection

    from ...settings import Settings
    from ..fast_batch import FastBatch, FastBatchOutcome
    from ..in_place import TableReplacement

T = TypeVar("T")
# A name more than once would meet what the driver has prepared for other columns.
_numbers = count(1)
_LOCK = 0x636C_7371_6C61  # "clsqla": the advisory lock around migrations.

# Parameters that other clients put into a URL and asyncpg does not know.
_PRISMA = {"connection_limit", "pool_timeout", "schema", "pgbouncer", "socket_timeout"}
_LIBPQ = {"channel_binding", "connect_timeout", "keepalives", "application_name", "gssencmode"}
_CERTIFICATES = {"sslrootcert", "sslcert", "sslkey"}
# SQLAlchemy's own parameters of the asyncpg dialect.
_ADAPTERS = {"prepared_statement_cache_size", "prepared_statement_name_func", "async_fallback"}
_SSL = {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}
_FLAGS = {"1", "true", "on", "yes"}

# Bytes; a row is packed when it has more.
_PACKED = 2_000
_SECONDS = len("2026-01-31T08:00:00")
# The driver stores the last microsecond as infinity, and reads infinity as that.
_ENDS = {'"infinity"': "9999-12-31T23:59:59.999999", '"-infinity"': "0001-01-01T00:00:00"}
_FULL = len('"2026-01-31T08:00:00.000001"')


class PostgreSQL(Dialect):
    """PostgreSQL 12 or newer."""

    name = "postgresql"
    title = "PostgreSQL"
    driver = "asyncpg"
    port = 5432
    search_index = TrigramIndex()
    has_schemas = True
    fetches_on_driver = True
    has_fast_batch = True

    def engine_url(self, url: URL) -> URL:
        """Give the URL its driver and asyncpg's names for libpq's parameters."""
        query = dict(url.query)
        for name in _PRISMA | _LIBPQ:
            query.pop(name, None)
        if sslmode := query.pop("sslmode", None):
            query.setdefault("ssl", sslmode)
        if _CERTIFICATES & set(query):  # Then `engine_options` gives a context.
            for name in (*_CERTIFICATES, "ssl"):
                query.pop(name, None)
        _check_query(query)
        return super().engine_url(url).set(query=query)

    def engine_options(self, url: URL, settings: Settings) -> dict[str, Any]:
        """Pool and driver options; no prepared statements behind a transaction pooler."""
        arguments: dict[str, Any] = {"timeout": settings.connect_timeout}
        if _CERTIFICATES & set(url.query):
            arguments["ssl"] = _tls(url.query)
        if self.is_pooler(url, settings):
            arguments |= {"statement_cache_size": 0, "prepared_statement_cache_size": 0}
        else:
            arguments["max_cacheable_statement_size"] = 0  # Fast batches are long.
            arguments["server_settings"] = {"application_name": "chainlit-sqla"}
        return {
            "pool_size": settings.pool_size,
            "max_overflow": settings.max_overflow,
            "pool_timeout": settings.connect_timeout,
            "connect_args": arguments,
            "json_serializer": _serialize,
            "json_deserializer": _json.loads_stored,
        }

    def is_pooler(self, url: URL, settings: Settings) -> bool:
        """As Prisma's URLs say it, or our setting."""
        named = str(url.query.get("pgbouncer", "")).lower() in _FLAGS
        return named or not settings.prepared_statements

    def is_lost(self, connection: PoolProxiedConnection) -> bool:
        """The driver sees at once that the server has closed a connection."""
        driver: Any = connection.driver_connection
        return driver is None or driver.is_closed()

    def is_broken(self, connection: PoolProxiedConnection, error: BaseException) -> bool:
        """Where the server is gone, a transaction is open or a query was given up."""
        driver: Any = connection.driver_connection
        if driver is None or driver.is_closed() or driver.is_in_transaction():
            return True
        return getattr(error, "sqlstate", None) is None

    def read_options(self) -> dict[str, Any]:
        """Without BEGIN and ROLLBACK: two round trips less."""
        return {"isolation_level": "AUTOCOMMIT"}

    def write_options(self) -> dict[str, Any]:
        """Each statement sees what was committed before it: the plan relies on that."""
        return {"isolation_level": "READ COMMITTED"}

    async def refuse_hidden_rows(self, connection: AsyncConnection) -> None:
        """Row level security hides rows without a word; so it raises instead.

        https://www.postgresql.org/docs/current/ddl-rowsecurity.html
        """
        await connection.execute(text("SET LOCAL row_security = off"))

    def snapshot_options(self) -> dict[str, Any]:
        """``REPEATABLE READ``: one snapshot for all statements, also on a standby."""
        return {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}

    async def server_version(self, connection: AsyncConnection) -> str:
        """As the server says it."""
        return f"PostgreSQL {await connection.scalar(text('SHOW server_version'))}"

    def timestamp_type(self) -> TypeEngine[Any]:
        """``timestamptz``."""
        return TIMESTAMP(timezone=True)

    def result_timestamp(self, value: Any) -> Any:
        """The driver takes the first instant that Python has for -infinity, and gives no zone."""
        return value if value.tzinfo is not None else value.replace(tzinfo=UTC)

    def json_type(self) -> TypeEngine[Any]:
        """``jsonb``; SQL NULL for None."""
        return JSONB(none_as_null=True)

    def select_timestamp(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """ISO 8601 in quotes: JSON's form depends on no setting, unlike a cast to text."""
        return cast(func.to_json(func.timezone(literal_column("'UTC'"), column)), Text)

    def select_json(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """As text, past the driver's codecs."""
        return cast(column, Text)

    def packed(
        self, columns: Sequence[ColumnElement[Any]], order_by: ColumnElement[Any] | None = None
    ) -> ColumnElement[Any] | None:
        """By the server: few rows of JSON cost less than a round trip."""
        row = func.json_build_array(*columns)
        return row if order_by is None else func.json_agg(aggregate_order_by(row, order_by))

    def format_timestamp(self, value: Any) -> str | None:
        """Without the quotes, with all six digits of a fraction."""
        if value is None:
            return None
        if len(value) == _FULL:
            return value[1:-1] + "Z"  # type: ignore[no-any-return]
        shown: str = _ENDS.get(value) or value[1:-1]
        return (shown.ljust(26, "0") if len(shown) > _SECONDS else shown) + "Z"

    def load_json(self, value: Any) -> Any:
        """Parse the text."""
        return {} if value == "{}" else None if value is None else orjson.loads(value)

    async def run_to_end(self, connection: AsyncConnection, work: Callable[[Connection], T]) -> T:
        """To its end: asyncpg, cancelled while it sends, waits for an answer for ever."""

        async def terminate() -> None:
            pooled = await connection.get_raw_connection()
            if pooled.driver_connection is not None:
                pooled.driver_connection.terminate()

        return await shield_with_timeout(connection.run_sync(work), terminate)

    async def fetch(
        self,
        connection: PoolProxiedConnection,
        calls: Sequence[CompiledCall],
        *,
        pooler: bool,
    ) -> list[Rows]:
        """One round trip a statement; behind a pooler in a transaction, which keeps the session."""
        driver: Any = connection.driver_connection
        try:
            async with driver.transaction(readonly=True) if pooler else nullcontext():
                return [await driver.fetch(sql, *arguments) for sql, arguments in calls]
        except Exception as error:
            if driver.is_closed() and getattr(error, "sqlstate", None) is None:
                raise ConnectionResetError(str(error)) from error
            raise

    def build_upsert(self, table: Table, keys: Sequence[str], update: Sequence[str]) -> Insert:
        """``INSERT … ON CONFLICT``."""
        return insert_on_conflict(insert(table), keys, update)

    async def write_fast_batch(
        self,
        connection: PoolProxiedConnection,
        batch: FastBatch,
        schema: str | None,
        *,
        pooler: bool,
    ) -> FastBatchOutcome:
        """In one statement, and so in one round trip."""
        driver: Any = connection.driver_connection
        async with driver.transaction() if pooler else nullcontext():  # As in `fetch`.
            return await fast_batch.write(driver, batch, schema)

    def search_term(self, text: str) -> str:
        """A pattern that stands for itself."""
        pattern = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        return f"%{pattern}%"

    def contains(
        self, column: ColumnElement[str], term: ColumnElement[str], *, icu: bool = True
    ) -> ColumnElement[bool]:
        """As ``ILIKE`` by ICU's rules: with the C locale the server folds ASCII only.

        The pattern is folded once for the statement, where ``ILIKE`` does it for each row.
        """
        pattern = select(folded(term, icu=icu)).scalar_subquery()
        return folded(column, icu=icu).like(pattern)

    def size_of(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """What is stored outside its row, or was long before it was packed, as text."""
        stored = func.pg_column_size(column)
        return case((stored > _PACKED, func.octet_length(cast(column, Text))), else_=stored)

    def cursor(
        self, connection: AsyncConnection, query: Select[Any]
    ) -> AbstractAsyncContextManager[FetchMany]:
        """By SQL."""
        return _declared_cursor(connection, query)

    def physical_order(self) -> ColumnElement[Any]:
        """By ``ctid``."""
        return literal_column("ctid")

    async def refresh_statistics(
        self, connection: AsyncConnection, tables: Iterable[Table], schema: str | None
    ) -> None:
        """``ANALYZE``: until then long threads are sorted whole for each portion of them."""
        quote = connection.dialect.identifier_preparer.quote
        for table in tables:
            place = f"{quote(schema)}." if schema else ""
            await connection.execute(text(f"ANALYZE {place}{quote(table.name)}"))

    def json_is_true(self, column: ColumnElement[Any], key: str) -> ColumnElement[bool]:
        """By containment, which an index can serve."""
        return type_coerce(column, JSONB()).contains({key: True})

    def json_has(self, column: ColumnElement[Any], item: str) -> ColumnElement[bool]:
        """By containment, which an index can serve."""
        return type_coerce(column, JSONB()).contains([item])

    def table_replacement(self) -> TableReplacement:
        """In one transaction."""
        from .in_place import PostgreSQLTableReplacement

        return PostgreSQLTableReplacement(_LOCK)

    @contextmanager
    def migration_lock(self, connection: Connection) -> Iterator[None]:
        """An advisory lock held to the end of the transaction, so a pooler may be between."""
        with connection.begin():
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            yield

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """Those of the driver too."""
        import asyncpg

        return (*super().errors, asyncpg.PostgresError, asyncpg.InterfaceError)

    def classify_driver_error(self, error: BaseException) -> ErrorKind:
        """By SQLSTATE."""
        return postgresql_errors.classify(error)

    def explain(self, error: BaseException, url: URL) -> str | None:
        """For refused, unanswered and unauthorized connections."""
        return postgresql_errors.explain(error, url, url.port or self.port)

    def schema_name(self, name: str) -> str:
        """Names of up to 63 bytes that are not the system's."""
        if not name or len(name.encode()) > 63 or "\x00" in name or name.startswith("pg_"):
            raise ConfigurationError(
                f"CHAINLIT_SQLA_SCHEMA={name!r} is no name for a PostgreSQL schema; "
                "use 1 to 63 bytes that do not start with pg_"
            )
        return name


def _tls(query: Mapping[str, Any]) -> ssl.SSLContext:
    """A context for the certificate files that libpq's parameters name.

    Raises:
        ConfigurationError: A file cannot be read.
    """
    try:
        context = ssl.create_default_context(cafile=query.get("sslrootcert"))
        if certificate := query.get("sslcert"):
            context.load_cert_chain(certificate, query.get("sslkey"))
    except (OSError, ssl.SSLError) as error:
        named = ", ".join(sorted(_CERTIFICATES & set(query)))
        raise ConfigurationError(
            f"A file that the database URL names in {named} cannot be used ({error}); "
            "correct its path"
        ) from error
    mode = query.get("sslmode", query.get("ssl", "verify-full"))
    context.check_hostname = mode == "verify-full"
    if mode not in {"verify-ca", "verify-full"} and "sslrootcert" not in query:
        context.verify_mode = ssl.CERT_NONE  # As libpq: no root certificate, no check.
    return context


def _check_query(query: Mapping[str, Any]) -> None:
    """Refuse what the driver would refuse later, and less clearly.

    Raises:
        ConfigurationError: A parameter or the value of ``ssl`` is not known.
    """
    import asyncpg

    known = set(inspect.signature(asyncpg.connect).parameters) | _ADAPTERS
    if unknown := sorted(set(query) - known):
        raise ConfigurationError(
            f"The database URL has the parameter {unknown[0]!r}, which asyncpg does not know; "
            "remove it from the URL"
        )
    if query.get("ssl", "require") not in _SSL:
        raise ConfigurationError(
            f"sslmode={query['ssl']!r} in the database URL is not known; "
            f"use one of {', '.join(sorted(_SSL))}"
        )


def _serialize(value: Any) -> str:
    return value if isinstance(value, _json.JsonText) else _json.dumps(value)


class _Declare(Executable, ClauseElement):
    """``DECLARE … CURSOR FOR`` a query."""

    inherit_cache = False

    def __init__(self, name: str, query: Select[Any]) -> None:
        self.name = name
        self.query = query


@compiles(_Declare)
def _compiled(element: _Declare, compiler: Any, **options: Any) -> str:
    return f"DECLARE {element.name} NO SCROLL CURSOR FOR " + str(
        compiler.process(element.query, **options)
    )


@asynccontextmanager
async def _declared_cursor(
    connection: AsyncConnection, query: Select[Any]
) -> AsyncIterator[FetchMany]:
    """A cursor by SQL: SQLAlchemy's for asyncpg fetches 50 rows, however wide they are.

    After an error, the end of the transaction closes it.
    """
    name = f"chainlit_sqla_{next(_numbers)}"
    # All rows will be read: a plan that gives the first ones soon may be slow to the end.
    await connection.execute(text("SELECT set_config('cursor_tuple_fraction', '1', true)"))
    await connection.execute(_Declare(name, query))
    columns = [column(str(selected.key), selected.type) for selected in query.selected_columns]

    async def fetch(number: int) -> Sequence[Any]:
        rows = text(f"FETCH {number} FROM {name}").columns(*columns)
        return (await connection.execute(rows)).all()

    yield fetch
    await connection.execute(text(f"CLOSE {name}"))
