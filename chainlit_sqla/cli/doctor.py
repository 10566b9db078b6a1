"""The command ``doctor``: checks the app, its settings and its servers; changes nothing."""

from __future__ import annotations

import asyncio
import difflib
import os
import platform
import re
import secrets
import tempfile
import urllib.request
import uuid
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from urllib.error import HTTPError
from urllib.parse import quote, urlsplit

import typer
from dotenv import dotenv_values
from rich.console import Console
from rich.text import Text
from sqlalchemy import Column, Connection, MetaData, Table, false, insert, inspect, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import CreateSchema, CreateTable, DropTable

from .. import __version__
from ..database import Database, migrator, parse_url
from ..database.checks import check_server, describe_grants
from ..database.revision import HEAD, current_revision, table_names
from ..dialects import BACKUP_SUFFIX
from ..dialects.column_types import Key
from ..errors import ChainlitSqlaError, DatabaseUnavailable
from ..models import Base, User
from ..queries import search_index
from ..queries.search import read_state
from ..settings import Settings, env_file
from ..storage.base import BlobSource
from ..storage.local.client import LocalStorage
from ..storage.open_store import storage_from
from .app_checks import FAILED, NOTE, OK, SKIPPED, check_apps, unsafe_chainlit
from .options import (
    Schema,
    Url,
    closed_at_end,
    describe_database,
    describe_revision,
    given_options,
    settings_for,
)
from .output import mask_setting, plural
from .runtime import DEBUG_VARIABLE, error_message, run_async

_STYLES = {OK: "green", NOTE: "yellow", FAILED: "bold red", SKIPPED: "dim"}
_DATABASE_SECONDS = 35.0  # Beyond the connect timeout; SQLite reports a locked file after 30 s.
_STORAGE_SECONDS = 30.0
_LINK_SECONDS = 10.0
_SETTING_PREFIX = "CHAINLIT_SQLA_"
_probe_table = Table("chainlit_sqla_probe", MetaData(), Column("id", Key(), primary_key=True))


class CheckResult(NamedTuple):
    """The result of one check."""

    name: str
    status: str
    text: str


_Outcome = tuple[str, str]
"""The status and the text of a result."""
_Check = Callable[[Database], Awaitable[_Outcome | None]]


def doctor(
    app: Annotated[
        Path | None,
        typer.Argument(metavar="[APP]", help="The file of an app; default: those of the folder."),
    ] = None,
    url: Url = None,
    schema: Schema = None,
) -> None:
    """Check the app, the settings, the database and the storage.

    Reads the source of the app, connects, writes to the tables, stores a file and fetches it by its
    link, and reports what to repair. Nothing that it writes remains. Exit code 1 if a check fails.
    """
    console = Console(highlight=False, soft_wrap=True)
    packages = (f"{package} {version(package)}" for package in ("chainlit", "SQLAlchemy"))
    names = (f"chainlit-sqla {__version__}", *packages, f"Python {platform.python_version()}")
    _print_result(console, CheckResult("versions", OK, ", ".join(names)))
    try:
        settings = settings_for(url, schema)
    except ChainlitSqlaError as error:
        _print_result(console, CheckResult("settings", FAILED, str(error)))
        raise typer.Exit(1) from None
    results = [CheckResult("settings", NOTE, text) for text in _unknown_settings()]
    if empty := settings.empty_variables(*Settings.model_fields):
        text = f"{', '.join(empty)}: empty, which counts as unset"
        results.append(CheckResult("settings", NOTE, text))
    if problem := unsafe_chainlit():
        results.append(CheckResult("chainlit", FAILED, problem))
    results += [CheckResult("app", *outcome) for outcome in _check_apps(settings, app)]
    results += run_async(_run_checks(settings))
    for result in results:
        _print_result(console, result)
    _print_settings(console, settings, given_options(url, schema))
    statuses = [result.status for result in results]
    if failures := statuses.count(FAILED):
        console.print(f"\n{plural(failures, 'check')} failed.", style="bold red")
        raise typer.Exit(1)
    notes = "; see the notes above" if NOTE in statuses else ""
    console.print(f"\nEverything works{notes}.", style="yellow" if notes else "green")


def _print_result(console: Console, result: CheckResult) -> None:
    status = Text(f"{result.status:<8}", style=_STYLES[result.status])
    console.print(status + Text(f"{result.name}: {result.text}", style=""))


