"""What `adopt`, `unadopt` and the removal of the backup share: one transaction, and its report."""

from __future__ import annotations

import tempfile
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import func, select, table
from sqlalchemy.ext.asyncio import AsyncConnection

from ..._internal.aio import Watch, quiet
from ...database import Database
from ...dialects import Dependent, TablesInUse
from ...errors import AdoptionRefused, ConfigurationError, DatabaseUnavailable
from ...settings import Settings

T = TypeVar("T")

REPORT_DEFECT = "This is a defect of chainlit-sqla; please report it"


@dataclass(slots=True)
class Report:
    """What was done.

    Args:
        label: The database, without a password.
        dry_run: Whether everything was rolled back.
        nothing_to_do: Why there was nothing to do; None: there was.
        before: Rows before, by kind of record.
        after: Rows after, by kind of record.
        quarantined: Rows that went into the quarantine, by kind and reason.
        partly_quarantined: Rows that were copied but for a value, by kind and reason.
        dependents: What depended on the tables and was dropped with them, or left behind.
        grants: The permissions on the tables that were replaced, as ``GRANT`` statements.
        unknown_columns: Columns that our tables do not have.
        file: Where the records are that Chainlit's tables cannot hold; None: they hold all.
        in_file: The records in it, by kind.
        threads: Threads compared.
        seconds: How long it took.
    """

    label: str
    dry_run: bool = False
    nothing_to_do: str | None = None
    before: Counter[str] = field(default_factory=Counter)
    after: Counter[str] = field(default_factory=Counter)
    quarantined: Counter[tuple[str, str]] = field(default_factory=Counter)
    partly_quarantined: Counter[tuple[str, str]] = field(default_factory=Counter)
    dependents: list[Dependent] = field(default_factory=list)
    grants: list[str] = field(default_factory=list)
    unknown_columns: list[str] = field(default_factory=list)
    file: Path | None = None
    in_file: Counter[str] = field(default_factory=Counter)
    threads: int = 0
    seconds: float = 0.0


class _DryRunDone(Exception):
    """Rolls a dry run back."""


