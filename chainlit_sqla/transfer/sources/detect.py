"""Detects what a source is, and opens it."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Set
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncConnection

from ...database import Database
from ...database.revision import (
    REQUIRED_TABLES,
    REVISIONS,
    VERSION_TABLE,
    current_revision,
    revision_mismatch,
    table_names,
)
from ...errors import ConfigurationError, ImportSourceError
from ...settings import Settings
from .asyncpg_layer import AsyncpgLayerSource
from .base import Source
from .jsonl import JsonlSource
from .native import NativeSource
from .sqlalchemy_layer import SqlAlchemyLayerSource

LAYERS = ("chainlit-sqla", "sqlalchemy", "asyncpg")
"""Whose tables a database can have: ours, or those of one of Chainlit's two layers."""
_TABLES = {
    "chainlit-sqla": {VERSION_TABLE},
    "sqlalchemy": set(REQUIRED_TABLES),
    "asyncpg": {"User", "Thread", "Step"},
}
"""Tables by which a layer is recognised."""
_SQLITE_MAGIC = b"SQLite format 3\x00"


@asynccontextmanager
async def open_source(
    location: str,
    settings: Settings,
    *,
    schema: str | None = None,
    layer: str | None = None,
    target: Database | None = None,
) -> AsyncGenerator[Source, None]:
    """Open a source for reading; it sees one state until the end of the block.

    A location is the URL of a database, or the path of an export file or a SQLite file. A layer
    is one of `LAYERS`, by default recognised by its tables. The target of an import is refused as
    its own source.
    """
    if not location.strip():
        raise ConfigurationError("--from is empty; give it the URL of a database or a file")
    path = _existing_path(location)
    if path is not None and not _is_sqlite(path):
        yield JsonlSource(path)
        return
    # A path goes into a URL unparsed, whatever characters it has.
    url = location if path is None else URL.create("sqlite", database=str(path))
    options = settings.model_copy(update={"database_url": str(url), "db_schema": schema})
    database = Database(url, settings=options, read_only=True, limits=False)
    try:
        async with database.snapshot() as connection:
            tables = set(await table_names(connection, database.schema))
            is_target = target is not None and database.identity == target.identity
            detected = layer or _detect_layer(database, tables, is_target=is_target)
            _check_layer(detected, database, tables, is_target=is_target)
            yield await _open_layer(detected, database, connection)
    except database.dialect.errors as error:
        # Errors of the target are translated by the import.
        raise ImportSourceError(f"The source: {database.translate(error)}") from error
    finally:
        await database.close()


def _detect_layer(database: Database, tables: Set[str], *, is_target: bool) -> str:
    """The layer whose tables a database has; the target has ours anyway."""
    layers = [layer for layer in LAYERS if _TABLES[layer] <= tables]
    if "chainlit-sqla" in layers:
        return "asyncpg" if is_target and "asyncpg" in layers else "chainlit-sqla"
    if len(layers) == 1:
        return layers[0]
    if layers:
        raise ImportSourceError(
            f"{database.label} has tables of both of Chainlit's layers; import them one after the "
            "other: --layer sqlalchemy, then --layer asyncpg"
        )
    place = f"the schema {database.schema}" if database.schema else "its default schema"
    raise ImportSourceError(
        f"{database.label} has no conversations of Chainlit (in {place}: "
        f"{', '.join(sorted(tables)[:10]) or 'no tables'}); correct --from, name the schema by "
        "--from-schema, or create what is missing of users, threads and steps without rows, with "
        "the columns that Chainlit documents"
    )


def _check_layer(layer: str, database: Database, tables: Set[str], *, is_target: bool) -> None:
    """Refuse a layer whose tables are missing, and the target as its own source."""
    if missing := ", ".join(sorted(_TABLES[layer] - tables)):
        raise ImportSourceError(
            f"{database.label} has no tables named {missing}; correct --layer or --from"
        )
    if is_target and layer != "asyncpg":
        raise ConfigurationError(
            f"{database.label} is the database to import into; name another one by --from"
            + (", or run: chainlit-sqla adopt" if layer == "sqlalchemy" else "")
        )


async def _open_layer(layer: str, database: Database, connection: AsyncConnection) -> Source:
    schema = database.schema
    title = f"{database.label} (schema {schema})" if schema else database.label
    identity = hashlib.sha256(f"{layer} {database.identity}".encode()).hexdigest()
    if layer == "chainlit-sqla":
        revision = await current_revision(connection, schema)
        if revision not in REVISIONS:
            raise ImportSourceError(str(revision_mismatch(title, revision)))
        native = NativeSource(connection, title, identity, schema, unknown_columns=True)
        await native.open()
        return native
    if database.dialect.physical_order() is None:
        raise ImportSourceError(
            f"{title} has tables of Chainlit's own layers, which are read from PostgreSQL and "
            "SQLite only; copy them into a SQLite file and give that to --from"
        )
    reader = SqlAlchemyLayerSource if layer == "sqlalchemy" else AsyncpgLayerSource
    source = reader(connection, database.dialect, title, identity, schema=schema)
    await source.open()
    return source


def _existing_path(location: str) -> Path | None:
    """The file that a location names; None for the URL of a database."""
    if "://" in location:
        return None
    path = Path(location).expanduser()
    if not path.is_file():
        # It may be a URL without its scheme, with a password.
        shown = f"***@{location.rpartition('@')[2]}" if "@" in location else path
        problem = f"{shown} is not a file" if path.exists() else f"There is no file {shown}"
        raise ImportSourceError(
            f"{problem}; give --from a URL such as postgresql://user@host/name, or an existing file"
        )
    return path


def _is_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_SQLITE_MAGIC)) == _SQLITE_MAGIC
