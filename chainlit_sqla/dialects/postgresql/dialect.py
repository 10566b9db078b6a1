"""PostgreSQL through asyncpg, also behind poolers and as a managed service."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from datetime import UTC
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

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

from ..._internal import json as _json
from ..._internal.aio import shield_with_timeout
from ...errors import ConfigurationError
from ..base import CompiledCall, Dialect, FetchMany, Rows, insert_on_conflict, local_name
from ..in_place import qualified
from ..limits import CLOSE_SECONDS, PROBES, socket_options, url_limits
from ..requirements import check_postgresql
from . import connection as connections
from . import errors as postgresql_errors
from . import fast_batch
from . import url as urls
from .grants import unwanted_grants
from .search_index import TrigramIndex, folded

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from ...settings import Settings
    from ..in_place import TableReplacement

T = TypeVar("T")
# A reused name would meet a statement that the driver has prepared for other columns.
_numbers = count(1)
_LOCK = 0x636C_7371_6C61  # "clsqla": the advisory lock around migrations.

_PACKED = 2_000
"""Bytes of a row above which PostgreSQL compresses it."""
_SECONDS = len("2026-01-31T08:00:00")
# The driver stores the last microsecond as infinity, and reads infinity as the last microsecond.
_ENDS = {'"infinity"': "9999-12-31T23:59:59.999999", '"-infinity"': "0001-01-01T00:00:00"}
_FULL = len('"2026-01-31T08:00:00.000001"')


async def _fetch(
    driver: Any, calls: Sequence[CompiledCall], *, pooler: bool, seconds: float | None
) -> list[Rows]:
    """Run each statement in one round trip; a pooler needs a transaction for one session."""
    try:
        transaction = connections.transaction(driver, "BEGIN READ ONLY", seconds)
        async with transaction if pooler else nullcontext():
            return [await driver.fetch(sql, *values, timeout=seconds) for sql, values in calls]
    except TimeoutError as error:
        raise await connections.end_after_timeout(driver) from error


class PostgreSQL(Dialect):
    """PostgreSQL 12 or newer."""

    name = "postgresql"
    title = "PostgreSQL"
    driver = "asyncpg"
    port = urls.PORT
    search_index = TrigramIndex()
    has_schemas = True
    unprepared: ClassVar = {"statement_cache_size": 0, "prepared_statement_cache_size": 0}
    # Without BEGIN and ROLLBACK, which are two round trips.
    read_options: ClassVar = {"isolation_level": "AUTOCOMMIT"}
    # Each statement must see what was committed before it.
    write_options: ClassVar = {"isolation_level": "READ COMMITTED"}
    snapshot_options: ClassVar = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    timestamp_type = TIMESTAMP(timezone=True)
    json_type = JSONB(none_as_null=True)
    fetch_on_driver = staticmethod(_fetch)
    write_fast_batch = staticmethod(fast_batch.write)

    def canonical_url(self, url: URL) -> URL:
        return urls.canonical_url(url)

    def engine_url(self, url: URL) -> URL:
        """Add the driver; `engine_options` passes the parameters past SQLAlchemy."""
        names = url.query.keys() - {"prepared_statement_cache_size"}
        return super().engine_url(url).difference_update_query(names)

    def with_url(self, url: URL, settings: Settings) -> Settings:
        parameters = urls.read(url)
        changes = url_limits(url.query, urls.LIMITS)
        if settings.db_schema is None and (schema := parameters.get("schema")):
            if "," in schema:
                raise ConfigurationError(
                    "The database URL names several schemas; name the one with our tables, or use "
                    "options=-csearch_path%3DA,B"
                )
            changes["db_schema"] = schema
        if urls.is_unprepared(parameters):
            changes["prepared_statements"] = False
        return settings.model_copy(update=changes)

    def location(self, url: URL) -> str:
        hosts = [f"{local_name(host)}:{port}" for host, port in urls.addresses(url)]
        return f"{self.name}://{','.join(hosts)}/{url.database or ''}"

    def engine_options(self, url: URL, settings: Settings) -> dict[str, Any]:
        """Return pool and driver options; no prepared statements behind a transaction pooler."""
        parameters = urls.read(url)
        arguments: dict[str, Any] = {
            "timeout": settings.connect_timeout,
            "connection_class": connections.Connection,
            "command_timeout": settings.command_timeout or None,
            **urls.driver_arguments(url, parameters),
        }
        limits: dict[str, str] = {}
        name = parameters.get("application_name")
        if settings.prepared_statements is False:
            arguments |= self.unprepared
        else:
            arguments["max_cacheable_statement_size"] = 0  # Fast batches are long.
            # No timer for each statement, which would keep the session of a request for minutes.
            arguments["max_cached_statement_lifetime"] = 0
            name = name or "chainlit-sqla"
            limits = _server_limits(settings, parameters.get("options", ""))
        if name:
            arguments["server_settings"] = {"application_name": name}
        connector = connections.Connector(limits, socket_options(url.query, settings))
        arguments["async_creator_fn"] = connector.connect
        return {
            "pool_size": settings.pool_size,
            "max_overflow": settings.max_overflow,
            "pool_timeout": settings.connect_timeout,
            "pool_recycle": settings.connection_max_age or -1,
            "connect_args": arguments,
            "json_serializer": _serialize,
            "json_deserializer": _json.loads_stored,
        }

    def install(self, engine: AsyncEngine) -> None:
        """End connections without waiting for their server."""
        connections.listen(engine)

    def is_lost(self, driver: Any) -> bool:
        return driver is None or driver.is_closed()

    def is_broken(self, driver: Any) -> bool:
        """Return True after a lost server, or in an open transaction."""
        return self.is_lost(driver) or driver.is_in_transaction()

    def abort(self, driver: Any) -> None:
        driver.terminate()

    async def is_pooled(self, driver: Any) -> bool:
        """Compare the process id of the login with that of the server; a pooler has its own.

        The simple protocol prepares no statement.
        """
        pid = driver.get_server_pid()
        return str(await driver.execute(f"SELECT WHERE pg_backend_pid() <> {pid}")) != "SELECT 0"

    async def refuse_hidden_rows(self, connection: AsyncConnection) -> None:
        """Make row level security raise an error instead of hiding rows.

        https://www.postgresql.org/docs/current/ddl-rowsecurity.html
        """
        await connection.execute(text("SET LOCAL row_security = off"))

    async def limit_locks(self, connection: AsyncConnection, seconds: float) -> None:
        if seconds:
            limit = connections.milliseconds(seconds)
            await connection.execute(text(f"SET LOCAL lock_timeout = {limit}"))

    check_server = staticmethod(check_postgresql)
    unwanted_grants = staticmethod(unwanted_grants)

    async def server_version(self, connection: AsyncConnection) -> str:
        return f"PostgreSQL {await connection.scalar(text('SHOW server_version'))}"

    def result_timestamp(self, value: Any) -> Any:
        """Add the time zone that the driver omits for -infinity."""
        return value if value.tzinfo is not None else value.replace(tzinfo=UTC)

    def select_timestamp(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """Select ISO 8601 in quotes: unlike a cast to text, JSON depends on no setting."""
        return cast(func.to_json(func.timezone(literal_column("'UTC'"), column)), Text)

    def select_json(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """Select text, which bypasses the driver's codecs."""
        return cast(column, Text)

    def packed(
        self, columns: Sequence[ColumnElement[Any]], order_by: ColumnElement[Any] | None = None
    ) -> ColumnElement[Any] | None:
        """Build JSON on the server: a few rows of it cost less than a round trip."""
        row = func.json_build_array(*columns)
        return row if order_by is None else func.json_agg(aggregate_order_by(row, order_by))

    def format_timestamp(self, value: Any) -> str | None:
        """Remove the quotes and pad the fraction to six digits."""
        if value is None:
            return None
        if len(value) == _FULL:
            return value[1:-1] + "Z"  # type: ignore[no-any-return]
        timestamp: str = _ENDS.get(value) or value[1:-1]
        return (timestamp.ljust(26, "0") if len(timestamp) > _SECONDS else timestamp) + "Z"

    def load_json(self, value: Any) -> Any:
        return {} if value == "{}" else None if value is None else orjson.loads(value)

    async def run_to_end(self, connection: AsyncConnection, work: Callable[[Connection], T]) -> T:
        """Shield the work: asyncpg, cancelled while it sends, waits for an answer for ever."""

        async def terminate() -> None:
            pooled = await connection.get_raw_connection()
            if pooled.driver_connection is not None:
                pooled.driver_connection.terminate()

        return await shield_with_timeout(connection.run_sync(work), terminate)

    def build_upsert(self, table: Table, keys: Sequence[str], update: Sequence[str]) -> Insert:
        return insert_on_conflict(insert(table), keys, update)

    def search_term(self, text: str) -> str:
        """Return a LIKE pattern that matches the text literally."""
        pattern = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        return f"%{pattern}%"

    def contains(
        self, column: ColumnElement[str], term: ColumnElement[str], *, icu: bool = True
    ) -> ColumnElement[bool]:
        """Match like ``ILIKE``, but by ICU's rules: with the C locale the server folds ASCII only.

        The pattern is folded once per statement; ``ILIKE`` folds it for each row.
        """
        pattern = select(folded(term, icu=icu)).scalar_subquery()
        return folded(column, icu=icu).like(pattern)

    def size_of(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return the stored size; for compressed values, the size of the text."""
        stored = func.pg_column_size(column)
        return case((stored > _PACKED, func.octet_length(cast(column, Text))), else_=stored)

    @asynccontextmanager
    async def cursor(
        self, connection: AsyncConnection, query: Select[Any]
    ) -> AsyncIterator[FetchMany]:
        """Declare a cursor: SQLAlchemy's for asyncpg fetches 50 rows, however wide they are.

        After an error, the end of the transaction closes it.
        """
        name = f"chainlit_sqla_{next(_numbers)}"
        # All rows are read: a plan that returns the first rows early may be slower overall.
        await connection.execute(text("SELECT set_config('cursor_tuple_fraction', '1', true)"))
        await connection.execute(_Declare(name, query))
        columns = [column(str(selected.key), selected.type) for selected in query.selected_columns]

        async def fetch(number: int) -> Sequence[Any]:
            rows = text(f"FETCH {number} FROM {name}").columns(*columns)
            return (await connection.execute(rows)).all()

        yield fetch
        await connection.execute(text(f"CLOSE {name}"))

    def physical_order(self) -> ColumnElement[Any]:
        return literal_column("ctid")

    async def refresh_statistics(
        self, connection: AsyncConnection, tables: Iterable[Table], schema: str | None
    ) -> None:
        """``ANALYZE``: without statistics, each portion of a long thread sorts the whole thread."""
        for table in tables:
            name = await connection.run_sync(qualified, schema, table.name)
            await connection.execute(text(f"ANALYZE {name}"))

    def json_is_true(self, column: ColumnElement[Any], key: str) -> ColumnElement[bool]:
        """Test containment, which an index can serve."""
        return type_coerce(column, JSONB()).contains({key: True})

    def json_has(self, column: ColumnElement[Any], item: str) -> ColumnElement[bool]:
        return type_coerce(column, JSONB()).contains([item])

    def table_replacement(self) -> TableReplacement:
        from .in_place import PostgreSQLTableReplacement

        return PostgreSQLTableReplacement(_LOCK)

    @contextmanager
    def migration_lock(self, connection: Connection) -> Iterator[None]:
        """Hold an advisory lock until the transaction ends, which works behind a pooler."""
        with connection.begin():
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            yield

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        return (*super().errors, *postgresql_errors.DRIVER_ERRORS)

    classify_driver_error = staticmethod(postgresql_errors.classify)
    session_fault = staticmethod(postgresql_errors.session_fault)
    explain = staticmethod(postgresql_errors.explain)

    def schema_name(self, name: str) -> str:
        """Accept names of up to 63 bytes that do not begin with ``pg_``."""
        if not name or len(name.encode()) > 63 or "\x00" in name or name.startswith("pg_"):
            raise ConfigurationError(
                f"CHAINLIT_SQLA_SCHEMA={name!r} is no name for a PostgreSQL schema; "
                "use 1 to 63 bytes that do not start with pg_"
            )
        return name


def _server_limits(settings: Settings, options: str) -> dict[str, str]:
    """Return what the server limits, unless libpq's ``options`` in the URL do.

    The transaction of a lost client would keep its locks until the server's system notices.
    Between two statements the server ends it; within one, where it waits for more messages, its
    probes of the network do.
    """
    end = settings.command_timeout and settings.command_timeout + CLOSE_SECONDS
    limits = {
        "lock_timeout": settings.lock_timeout,
        "idle_in_transaction_session_timeout": end,
    }
    given = {name.replace("-", "_") for name in re.findall(r"(?:-c\s*|--)([\w-]+)\s*=", options)}
    # Compiling the statement of a fast batch takes a hundred times as long as executing it.
    fixed = {} if "jit" in given else {"jit": "off"}
    probes = {f"tcp_{name}": str(number) for name, number in PROBES.items() if "_" in name}
    return (
        probes
        | fixed
        | {
            name: connections.milliseconds(seconds)
            for name, seconds in limits.items()
            if seconds and name not in given
        }
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
