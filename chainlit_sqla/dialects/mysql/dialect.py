"""MySQL and MariaDB through asyncmy.

- Ids are ``VARCHAR(255)``, user identifiers ``VARCHAR(512)``. The collation of the tables is
  binary without padding, so letter case and trailing spaces count. Object keys are bytes, because
  an index cannot hold 1,024 characters.
- Documents of more than 31 levels, the limit of MariaDB's JSON (MySQL's is 100), are stored as a
  JSON string that begins with NUL, which no text of ours contains, and holds the document.
"""

from __future__ import annotations

import hashlib
import logging
import math
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from itertools import accumulate
from typing import TYPE_CHECKING, Any, ClassVar

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
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

from ..._internal import json as _json
from ..._internal.private_attributes import is_stream_broken, transport_of
from ..._internal.timestamps import EPOCH
from ...errors import ConfigurationError, DatabaseUnavailable, MissingExtraError, RejectedRow
from ..base import Dialect, FetchMany
from ..limits import CLOSE_SECONDS, socket_options, url_limits
from ..requirements import check_mysql
from . import errors as mysql_errors
from . import url as urls

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from ...settings import Settings

# Independent of the server's mode: values are never truncated, and quotes and backslashes have
# one meaning.
_SESSION = (
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', "
    "time_zone = '+00:00', sql_notes = 0"
)
_WAIT = text("SET SESSION net_write_timeout = 3600")
"""How many seconds the server waits for a slow reader, instead of 60."""
_LOCK_SECONDS = 3600
_KEY_BYTES = 1_100
"""The length of an object key's column; no store takes a key of more than 1,024 bytes."""

_LOWER_I = "i\u0307"
"""The lower case of İ in Unicode; MySQL's is a plain i."""
_DEEP = "\0"
_LEVELS = 31
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_BRACKET = re.compile(r"[\[\]{}]")


