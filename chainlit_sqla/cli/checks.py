"""What ``doctor`` looks at; nothing here prints, and nothing it does stays."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum

from sqlalchemy import Column, Connection, MetaData, Table, false, insert, inspect, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import CreateSchema, CreateTable, DropTable

from ..database import Database
from ..database.revision import HEAD, current_revision, describe_foreign_tables, revision_mismatch
from ..dialects.column_types import Key
from ..errors import (
    BlobNotFound,
    ChainlitSqlaError,
    DatabaseUnavailable,
    SchemaOutdated,
    SchemaUnknown,
    StorageError,
)
from ..models import Base, User
from ..queries.blobs import newest
from ..settings import Settings
from ..storage.base import Inventory
from ..storage.config import storage_from
from .options import auto_upgrades, describe_database, open_database
from .runtime import error_message

_WORK_SECONDS = 35.0
"""Beyond the connect timeout; a locked SQLite file says so after 30 s."""
_STORAGE_SECONDS = 30.0
_LOOKED_UP = 3
_ANOTHER = (
    "but the newest files of this database are not in this store; was the storage changed? "
    "run: chainlit-sqla storage check, or copy them with: chainlit-sqla storage copy"
)
_probe = Table("chainlit_sqla_probe", MetaData(), Column("id", Key(), primary_key=True))


class Mark(Enum):
    """How a check ended."""

    OK = "ok"
    NOTE = "note"
    FAILED = "FAILED"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check, in words."""

    name: str
    mark: Mark
    text: str


async def examine(settings: Settings) -> list[Finding]:
    """Run all checks, the later ones also where an earlier one failed.

    Args:
        settings: Names the database and the storage.
    """
    findings = await _database(settings)
    with_tables = all(finding.mark is Mark.OK for finding in findings)
    return [*findings, await _storage(settings, with_tables)]


async def _database(settings: Settings) -> list[Finding]:
    later = ("schema", "permission to write")
    try:
        database = Database(settings=settings)
    except ChainlitSqlaError as error:
        return [Finding("database", Mark.FAILED, str(error)), *_skipped(later, "no database")]
    seconds = settings.connect_timeout + _WORK_SECONDS
    try:
        first = await _timed("database", seconds, _connection(database))
        if first.mark is Mark.FAILED:
            return [first, *_skipped(later, "no connection")]
        schema = await _timed("schema", seconds, _schema(database))
        if schema.mark is Mark.FAILED:
            return [first, schema, *_skipped(later[1:], "the tables do not fit")]
        return [first, schema, await _timed("permission to write", seconds, _writing(database))]
    finally:
        await database.close()


def _skipped(names: tuple[str, ...], reason: str) -> list[Finding]:
    return [Finding(name, Mark.SKIPPED, f"not checked: {reason}") for name in names]


async def _timed(name: str, seconds: float, check: Awaitable[tuple[Mark, str]]) -> Finding:
    try:
        async with asyncio.timeout(seconds):
            mark, text = await check
    except ChainlitSqlaError as error:
        return Finding(name, Mark.FAILED, str(error))
    except TimeoutError:
        text = f"No answer within {seconds:.0f} s; check the server, the network and the address"
        return Finding(name, Mark.FAILED, text)
    except Exception as error:
        return Finding(name, Mark.FAILED, error_message(error))
    return Finding(name, mark, text)


async def _connection(database: Database) -> tuple[Mark, str]:
    async with _translated(database), database.connect() as connection:
        version = await database.dialect.server_version(connection)
    return Mark.OK, f"{version}, {database.label}"


async def _schema(database: Database) -> tuple[Mark, str]:
    async with _translated(database), database.connect() as connection:
        revision = await current_revision(connection, database.schema)
        foreign = "" if revision else await describe_foreign_tables(connection, database.schema)
    mismatch = revision_mismatch(describe_database(database), revision)
    if mismatch is None:
        return Mark.OK, f"at {HEAD}, as this release needs it"
    if foreign:
        raise SchemaUnknown(f"{describe_database(database)} {foreign}")
    if isinstance(mismatch, SchemaUnknown):
        raise mismatch
    here = f"at {revision}, older than {HEAD}" if revision else "no tables yet"
    if auto_upgrades(database):
        return Mark.OK, f"{here}; will be {'upgraded' if revision else 'made'} on first use"
    raise mismatch


async def _writing(database: Database) -> tuple[Mark, str]:
    options = database.dialect.write_options()
    engine = database.engine.execution_options(**options)
    async with _translated(database), engine.connect() as connection:
        revision = await current_revision(connection, database.schema)
        await connection.rollback()
        attempt, text = (
            (_use_tables, "wrote a user and took it back")
            if revision == HEAD
            else (_make_table, "made a table and took it back")
        )
        transaction = await connection.begin()
        try:
            await attempt(connection, database.schema)
        finally:
            await transaction.rollback()
            if revision != HEAD and database.dialect.commits_ddl:
                await connection.execute(DropTable(_probe, if_exists=True))
    return Mark.OK, text


async def _use_tables(connection: AsyncConnection, _schema: str | None) -> None:
    """Write a user; of the other tables ask only whether writing is allowed."""
    probe = f"chainlit-sqla-doctor-{uuid.uuid4()}"
    user = {"id": probe, "identifier": probe, "metadata_": {}}
    await connection.execute(insert(User), user)
    for table in Base.metadata.sorted_tables:
        names = [column.name for column in table.columns]
        nothing = select(table).where(false())
        await connection.execute(table.insert().from_select(names, nothing))
        same = {names[0]: table.c[names[0]]}
        await connection.execute(table.update().where(false()).values(same))
        await connection.execute(table.delete().where(false()))


async def _make_table(connection: AsyncConnection, schema: str | None) -> None:
    def schema_is_there(sync: Connection) -> bool:
        return schema is None or schema in inspect(sync).get_schema_names()

    if schema is not None and not await connection.run_sync(schema_is_there):
        await connection.execute(CreateSchema(schema))
    await connection.execute(CreateTable(_probe))


@asynccontextmanager
async def _translated(database: Database) -> AsyncIterator[None]:
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        translated = database.translate(error)
        if isinstance(translated, ChainlitSqlaError):
            raise translated from error
        raise DatabaseUnavailable(
            f"{describe_database(database)} refuses this: {error_message(error)}"
        ) from error


async def _storage(settings: Settings, with_tables: bool) -> Finding:
    async def check() -> tuple[Mark, str]:
        client = storage_from(settings)
        try:
            text = f"wrote, read and deleted a file: {await client.check()}"
            if with_tables and await _is_another(client, settings):
                return Mark.NOTE, f"{text}; {_ANOTHER}"
            return Mark.OK, text
        finally:
            await client.close()

    return await _timed("storage", _STORAGE_SECONDS, check())


async def _is_another(storage: Inventory, settings: Settings) -> bool:
    """Whether the newest files of the database are in another store."""
    async with open_database(settings) as database:
        try:
            keys = await database.read(lambda connection: newest(connection, _LOOKED_UP))
        except SchemaOutdated:
            return False  # No tables yet.
    for key in keys:
        try:
            await storage.stat(key)
        except BlobNotFound:
            continue
        except StorageError:
            return False  # S3 refuses to say it to who may not list; the layer needs no list.
        return False
    return bool(keys)
