"""Upgrades that can be repeated where the database ends a transaction with each change.

On MySQL nothing can be taken back: an upgrade that is killed leaves the tables it had made,
and no revision. So while an upgrade changes something there is a table `MARK`; who finds it
under the lock knows that an upgrade before was interrupted, and what has been done already
is passed over. Migrations need not know it, except for what they do by ``op.execute``.
"""

from __future__ import annotations

from typing import Any

from alembic.ddl.mysql import MySQLImpl
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Column, Connection, Index, Table, inspect, text
from sqlalchemy.engine.reflection import Inspector

from .revision import MARK


def make_repeatable(context: MigrationContext) -> None:
    """Let a migration on MySQL go on where one before it was interrupted.

    Args:
        context: Configured, before the migrations run.
    """
    given = context.impl
    context.impl = _Repeatable(
        given.dialect,
        given.connection,
        given.as_sql,
        given.transactional_ddl,
        given.output_buffer,
        given.context_opts,
    )


def finish(connection: Connection) -> None:
    """Say that a migration is complete.

    Args:
        connection: The one that migrated.
    """
    if inspect(connection).has_table(MARK):
        connection.execute(text("COMMIT"))  # The revision first.
        connection.execute(text(f"DROP TABLE {MARK}"))


class _Repeatable(MySQLImpl):
    """Makes what is not there yet, and all tables with the engine and collation of ours."""

    def create_table(self, table: Table, **kw: Any) -> None:
        maria = getattr(self.dialect, "is_mariadb", False)
        table.dialect_kwargs["mysql_engine"] = "InnoDB"
        table.dialect_kwargs["mysql_charset"] = "utf8mb4"
        # Both compare characters as they are, and spaces at the end count.
        collation = "utf8mb4_nopad_bin" if maria else "utf8mb4_0900_bin"
        table.dialect_kwargs["mysql_collate"] = collation
        table.primary_key.name = None  # It has none there, and a warning says so.
        inspector = self._begin()
        if inspector and inspector.has_table(table.name):
            made = {column["name"] for column in inspector.get_columns(table.name)}
            if made == set(table.columns.keys()):  # Else it is somebody else's: an error.
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
        """Before each change; None where SQL is printed only."""
        if self.as_sql or self.connection is None:
            return None
        self.connection.execute(text(f"CREATE TABLE IF NOT EXISTS {MARK} (id INTEGER)"))
        return inspect(self.connection)


def _has_index(inspector: Inspector | None, index: Index) -> bool:
    if inspector is None or index.table is None:
        return False
    return any(found["name"] == index.name for found in inspector.get_indexes(index.table.name))


def _has_column(inspector: Inspector | None, table: str, name: str) -> bool:
    if inspector is None:
        return False
    return any(found["name"] == name for found in inspector.get_columns(table))
