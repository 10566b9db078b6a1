"""Which schema revision a database has, read without Alembic.

An application starts with this one query; Alembic is imported only to migrate.
"""

from __future__ import annotations

from sqlalchemy import Column, MetaData, String, Table, inspect, select
from sqlalchemy.ext.asyncio import AsyncConnection

VERSION_TABLE = "chainlit_sqla_version"
MARK = "chainlit_sqla_upgrading"
"""A table that is there while an upgrade is, where the database cannot take one back."""
REVISIONS = ("0001", "0002", "0003")
"""All revisions that this release knows, oldest first; a test compares with Alembic's."""
HEAD = REVISIONS[-1]

_versions = Table(VERSION_TABLE, MetaData(), Column("version_num", String(32)))
_CHAINLITS_TABLES = {"users", "threads", "steps", "elements", "feedbacks"}


async def current_revision(connection: AsyncConnection, schema: str | None) -> str | None:
    """The revision of the schema, None where there is none.

    Args:
        connection: A connection that may read.
        schema: The schema of the tables, None for the default one.
    """
    if VERSION_TABLE not in await _table_names(connection, schema):
        return None
    revision: str | None = await connection.scalar(select(_versions.c.version_num))
    return revision


async def foreign_tables(connection: AsyncConnection, schema: str | None) -> list[str]:
    """Tables that have our names in a database without our revision, and are not ours.

    Those of an upgrade of ours that is under way or was interrupted are.

    Args:
        connection: A connection that may read.
        schema: The schema of the tables, None for the default one.
    """
    for _ in range(2):  # A list made while others upgrade may miss what came before the rest.
        names = set(await _table_names(connection, schema))
        found = _CHAINLITS_TABLES & names
        if not found or MARK in names:
            return []
    return sorted(found)


async def _table_names(connection: AsyncConnection, schema: str | None) -> list[str]:
    return await connection.run_sync(lambda sync: inspect(sync).get_table_names(schema=schema))
