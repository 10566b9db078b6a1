"""Changing the shape of tables in place: what differs between databases.

A `Mover` does the steps; which ones, and in what order, is said in ``adoption/``. All of
them are parts of one transaction, so a failure or a crash leaves the tables as they were.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection
from sqlalchemy.types import NullType, TypeEngine

from .._internal import json as _json

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine


@dataclass(frozen=True, slots=True)
class Declared:
    """A column as it was declared.

    Args:
        name: Its name.
        type: Its type as SQL.
        default: Its default as SQL; None where it has none or it cannot be kept: a default
            that needs a sequence, or a generated column.
        required: Whether it is NOT NULL.
    """

    name: str
    type: str
    default: str | None = None
    required: bool = False


@dataclass(frozen=True, slots=True)
class Dependent:
    """Something that belongs to tables or uses them, and goes with them unless it is made anew.

    Args:
        kind: What it is, for people.
        name: Its name with that of its table.
        create: What makes it anew.
        drop: What must be said before the tables can be dropped.
        probe: What tells, on empty tables, whether `create` will work; None: `create`.
        suggested: What might work instead of `create`.
        quiet: It is nothing to tell of.
        stays: It cannot be dropped without its table, which is somebody else's.
    """

    kind: str
    name: str
    create: Sequence[str]
    drop: Sequence[str] = ()
    probe: Sequence[str] | None = None
    suggested: Sequence[str] = ()
    quiet: bool = False
    stays: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Made:
    """A column whose values the database makes.

    Args:
        column: Its name.
        kind: What it is, for people.
        create: What makes it so on another table, which has it as a plain column.
        before: What must be said before the old table is dropped.
        anew: Whether the column itself is made anew: before what uses it.
    """

    column: str
    kind: str
    create: Sequence[str]
    before: Sequence[str] = ()
    anew: bool = False


class TablesInUse(Exception):
    """Somebody else uses the tables.

    Args:
        users: Who, for people; empty where the database does not tell.
    """

    def __init__(self, users: Sequence[str] = ()) -> None:
        super().__init__("; ".join(users))
        self.users = users


class Mover(ABC):
    """Moves tables aside and makes others in their place."""

    has_uuids: bool = False
    """Whether there is a type for UUIDs that refuses other text."""
    sorts_in_memory: bool = False
    """Whether rows that are sorted are held with all their values, many at a time."""
    refers_by_name: bool = False
    """Whether a foreign key goes on to refer to a name when its table is renamed."""

    @abstractmethod
    def transaction(self, engine: AsyncEngine) -> AbstractAsyncContextManager[AsyncConnection]:
        """A transaction with the lock of migrations, in which tables can be exchanged."""

    @abstractmethod
    def lock(self, connection: Connection, schema: str | None, tables: Sequence[str]) -> None:
        """Keep everybody else from the tables.

        Raises:
            TablesInUse: Somebody did not leave them in time.
        """

    @abstractmethod
    def columns(self, connection: Connection, schema: str | None, table: str) -> list[Declared]:
        """The columns of a table as they were declared."""

    @abstractmethod
    def indexes(self, connection: Connection, schema: str | None, table: str) -> dict[str, str]:
        """The statements that make the indexes of a table, by name, but those of its keys."""

    def firing(self, connection: Connection, schema: str | None, table: str) -> Sequence[str]:  # noqa: ARG002
        """Statements that let the triggers of a table run; none where types do not matter."""
        return ()

    def made(self, connection: Connection, schema: str | None, table: str) -> list[Made]:  # noqa: ARG002
        """Columns whose values the database makes, where they can be made so afterwards."""
        return []

    @abstractmethod
    def constraints(self, connection: Connection, schema: str | None, table: str) -> dict[str, str]:
        """What else a table promises, as SQL by name: no keys and no references."""

    @abstractmethod
    def rules(self, connection: Connection, schema: str | None, table: str) -> dict[str, str]:
        """What the references of a table say besides, as SQL by column: ``ON DELETE CASCADE``."""

    @abstractmethod
    def constrain(self, connection: Connection, table: str, name: str, constraint: str) -> None:
        """Let a table promise something that its rows keep already.

        Args:
            connection: In the transaction.
            table: Its name as SQL.
            name: The name of the constraint.
            constraint: What `constraints` gave.

        Raises:
            DBAPIError: The rows do not keep it.
            NotImplementedError: The database can do it only when it makes the table.
        """

    @abstractmethod
    def dependents(
        self, connection: Connection, schema: str | None, tables: Sequence[str]
    ) -> list[Dependent]:
        """What goes with the tables, in the order in which it is to be made anew."""

    @abstractmethod
    def unfit(self, connection: Connection, schema: str | None, table: str) -> str | None:
        """Why something with a table's name cannot be moved; None: it can."""

    def owners(
        self,
        connection: Connection,  # noqa: ARG002 - others look
        schema: str | None,  # noqa: ARG002
        tables: Sequence[str],  # noqa: ARG002
    ) -> Sequence[str]:
        """The roles that own some tables and whose rights this login has not."""
        return ()

    def free_names(  # noqa: B027 - optional hook
        self, connection: Connection, schema: str | None, table: str
    ) -> None:
        """Give the names of a table's indexes to others."""

    def uncover(  # noqa: B027 - optional hook
        self, connection: Connection, schema: str | None, tables: Sequence[str]
    ) -> None:
        """Let all rows of tables be seen, or fail: what is not seen would be lost."""

    def close_cursors(self, connection: Connection) -> None:  # noqa: B027 - optional hook
        """End what was read in parts; none of it is read any more."""

    def after_rows(  # noqa: B027 - optional hook
        self,
        connection: Connection,
        schema: str | None,
        tables: Sequence[str],
        others: Sequence[str],
        like: str,
    ) -> None:
        """Bring statistics up to date, and protect the tables as those before.

        Args:
            connection: In the transaction.
            schema: The schema of the tables.
            tables: New tables in the place of old ones; dependents are not there yet.
            others: New tables beside them.
            like: The old table whose owner and users these get.
        """

    def rename(self, connection: Connection, schema: str | None, table: str, to: str) -> None:
        """Rename a table."""
        quote = connection.dialect.identifier_preparer.quote
        name = self.qualified(connection, schema, table)
        connection.exec_driver_sql(f"ALTER TABLE {name} RENAME TO {quote(to)}")

    def qualified(self, connection: Connection, schema: str | None, table: str) -> str:
        """A table's name as SQL."""
        quote = connection.dialect.identifier_preparer.quote
        return f"{quote(schema)}.{quote(table)}" if schema else quote(table)

    def stranger(self, declared: str) -> TypeEngine[Any]:  # noqa: ARG002 - others look at it
        """The type by which a column that we do not know is copied.

        Args:
            declared: Its type as SQL.
        """
        return NullType()

    def named(self, declared: str) -> TypeEngine[Any]:
        """A type by its name as SQL."""
        raise NotImplementedError(declared)

    def bind(
        self,
        type_: str,  # noqa: ARG002 - others look at it
        what: str,
        value: Any,
    ) -> Any:
        """A value of ours as a column of another type takes it; here all are text or numbers.

        Args:
            type_: The type of the column as SQL.
            what: The kind of the value, one of `chainlit_sqla.transfer.records`.
            value: It.
        """
        if isinstance(value, datetime):
            return instant_text(value)
        if isinstance(value, bool):
            return int(value)
        return _json.dumps(value) if isinstance(value, (dict, list)) or what == "json" else value


def instant_text(value: datetime) -> str:
    """An instant as Chainlit writes it, of one width: Chainlit sorts it as text."""
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
