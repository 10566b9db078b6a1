"""What both ways have in common: one transaction, the lock, and errors that say what to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection, func, select, table
from sqlalchemy.ext.asyncio import AsyncConnection

from ..._internal.progress import Watch, quiet
from ...database import Database
from ...dialects import Declared, Dependent, Mover, TablesInUse
from ...errors import AdoptionRefused, ConfigurationError, DatabaseUnavailable
from ...models import Base
from ..records import IN_THREADS
from . import carry
from .original import ASIDE, NAMES, Form
from .report import Report

T = TypeVar("T")

KINDS = ("user", "thread", *IN_THREADS)
OTHERS = [name for name in Base.metadata.tables if name not in set(NAMES.values())]
"""Our tables that Chainlit's layer does not have."""


@dataclass(frozen=True)
class Job:
    """What is worked with.

    Args:
        database: It; no application may use it.
        mover: Exchanges its tables.
        report: Is filled.
        watch: Is told of the progress.
    """

    database: Database
    mover: Mover
    report: Report
    watch: Watch

    async def count(self, connection: AsyncConnection, name: str) -> int:
        """The rows of a table."""
        query = select(func.count()).select_from(table(name, schema=self.database.schema))
        return await connection.scalar(query) or 0


def say_differ(places: Sequence[str | None]) -> AdoptionRefused:
    """What to raise where what was read back is not what was written.

    Args:
        places: Threads; None stands for the users.
    """
    named = ", ".join("the users" if one is None else f"thread {one}" for one in places[:5])
    more = f" and {len(places) - 5:,} more" if len(places) > 5 else ""
    return AdoptionRefused(
        f"Nothing was changed: what was written is not what was read ({named}{more}). "
        "This is a defect of chainlit-sqla; please report it"
    )


class _UndoneError(Exception):
    """Ends a rehearsal."""


