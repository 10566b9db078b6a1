"""What differs between databases where tables are replaced in place: `TableReplacement`.

``chainlit_sqla.transfer.in_place`` says what happens and in which order. All of it is one
transaction, so a failure or a crash leaves the tables as they were.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Connection
from sqlalchemy.types import TypeEngine

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

BACKUP_SUFFIX = "_before_adoption"
"""The end of the name of a table that an adoption replaced, and of its indexes."""
INDEX_PREFIXES = ("ix_", "uq_", "pk_")
"""How the names of the indexes on our tables begin."""


@dataclass(frozen=True, slots=True)
class Dependent:
    """A database object that depends on some tables.

    Args:
        kind: The kind of object, such as ``view``.
        name: Its name, with the table that it belongs to.
        create: The statements that create it, as the database describes it.
        drop: The statement that drops it; empty: it stays with the table when that is renamed;
            None: this database cannot drop it.
    """

    kind: str
    name: str
    create: Sequence[str]
    drop: str | None

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class TablesInUse(Exception):
    """Another connection uses the tables.

    Args:
        users: Descriptions of the connections; empty where the database does not list them.
    """

    def __init__(self, users: Sequence[str] = ()) -> None:
        super().__init__("; ".join(users))
        self.users = users


class TableReplacement(ABC):
    """Renames tables so that others can take their place."""

    has_native_types = False
    """Whether there are types for UUIDs, documents and lists."""

    @abstractmethod
    def transaction(self, engine: AsyncEngine) -> AbstractAsyncContextManager[AsyncConnection]:
        """A transaction that holds the lock of migrations."""

    @abstractmethod
    def lock(self, connection: Connection, schema: str | None, tables: Sequence[str]) -> None:
        """Lock tables against all other connections until the transaction ends.

        Raises:
            TablesInUse: Another connection did not release them in time.
        """

    @abstractmethod
    def dependents(
        self, connection: Connection, schema: str | None, tables: Sequence[str]
    ) -> list[Dependent]:
        """The objects that depend on tables, in the order in which they can be created again."""

    @abstractmethod
    def column_types(
        self, connection: Connection, schema: str | None, table: str
    ) -> Mapping[str, TypeEngine[Any]]:
        """The columns of a table, with the types that bind values for them."""

    def grants(
        self,
        connection: Connection,  # noqa: ARG002 - for PostgreSQL
        schema: str | None,  # noqa: ARG002
        tables: Sequence[str],  # noqa: ARG002
    ) -> list[str]:
        """The ``GRANT`` statements of the permissions on tables."""
        return []

    def rename(self, connection: Connection, schema: str | None, table: str, to: str) -> None:
        """Rename a table."""
        quote = connection.dialect.identifier_preparer.quote
        name = self.qualified(connection, schema, table)
        connection.exec_driver_sql(f"ALTER TABLE {name} RENAME TO {quote(to)}")

    def inherit_security(  # noqa: B027 - for PostgreSQL
        self, connection: Connection, schema: str | None, tables: Sequence[str], like: str
    ) -> None:
        """Give tables the owner of another table, and row level security if that has it."""

    def copy_for_dry_run(self, url: URL, folder: Path) -> URL | None:  # noqa: ARG002 - for SQLite
        """Copy a database that even an undone transaction would change.

        Returns:
            The URL of the copy; None: the transaction can be undone without a trace.

        Raises:
            OSError: The copy cannot be written.
        """
        return None

    def qualified(self, connection: Connection, schema: str | None, table: str) -> str:
        """The name of a table as SQL."""
        quote = connection.dialect.identifier_preparer.quote
        return f"{quote(schema)}.{quote(table)}" if schema else quote(table)