class MySQL(Dialect):
    """MySQL 8.0.19 or newer, and MariaDB 10.6 or newer: URLs with either name."""

    name = "mysql"
    title = "MySQL"
    driver = "asyncmy"
    port = urls.PORT
    max_parameters = 5_000
    longest_id = 255
    longest_identifier = 512
    commits_ddl = True
    # InnoDB's snapshot is taken by the first statement.
    snapshot_options: ClassVar = {"isolation_level": "REPEATABLE READ"}
    text_type = LONGTEXT()  # TEXT ends at 64 kB.
    object_key_type = VARBINARY(_KEY_BYTES)  # An index holds no 1,024 characters.
    timestamp_type = DATETIME(fsp=6)  # In UTC; TIMESTAMP ends in 2038.
    json_type = JSON(none_as_null=True)  # On MariaDB text with a check.

    def engine_url(self, url: URL) -> URL:
        """Add the driver; the parameters move to `engine_options`."""
        if not url.database:
            raise ConfigurationError(
                "The database URL names no database; "
                "write it as mysql://user:password@host:3306/name"
            )
        return super().engine_url(url).set(query={})

    def location(self, url: URL) -> str:
        socket = urls.read(url).get("unix_socket")
        return f"{self.name}://{socket}/{url.database}" if socket else super().location(url)

    def with_url(self, url: URL, settings: Settings) -> Settings:
        urls.read(url)  # Refuses what cannot be honoured.
        return settings.model_copy(update=url_limits(url.query, urls.LIMITS, urls.plain))

    def engine_options(self, url: URL, settings: Settings) -> dict[str, Any]:
        """Return pool and driver options; sessions do not depend on the server's defaults."""
        if find_spec(self.driver) is None:
            raise MissingExtraError("MySQL or MariaDB", "mysql")
        arguments = {
            "charset": "utf8mb4",
            # The driver's own timeout ends when the server has accepted the connection.
            "async_creator_fn": partial(
                _connect, settings.connect_timeout, socket_options(url.query, settings)
            ),
            "connect_timeout": 2 * settings.connect_timeout,
            "read_timeout": settings.command_timeout or None,
            "init_command": _SESSION + _session_limits(settings),
            "program_name": "chainlit-sqla",
            **urls.driver_arguments(urls.read(url)),
        }
        if url.password:  # The driver would encode it in Latin-1.
            arguments["password"] = str(url.password).encode()
        return {
            "pool_size": settings.pool_size,
            "max_overflow": settings.max_overflow,
            "pool_timeout": settings.connect_timeout,
            "pool_recycle": settings.connection_max_age or -1,
            # SQLAlchemy has ended each transaction already: it would be one more round trip.
            "pool_reset_on_return": None,
            "connect_args": arguments,
            # Each statement must see what was committed before it.
            "isolation_level": "READ COMMITTED",
            "json_serializer": _serialize,
            "json_deserializer": _deserialize,
        }

    def install(self, engine: AsyncEngine) -> None:
        """Name rows that are too large."""
        packet = mysql_errors.Packet()
        event.listen(engine.sync_engine, "connect", packet.measure)
        event.listen(engine.sync_engine, "handle_error", packet.explain)
        # It prints the server's warnings; strict mode makes those that matter errors.
        logging.getLogger("asyncmy").setLevel(logging.ERROR)

    def is_lost(self, driver: Any) -> bool:
        """Return True after a lost server."""
        return not driver.connected or is_stream_broken(driver)

    check_server = staticmethod(check_mysql)

    async def server_version(self, connection: AsyncConnection) -> str:
        version = str(await connection.scalar(text("SELECT VERSION()")))
        kind = "MariaDB" if "mariadb" in version.lower() else "MySQL"
        return f"{kind} {version.partition('-')[0]}"

    # Types

    def key_type(self, length: int) -> TypeEngine[Any]:
        return VARCHAR(length)

    def bind_object_key(self, value: str) -> Any:
        """Encode in UTF-8; a key that is too long for any store is truncated, and still is."""
        raw = value.encode()
        return raw[:_KEY_BYTES].decode(errors="ignore").encode() if len(raw) > _KEY_BYTES else raw

    def result_object_key(self, value: Any) -> str:
        return value if isinstance(value, str) else bytes(value).decode()

    def bind_timestamp(self, value: Any) -> Any:
        return value.astimezone(UTC).replace(tzinfo=None)

    def result_timestamp(self, value: Any) -> Any:
        """Add the time zone; the driver returns a zero date as text."""
        return value.replace(tzinfo=UTC) if isinstance(value, datetime) else EPOCH

    # Statements

    def build_upsert(self, table: Table, keys: Sequence[str], update: Sequence[str]) -> Insert:
        """``INSERT … ON DUPLICATE KEY UPDATE``.

        MySQL updates on a conflict of any unique key. A conflict of another key than the given
        one must be an error, as on other databases: it sets a column that is NOT NULL to NULL.
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
        """Compare by a collation that MySQL and MariaDB share, so both fold case alike."""
        literally = func.replace(column.collate("utf8mb4_bin"), "İ", _LOWER_I)
        return func.instr(func.lower(literally), func.lower(term.collate("utf8mb4_bin"))) > 0

    def before(
        self, columns: Sequence[ColumnElement[Any]], values: Sequence[ColumnElement[Any]]
    ) -> ColumnElement[bool]:
        """Add a condition on the first column, for which an index can be used."""
        return and_(columns[0] <= values[0], super().before(columns, values))

    @asynccontextmanager
    async def cursor(
        self, connection: AsyncConnection, query: Select[Any]
    ) -> AsyncIterator[FetchMany]:
        """Read the socket only while rows are fetched.

        The server sends all rows immediately, and the driver would keep all of them in memory.
        """
        await connection.execute(_WAIT)
        driver: Any = (await connection.get_raw_connection()).driver_connection
        transport = transport_of(driver)
        async with connection.stream(query) as rows:

            async def fetch(number: int) -> Sequence[Any]:
                if transport is not None:
                    transport.resume_reading()
                portion: Sequence[Any] = await rows.fetchmany(number)
                if transport is not None:
                    transport.pause_reading()
                return portion

            if transport is not None:
                transport.pause_reading()
            try:
                yield fetch
            except BaseException:
                await connection.invalidate()  # Otherwise all other rows would be read first.
                raise
            finally:
                if transport is not None:
                    transport.resume_reading()

    def json_is_true(self, column: ColumnElement[Any], key: str) -> ColumnElement[bool]:
        """Compare as text, which distinguishes ``true`` from ``"true"`` on both servers."""
        return cast(func.json_extract(column, f'$."{key}"'), CHAR()) == "true"

    # Migrations

    @contextmanager
    def migration_lock(self, connection: Connection) -> Iterator[None]:
        """Hold a named lock: DDL commits, so a lock of a transaction would not last."""
        with connection.begin():
            database = str(connection.scalar(func.database().select())).encode()
            # Its name is that of older releases. A FIPS Python refuses MD5 for security.
            digest = hashlib.md5(database, usedforsecurity=False)
            name = f"chainlit_sqla {digest.hexdigest()}"
            acquired = connection.scalar(func.get_lock(name, _LOCK_SECONDS).select())
            if acquired != 1:  # 0: the time is over; NULL: an error, such as no memory.
                raise DatabaseUnavailable(
                    "Another process has been migrating this database for an hour, or the server "
                    "ended the wait for it; wait for it or end it, then try again"
                )
            try:
                yield
            finally:
                with suppress(DBAPIError):  # A lost connection has released it.
                    connection.execute(func.release_lock(name).select())

    # Errors

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """Add the driver's errors, and `RejectedRow`, which `Packet` raises."""
        from asyncmy.errors import MySQLError

        return (*super().errors, MySQLError, RejectedRow)

    classify_driver_error = staticmethod(mysql_errors.classify)
    session_fault = staticmethod(mysql_errors.session_fault)
    explain = staticmethod(mysql_errors.explain)