class Exchange:
    """One change of the form of all tables.

    Args:
        database: It; no application may use it.
        drop_dependents: Whether what depends on the tables and cannot be made anew is dropped.
        watch: Is told of the progress.
    """

    command = ""

    def __init__(
        self, database: Database, *, drop_dependents: bool = False, watch: Watch = quiet
    ) -> None:
        self._database = database
        self._drop = drop_dependents
        self._watch = watch
        self._report = Report(database.label)
        self.ending = False
        """Whether all is done but the commit: from here on, it may be there."""
        try:
            self._mover: Mover = database.dialect.mover()
        except NotImplementedError:
            raise ConfigurationError(
                f"{database.dialect.title} cannot exchange tables in one transaction; make "
                "another database and run there: chainlit-sqla import"
            ) from None
        self._job = Job(database, self._mover, self._report, watch)

    @property
    def _whereabouts(self) -> str:
        """What to check where the tables are not found."""
        schema = " and the schema (--schema)" if self._database.dialect.has_schemas else ""
        return f"the URL{schema}"

    async def look(self) -> str | None:
        """See whether the tables can be exchanged, without changing or locking anything.

        Returns:
            Why there is nothing to do; None: there is.

        Raises:
            ChainlitSqlaError: It would be refused; says why.
        """
        try:
            async with self._database.connect() as connection:
                await self._look(connection)
        except self._database.dialect.errors as error:
            raise self._database.translate(error) from error
        return self._report.nothing

    async def run(self, *, rehearse: bool = False) -> Report:
        """Do it.

        Args:
            rehearse: Do everything and undo it at the end.

        Raises:
            AdoptionRefused: Something is in the way; nothing was changed.
            DatabaseUnavailable: The database cannot be reached or written.
        """
        started = time.monotonic()
        self._report.rehearsed = rehearse
        try:
            async with self._mover.transaction(self._database.engine) as connection:
                await self._work(connection)
                if rehearse:
                    raise _UndoneError
                self.ending = True
        except _UndoneError:
            pass
        except TablesInUse as error:
            who = f" by {'; '.join(error.users)}" if error.users else ""
            raise AdoptionRefused(
                f"Nothing was changed: the tables in {self._database.label} are in use{who}; "
                f"stop the application and run the same again"
            ) from error
        except self._database.dialect.errors as error:
            raise self._database.translate(error) from error
        self._report.seconds = time.monotonic() - started
        return self._report

    async def _look(self, connection: AsyncConnection) -> Mapping[str, Form] | None:
        raise NotImplementedError

    async def _work(self, connection: AsyncConnection) -> None:
        raise NotImplementedError

    def _refuse_strangers(self, connection: Connection) -> None:
        """Only who owns tables can exchange them; no permission can be granted for it.

        Raises:
            DatabaseUnavailable: They belong to another role.
        """
        database, names = self._database, list(NAMES.values())
        if owners := self._mover.owners(connection, database.schema, names):
            whose = " and ".join(map(repr, owners))
            raise DatabaseUnavailable(
                f"{database.given_url.username!r} may not do this in {database.label}, whose "
                f"tables belong to {whose}; connect as their owner, or as a member of that role"
            )

    async def _sync(self, connection: AsyncConnection, work: Callable[[Connection], T]) -> T:
        return await connection.run_sync(work)

    def _aside_tables(self, connection: Connection) -> list[str]:
        """Chainlit's tables as SQL, those that refer to others first."""
        schema = self._database.schema
        return [self._mover.qualified(connection, schema, ASIDE[kind]) for kind in reversed(KINDS)]

    async def _probed(
        self, connection: AsyncConnection, dependents: Sequence[Dependent]
    ) -> list[carry.Failed]:
        """Exchange the tables while the new ones are empty, see what fits, and undo it.

        Raises:
            AdoptionRefused: Something does not fit, and is not to be dropped.
        """
        savepoint = await connection.begin_nested()
        try:
            if self._mover.refers_by_name:
                # SQLite would read tables that are dropped in a savepoint back into memory.
                await self._sync(connection, lambda c: carry.release(c, dependents))
                await self._sync(connection, self._put_in_place)
            else:
                await self._exchange(connection, dependents)
            failed = await self._sync(connection, lambda c: carry.probe(c, dependents))
        finally:
            await savepoint.rollback()
        if failed and (not self._drop or any(one.dependent.stays for one in failed)):
            raise carry.refuse(failed, self.command)
        self._report.dropped = [(str(one.dependent), one.repair) for one in failed]
        return failed

    async def _exchange(self, connection: AsyncConnection, dependents: Sequence[Dependent]) -> None:
        """Put the new tables into the place of the old ones, which go."""
        await self._sync(connection, self._mover.close_cursors)
        with carry.dropping():
            await self._sync(connection, lambda c: carry.release(c, dependents))
            await self._drop_old(connection)

    def _put_in_place(self, connection: Connection) -> None:
        """Give the new tables their names, for a while; the old ones stay under others."""

    async def _drop_old(self, connection: AsyncConnection) -> None:
        raise NotImplementedError

    def _renew(
        self,
        connection: Connection,
        dependents: Sequence[Dependent],
        failed: Sequence[carry.Failed],
    ) -> None:
        lost = {id(one.dependent) for one in failed}
        again = [one for one in dependents if id(one) not in lost]
        carry.renew(connection, again)
        self._report.carried = [str(one) for one in again if not one.quiet]
        if any(one.kind == "trigger" for one in again):
            schema = self._database.schema
            for kind in KINDS:
                statements = self._mover.firing(connection, schema, NAMES[kind])
                carry.fire(connection, NAMES[kind], statements)

    def _note_conversions(
        self,
        before: Mapping[str, Sequence[Declared]],
        after: Mapping[str, Sequence[Declared]],
    ) -> None:
        for kind, columns in before.items():
            types = {one.name: one.type for one in after.get(kind, ())}
            for one in columns:
                to = types.get(one.name, one.type)
                if to.lower() != one.type.lower():
                    self._report.converted.append((NAMES[kind], one.name, one.type, to))
