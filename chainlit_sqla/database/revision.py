"""Which schema revision a database has, read without Alembic.

An application starts with this one query; Alembic is imported only to migrate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Column, Connection, MetaData, String, Table, inspect, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..dialects.letter_case import canonical

VERSION_TABLE = "chainlit_sqla_version"
MARK = "chainlit_sqla_upgrading"
"""A table that is there while an upgrade is, where the database cannot take one back."""
REVISIONS = ("0001", "0002", "0003", "0004")
"""All revisions that this release knows, oldest first; a test compares with Alembic's."""
HEAD = REVISIONS[-1]

_versions = Table(VERSION_TABLE, MetaData(), Column("version_num", String(32)))
CHAINLITS: Mapping[str, frozenset[str]] = {
    "users": frozenset({"id", "identifier", "metadata"}),
    "threads": frozenset({"id", "name", "metadata"}),
    "steps": frozenset({"id", "threadId", "type", "output"}),
    "elements": frozenset({"id", "threadId", "name"}),
    "feedbacks": frozenset({"id", "forId", "value"}),
}
"""The tables of Chainlit's SQLAlchemy layer with the columns that all their variants have."""
ALWAYS = ("users", "threads", "steps")
"""Those of them that are never missing."""


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
        found = CHAINLITS.keys() & names
        if not found or MARK in names:
            return []
    return sorted(found)


async def occupied(connection: AsyncConnection, schema: str | None) -> str:
    """What is to be said of tables that are not ours, after the database's name; "": none are.

    Args:
        connection: A connection that may read.
        schema: The schema of the tables, None for the default one.
    """
    taken = await foreign_tables(connection, schema)
    if not taken:
        return ""
    if await connection.run_sync(lambda sync: _are_chainlits(sync, schema, taken)):
        return (
            "has conversations that Chainlit's own layer stored; take them over by: "
            "chainlit-sqla adopt (in place) or chainlit-sqla import (into another database)"
        )
    return (
        f"already has tables named {', '.join(taken)} that chainlit-sqla did not make; use another "
        "database, or on PostgreSQL another schema (CHAINLIT_SQLA_SCHEMA=chainlit)"
    )


def _are_chainlits(connection: Connection, schema: str | None, taken: Sequence[str]) -> bool:
    inspector = inspect(connection)

    def columns(name: str) -> set[str]:
        found = [one["name"] for one in inspector.get_columns(name, schema=schema)]
        return set(canonical(connection, found, CHAINLITS[name]).values())

    return all(name in taken and CHAINLITS[name] <= columns(name) for name in ALWAYS)


async def _table_names(connection: AsyncConnection, schema: str | None) -> list[str]:
    def names(sync: Connection) -> list[str]:
        return list(
            canonical(sync, inspect(sync).get_table_names(schema=schema), CHAINLITS).values()
        )

    return await connection.run_sync(names)
