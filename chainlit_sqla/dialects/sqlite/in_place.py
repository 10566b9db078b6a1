"""Replacing tables in place on SQLite, whose DDL is transactional."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from ..in_place import Dependent, TableReplacement
from .search_index import WRITES

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

_OURS = "chainlit_sqla_"


class SQLiteTableReplacement(TableReplacement):
    """SQLite's part: ``BEGIN IMMEDIATE`` is the lock, and readers see the state before."""

    @asynccontextmanager
    async def transaction(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        """With ``legacy_alter_table``.

        A renamed table takes the foreign keys that refer to it along, and SQLite does not look
        into views, which need not be valid
        (https://www.sqlite.org/lang_altertable.html#altertabrename).
        """
        engine = engine.execution_options(**WRITES)
        async with engine.connect() as connection, connection.begin():
            await connection.exec_driver_sql("PRAGMA legacy_alter_table = ON")
            yield connection

    def dependents(
        self, connection: Connection, schema: str | None, tables: Sequence[str]
    ) -> list[Dependent]:
        """Views with their triggers, triggers, and foreign keys of other tables."""
        names = {table.lower() for table in tables}
        objects = connection.exec_driver_sql(
            "SELECT type, name, lower(tbl_name) AS owner, sql FROM sqlite_master ORDER BY rowid"
        ).all()
        views = {
            row.owner
            for row in objects
            if row.type == "view" and names.intersection(re.findall(r"\w+", row.sql.lower()))
        }
        dependents = []
        for row in objects:
            if row.name.startswith((_OURS, "sqlite_")):
                continue
            quoted = connection.dialect.identifier_preparer.quote_identifier(row.name)
            if (row.type == "view" and row.owner in views) or (
                row.type == "trigger" and row.owner in names | views
            ):
                drop = f"DROP {row.type} {quoted}"
                dependents.append(Dependent(f"{row.type} {row.name}", row.sql, drop))
            elif row.type == "table" and row.owner not in names:
                keys = connection.exec_driver_sql(f"PRAGMA foreign_key_list({quoted})").mappings()
                if any(key["table"].lower() in names for key in keys):
                    dependents.append(Dependent(f"foreign key of table {row.name}", row.sql, None))
        return dependents
