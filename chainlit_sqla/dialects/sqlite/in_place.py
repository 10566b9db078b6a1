"""Replacing tables in place on SQLite, whose DDL is transactional."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection, inspect
from sqlalchemy.types import NullType, TypeEngine

from ..in_place import BACKUP_SUFFIX, INDEX_PREFIXES, Dependent, TableReplacement
from .dialect import file_of

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

_OURS = "chainlit_sqla_"
_INDEX_NAME = re.compile(
    r"""(INDEX\s+(?:IF\s+NOT\s+EXISTS\s+)?)("[^"]+"|`[^`]+`|\[[^]]+\]|\w+)""", re.I
)


class SQLiteTableReplacement(TableReplacement):
    """SQLite's part.

    Args:
        write_options: Execution options of a connection that writes.
    """

    def __init__(self, write_options: dict[str, Any]) -> None:
        self._write_options = write_options

    @asynccontextmanager
    async def transaction(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        """``BEGIN IMMEDIATE`` is the lock.

        With ``legacy_alter_table``, a renamed table takes the foreign keys that refer to it
        along, and SQLite does not look into views, which need not be valid
        (https://www.sqlite.org/lang_altertable.html#altertabrename).
        """
        async with engine.execution_options(**self._write_options).connect() as connection:
            raw = await connection.get_raw_connection()
            driver: Any = raw.driver_connection
            await _execute(driver, "PRAGMA legacy_alter_table = ON")
            try:
                async with connection.begin():
                    yield connection
            finally:
                driver.text_factory = str  # Reading Chainlit's tables changes it.
                if raw.is_valid:  # A cancelled statement ends the connection.
                    await _execute(driver, "PRAGMA legacy_alter_table = OFF")

    def lock(self, connection: Connection, schema: str | None, tables: Sequence[str]) -> None:
        """Nothing more: the transaction is the only writer, and readers see the state before."""

    def dependents(
        self, connection: Connection, schema: str | None, tables: Sequence[str]
    ) -> list[Dependent]:
        """Views and triggers; foreign keys of other tables cannot be dropped."""
        names = {table.lower() for table in tables}
        objects = connection.exec_driver_sql(
            "SELECT type, name, lower(tbl_name) AS owner, sql FROM sqlite_master ORDER BY rowid"
        ).all()
        return [
            dependent
            for row in objects
            if row.sql and not row.name.startswith((_OURS, "sqlite_"))
            for dependent in _dependents_of(connection, row, names, objects)
        ]

    def column_types(
        self, connection: Connection, schema: str | None, table: str
    ) -> Mapping[str, TypeEngine[Any]]:
        """Without types: SQLite takes any value, and Chainlit's layer writes text and numbers."""
        columns = inspect(connection).get_columns(table)
        return {column["name"]: NullType() for column in columns if not column.get("computed")}

    def rename(self, connection: Connection, schema: str | None, table: str, to: str) -> None:
        """Rename a table, and create its indexes with names like ours under other names."""
        super().rename(connection, schema, table, to)
        query = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND lower(tbl_name) = ?"
        for index in connection.exec_driver_sql(query, (to,)).all():
            name = index.name.removesuffix(BACKUP_SUFFIX)
            if to.endswith(BACKUP_SUFFIX):
                name += BACKUP_SUFFIX
            if index.sql and index.name.startswith(INDEX_PREFIXES) and name != index.name:
                connection.exec_driver_sql(f"DROP INDEX {_quoted(index.name)}")
                connection.exec_driver_sql(
                    _INDEX_NAME.sub(rf"\1{_quoted(name)}", index.sql, count=1)
                )

    def copy_for_dry_run(self, url: URL, folder: Path) -> URL | None:
        """Opening a file for writing changes its journal mode, so a copy is written."""
        path = file_of(url)
        copy = folder / path.name
        try:
            with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
                source.backup(target)
        except sqlite3.Error as error:
            raise OSError(0, str(error)) from error
        return URL.create(url.drivername, database=str(copy))


def _dependents_of(
    connection: Connection, row: Any, tables: set[str], objects: Sequence[Any]
) -> Iterator[Dependent]:
    name = _quoted(row.name)
    if row.type == "view":
        if tables.intersection(re.findall(r"\w+", row.sql.lower())):
            triggers = [
                other.sql
                for other in objects
                if other.type == "trigger" and other.owner == row.name.lower()
            ]
            yield Dependent("view", row.name, [row.sql, *triggers], f"DROP VIEW {name}")
    elif row.type == "table" and row.name.lower() not in tables:
        keys = connection.exec_driver_sql(f"PRAGMA foreign_key_list({name})").mappings()
        if any(key["table"].lower() in tables for key in keys):
            yield Dependent("foreign key of table", row.name, [row.sql], None)
    elif row.owner in tables and row.type == "trigger":
        drop = f"DROP TRIGGER {name}"
        yield Dependent("trigger", f"{row.name} on {row.owner}", [row.sql], drop)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


async def _execute(driver: Any, statement: str) -> None:
    cursor = await driver.execute(statement)
    await cursor.close()
