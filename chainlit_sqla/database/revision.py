"""The schema revision of a database, read without Alembic.

An application starts with this one query; Alembic is imported only for migrations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Column, Connection, MetaData, String, Table, inspect, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..errors import SchemaError, SchemaOutdated, SchemaUnknown

VERSION_TABLE = "chainlit_sqla_version"
UPGRADE_MARKER = "chainlit_sqla_upgrading"
"""A table that exists during an upgrade on databases without transactional DDL."""
REVISIONS = ("0001", "0002", "0003", "0004")
"""All revisions that this release knows, oldest first; a test compares them with Alembic's."""
HEAD = REVISIONS[-1]

_versions = Table(VERSION_TABLE, MetaData(), Column("version_num", String(32)))
CHAINLIT_TABLES: Mapping[str, frozenset[str]] = {
    "users": frozenset({"id", "identifier"}),
    "threads": frozenset({"id", "userId", "userIdentifier"}),
    "steps": frozenset({"id", "threadId", "type", "createdAt"}),
    "elements": frozenset({"id", "threadId"}),
    "feedbacks": frozenset({"id", "forId"}),
}
"""The tables of Chainlit's SQLAlchemy layer, and the columns without which they are not read."""
REQUIRED_TABLES = ("users", "threads", "steps")
"""The tables that every database of Chainlit's SQLAlchemy layer has."""


async def current_revision(connection: AsyncConnection, schema: str | None) -> str | None:
    """Return the revision of the tables in a schema, None where there is none."""
    if VERSION_TABLE not in await table_names(connection, schema):
        return None
    revision: str | None = await connection.scalar(select(_versions.c.version_num))
    return revision


def revision_mismatch(label: str, revision: str | None) -> SchemaError | None:
    """Return the error for a revision that is not this release's, None for the right one."""
    if revision == HEAD:
        return None
    if revision is not None and revision not in REVISIONS:
        return SchemaUnknown(
            f"{label} is at revision {revision}, which is newer than this release; "
            "upgrade chainlit-sqla (pip install -U chainlit-sqla)"
        )
    state = f"is at revision {revision}" if revision else "has no tables yet"
    return SchemaOutdated(f"{label} {state}, this release needs {HEAD}; run: chainlit-sqla upgrade")


async def describe_foreign_tables(connection: AsyncConnection, schema: str | None) -> str:
    """Describe tables with our names that another program created, "" if there are none.

    Tables of an upgrade of ours that is running or was interrupted are not among them. The text
    completes a sentence that begins with the name of the database.
    """
    # Two looks: a list that is read during another process's upgrade may be incomplete.
    for _ in range(2):
        names = set(await table_names(connection, schema))
        # The database compares the names: on SQLite, Users is users.
        taken = await connection.run_sync(
            lambda sync: [name for name in CHAINLIT_TABLES if inspect(sync).has_table(name, schema)]
        )
        if not taken or UPGRADE_MARKER in names:
            return ""
    if await connection.run_sync(lambda sync: _are_chainlits(sync, schema, taken)):
        return (
            "has conversations of Chainlit's own data layer; migrate them with "
            "chainlit-sqla adopt (in place) or chainlit-sqla import (into another database)"
        )
    return (
        f"already has tables named {', '.join(taken)} that chainlit-sqla did not create; use "
        "another database, or on PostgreSQL another schema (CHAINLIT_SQLA_SCHEMA=chainlit)"
    )


def _are_chainlits(connection: Connection, schema: str | None, taken: Sequence[str]) -> bool:
    inspector = inspect(connection)

    def columns(name: str) -> set[str]:
        return {column["name"] for column in inspector.get_columns(name, schema=schema)}

    return all(name in taken and CHAINLIT_TABLES[name] <= columns(name) for name in REQUIRED_TABLES)


async def table_names(connection: AsyncConnection, schema: str | None) -> list[str]:
    """Return the names of the tables in a schema."""
    return await connection.run_sync(lambda sync: inspect(sync).get_table_names(schema=schema))
