"""MySQL and MariaDB through asyncmy.

What must be known of them, beside what their methods here say:

- Ids are ``VARCHAR(255)``, identifiers of users ``VARCHAR(512)``, in tables whose collation
  is binary and does not pad: it tells cases and trailing spaces apart. An object key, longer
  than an index takes as characters, is bytes.
- Documents deeper than both servers' JSON can be (31 levels on MariaDB, 100 on MySQL) are
  stored as a JSON string that begins with NUL, which no text of ours contains, and holds
  the document.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Insert,
    Select,
    Table,
    UniqueConstraint,
    and_,
    cast,
    event,
    func,
    null,
    text,
)
from sqlalchemy.dialects.mysql import CHAR, DATETIME, JSON, LONGTEXT, VARBINARY, VARCHAR, insert
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.types import TypeEngine

from ..._internal import json as _json
from ...errors import ConfigurationError, DatabaseUnavailable, MissingExtraError, RejectedRow
from ..base import Dialect, FetchMany
from ..error_kinds import ErrorKind
from . import errors as mysql_errors
from .url import connect_arguments

if TYPE_CHECKING:
    from sqlalchemy import PoolProxiedConnection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from ...settings import Settings

# Whatever the server's own mode: nothing is cut, and quotes and backslashes mean one thing.
_SESSION = (
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', "
    "time_zone = '+00:00', sql_notes = 0"
)
_WAIT = text("SET SESSION net_write_timeout = 3600")
"""Seconds that the server waits for a reader who is writing meanwhile, instead of 60."""
_LOCK_SECONDS = 3600
_KEY_BYTES = 1_100
"""Of an object key; one of more than 1,024 no store has."""

_LOWER_I = "i\u0307"
"""What İ is in Unicode without its case; MySQL makes it a plain i."""
_DEEP = "\0"
_LEVELS = 31
_NAMED_KEY = "chainlit_sqla_version_pkc"
"""Alembic names the key of its table; MariaDB takes no name, and the driver logs that."""


class MySQL(Dialect):
    """MySQL 8.0.19 or newer, and MariaDB 10.6 or newer: URLs with either name."""

    name = "mysql"
    title = "MySQL"
    driver = "asyncmy"
    max_parameters = 5_000
    commits_ddl = True

    def engine_url(self, url: URL) -> URL:
        """Give the URL its driver; its parameters are `engine_options`.

        Raises:
            ConfigurationError: It names no database, or a parameter cannot be used.
        """
        connect_arguments(url.query)
        if not url.database:
            raise ConfigurationError(
                "The database URL names no database; "
                "write it as mysql://user:password@host:3306/name"
            )
        return super().engine_url(url).set(query={})

    def engine_options(self, url: URL, settings: Settings) -> dict[str, Any]:
        """Pool and driver options, the same session whatever the server's defaults are.

        Raises:
            MissingExtraError: The driver is not installed.
        """
        if find_spec(self.driver) is None:
            raise MissingExtraError("MySQL or MariaDB", "mysql")
        arguments = {
            "charset": "utf8mb4",
            # The driver's own limit ends where the server has accepted the connection.
            "async_creator_fn": partial(_connect, settings.connect_timeout),
            "connect_timeout": 2 * settings.connect_timeout,
            "init_command": _SESSION,
            "program_name": "chainlit-sqla",
            **connect_arguments(url.query),
        }
        if url.password:  # The driver would write it as Latin-1.
            arguments["password"] = str(url.password).encode()
        return {
            "pool_size": settings.pool_size,
            "max_overflow": settings.max_overflow,
            "pool_timeout": settings.connect_timeout,
            "connect_args": arguments,
            # Each statement sees what was committed before it: the plan relies on that.
            "isolation_level": "READ COMMITTED",
            "json_serializer": _serialize,
            "json_deserializer": _deserialize,
        }

    def install(self, engine: AsyncEngine) -> None:
        """Replace connections that the server has closed; name rows that are too large."""
        packet = mysql_errors.Packet()
        event.listen(engine.sync_engine, "connect", packet.measure)
        event.listen(engine.sync_engine, "handle_error", packet.explain)
        event.listen(engine.sync_engine, "checkout", _refuse_lost)
        logging.getLogger("asyncmy").addFilter(_is_news)  # Added once, however often.

    def is_lost(self, connection: PoolProxiedConnection) -> bool:
        """The driver sees at once that the server has closed a connection."""
        driver: Any = connection.driver_connection
        return driver is None or _is_closed(driver)

    def snapshot_options(self) -> dict[str, Any]:
        """``REPEATABLE READ``: InnoDB reads what was there at the first statement."""
        return {"isolation_level": "REPEATABLE READ"}

    async def server_version(self, connection: AsyncConnection) -> str:
        """As the server says it, without what its packager adds."""
        version = str(await connection.scalar(text("SELECT VERSION()")))
        kind = "MariaDB" if "mariadb" in version.lower() else "MySQL"
        return f"{kind} {version.partition('-')[0]}"

    # Types

    def text_type(self) -> TypeEngine[Any]:
        """``LONGTEXT``: ``TEXT`` ends at 64 kB."""
        return LONGTEXT()

    def key_type(self, length: int) -> TypeEngine[Any]:
        """``VARCHAR``, whose collation is its table's."""
        return VARCHAR(length)

    def object_key_type(self) -> TypeEngine[Any]:
        """Bytes: 1,024 of them fit an index, as many characters do not."""
        return VARBINARY(_KEY_BYTES)

    def bind_object_key(self, value: str) -> Any:
        """In UTF-8; one that is longer than any store takes is cut, and still too long."""
        raw = value.encode()
        return raw[:_KEY_BYTES].decode(errors="ignore").encode() if len(raw) > _KEY_BYTES else raw

    def result_object_key(self, value: Any) -> str:
        """From UTF-8."""
        return value if isinstance(value, str) else bytes(value).decode()

    def timestamp_type(self) -> TypeEngine[Any]:
        """``DATETIME(6)`` in UTC: ``TIMESTAMP`` ends in 2038."""
        return DATETIME(fsp=6)

    def json_type(self) -> TypeEngine[Any]:
        """``JSON``, on MariaDB text with a check; SQL NULL for None."""
        return JSON(none_as_null=True)

    def bind_timestamp(self, value: Any) -> Any:
        """Without its zone."""
        return value.astimezone(UTC).replace(tzinfo=None)

    def result_timestamp(self, value: datetime) -> Any:
        """Add the time zone: the database stores UTC."""
        return value.replace(tzinfo=UTC)

    # Statements

    def build_upsert(self, table: Table, keys: Sequence[str], update: Sequence[str]) -> Insert:
        """``INSERT … ON DUPLICATE KEY UPDATE``.

        It takes any unique key for the one that decides. A row that has another one of an
        existing row is refused, as elsewhere: its first column becomes NULL, which it may not.
        """
        statement = insert(table)
        changes: dict[str, Any] = {}
        if _has_other_keys(table, keys):
            same = and_(*(table.c[name] == statement.inserted[name] for name in keys))
            first = next(iter(table.primary_key.columns))
            changes[first.name] = func.if_(same, first, null())
        changes |= {name: statement.inserted[name] for name in update}
        return statement.on_duplicate_key_update(changes or {keys[0]: table.c[keys[0]]})

    def search_term(self, text: str) -> str:
        """Replace the dotted capital I, which the servers would fold to a plain i."""
        return text.replace("İ", _LOWER_I)

    def contains(
        self,
        column: ColumnElement[str],
        term: ColumnElement[str],
        *,
        icu: bool = True,  # noqa: ARG002
    ) -> ColumnElement[bool]:
        """By a collation that both servers have, so that one rule folds the cases of both."""
        literally = func.replace(column.collate("utf8mb4_bin"), "İ", _LOWER_I)
        return func.instr(func.lower(literally), func.lower(term.collate("utf8mb4_bin"))) > 0

    def before(
        self, columns: Sequence[ColumnElement[Any]], values: Sequence[ColumnElement[Any]]
    ) -> ColumnElement[bool]:
        """With what is known of the first column, for which an index can be used."""
        return and_(columns[0] <= values[0], super().before(columns, values))

    def cursor(
        self, connection: AsyncConnection, query: Select[Any]
    ) -> AbstractAsyncContextManager[FetchMany]:
        """Without the driver's reading ahead."""
        return _paused_cursor(connection, query)

    def json_is_true(self, column: ColumnElement[Any], key: str) -> ColumnElement[bool]:
        """As text, which tells ``true`` from ``"true"`` on both servers."""
        return cast(func.json_extract(column, f'$."{key}"'), CHAR()) == "true"

    # Migrations

    @contextmanager
    def migration_lock(self, connection: Connection) -> Iterator[None]:
        """A lock by name, for changes of the schema end every transaction.

        Raises:
            ConfigurationError: The server is too old.
            DatabaseUnavailable: Another process has it for an hour.
        """
        _check_version(connection)
        with connection.begin():
            name = "chainlit_sqla " + hashlib.md5(_database(connection)).hexdigest()  # noqa: S324
            got = connection.scalar(func.get_lock(name, _LOCK_SECONDS).select())
            if got is None:
                raise DatabaseUnavailable(
                    "The server ended the wait for the lock of migrations (it has no memory left, "
                    "or an administrator killed the statement); try again"
                )
            if got != 1:
                raise DatabaseUnavailable(
                    "Another process has been migrating this database for an hour; "
                    "wait for it or end it, then try again"
                )
            try:
                yield
            finally:
                with suppress(DBAPIError):  # It went with the connection.
                    connection.execute(func.release_lock(name).select())

    # Errors

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """Those of the driver too, and ours for a row that can never be written."""
        from asyncmy.errors import MySQLError

        return (*super().errors, MySQLError, RejectedRow)

    def classify_driver_error(self, error: BaseException) -> ErrorKind:
        """By the server's number."""
        return mysql_errors.classify(error)

    def explain(self, error: BaseException, url: URL) -> str | None:
        """For refused, unanswered and unauthorized connections."""
        return mysql_errors.explain(error, url)


