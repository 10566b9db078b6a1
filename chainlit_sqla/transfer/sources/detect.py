"""Finds out what a source is, and opens it."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Collection, Generator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import unquote

from sqlalchemy import URL, Connection, inspect
from sqlalchemy.ext.asyncio import AsyncConnection

from ...database import Database
from ...database.revision import REVISIONS, VERSION_TABLE, current_revision, revision_mismatch
from ...dialects.letter_case import canonical
from ...errors import ConfigurationError, ImportSourceError
from ...settings import Settings
from .asyncpg_layer import PrismaSource
from .base import Chunk, Source
from .jsonl import JsonlSource
from .native import OurSource
from .sqlalchemy_layer import DocumentedSource

LAYERS = ("chainlit-sqla", "sqlalchemy", "asyncpg")
"""Whose tables a database can have: ours, or those of one of Chainlit's two layers."""
_MARKS = {
    "chainlit-sqla": {VERSION_TABLE},
    "sqlalchemy": {"users", "threads", "steps"},
    "asyncpg": {"User", "Thread", "Step"},
}
_AS_DOCUMENTED = " with the columns that Chainlit documents"
_SQLITE_MAGIC = b"SQLite format 3\x00"


@asynccontextmanager
async def open_source(
    given: str,
    settings: Settings,
    *,
    schema: str | None = None,
    layer: str | None = None,
    target: Database | None = None,
) -> AsyncGenerator[Source, None]:
    """Open a source for reading; it sees one state of it to the end of the block.

    Args:
        given: The URL of a database, or the path of a file of records or of SQLite.
        settings: Timeouts and the like.
        schema: The schema of its tables; None: the default one.
        layer: One of `LAYERS`; None: what its tables say.
        target: Where it is to go, so that it is not imported into itself.

    Raises:
        ConfigurationError: The URL cannot be used, or names the target.
        ImportSourceError: There is nothing that can be imported.
        DatabaseUnavailable: The database cannot be reached.

    Example:
        >>> async with open_source("sqlite:///old.db", Settings.load()) as source:
        ...     print(source.title, await source.count())
    """
    if not given.strip():
        raise ConfigurationError("--from is empty; give it the URL of a database or a file")
    path = _path_of(given)
    if path is not None:
        yield JsonlSource(path)
        return
    url = _url_of(given)
    options = settings.model_copy(update={"database_url": str(url), "db_schema": schema})
    database = Database(url, settings=options, read_only=True)
    try:
        async with _snapshot(database) as connection:
            with _told_apart(database):
                tables = await _tables(connection, database.schema)
                source = await _source(database, connection, tables, layer, target)
            beside = () if layer else _beside(tables, database, target)
            yield _Guarded(source, database, beside)
    finally:
        await database.close()


@asynccontextmanager
async def _snapshot(database: Database) -> AsyncGenerator[AsyncConnection, None]:
    async with AsyncExitStack() as stack:
        with _told_apart(database):
            connection = await stack.enter_async_context(database.snapshot())
        yield connection


@contextmanager
def _told_apart(database: Database) -> Generator[None, None, None]:
    """Say of an error that it is the source's, not the target's."""
    try:
        yield
    except database.dialect.errors as error:
        raise ImportSourceError(f"The source: {database.translate(error)}") from error


class _Guarded:
    """A source whose errors say that they are its own."""

    def __init__(self, source: Source, database: Database, notes: Sequence[str]) -> None:
        self.title = source.title
        self.identity = source.identity
        self.part = source.part
        self._source = source
        self._database = database
        self._notes = notes

    async def count(self) -> Mapping[str, int]:
        with _told_apart(self._database):
            return await self._source.count()

    async def notes(self) -> Sequence[str]:
        with _told_apart(self._database):
            return (*self._notes, *await self._source.notes())

    def users(self) -> AsyncGenerator[Chunk, None]:
        return self._guarded(self._source.users())

    def threads(
        self, after: str | None = None, only: Collection[str] | None = None
    ) -> AsyncGenerator[Chunk, None]:
        return self._guarded(self._source.threads(after, only))

    def rest(self) -> AsyncGenerator[Chunk, None]:
        return self._guarded(self._source.rest())

    async def _guarded(self, chunks: AsyncGenerator[Chunk, None]) -> AsyncGenerator[Chunk, None]:
        async with aclosing(chunks):
            while True:
                with _told_apart(self._database):
                    chunk = await anext(chunks, None)
                if chunk is None:
                    return
                yield chunk


