"""What `adopt`, `unadopt` and the removal of the backup share: one transaction, and its report."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import func, select, table
from sqlalchemy.ext.asyncio import AsyncConnection

from ..._internal.aio import Watch, quiet
from ...database import Database
from ...dialects import Dependent, qualified
from ...errors import AdoptionRefused, ConfigurationError, DatabaseUnavailable
from ..records import COLUMNS
from ..sources import ADOPTION, SqlAlchemyLayerSource
from .legacy_tables import BACKUP_NAMES, Columns, legacy_columns

T = TypeVar("T")


@dataclass(slots=True)
class Report:
    """What was done; rows are counted by kind of record, and in the quarantine also by reason.

    Args:
        nothing_to_do: Why there was nothing to do; None: there was.
        dropped: The rows of the tables of the backup that were dropped, by name.
        partly_quarantined: Rows that were copied but for a value.
        dependents: What depended on the tables and was dropped.
        revoked: What other roles could do with the tables, in a sentence.
        file: Where the records are that Chainlit's tables cannot hold; None: they hold all.
    """

    dry_run: bool = False
    nothing_to_do: str | None = None
    before: Counter[str] = field(default_factory=Counter)
    after: Counter[str] = field(default_factory=Counter)
    dropped: Mapping[str, int] = field(default_factory=dict)
    quarantined: Counter[tuple[str, str]] = field(default_factory=Counter)
    partly_quarantined: Counter[tuple[str, str]] = field(default_factory=Counter)
    dependents: Sequence[Dependent] = ()
    unknown_columns: Sequence[str] = ()
    revoked: str = ""
    file: Path | None = None
    in_file: Counter[str] = field(default_factory=Counter)
    threads: int = 0
    seconds: float = 0.0


class InPlaceChange(ABC):
    """A change of the tables of one database, which no application may use, in one transaction."""

    _connection: AsyncConnection

    def __init__(
        self, database: Database, *, drop_dependents: bool = False, watch: Watch = quiet
    ) -> None:
        self._database, self._schema = database, database.schema
        self._drop_dependents = drop_dependents
        self._watch = watch
        self._report = Report()
        self.committing = False
        """Whether everything is done but the commit, which may have reached the database."""
        replacement = database.dialect.table_replacement()
        if replacement is None:
            raise ConfigurationError(
                f"{database.dialect.title} cannot replace tables in one transaction; run "
                "chainlit-sqla import to copy the conversations into another database"
            )
        self._replacement = replacement
        self._check_url = "check the URL" + (
            " and the schema (--schema)" if database.dialect.has_schemas else ""
        )

    async def check(self) -> Report:
        """Refuse the change, or report that there is nothing to do, before anybody is asked."""
        with self._database.translated_errors():
            async with self._database.connect() as self._connection:
                await self._check()
        return self._report

    async def run(self, *, dry_run: bool = False) -> Report:
        """Change the tables; a dry run, like an error, leaves the database as it was."""
        started = time.monotonic()
        self._report.dry_run = dry_run
        with self._database.translated_errors():
            async with self._replacement.transaction(self._database.engine) as self._connection:
                await self._check()
                if not self._report.nothing_to_do:
                    await self._work()
                if dry_run:
                    await self._connection.rollback()
                else:
                    self.committing = True
        self._report.seconds = time.monotonic() - started
        return self._report

    @abstractmethod
    async def _check(self) -> None:
        """Refuse the change, or set ``nothing_to_do`` of the report; only reads."""

    @abstractmethod
    async def _work(self) -> None:
        """Do everything but the commit, or refuse it."""

    async def _sync(self, call: Callable[..., T], *args: Any) -> T:
        return await self._connection.run_sync(call, self._schema, *args)

    async def _columns(self, names: Mapping[str, str]) -> Columns:
        return await self._sync(legacy_columns, names, self._replacement.has_native_types)

    async def _open_backup(self, columns: Columns) -> SqlAlchemyLayerSource:
        """Read Chainlit's renamed tables, in which the values of some unknown columns stay.

        Those of steps and elements are kept in ``extra``.
        """
        source = SqlAlchemyLayerSource(
            self._connection,
            self._database.dialect,
            ADOPTION,
            ADOPTION,
            schema=self._schema,
            table_names=BACKUP_NAMES,
            ignored_columns={
                kind: [name for name in names if name not in COLUMNS[kind]]
                for kind, names in columns.items()
                if kind not in ("step", "element")
            },
        )
        await source.open()
        return source

    async def _alter(self, name: str, change: str) -> None:
        table_name = await self._sync(qualified, name)
        await self._connection.exec_driver_sql(f"ALTER TABLE {table_name} {change}")

    async def _drop(self, name: str) -> None:
        await self._connection.exec_driver_sql(f"DROP TABLE {await self._sync(qualified, name)}")

    async def _count(self, names: Mapping[str, str]) -> Counter[str]:
        counts = Counter[str]()
        for kind, name in names.items():
            query = select(func.count()).select_from(table(name, schema=self._schema))
            counts[kind] = await self._connection.scalar(query) or 0
        return counts

    async def _clear_dependents(self, tables: Sequence[str]) -> None:
        """Lock tables, and drop what depends on them, or refuse the change."""
        await self._sync(self._replacement.lock, tables)
        dependents = await self._sync(self._replacement.dependents, tables)
        fixed = [dependent for dependent in dependents if dependent.drop is None]
        if fixed or (dependents and not self._drop_dependents):
            repair = "Drop them, or run the command again with --drop-dependents, which drops them "
            repair += "and prints these statements"
            if fixed:
                repair = f"{self._database.dialect.title} cannot drop a foreign key; create these "
                repair += "tables again without it"
            listed = [f"\n{d.name}:\n  {d.create};" for d in fixed or dependents]
            raise AdoptionRefused(
                f"No changes made: {len(listed)} objects of {self._database.label} depend on the "
                f"tables. {repair}.{''.join(listed)}"
            )
        for dependent in reversed(dependents):
            await self._connection.exec_driver_sql(str(dependent.drop))
        self._report.dependents = dependents


class TransactionDatabase(Database):
    """A database whose every read and write is a part of one transaction."""

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

    snapshot = connect  # No other connection can disturb it.