class MariaDB(MySQL):
    """MariaDB, which differs from MySQL in little more than its name."""

    title = "MariaDB"


async def _connect(seconds: float, **arguments: Any) -> Any:
    import asyncmy

    async with asyncio.timeout(seconds):
        return await asyncmy.connect(**arguments)


def _refuse_lost(connection: Any, _record: Any, _proxy: Any) -> None:
    if connection is not None and _is_closed(connection.driver_connection):
        raise DisconnectionError("closed by the server")


def _is_news(record: logging.LogRecord) -> bool:
    return _NAMED_KEY not in record.getMessage()


def _is_closed(driver: Any) -> bool:
    # Not public: without it, the first statement finds out.
    return not driver.connected or bool(getattr(driver, "_stream_broken", False))


def _has_other_keys(table: Table, keys: Sequence[str]) -> bool:
    unique = [one for one in table.constraints if isinstance(one, UniqueConstraint)]
    return any(
        {column.name for column in one.columns} != set(keys) for one in (table.primary_key, *unique)
    )


def _check_version(connection: Connection) -> None:
    dialect: Any = connection.dialect
    lowest = (10, 6) if dialect.is_mariadb else (8, 0, 19)
    if dialect.server_version_info < lowest:
        found = ".".join(map(str, dialect.server_version_info))
        raise ConfigurationError(
            f"{'MariaDB' if dialect.is_mariadb else 'MySQL'} {found} is too old; "
            f"upgrade the server to {'.'.join(map(str, lowest))} or newer"
        )


