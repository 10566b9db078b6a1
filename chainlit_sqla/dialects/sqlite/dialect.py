"""SQLite: one file, one writer at a time, readers beside it (WAL)."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, unquote

import orjson
from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Engine,
    Insert,
    LargeBinary,
    Table,
    Text,
    case,
    cast,
    create_engine,
    event,
    exists,
    func,
    literal_column,
    text,
    type_coerce,
)
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.pool import AsyncAdaptedQueuePool

from ..._internal import json as _json
from ..._internal.timestamps import EPOCH, format_instant, parse_instant
from ...errors import ConfigurationError
from ..base import Dialect, insert_on_conflict
from ..error_kinds import ErrorKind, SessionFault, driver_error
from ..limits import url_limits
from ..requirements import check_sqlite
from ..url_parameters import read_parameters, spelled
from .search_index import WRITES, FtsIndex
from .worker import SQLiteWorker, finish

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from ...settings import Settings
    from ..in_place import TableReplacement

T = TypeVar("T")
_LENGTH = len("2026-01-31T08:00:00.000000Z")

_BUSY_SECONDS = 30.0
_WORKER_BUSY_SECONDS = 5.0
"""A thread that waits for the lock cannot be stopped, and the process ends after it. What it did
not write is repeated anyway."""

_CONNECTION = ("timeout", "check_same_thread")
_PARAMETERS = {
    **spelled("timeout"),
    **spelled("check_same_thread", values=("false", "0")),
    **spelled("uri", values=("true", "1")),
    **{name: spelled(name)[name] for name in ("mode", "cache", "immutable", "vfs", "nolock")},
}
"""Those of sqlite3 and of URIs (https://www.sqlite.org/uri.html)."""

# Result codes: https://www.sqlite.org/rescode.html
_LOCKED_CODES = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_UNWRITABLE_CODES = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN}
_DAMAGED_CODES = {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}
_TRANSIENT_CODES = {
    *_LOCKED_CODES,
    *_UNWRITABLE_CODES,
    *(sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM),
    *(sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_ABORT, sqlite3.SQLITE_SCHEMA),
}
_REJECTED_CODES = {
    *(sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH),
    *(sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_RANGE),
}
_STALE_CODES = {*_UNWRITABLE_CODES, *_DAMAGED_CODES, sqlite3.SQLITE_IOERR}
"""A connection keeps the file, and the right to write it, that it was opened with."""
_NO_TABLE = ("no such table", "no such column", "no such module", "no such tokenizer")
_CLOSED = ("closed database", "Connection closed", "no active connection")
"""What sqlite3 and aiosqlite say of a connection that was closed."""
_UNBOUND = ("not supported", "unsupported type", "Error binding")
_NO_FTS5 = (
    "The SQLite of this Python has no FTS5 with trigrams, which the search index of {database} "
    "needs; use a Python whose SQLite has FTS5, 3.34 or newer, or run with one: "
    "chainlit-sqla search disable"
)
_NOT_WRITABLE = (
    "The SQLite file {database} cannot be written; give this user write permission on the file "
    "and its folder"
)
_IN_USE = "The SQLite file {database} is locked; end the other program that is writing to it"
_EXPLAINED = {
    sqlite3.SQLITE_CANTOPEN: "The SQLite file {database} cannot be opened; check that its folder "
    "exists and that this user may write in it",
    sqlite3.SQLITE_NOTADB: "{database} is not a SQLite database; name another file",
    sqlite3.SQLITE_READONLY: _NOT_WRITABLE,
    sqlite3.SQLITE_PERM: _NOT_WRITABLE,
    sqlite3.SQLITE_BUSY: _IN_USE,
    sqlite3.SQLITE_LOCKED: _IN_USE,
    sqlite3.SQLITE_FULL: "There is no room for {database}; free disk space, and run it again",
    sqlite3.SQLITE_IOERR: "The disk did not read or write {database} or a file beside it (disk "
    "I/O error); see the log of the system, free disk space, check the disk or mount, and run it "
    "again",
    sqlite3.SQLITE_CORRUPT: "The SQLite file {database} is damaged; restore a backup, or save "
    "what can be read with sqlite3's .recover",
}