async def _source(
    database: Database,
    connection: AsyncConnection,
    tables: Collection[str],
    layer: str | None,
    target: Database | None,
) -> Source:
    same = target is not None and database.place == target.place
    found = layer or _recognised(tables, database, ours=not same)
    if missing := ", ".join(sorted(_MARKS[found].difference(tables))):
        raise ImportSourceError(
            f"{database.label} has no tables named {missing}; correct --layer or --from, or make "
            f"them without rows{_AS_DOCUMENTED}"
        )
    if same and found != "asyncpg":
        raise ConfigurationError(
            f"{database.label} is the database that is imported into; name another one by --from"
            + (", or run: chainlit-sqla adopt" if found == "sqlalchemy" else "")
        )
    place = f"{database.label}{f' (schema {database.schema})' if database.schema else ''}"
    identity = hashlib.sha256(f"{found} {database.place}".encode()).hexdigest()
    if found == "chainlit-sqla":
        revision = await current_revision(connection, database.schema)
        if revision not in REVISIONS:
            raise ImportSourceError(str(revision_mismatch(place, revision)))
        return OurSource(connection, place, identity, database.schema, strangers=True)
    try:
        database.dialect.physical_order()
    except NotImplementedError:
        raise ImportSourceError(
            f"{place} has tables of Chainlit's own layers, which are read from PostgreSQL and "
            "SQLite only; copy them into a SQLite file and give that to --from"
        ) from None
    kind = DocumentedSource if found == "sqlalchemy" else PrismaSource
    source = kind(connection, database.dialect, place, identity, schema=database.schema)
    await source.open()
    return source


def _beside(tables: Collection[str], database: Database, target: Database | None) -> Sequence[str]:
    """What is to be said where the tables of the asyncpg layer stand beside those that are read."""
    same = target is not None and database.place == target.place
    if not _MARKS["asyncpg"].issubset(tables) or _recognised(tables, database, ours=not same) == (
        "asyncpg"
    ):
        return ()
    return (
        "The source also has tables of Chainlit's asyncpg layer, which were not read; to bring "
        "them too, run the same command with --layer asyncpg",
    )


def _recognised(tables: Collection[str], database: Database, *, ours: bool) -> str:
    for layer in LAYERS:
        if set(tables) >= _MARKS[layer] and (ours or layer != "chainlit-sqla"):
            if layer == "sqlalchemy" and VERSION_TABLE in tables:
                continue  # They are ours.
            return layer
    if not ours and VERSION_TABLE in tables:
        return "chainlit-sqla"
    for layer in LAYERS[1:]:
        if len(some := _MARKS[layer].intersection(tables)) > 1:
            missing = ", ".join(_MARKS[layer] - some)
            raise ImportSourceError(
                f"{database.label} has tables of Chainlit's {layer} layer "
                f"({', '.join(sorted(some))}), but none named {missing}, without which nothing is "
                "read; correct --from, or name the schema of all of them by --from-schema, or make "
                f"an empty one{_AS_DOCUMENTED}"
            )
    there = ", ".join(sorted(tables)[:10]) or "no tables"
    raise ImportSourceError(
        f"{database.label} has no conversations of Chainlit "
        f"(in {f'the schema {database.schema}' if database.schema else 'its default schema'}: "
        f"{there}); correct --from, or name the schema by --from-schema"
    )


async def _tables(connection: AsyncConnection, schema: str | None) -> set[str]:
    def names(sync: Connection) -> set[str]:
        known = DocumentedSource.NAMES.values()
        return set(canonical(sync, inspect(sync).get_table_names(schema=schema), known).values())

    return await connection.run_sync(names)


def _named(given: str) -> Path | None:
    """The file that is named, None where it is the URL of a database."""
    if given.startswith("file://"):
        return Path(unquote(given.removeprefix("file://").removeprefix("localhost")))
    return None if "://" in given else Path(given).expanduser()


def _url_of(given: str) -> str | URL:
    path = _named(given)  # Whatever is in its name: it is not to be parsed.
    return given if path is None else URL.create("sqlite", database=str(path))


def _path_of(given: str) -> Path | None:
    """The file of records that is named, None for a database."""
    path = _named(given)
    if path is None:
        return None
    if not path.is_file():
        # It may be a URL without its beginning, with a password.
        shown = f"***@{given.rpartition('@')[2]}" if "@" in given else path
        there = f"{shown} is no file" if path.exists() else f"There is no file {shown}"
        raise ImportSourceError(
            f"{there}; give --from a URL such as postgresql://user@host/name, "
            "or a file that is there"
        )
    with path.open("rb") as file:
        is_sqlite = file.read(len(_SQLITE_MAGIC)) == _SQLITE_MAGIC
    return None if is_sqlite else path
