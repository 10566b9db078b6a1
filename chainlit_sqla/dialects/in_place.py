"""What differs between databases where tables are replaced in place: `TableReplacement`.

``chainlit_sqla.transfer.in_place`` says what happens and in which order. All of it is one
transaction, so a failure or a crash leaves the tables as they were.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Connection

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

BACKUP_SUFFIX = "_before_adoption"
"""The end of the name of a table that an adoption replaced."""


@dataclass(frozen=True, slots=True)
class Dependent:
    """An object that depends on some tables, by kind and name, such as ``view public.titles``."""

    name: str
    create: str
    drop: str | None
    """None: this database cannot drop it."""


class TableReplacement(ABC):
    """Renames tables so that others can take their place."""

    has_native_types = False
    """Whether there are types for UUIDs, documents and lists."""

    @abstractmethod
    def transaction(self, engine: AsyncEngine) -> AbstractAsyncContextManager[AsyncConnection]:
        """A transaction that holds the lock of migrations."""

    @abstractmethod
    def dependents(
        self, connection: Connection, schema: str | None, tables: Sequence[str]
    ) -> list[Dependent]:
        """The objects that depend on tables, in the order in which they can be created again."""

    def lock(  # noqa: B027 - for PostgreSQL
        self, connection: Connection, schema: str | None, tables: Sequence[str]
    ) -> None:
        """Lock tables until the transaction ends, or raise `AdoptionRefused` if they are in use."""

    def inherit_security(  # noqa: B027 - for PostgreSQL
        self, connection: Connection, schema: str | None, tables: Sequence[str], like: str
    ) -> None:
        """Give tables the owner of another table, and row level security if that has it."""


def qualified(connection: Connection, schema: str | None, table: str) -> str:
    """The name of a table as SQL."""
    quote = connection.dialect.identifier_preparer.quote
    return f"{quote(schema)}.{quote(table)}" if schema else quote(table)