class InPlaceChange(ABC):
    """A change of the tables of one database, in one transaction.

    Args:
        database: The database; no application may use it.
        drop_dependents: Whether what depends on the tables is dropped.
        watch: Called with the progress.
    """

    def __init__(
        self, database: Database, *, drop_dependents: bool = False, watch: Watch = quiet
    ) -> None:
        self._database, self._schema = database, database.schema
        self._drop_dependents = drop_dependents
        self._watch = watch
        self._report = Report(database.label)
        self.committing = False
        """Whether everything is done but the commit, which may have reached the database."""
        tables = database.dialect.table_replacement()
        if tables is None:
            raise ConfigurationError(
                f"{database.dialect.title} cannot replace tables in one transaction; run "
                "chainlit-sqla import to copy the conversations into another database"
            )
        self._tables = tables

    async def check(self) -> str | None:
        """Check whether the change is possible, without changing or locking anything.

        Returns:
            Why there is nothing to do; None: there is.

        Raises:
            ChainlitSqlaError: The change would be refused; says why.
        """
        try:
            async with self._database.connect() as connection:
                await self._check(connection)
        except self._database.dialect.errors as error:
            raise self._database.translate(error) from error
        return self._report.nothing_to_do

    async def run(self, *, dry_run: bool = False) -> Report:
        """Change the tables.

        Args:
            dry_run: Roll everything back at the end.

        Raises:
            AdoptionRefused: The change is not possible; the database is as it was.
            DatabaseUnavailable: The database cannot be reached or written.
        """
        started = time.monotonic()
        self._report.dry_run = dry_run
        try:
            async with self._tables.transaction(self._database.engine) as connection:
                await self._work(connection)
                if dry_run:
                    raise _DryRunDone
                self.committing = True
        except _DryRunDone:
            pass
        except TablesInUse as error:
            users = f" by {'; '.join(error.users)}" if error.users else ""
            raise AdoptionRefused(
                f"No changes made: the tables in {self._database.label} are in use{users}. Stop "
                "the application and run the command again"
            ) from error
        except self._database.dialect.errors as error:
            raise self._database.translate(error) from error
        self._report.seconds = time.monotonic() - started
        return self._report

    @abstractmethod
    async def _check(self, connection: AsyncConnection) -> None:
        """Refuse what is not possible, or set ``nothing_to_do`` of the report."""

    @abstractmethod
    async def _work(self, connection: AsyncConnection) -> None:
        """Do everything but the commit."""

    async def _sync(self, connection: AsyncConnection, call: Callable[..., T], *args: Any) -> T:
        """Call one of the functions that take a connection and the schema."""
        return await connection.run_sync(call, self._schema, *args)

    async def _count(self, connection: AsyncConnection, names: Mapping[str, str]) -> Counter[str]:
        """The rows of tables by kind of record."""
        counts = Counter[str]()
        for kind, name in names.items():
            query = select(func.count()).select_from(table(name, schema=self._schema))
            counts[kind] = await connection.scalar(query) or 0
        return counts

    async def _clear_dependents(self, connection: AsyncConnection, tables: Sequence[str]) -> None:
        """Drop what depends on tables, or refuse the change."""
        found = await self._sync(connection, self._tables.dependents, tables)
        fixed = [dependent for dependent in found if dependent.drop is None]
        if fixed or (found and not self._drop_dependents):
            listed = "".join(
                f"\n{dependent}:" + "".join(f"\n  {sql};" for sql in dependent.create)
                for dependent in fixed or found
            )
            repair = (
                f"{self._database.dialect.title} cannot drop a foreign key; create these tables "
                "again without it"
                if fixed
                else "Drop them, or run the command again with --drop-dependents, which drops them "
                "and prints these statements"
            )
            raise AdoptionRefused(
                f"No changes made: {len(fixed or found)} objects of {self._database.label} depend "
                f"on the tables. {repair}.{listed}"
            )
        for dependent in reversed(found):
            if dependent.drop:
                await connection.exec_driver_sql(dependent.drop)
        self._report.dependents = found


class TransactionDatabase(Database):
    """A database whose every read and write is a part of one transaction.

    Args:
        database: The database.
        connection: A connection to it, in the transaction.
    """

    def __init__(self, database: Database, connection: AsyncConnection) -> None:
        self.__dict__.update(database.__dict__)
        self._connection = connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """A savepoint, so that a refused row can be left out."""
        try:
            async with self._connection.begin_nested():
                yield self._connection
        except self.dialect.errors as error:
            if self._connection.invalidated:  # The transaction is gone: nothing can be repeated.
                raise DatabaseUnavailable(str(self.translate(error))) from error
            raise

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncConnection]:
        """The connection of the transaction."""
        yield self._connection

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncConnection]:
        """The connection of the transaction, which no other one can disturb."""
        yield self._connection


@contextmanager
def dry_run_database(settings: Settings) -> Iterator[Database]:
    """The database for a dry run: a copy where even an undone transaction leaves a trace.

    Args:
        settings: Names the database.

    Raises:
        ConfigurationError: The file does not exist.
        DatabaseUnavailable: The file cannot be copied.

    Example:
        >>> with dry_run_database(Settings.load(database_url="sqlite:///chats.db")) as database:
        ...     await Adoption(database).run(dry_run=True)
    """
    original = Database(settings=settings, read_only=True)  # Refuses a file that does not exist.
    given = original.given_url
    with tempfile.TemporaryDirectory(prefix="chainlit_sqla_") as folder:
        tables = original.dialect.table_replacement()
        try:
            copy = tables.copy_for_dry_run(given, Path(folder)) if tables else None
        except OSError as error:
            raise DatabaseUnavailable(
                f"{given.database} cannot be copied into {folder} ({error.strerror}) for the dry "
                "run; check that it can be read, and name a folder with enough space in TMPDIR"
            ) from error
        database = Database(copy, settings=settings)
        database.given_url = given
        yield database