def _check_apps(settings: Settings, app: Path | None) -> Iterator[_Outcome]:
    given = set().union(*_environments().values())
    return check_apps(
        settings.app_root,
        app,
        # Chainlit does not look into the file for a variable that is empty.
        secret=bool(os.environ.get("CHAINLIT_AUTH_SECRET", settings.auth_secret)),
        plain_url="DATABASE_URL" in given,
        custom_login="CHAINLIT_CUSTOM_AUTH" in given,
    )


async def _run_checks(settings: Settings) -> list[CheckResult]:
    with _stand_ins(settings) as (settings, replacements):
        results = await _check_database(settings)
        storage = await _timed("storage", _STORAGE_SECONDS, _check_storage(settings))
        if storage[0].status == OK:
            storage += await _timed("link", _STORAGE_SECONDS, _check_link(settings))
        results += storage
    for temporary, real in replacements.items():
        results = [r._replace(text=r.text.replace(temporary, real)) for r in results]
    return results


@contextmanager
def _stand_ins(settings: Settings) -> Iterator[tuple[Settings, Mapping[str, str]]]:
    """Settings with temporary folders instead of a local store and of a SQLite file that is new.

    Yields them with what replaces the names of these folders in texts.
    """
    changes: dict[str, str] = {}
    replacements: dict[str, str] = {}
    with ExitStack() as stack:

        def stand_in(path: Path) -> Path:
            place = next(place for place in (path, *path.parents) if place.exists())
            prefix = ".chainlit-sqla-doctor-"
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix=prefix, dir=place))
            return Path(folder) / path.name

        # Where none can be made, the checks themselves fail, and say why.
        with suppress(OSError, ChainlitSqlaError):
            url = parse_url(settings.database)
            file = Path(url.database or ":memory:")
            is_default = settings.database == settings.embedded_database
            is_new = not file.exists() and (is_default or file.absolute().parent.exists())
            if url.get_backend_name() == "sqlite" and is_new and ":" not in file.name:
                temporary = stand_in(file.absolute())
                changes["database_url"] = str(url.set(database=str(temporary)))
                replacements[str(temporary)] = str(file)
        with suppress(OSError, ChainlitSqlaError):
            store = storage_from(settings)
            if isinstance(store, LocalStorage):
                temporary = stand_in(store.root)
                changes["storage_url"] = f"file://{quote(str(temporary))}"
                replacements[str(temporary)] = str(store.root)
        yield settings.model_copy(update=changes), replacements


async def _check_database(settings: Settings) -> list[CheckResult]:
    checks: dict[str, _Check] = {
        "database": _connect,
        "schema": _check_schema,
        "write permission": _check_writing,
        "search": _check_search,
        "backup of adopt": _check_backups,
        "access": _check_access,
    }
    try:
        database = Database(settings=settings)
    except ChainlitSqlaError as error:
        return [CheckResult("database", FAILED, str(error))]
    results: list[CheckResult] = []
    try:
        for name, check in checks.items():
            if results and results[-1].status in (FAILED, SKIPPED):
                results.append(CheckResult(name, SKIPPED, "not checked, see above"))
            else:
                seconds = settings.connect_timeout + _DATABASE_SECONDS
                results += await _timed(name, seconds, _translated(check, database))
        return results
    finally:
        await database.close()


async def _translated(check: _Check, database: Database) -> _Outcome | None:
    try:
        return await check(database)
    except (SQLAlchemyError, OSError) as error:
        translated = database.translate(error)
        if isinstance(translated, ChainlitSqlaError):
            raise translated from error
        text = f"{describe_database(database)} rejected a statement: {error_message(error)}"
        raise DatabaseUnavailable(text) from error


async def _timed(
    name: str, seconds: float, outcome: Awaitable[_Outcome | None]
) -> list[CheckResult]:
    """The result of a check; empty where there is nothing to check."""
    try:
        async with asyncio.timeout(seconds):
            status_and_text = await outcome
            return [] if status_and_text is None else [CheckResult(name, *status_and_text)]
    except TimeoutError:
        text = f"No answer within {seconds:.0f} s; check the server, the network and the address"
    except Exception as error:
        text = error_message(error)
    return [CheckResult(name, FAILED, text)]


async def _connect(database: Database) -> _Outcome:
    async with database.connect() as connection:
        server = await database.dialect.server_version(connection)
        await check_server(connection, database)
    return OK, f"{server}, {database.label}"


async def _check_schema(database: Database) -> _Outcome:
    state = await describe_revision(database)
    return OK if state.is_current or state.upgrades_itself else FAILED, state.text


async def _check_writing(database: Database) -> _Outcome:
    """Write in a transaction that is rolled back."""
    engine = database.engine.execution_options(**database.dialect.write_options)
    async with engine.connect() as connection:
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
    return OK, f"{what} and rolled it back"


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


