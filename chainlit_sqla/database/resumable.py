"""Repeatable upgrades for databases that commit after each DDL statement.

MySQL has no transactional DDL: an upgrade that is killed leaves the tables it has created,
and no revision. So a table `UPGRADE_MARKER` exists while an upgrade runs. An upgrade that
holds the lock and finds the table follows an interrupted one, and skips the changes that
exist already. Migrations need not care, except for their own ``op.execute``.
"""

from __future__ import annotations

from typing import Any

from alembic.ddl.mysql import MySQLImpl
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Column, Connection, Index, Table, inspect, text
from sqlalchemy.engine.reflection import Inspector

from .revision import UPGRADE_MARKER


def make_repeatable(context: MigrationContext) -> None:
    """Let a migration on MySQL continue an interrupted one.

    Args:
        context: The configured context, before the migrations run.
    """
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
    """Drop the marker after a complete migration.

    Args:
        connection: The connection of the migration.
    """
    if inspect(connection).has_table(UPGRADE_MARKER):
        connection.execute(text("COMMIT"))  # Commits the revision first.
        connection.execute(text(f"DROP TABLE {UPGRADE_MARKER}"))


class _RepeatableImpl(MySQLImpl):
    """Creates only what is missing; tables get InnoDB and a binary collation."""

    def create_table(self, table: Table, **kw: Any) -> None:
        maria = getattr(self.dialect, "is_mariadb", False)
        table.dialect_kwargs["mysql_engine"] = "InnoDB"
        table.dialect_kwargs["mysql_charset"] = "utf8mb4"
        # Both compare code points, and trailing spaces count.
        collation = "utf8mb4_nopad_bin" if maria else "utf8mb4_0900_bin"
        table.dialect_kwargs["mysql_collate"] = collation
        table.primary_key.name = None  # MySQL ignores the name with a warning.
        inspector = self._begin()
        if inspector and inspector.has_table(table.name):
            existing = {column["name"] for column in inspector.get_columns(table.name)}
            if existing == set(table.columns.keys()):  # Else another program's: an error.
                return
        super().create_table(table, **kw)

    def drop_table(self, table: Table, **kw: Any) -> None:
        inspector = self._begin()
        if inspector is None or inspector.has_table(table.name):
            super().drop_table(table, **kw)

    def create_index(self, index: Index, **kw: Any) -> None:
        if not _has_index(self._begin(), index):
            super().create_index(index, **kw)

    def drop_index(self, index: Index, **kw: Any) -> None:
        inspector = self._begin()
        if inspector is None or _has_index(inspector, index):
            super().drop_index(index, **kw)

    def add_column(self, table_name: str, column: Column[Any], **kw: Any) -> None:
        if not _has_column(self._begin(), table_name, column.name):
            super().add_column(table_name, column, **kw)

    def drop_column(self, table_name: str, column: Column[Any], **kw: Any) -> None:
        inspector = self._begin()
        if inspector is None or _has_column(inspector, table_name, column.name):
            super().drop_column(table_name, column, **kw)

    def _begin(self) -> Inspector | None:
        """Create the marker before a change; return None where SQL is only printed."""
        if self.as_sql or self.connection is None:
            return None
        self.connection.execute(text(f"CREATE TABLE IF NOT EXISTS {UPGRADE_MARKER} (id INTEGER)"))
        return inspect(self.connection)


def _has_index(inspector: Inspector | None, index: Index) -> bool:
    if inspector is None or index.table is None:
        return False
    return any(row["name"] == index.name for row in inspector.get_indexes(index.table.name))


def _has_column(inspector: Inspector | None, table: str, name: str) -> bool:
    if inspector is None:
        return False
    return any(column["name"] == name for column in inspector.get_columns(table))