class SQLite(Dialect):
    """SQLite 3.35 or newer through aiosqlite."""

    name = "sqlite"
    title = "SQLite"
    driver = "aiosqlite"
    auto_upgrade = True
    search_index = FtsIndex()
    bound_to_loop = False
    max_parameters = 32_000
    write_options = WRITES
    timestamp_type = Text()
    json_type = Text()  # The declared type JSON would get numeric affinity.

    def canonical_url(self, url: URL) -> URL:
        """Mark a URI as such; what only a URI can say is refused beside a path."""
        parameters = read_parameters(url.query, _PARAMETERS)
        if (url.database or "").startswith("file:"):
            return url.update_query_dict({"uri": "true"})
        if names := sorted(parameters.keys() - _CONNECTION):
            raise ConfigurationError(
                f"{names[0]} in the database URL has an effect in a URI only; write it as "
                f"sqlite:///file:PATH?{names[0]}={parameters[names[0]]}&uri=true"
            )
        return url

    def reading_url(self, url: URL) -> URL:
        """Open the file for reading only, so that its journal mode does not change."""
        if _in_memory(url):
            return url
        path = file_of(url).absolute()
        if not path.exists():
            raise ConfigurationError(f"There is no SQLite file {path}; correct the URL")
        file = f"file:{quote(str(path))}"
        return url.set(database=file).update_query_dict({"mode": "ro", "uri": "true"})

    def location(self, url: URL) -> str:
        return f"sqlite://{url.database or '' if _in_memory(url) else file_of(url).resolve()}"

    def engine_options(self, url: URL, settings: Settings) -> dict[str, Any]:
        """Return pool options; a database in memory has one connection."""
        options: dict[str, Any] = {
            "poolclass": AsyncAdaptedQueuePool,
            "pool_size": settings.pool_size,
            "max_overflow": settings.max_overflow,
            # SQLAlchemy ends its own transactions; one more rollback is one more thread switch.
            "pool_reset_on_return": None,
            "connect_args": {"timeout": _busy_seconds(url, _BUSY_SECONDS)},
        }
        if _in_memory(url):
            options |= {"pool_size": 1, "max_overflow": 0}
        return options

    def install(self, engine: AsyncEngine) -> None:
        """Set up each connection, and begin writes with BEGIN IMMEDIATE.

        A deferred transaction that turns into a write can fail immediately with
        "database is locked"; BEGIN IMMEDIATE waits for the lock
        (https://www.sqlite.org/lang_transaction.html).
        """
        _listen(engine.sync_engine)
        event.listen(engine.sync_engine, "invalidate", _give_up_lock)

    async def read_undecodable_text(self, connection: AsyncConnection) -> None:
        """SQLite stores any bytes as text (https://www.sqlite.org/invalidutf.html)."""
        raw = await connection.get_raw_connection()
        driver: Any = raw.driver_connection
        driver.text_factory = _json.decode_text

    async def run_to_end(self, connection: AsyncConnection, work: Callable[[Connection], T]) -> T:
        """Run a function, and finish it when cancelled: a database in memory has one connection."""
        return await finish(asyncio.ensure_future(connection.run_sync(work)))

    check_server = staticmethod(check_sqlite)

    async def server_version(self, connection: AsyncConnection) -> str:
        return f"SQLite {await connection.scalar(text('SELECT sqlite_version()'))}"

    def bind_timestamp(self, value: Any) -> Any:
        """``2026-01-31T08:00:00.000000Z``: of fixed width, so that text order is time order."""
        # Ten times faster than strftime, and a year has four digits on every platform.
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"

    def result_timestamp(self, value: Any) -> Any:
        """Read what another program wrote as far as possible: writes must not fail for it."""
        return parse_instant(value) or EPOCH

    def bind_json(self, value: Any) -> Any:
        return value if isinstance(value, _json.JsonText) else _json.dumps(value)

    def result_json(self, value: Any) -> Any:
        return _json.loads_stored(value)

    def select_timestamp(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        return type_coerce(column, Text())

    def select_json(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        return type_coerce(column, Text())

    def format_timestamp(self, value: Any) -> str | None:
        """Remove a zero fraction; reformat timestamps that other programs wrote."""
        if value is None:
            return None
        if len(value) == _LENGTH and value[10] == "T" and value[26] == "Z":
            return value[:19] + "Z" if value[20:26] == "000000" else str(value)
        return format_instant(datetime.fromisoformat(value))

    def load_json(self, value: Any) -> Any:
        return {} if value == "{}" else None if value is None else orjson.loads(value)

    def worker(self, url: URL, readers: int) -> SQLiteWorker | None:
        """Return threads for whole transactions; None for a database in memory."""
        if _in_memory(url):
            return None
        engine = create_engine(
            url.set(drivername=self.name),
            pool_size=readers + 1,
            # SQLAlchemy ends its own transactions.
            pool_reset_on_return=None,
            connect_args={
                "timeout": _busy_seconds(url, _WORKER_BUSY_SECONDS),
                "check_same_thread": False,
            },
            hide_parameters=True,
        )
        _listen(engine)
        return SQLiteWorker(engine, WRITES, readers)

    def build_upsert(self, table: Table, keys: Sequence[str], update: Sequence[str]) -> Insert:
        return insert_on_conflict(insert(table), keys, update)

    def search_term(self, text: str) -> str:
        return text.casefold()

    def contains(
        self,
        column: ColumnElement[str],
        term: ColumnElement[str],
        *,
        icu: bool = True,  # noqa: ARG002
    ) -> ColumnElement[bool]:
        """Fold case in Python: SQLite's own ``lower`` is limited to ASCII."""
        return func.instr(func.chainlit_sqla_fold(cast(column, LargeBinary)), term) > 0

    def size_of(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return the length as bytes; ``octet_length`` needs SQLite 3.43."""
        return func.length(cast(column, LargeBinary))

    def numbers_rows(self, connection: Connection, table: str) -> bool:
        """Detect WITHOUT ROWID by the index that has the table's name.

        See https://www.sqlite.org/withoutrowid.html, "Determining If An Existing Table Is WITHOUT
        ROWID"; SQLAlchemy reflects it since 2.1 only.
        """
        name = connection.dialect.identifier_preparer.quote_identifier(table)
        return connection.exec_driver_sql(f"PRAGMA index_info({name})").first() is None

    def physical_order(self) -> ColumnElement[Any]:
        return literal_column("rowid")

    def json_is_true(self, column: ColumnElement[Any], key: str) -> ColumnElement[bool]:
        """Use ``json_type``, which distinguishes ``true`` from 1, and fails for other text."""
        value = func.json_type(column, f'$."{key}"')
        return case((func.json_valid(column) == 1, value)) == "true"

    def json_has(self, column: ColumnElement[Any], item: str) -> ColumnElement[bool]:
        document = type_coerce(column, Text())
        valid = case((func.json_valid(document) == 1, document), else_="null")
        items = func.json_each(valid).table_valued("value")
        return exists().where(items.c.value == item)

    def table_replacement(self) -> TableReplacement:
        from .in_place import SQLiteTableReplacement

        return SQLiteTableReplacement()

    @contextmanager
    def migration_lock(self, connection: Connection) -> Iterator[None]:
        """``BEGIN IMMEDIATE`` is the lock; DDL is transactional here."""
        marked = connection.execution_options(**WRITES)
        with marked.begin():
            yield

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        return (*super().errors, sqlite3.Error)

    def classify(self, error: BaseException) -> ErrorKind:
        """Add the errors of aiosqlite, which are plain ``ValueError``."""
        return ErrorKind.TRANSIENT if _is_closed(error) else super().classify(error)

    def classify_driver_error(self, error: BaseException) -> ErrorKind:
        code = getattr(error, "sqlite_errorcode", None)
        if code is None:
            is_value = any(words in str(error) for words in _UNBOUND)
            return ErrorKind.REJECTED if is_value else ErrorKind.OTHER
        if code == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
            return ErrorKind.REPEAT
        if code & 0xFF in _TRANSIENT_CODES:
            return ErrorKind.TRANSIENT
        if code & 0xFF in _REJECTED_CODES:
            return ErrorKind.REJECTED
        is_missing = str(error).startswith(_NO_TABLE) or "has no column named" in str(error)
        return ErrorKind.SCHEMA if is_missing or code & 0xFF in _DAMAGED_CODES else ErrorKind.OTHER

    def session_fault(self, error: BaseException) -> SessionFault | None:
        if _is_closed(error):
            return SessionFault.BROKEN
        code = getattr(driver_error(error), "sqlite_errorcode", 0) & 0xFF
        return SessionFault.STALE if code in _STALE_CODES else None

    def is_replaceable(self, url: URL) -> bool:
        return not _in_memory(url)

    def explain(self, error: BaseException, url: URL) -> str | None:
        error = driver_error(error)
        sentence = _EXPLAINED.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
        if str(error).startswith(("no such module: fts5", "no such tokenizer")):
            sentence = _NO_FTS5
        return sentence and sentence.format(database=url.database)


def _is_closed(error: BaseException) -> bool:
    error = driver_error(error)
    is_drivers = isinstance(error, (sqlite3.Error, ValueError))
    return is_drivers and any(words in str(error) for words in _CLOSED)


def _busy_seconds(url: URL, default: float) -> float:
    return float(url_limits(url.query, {"timeout": "busy"}).get("busy", default))


def _in_memory(url: URL) -> bool:
    return not url.database or url.database == ":memory:" or "mode=memory" in str(url)


def file_of(url: URL) -> Path:
    """Return the file of a URL, which may name it by a URI (https://www.sqlite.org/uri.html)."""
    database = url.database or ""
    if not database.startswith("file:"):
        return Path(database)
    path = database.removeprefix("file:")
    if path.startswith("//"):
        path = path.removeprefix("//").removeprefix("localhost")
    return Path(unquote(path))


def _create_private(_dialect: Any, _record: Any, _args: Any, _options: Any, *, url: URL) -> None:
    """Create the file with mode 0600, which SQLite gives to the files beside it, too."""
    if not _in_memory(url) and url.query.get("mode", "rwc") == "rwc":
        with suppress(OSError):  # It exists, or SQLite explains why it cannot be opened.
            os.close(os.open(file_of(url), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _listen(engine: Engine) -> None:
    event.listen(engine, "do_connect", partial(_create_private, url=engine.url))
    event.listen(engine, "connect", _set_up)
    if engine.url.query.get("mode") == "ro":
        event.listen(engine, "connect", _read_any_text)
    event.listen(engine, "begin", _begin)


def _set_up(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # We send BEGIN ourselves.
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA journal_mode")
    if cursor.fetchone()[0] not in {"wal", "memory"}:
        _switch_to_wal(cursor)
    cursor.execute("PRAGMA encoding")
    fold = partial(_fold, cursor.fetchone()[0])
    connection.create_function("chainlit_sqla_fold", 1, fold, deterministic=True)
    cursor.close()


def _read_any_text(connection: Any, _record: Any) -> None:
    """Replace invalid UTF-8, which another program may have stored in a row."""
    driver = getattr(connection, "driver_connection", connection)  # aiosqlite's or sqlite3's
    driver.text_factory = lambda raw: raw.decode("utf-8", "replace")


def _give_up_lock(connection: Any, _record: Any, _error: BaseException | None) -> None:
    """Roll back, before SQLAlchemy closes the connection of a transaction that was cancelled.

    SQLite keeps a closed connection, and its lock, until its last statement is finalized
    (https://www.sqlite.org/c3ref/close.html): all writers would wait for Python's garbage
    collector. The driver's thread rolls back before it closes; nothing waits for it.
    """
    rollback = connection.driver_connection.rollback()
    # Raised without a running loop or a connection, where there is no lock, either.
    with suppress(RuntimeError, ValueError, StopIteration):
        rollback.send(None)  # Its first step puts it into the queue of the thread.
    rollback.close()


def _switch_to_wal(cursor: Any) -> None:
    """Switch the file to WAL; ignore a refusal while another process does the same.

    The switch does not wait for the busy timeout, and the file keeps the mode: a process that
    is refused works without WAL until its next connection.
    """
    try:
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.fetchone()
    except Exception as error:
        code = getattr(driver_error(error), "sqlite_errorcode", 0) & 0xFF
        if code not in _LOCKED_CODES | {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}:
            raise


def _fold(encoding: str, value: str | bytes | None) -> str | None:
    """Fold a text that is passed as bytes: as text, SQLite's driver refuses what is not UTF-8."""
    if isinstance(value, bytes):
        value = value.decode(encoding, "replace")
    return value and value.casefold()


def _begin(connection: Connection) -> None:
    writes = WRITES.items() <= connection.get_execution_options().items()
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
