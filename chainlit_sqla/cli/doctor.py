"""The command ``doctor``: checks the settings, the database and the storage; changes nothing."""

from __future__ import annotations

import asyncio
import difflib
import os
import platform
import uuid
from collections.abc import AsyncIterator, Awaitable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager
from enum import Enum
from typing import Any, NamedTuple

import typer
from dotenv import dotenv_values
from rich.console import Console
from rich.text import Text
from sqlalchemy import Column, Connection, MetaData, Table, false, insert, inspect, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import CreateSchema, CreateTable, DropTable

from ..database import Database
from ..database.revision import HEAD, REVISIONS, current_revision, foreign_tables
from ..dialects import BACKUP_SUFFIX
from ..dialects.column_types import Key
from ..errors import (
    BlobNotFound,
    ChainlitSqlaError,
    DatabaseUnavailable,
    SchemaOutdated,
    StorageError,
)
from ..models import Base, User
from ..queries import search_index
from ..queries.elements import newest_keys
from ..queries.search import read_state
from ..settings import Settings
from ..storage.base import Inventory
from ..storage.open_store import storage_from
from .options import (
    Schema,
    Url,
    describe_database,
    describe_revision,
    given_options,
    open_database,
    settings_for,
)
from .output import mask_url
from .runtime import DEBUG_VARIABLE, error_message, package_version, run_async

_WORK_SECONDS = 35.0  # Beyond the connect timeout; SQLite reports a locked file after 30 s.
_STORAGE_SECONDS = 30.0
_NEWEST_FILES = 3
_OTHER_STORE = (
    "but it lacks the newest attachments of this database; if the storage was changed, copy them "
    "with: chainlit-sqla storage copy, else run: chainlit-sqla storage check"
)
_probe_table = Table("chainlit_sqla_probe", MetaData(), Column("id", Key(), primary_key=True))

_SETTING_PREFIX = "CHAINLIT_SQLA_"


class CheckStatus(Enum):
    """How a check ended."""

    OK = "ok"
    NOTE = "note"
    FAILED = "FAILED"
    SKIPPED = "skipped"


_COLOURS = {
    CheckStatus.OK: "green",
    CheckStatus.NOTE: "yellow",
    CheckStatus.FAILED: "bold red",
    CheckStatus.SKIPPED: "dim",
}


class CheckResult(NamedTuple):
    """The result of one check."""

    name: str
    status: CheckStatus
    text: str


_Outcome = tuple[CheckStatus, str]


def doctor(url: Url = None, schema: Schema = None) -> None:
    """Check the settings, the database and the storage.

    Connects, writes to the tables and stores a file, and reports what to repair. Nothing that it
    writes remains. Exit code 1 if a check fails.
    """
    console = Console(highlight=False, soft_wrap=True)
    _print_result(console, CheckResult("versions", CheckStatus.OK, _versions()))
    try:
        settings = settings_for(url, schema)
    except ChainlitSqlaError as error:
        _print_result(console, CheckResult("settings", CheckStatus.FAILED, str(error)))
        raise typer.Exit(1) from None
    results = [CheckResult("settings", CheckStatus.NOTE, text) for text in _unknown_settings()]
    results += run_async(_run_checks(settings))
    for result in results:
        _print_result(console, result)
    _print_settings(console, settings, given_options(url, schema))
    failures = sum(result.status is CheckStatus.FAILED for result in results)
    if failures:
        checks = "check" if failures == 1 else "checks"
        console.print(f"\n{failures} {checks} failed.", style="bold red")
        raise typer.Exit(1)
    if any(result.status is CheckStatus.NOTE for result in results):
        console.print("\nEverything works; see the notes above.", style="yellow")
    else:
        console.print("\nEverything works.", style="green")


def _versions() -> str:
    packages = ("chainlit-sqla", "chainlit", "SQLAlchemy")
    names = [f"{package} {package_version(package)}" for package in packages]
    return ", ".join([*names, f"Python {platform.python_version()}"])


def _print_result(console: Console, result: CheckResult) -> None:
    status = Text(f"{result.status.value:<8}", style=_COLOURS[result.status])
    console.print(status + Text(f"{result.name}: {result.text}", style=""))


async def _run_checks(settings: Settings) -> list[CheckResult]:
    """Run all checks; the storage is checked also where the database fails."""
    results = await _check_database(settings)
    has_tables = all(result.status in (CheckStatus.OK, CheckStatus.NOTE) for result in results)
    return [*results, await _check_storage(settings, has_tables)]


