"""Changing the shape of tables in place on SQLite, whose DDL is transactional.

With ``legacy_alter_table`` and without ``foreign_keys``, views, triggers and foreign keys
of others go on to refer to tables by their names
(https://www.sqlite.org/lang_altertable.html#altertabrename).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, inspect

from ..moving import Declared, Dependent, Mover

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

# ADD COLUMN takes no others (https://www.sqlite.org/lang_altertable.html#altertabaddcol).
_LITERAL = re.compile(r"[+-]?\d+(\.\d+)?|'([^']|'')*'|true|false|null", re.IGNORECASE)
_ROWLESS = re.compile(r"\)[\s\w,]*\bWITHOUT\s+ROWID[\s\w,]*$", re.IGNORECASE)
_OURS = "chainlit_sqla_"


class SQLiteMover(Mover):
    """SQLite's part.

    Args:
        write_options: Execution options of a connection that writes.
    """

    refers_by_name = True
    sorts_in_memory = True

    def __init__(self, write_options: dict[str, Any]) -> None:
        self._write_options = write_options

    @asynccontextmanager
    async def transaction(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        """``BEGIN IMMEDIATE`` is the lock; what must be said before it is taken back after."""
        async with engine.execution_options(**self._write_options).connect() as connection:
            raw = await connection.get_raw_connection()
            driver: Any = raw.driver_connection
            try:
                await _say(driver, "PRAGMA foreign_keys = OFF", "PRAGMA legacy_alter_table = ON")
                async with connection.begin():
                    yield connection
            finally:
                driver.text_factory = str  # `SQLite.keep_broken_text` may have been asked for.
                if raw.is_valid:  # A cancelled statement ends the connection, with its settings.
                    await _say(
                        driver, "PRAGMA foreign_keys = ON", "PRAGMA legacy_alter_table = OFF"
                    )

    def lock(self, connection: Connection, schema: str | None, tables: Sequence[str]) -> None:
        """Nothing more: there is one writer, and readers see the state before."""

    def columns(self, connection: Connection, schema: str | None, table: str) -> list[Declared]:
        """By ``table_xinfo``."""
        rows = connection.exec_driver_sql(f"PRAGMA table_xinfo({_quoted(table)})").mappings()
        found = []
        for row in rows:
            default = row["dflt_value"]
            kept = default is not None and _LITERAL.fullmatch(default) and not row["hidden"]
            required = bool(row["notnull"]) and not row["pk"]
            found.append(
                Declared(row["name"], row["type"] or "TEXT", default if kept else None, required)
            )
        return found

    def indexes(self, connection: Connection, schema: str | None, table: str) -> dict[str, str]:
        """Their own text."""
        rows = connection.exec_driver_sql(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ? "
            "COLLATE NOCASE AND sql IS NOT NULL",
            (table,),
        )
        return {row.name: row.sql for row in rows}

    def constraints(self, connection: Connection, schema: str | None, table: str) -> dict[str, str]:
        """By the name of the table as it was written, which SQLAlchemy wants."""
        query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name = ? COLLATE NOCASE"
        real = connection.exec_driver_sql(query, (table,)).scalar_one_or_none() or table
        inspector, found = inspect(connection), {}
        for one in inspector.get_unique_constraints(real):
            names = [str(name) for name in one["column_names"]]
            named = one["name"] or f"chainlit_{table}_{'_'.join(names)}_key"
            found[str(named)] = f"UNIQUE ({', '.join(map(_quoted_if_odd, names))})"
        for number, check in enumerate(inspector.get_check_constraints(real)):
            found[str(check["name"] or f"chainlit_{table}_{number}_check")] = (
                f"CHECK ({check['sqltext']})"
            )
        return found

    def rules(self, connection: Connection, schema: str | None, table: str) -> dict[str, str]:
        """By ``foreign_key_list``, which does not tell of deferring."""
        rows = connection.exec_driver_sql(f"PRAGMA foreign_key_list({_quoted(table)})").mappings()
        return {
            row["from"]: f"ON UPDATE {row['on_update']} ON DELETE {row['on_delete']}"
            for row in rows
        }

    def constrain(self, connection: Connection, table: str, name: str, constraint: str) -> None:
        """As an index, where one can say it; checks belong to what makes a table."""
        if not constraint.startswith("UNIQUE "):
            raise NotImplementedError(constraint)
        columns = constraint.removeprefix("UNIQUE ")
        connection.exec_driver_sql(f"CREATE UNIQUE INDEX {_quoted(name)} ON {table} {columns}")

    def unfit(self, connection: Connection, schema: str | None, table: str) -> str | None:
        """Views, virtual tables, and tables that do not tell in what order rows were written."""
        row = connection.exec_driver_sql(
            "SELECT type, sql FROM sqlite_master WHERE name = ? COLLATE NOCASE "
            "AND type IN ('table', 'view')",
            (table,),
        ).one_or_none()
        if row is None:
            return None
        if row.type == "view":
            return "it is a view"
        if _ROWLESS.search(row.sql):
            return "it is made WITHOUT ROWID; copy it into a table without these words"
        virtual = str(row.sql).upper().startswith("CREATE VIRTUAL")
        return "it is a virtual table" if virtual else None

    def free_names(self, connection: Connection, schema: str | None, table: str) -> None:
        """Indexes cannot be renamed; those with names like ours are dropped."""
        for name in self.indexes(connection, schema, table):
            if name.startswith(("ix_", "uq_", "pk_")):
                connection.exec_driver_sql(f"DROP INDEX {_quoted(name)}")

    def dependents(
        self, connection: Connection, schema: str | None, tables: Sequence[str]
    ) -> list[Dependent]:
        """Triggers, which go with a table; views and foreign keys, which only must still fit."""
        found = []
        names = {table.lower() for table in tables}
        rows = connection.exec_driver_sql(
            "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY rowid"
        ).all()
        for row in rows:
            if row.name.startswith((_OURS, "sqlite_")):
                continue
            if row.type == "trigger" and row.tbl_name.lower() in names:
                found.append(_trigger(row.name, row.tbl_name, row.sql))
            elif row.type == "view" and _uses(row.sql, names) and _works(connection, row.name):
                drop = f"DROP VIEW {_quoted(row.name)}"
                look = f"SELECT * FROM {_quoted(row.name)} LIMIT 0"
                # Dropped with it: its INSTEAD OF triggers.
                create = [row.sql, *(one.sql for one in rows if _fires_on(one, row.name))]
                found.append(Dependent("view", row.name, create, (drop,), (row.sql, look)))
            elif row.type == "table" and _refers(connection, row.name, names):
                check = f"PRAGMA foreign_key_check({_quoted(row.name)})"
                found.append(Dependent("foreign key of", row.name, (check,), stays=True))
        return found


def _trigger(name: str, table: str, sql: str) -> Dependent:
    """The statements that fire it are compiled with it, so a column that is missing shows."""
    fires = (
        f"EXPLAIN INSERT INTO {_quoted(table)} DEFAULT VALUES",
        f"EXPLAIN DELETE FROM {_quoted(table)}",
        f"EXPLAIN UPDATE {_quoted(table)} SET id = id",
    )
    drop = f"DROP TRIGGER {_quoted(name)}"
    return Dependent("trigger", f"{name} on {table}", (sql,), (drop,), (sql, *fires))


def _fires_on(row: Any, view: str) -> bool:
    return row.type == "trigger" and str(row.tbl_name).lower() == view.lower()


def _uses(sql: str, names: set[str]) -> bool:
    return not names.isdisjoint(re.findall(r"\w+", sql.lower()))


def _works(connection: Connection, view: str) -> bool:
    """Whether a view can be read; one that cannot is left alone."""
    try:
        connection.exec_driver_sql(f"SELECT * FROM {_quoted(view)} LIMIT 0").close()
    except Exception:
        return False
    return True


def _refers(connection: Connection, table: str, names: set[str]) -> bool:
    if table.lower() in names:
        return False
    rows = connection.exec_driver_sql(f"PRAGMA foreign_key_list({_quoted(table)})").mappings()
    return any(row["table"].lower() in names for row in rows)


def _quoted_if_odd(name: str) -> str:
    return name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else _quoted(name)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


async def _say(driver: Any, *statements: str) -> None:
    for statement in statements:
        cursor = await driver.execute(statement)
        await cursor.close()
