"""Options that several commands share, and the database that they name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, NamedTuple, TypeVar

import typer

from ..database import Database, migrator, parse_url
from ..database.revision import HEAD, revision_mismatch
from ..dialects import dialect_named
from ..errors import ConfigurationError, SchemaOutdated
from ..settings import Settings
from ..storage.base import StorageClient
from ..storage.open_store import mask_storage_url, storage_url

S = TypeVar("S", bound=StorageClient)

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="The database; overrides CHAINLIT_DATABASE_URL and DATABASE_URL.",
    ),
]
Schema = Annotated[
    str | None,
    typer.Option(
        "--schema",
        metavar="NAME",
        help="The PostgreSQL schema of the tables; overrides CHAINLIT_SQLA_SCHEMA.",
    ),
]
Users = Annotated[
    list[str] | None,
    typer.Option("--user", metavar="NAME", help="Conversations of this user (identifier, id)."),
]
Threads = Annotated[
    list[str] | None,
    typer.Option("--thread", metavar="ID", help="The conversation with this id."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]


def given_options(url: str | None, schema: str | None) -> dict[str, str]:
    """The options given on the command line, by the name of their setting; none may be empty."""
    given = {"database_url": url, "db_schema": schema}
    options = {name: value for name, value in given.items() if value is not None}
    for name, value in options.items():
        if not value.strip():
            option = "--url" if name == "database_url" else "--schema"
            raise ConfigurationError(f"{option} is empty; give it a value or leave it out")
    return options


def settings_for(url: str | None, schema: str | None) -> Settings:
    """Load the settings of a command: its options override the environment."""
    settings = Settings.load(**given_options(url, schema))
    if schema is not None:
        dialect = dialect_named(parse_url(settings.database).get_backend_name())
        if not dialect.has_schemas:
            raise ConfigurationError(f"{dialect.title} has no schemas; leave --schema out")
    return settings


@asynccontextmanager
async def open_database(
    settings: Settings, *, read_only: bool = False, needs_tables: bool = False
) -> AsyncIterator[Database]:
    """A database that is closed at the end of the block.

    Raises:
        SchemaOutdated: It ``needs_tables``, and has not those of this release.
    """
    database = Database(settings=settings, read_only=read_only, limits=False)
    try:
        if needs_tables and not (state := await describe_revision(database)).is_current:
            raise SchemaOutdated(state.text)
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def closed_at_end(storage: S) -> AsyncIterator[S]:
    """A store that is closed at the end of the block."""
    try:
        yield storage
    finally:
        await storage.close()


def describe_database(database: Database) -> str:
    """The kind, address and schema of a database, without its password."""
    schema = f" (schema {database.schema})" if database.schema else ""
    return f"{database.dialect.title} at {database.label}{schema}"


def describe_place(database: Database, settings: Settings) -> list[str]:
    """The lines that head a report about a database and its store."""
    location = mask_storage_url(storage_url(settings))
    return [f"database  {describe_database(database)}", f"store     {location}", ""]


class RevisionState(NamedTuple):
    """What a command says about the revision of a database, with the repair."""

    is_current: bool
    text: str
    upgrades_itself: bool = False
    """Whether the data layer upgrades the database on first use."""


async def describe_revision(database: Database) -> RevisionState:
    """Compare the revision of a database with that of this release."""
    label = describe_database(database)
    revision = await migrator.current(database)
    mismatch = revision_mismatch(label, revision)
    if mismatch is None:
        return RevisionState(True, f"{label}: at {HEAD}, up to date")
    if not revision and (foreign := await migrator.foreign_tables_message(database)):
        return RevisionState(False, f"{label} {foreign}")
    if database.auto_upgrade and isinstance(mismatch, SchemaOutdated):
        hint = " (or start the app: the data layer upgrades this database)"
        return RevisionState(False, f"{mismatch}{hint}", upgrades_itself=True)
    return RevisionState(False, str(mismatch))