async def _check_database(settings: Settings) -> list[CheckResult]:
    later = ("schema", "write permission")
    try:
        database = Database(settings=settings)
    except ChainlitSqlaError as error:
        failure = CheckResult("database", CheckStatus.FAILED, str(error))
        return [failure, *_skipped(later, "no database")]
    seconds = settings.connect_timeout + _WORK_SECONDS
    results: list[CheckResult] = []

    async def check(name: str, outcome: Awaitable[_Outcome]) -> bool:
        results.append(await _timed(name, seconds, outcome))
        return results[-1].status is not CheckStatus.FAILED

    try:
        if not await check("database", _connect(database)):
            return [*results, *_skipped(later, "no connection")]
        if not await check("schema", _check_schema(database)):
            return [*results, *_skipped(later[1:], "the tables do not match this release")]
        await check("write permission", _check_writing(database))
        if (await describe_revision(database))[0]:
            await check("search", _check_search(database))
        if backups := await database.read(lambda c: _backup_tables(c, database.schema)):
            text = f"{', '.join(backups)}; drop them with: chainlit-sqla adopt --drop-old"
            results.append(CheckResult("backup of adopt", CheckStatus.OK, text))
        return results
    finally:
        await database.close()


def _skipped(names: Collection[str], reason: str) -> list[CheckResult]:
    return [CheckResult(name, CheckStatus.SKIPPED, f"not checked: {reason}") for name in names]


async def _timed(name: str, seconds: float, outcome: Awaitable[_Outcome]) -> CheckResult:
    try:
        async with asyncio.timeout(seconds):
            return CheckResult(name, *await outcome)
    except TimeoutError:
        text = f"No answer within {seconds:.0f} s; check the server, the network and the address"
    except Exception as error:
        text = error_message(error)
    return CheckResult(name, CheckStatus.FAILED, text)


async def _connect(database: Database) -> _Outcome:
    async with _translate_errors(database), database.connect() as connection:
        version = await database.dialect.server_version(connection)
    return CheckStatus.OK, f"{version}, {database.label}"


async def _check_schema(database: Database) -> _Outcome:
    async with _translate_errors(database), database.connect() as connection:
        revision = await current_revision(connection, database.schema)
        foreign = not revision and await foreign_tables(connection, database.schema)
    is_current, text = await describe_revision(database)
    if is_current:
        return CheckStatus.OK, f"at {HEAD}, up to date"
    if not foreign and revision in (None, *REVISIONS) and database.auto_upgrade:
        state = f"at {revision}, older than {HEAD}" if revision else "no tables yet"
        action = "upgraded" if revision else "created"
        return CheckStatus.OK, f"{state}; will be {action} on first use"
    return CheckStatus.FAILED, text


async def _check_writing(database: Database) -> _Outcome:
    """Write in a transaction that is rolled back."""
    options = database.dialect.write_options()
    engine = database.engine.execution_options(**options)
    async with _translate_errors(database), engine.connect() as connection:
        revision = await current_revision(connection, database.schema)
        await connection.rollback()
        transaction = await connection.begin()
        try:
            if revision == HEAD:
                await _try_tables(connection)
            else:
                await _try_creating(connection, database.schema)
        finally:
            await transaction.rollback()
            if revision != HEAD and database.dialect.commits_ddl:
                await connection.execute(DropTable(_probe_table, if_exists=True))
    what = "wrote a user" if revision == HEAD else "created a table"
    return CheckStatus.OK, f"{what} and rolled it back"


async def _try_tables(connection: AsyncConnection) -> None:
    """Write a user; to the other tables send statements that match no row."""
    id = f"chainlit-sqla-doctor-{uuid.uuid4()}"
    await connection.execute(insert(User), {"id": id, "identifier": id, "metadata_": {}})
    for table in Base.metadata.sorted_tables:
        names = [column.name for column in table.columns]
        no_rows = select(table).where(false())
        await connection.execute(table.insert().from_select(names, no_rows))
        unchanged = {names[0]: table.c[names[0]]}
        await connection.execute(table.update().where(false()).values(unchanged))
        await connection.execute(table.delete().where(false()))


async def _try_creating(connection: AsyncConnection, schema: str | None) -> None:
    def schema_exists(sync: Connection) -> bool:
        return schema is None or schema in inspect(sync).get_schema_names()

    if schema is not None and not await connection.run_sync(schema_exists):
        await connection.execute(CreateSchema(schema))
    await connection.execute(CreateTable(_probe_table))