async def _check_search(database: Database) -> _Outcome | None:
    if await migrator.current(database) != HEAD:
        return None
    status = (await search_index.status(database)).removeprefix(f"{database.label}: ")
    state = await read_state(database)
    if state.exists and not state.usable:
        return NOTE, status
    if warning := await search_index.case_warning(database):
        return NOTE, f"{status}; {warning}"
    return OK, status


async def _check_backups(database: Database) -> _Outcome | None:
    """Name the tables that ``adopt`` renamed and left as a backup."""
    existing = await database.read(lambda connection: table_names(connection, database.schema))
    names = sorted(name for name in existing if name.endswith(BACKUP_SUFFIX))
    text = f"{', '.join(names)}; drop them with: chainlit-sqla adopt --drop-old"
    return (OK, text) if names else None


async def _check_access(database: Database) -> _Outcome | None:
    problem = await describe_grants(database)
    if problem is None:
        return None
    return (FAILED, problem) if problem else (OK, "no other roles may use the tables")


async def _check_storage(settings: Settings) -> _Outcome:
    async with closed_at_end(storage_from(settings)) as client:
        return OK, f"wrote, read and deleted a file: {await client.check()}"


async def _check_link(settings: Settings) -> _Outcome | None:
    """Fetch a file by its signed link, as a browser does; the app itself serves a local folder."""
    key, data = f"chainlit-sqla-check/{secrets.token_hex(8)}", secrets.token_bytes(32)
    async with closed_at_end(storage_from(settings)) as client:
        if isinstance(client, LocalStorage):
            return None
        await client.put(key, BlobSource(data=data), mime="application/octet-stream")
        try:
            link = (await client.read_urls([key]))[key]
            problem, is_wrong = await asyncio.to_thread(_fetch, link, data)
        finally:
            await client.delete([key])
    text = f"browsers fetch files from {link.partition('?')[0]}"
    host = urlsplit(link).hostname or ""
    is_private = host.endswith((".internal", ".local")) or not re.search(r"[.:]", host)
    if is_private and host != "localhost":
        problem = (
            f"whose host {host!r} only containers or a local network may know; set "
            "CHAINLIT_SQLA_PUBLIC_ENDPOINT to the address of the S3 server that browsers reach"
        )
    if is_wrong:
        return FAILED, f"{text}, {problem}"
    return (NOTE, f"{text}, {problem}") if problem else (OK, f"{text}; fetched it")


def _fetch(link: str, data: bytes) -> tuple[str, bool]:
    """Fetch a link; return what is wrong, and whether the store itself has answered so."""
    try:
        with urllib.request.urlopen(link, timeout=_LINK_SECONDS) as answer:  # noqa: S310
            is_same = answer.read() == data
    except HTTPError as error:
        repair = "check the permission to read and the clock of this machine"
        return f"which answers {error.code} {error.reason}; {repair}", True
    except OSError as error:
        reason = getattr(error, "reason", error)
        return f"which cannot be reached from this machine ({reason})", False
    return ("", False) if is_same else ("which returns other bytes; look for a proxy", True)


def _print_settings(console: Console, settings: Settings, options: Collection[str]) -> None:
    """Print the settings in effect and their origin; no value is cut off."""
    rows = [("Setting", "Value", "From")]
    environments = _environments()
    for name in Settings.model_fields:
        variables = Settings.variables(name)
        variable, source = variables[0], "default"
        for candidate in reversed(variables):  # The first one takes precedence.
            for environment, values in reversed(environments.items()):
                if candidate in values:
                    variable, source = candidate, environment
        if value := _masked_value(name, settings):
            rows.append((variable, value, "command line" if name in options else source))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    console.print()
    for number, (variable, value, source) in enumerate(rows):
        style = "bold" if number == 0 else "dim" if source == "default" else ""
        line = f"{variable:<{widths[0]}}  {value:<{widths[1]}}  {source}"
        console.print(Text(line, style=style))


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
    """The variables in the environment and in the .env file, by their origin."""

    def upper(values: Mapping[str, str | None]) -> Mapping[str, str]:
        return {name.upper(): value for name, value in values.items() if value}

    return {
        "environment": upper(dict(os.environ)),
        env_file(): upper(dotenv_values(env_file(), encoding="utf-8")),
    }


def _masked_value(name: str, settings: Settings) -> str:
    if name == "database_url":
        return mask_setting(settings.database)
    value: Any = getattr(settings, name)
    if value is None or value == "":
        return ""
    if not Settings.model_fields[name].repr:
        return "(set)"
    return f"{value:g}" if isinstance(value, float) else mask_setting(str(value))