def _database(connection: Connection) -> bytes:
    return str(connection.scalar(func.database().select())).encode()


def _serialize(value: Any) -> str:
    raw = value if isinstance(value, _json.JsonText) else _json.dumps(value)
    if raw.count("[") + raw.count("{") <= _LEVELS or _depth(_json.loads(raw)) <= _LEVELS:
        return raw
    return orjson.dumps(_DEEP + str(raw)).decode()


def _deserialize(raw: str) -> Any:
    value = _json.loads(raw)
    if isinstance(value, str) and value.startswith(_DEEP):
        return _json.loads(value[1:])
    return value


def _depth(value: Any) -> int:
    """How many levels a document has, as far as it matters."""
    level, depth = [value], 0
    while level and depth <= _LEVELS:
        level = [
            inner
            for one in level
            if isinstance(one, (dict, list))
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        depth += 1
    return depth


@asynccontextmanager
async def _paused_cursor(
    connection: AsyncConnection, query: Select[Any]
) -> AsyncIterator[FetchMany]:
    """A cursor whose rows the driver does not receive before they are wanted.

    The server sends all rows at once, and the driver keeps what comes, also while nobody asks
    it for rows. So its socket is read only while somebody does.
    """
    await connection.execute(_WAIT)
    transport = await _transport(connection)
    async with connection.stream(query) as rows:
        transport.pause_reading()

        async def fetch(number: int) -> Sequence[Any]:
            transport.resume_reading()
            try:
                found: Sequence[Any] = await rows.fetchmany(number)
                return found
            finally:
                transport.pause_reading()

        try:
            yield fetch
        finally:
            transport.resume_reading()


async def _transport(connection: AsyncConnection) -> Any:
    driver: Any = (await connection.get_raw_connection()).driver_connection
    # Not public: without it there is nothing to hold back, and more memory is needed.
    return getattr(driver, "_transport", None) or _Nothing()


class _Nothing:
    """In the place of a transport."""

    def pause_reading(self) -> None:
        """Let it come."""

    def resume_reading(self) -> None:
        """It comes."""