class MariaDB(MySQL):
    """MariaDB: differs from MySQL only in its title."""

    title = "MariaDB"


def _session_limits(settings: Settings) -> str:
    """Limit waits for locks, and let the server end what a lost client has left.

    MySQL and MariaDB ignore each other's comments. MySQL limits only the time of a SELECT, and
    can end an idle transaction only like an idle connection, which the pool then replaces.
    """
    limits = ""
    if settings.lock_timeout:
        limits += f", innodb_lock_wait_timeout = {math.ceil(settings.lock_timeout)}"
    if seconds := settings.command_timeout:
        end, idle = seconds + CLOSE_SECONDS, math.ceil(2 * seconds)
        limits += f" /*!80000 , max_execution_time = {math.ceil(end * 1000)}"
        limits += f", wait_timeout = {idle} */"
        limits += f" /*M!100300 , max_statement_time = {end:.3f}"
        limits += f", idle_transaction_timeout = {idle} */"
    return limits


async def _connect(*limits: Any, **arguments: Any) -> Any:
    from .connection import connect  # The driver is optional.

    return await connect(*limits, **arguments)


def _has_other_keys(table: Table, keys: Sequence[str]) -> bool:
    unique = [key for key in table.constraints if isinstance(key, UniqueConstraint)]
    return any(
        {column.name for column in key.columns} != set(keys) for key in (table.primary_key, *unique)
    )


def _serialize(value: Any) -> str:
    raw = value if isinstance(value, _json.JsonText) else _json.dumps(value)
    if raw.count("[") + raw.count("{") <= _LEVELS or _depth(raw) <= _LEVELS:
        return raw
    return orjson.dumps(_DEEP + str(raw)).decode()


def _deserialize(raw: str) -> Any:
    value = _json.loads_stored(raw)
    if isinstance(value, str) and value.startswith(_DEEP):
        return _json.loads_stored(value[1:])
    return value


def _depth(raw: str) -> int:
    """Count the levels of a JSON document by its brackets outside strings."""
    brackets = _BRACKET.findall(_STRING.sub("", raw))
    return max(accumulate(1 if bracket in "[{" else -1 for bracket in brackets), default=0)
