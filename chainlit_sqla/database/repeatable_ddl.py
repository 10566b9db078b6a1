"""Repeatable upgrades for databases that commit after each DDL statement.

MySQL has no transactional DDL: a killed upgrade leaves the tables that it has created, and no
revision. So the table `UPGRADE_MARKER` exists during an upgrade, and each upgrade skips changes
that exist already. Only the ``op.execute`` of a migration must be repeatable by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from alembic.ddl.mysql import MySQLImpl
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Index, Table, inspect, text
from sqlalchemy.engine.reflection import Inspector

from ..dialects.requirements import mysql_collation
from .revision import UPGRADE_MARKER


def make_repeatable(context: MigrationContext) -> None:
    """Let the migrations of a configured context continue interrupted ones."""
    impl = context.impl
    context.impl = _RepeatableImpl(
        impl.dialect,
        impl.connection,
        impl.as_sql,
        impl.transactional_ddl,
        impl.output_buffer,
        impl.context_opts,
    )


def finish(connection: Connection) -> None:
    """Drop the marker after a complete migration."""
    if inspect(connection).has_table(UPGRADE_MARKER):
        connection.execute(text("COMMIT"))  # Commits the revision first.
        connection.execute(text(f"DROP TABLE {UPGRADE_MARKER}"))


class _RepeatableImpl(MySQLImpl):
    """Skips changes that exist already; tables get InnoDB and a binary collation.

    It has the operations that our migrations use; a migration with another one adds it here.
    """

    def create_table(self, table: Table, **kw: Any) -> None:
        table.dialect_kwargs["mysql_engine"] = "InnoDB"
        table.dialect_kwargs["mysql_charset"] = "utf8mb4"
        table.dialect_kwargs["mysql_collate"] = mysql_collation(self.dialect)
        table.primary_key.name = None  # MySQL ignores the name with a warning.
        columns = set(table.columns.keys())  # Other columns: another program's table, an error.
        if not self._is_done(lambda inspector: _columns(inspector, table.name) == columns):
            super().create_table(table, **kw)

    def drop_table(self, table: Table, **kw: Any) -> None:
        if not self._is_done(lambda inspector: not inspector.has_table(table.name)):
            super().drop_table(table, **kw)

    def create_index(self, index: Index, **kw: Any) -> None:
        if not self._is_done(lambda inspector: _has_index(inspector, index)):
            super().create_index(index, **kw)

    def _is_done(self, check: Callable[[Inspector], bool]) -> bool:
        """Create the marker, and return whether an interrupted upgrade has made the change."""
        if self.as_sql or self.connection is None:  # SQL is only printed.
            return False
        self.connection.execute(
            text(f"CREATE TABLE IF NOT EXISTS {UPGRADE_MARKER} (id INTEGER PRIMARY KEY)")
        )
        return check(inspect(self.connection))


def _columns(inspector: Inspector, table: str) -> set[str]:
    if not inspector.has_table(table):
        return set()
    return {column["name"] for column in inspector.get_columns(table)}


def _has_index(inspector: Inspector, index: Index) -> bool:
    assert index.table is not None
    return any(row["name"] == index.name for row in inspector.get_indexes(index.table.name))