async def _check_search(database: Database) -> _Outcome:
    status = (await search_index.status(database)).removeprefix(f"{database.label}: ")
    state = await read_state(database)
    if state.exists and not state.usable:
        return CheckStatus.NOTE, status
    if warning := await search_index.case_warning(database):
        return CheckStatus.NOTE, f"{status}; {warning}"
    return CheckStatus.OK, status


async def _backup_tables(connection: AsyncConnection, schema: str | None) -> list[str]:
    """The tables that ``adopt`` renamed and left as a backup."""
    names = await connection.run_sync(lambda sync: inspect(sync).get_table_names(schema=schema))
    return sorted(name for name in names if name.endswith(BACKUP_SUFFIX))


@asynccontextmanager
async def _translate_errors(database: Database) -> AsyncIterator[None]:
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        translated = database.translate(error)
        if isinstance(translated, ChainlitSqlaError):
            raise translated from error
        text = f"{describe_database(database)} rejected a statement: {error_message(error)}"
        raise DatabaseUnavailable(text) from error


async def _check_storage(settings: Settings, has_tables: bool) -> CheckResult:
    async def check() -> _Outcome:
        client = storage_from(settings)
        try:
            text = f"wrote, read and deleted a file: {await client.check()}"
            if has_tables and await _lacks_newest_files(client, settings):
                return CheckStatus.NOTE, f"{text}; {_OTHER_STORE}"
            return CheckStatus.OK, text
        finally:
            await client.close()

    return await _timed("storage", _STORAGE_SECONDS, check())


async def _lacks_newest_files(storage: Inventory, settings: Settings) -> bool:
    """Whether the database names files, and the storage has none of the newest ones."""
    async with open_database(settings) as database:
        try:
            keys = await database.read(lambda connection: newest_keys(connection, _NEWEST_FILES))
        except SchemaOutdated:
            return False  # No tables yet.
    for key in keys:
        try:
            await storage.stat(key)
        except BlobNotFound:
            continue
        except StorageError:
            return False  # S3 needs the permission to list; the data layer does not.
        return False
    return bool(keys)


def _print_settings(console: Console, settings: Settings, options: Collection[str]) -> None:
    """Print the settings in effect; no value is cut off, so that it can be compared."""
    rows = [("Setting", "Value", "From")]
    rows += [row for row in _effective_settings(settings, options) if row[1]]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    console.print()
    for number, (variable, value, source) in enumerate(rows):
        style = "bold" if number == 0 else "dim" if source == "default" else ""
        line = f"{variable:<{widths[0]}}  {value:<{widths[1]}}  {source}"
        console.print(Text(line, style=style))


def _effective_settings(
    settings: Settings, options: Collection[str]
) -> Iterator[tuple[str, str, str]]:
    """The variable, the value and the origin of each setting; secrets are masked."""
    environments = _environments()
    for name in Settings.model_fields:
        variables = Settings.variables(name)
        variable, source = next(
            (
                (variable, source)
                for variable in variables  # In the order of `Settings.load`.
                for source, values in environments.items()
                if variable in values
            ),
            (variables[0], "default"),
        )
        if name in options:
            source = "command line"
        yield variable, _masked_value(name, settings), source


def _unknown_settings() -> Iterator[str]:
    """A sentence for each variable with our prefix that is not a setting."""
    fields = Settings.model_fields
    settings = {variable for name in fields for variable in Settings.variables(name)}
    settings.add(DEBUG_VARIABLE)
    for source, values in _environments().items():
        for variable in values:
            if variable.startswith(_SETTING_PREFIX) and variable not in settings:
                close = difflib.get_close_matches(variable, settings, n=1)
                hint = f"did you mean {close[0]}?" if close else "see docs/settings.md"
                yield f"{variable} ({source}) is not a setting; {hint}"


def _environments() -> dict[str, Mapping[str, str]]:
    """The environment and the .env file, by their name; names of variables in upper case."""
    file = os.environ.get("CHAINLIT_ENV_FILE", ".env")
    environments: dict[str, Mapping[str, str | None]] = {
        "environment": dict(os.environ),
        file: dotenv_values(file, encoding="utf-8"),
    }
    return {
        source: {name.upper(): value for name, value in values.items() if value}
        for source, values in environments.items()
    }


def _masked_value(name: str, settings: Settings) -> str:
    if name == "database_url":
        return mask_url(settings.database)
    value: Any = getattr(settings, name)
    if value is None or value == "":
        return ""
    if not Settings.model_fields[name].repr:
        return "(set)"
    return f"{value:g}" if isinstance(value, float) else mask_url(str(value))
