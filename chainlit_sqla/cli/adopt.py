"""``adopt`` and ``unadopt``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Annotated

import typer
from sqlalchemy import URL

from ..database import Database
from ..dialects import driver_error
from ..errors import DatabaseUnavailable
from ..settings import Settings
from ..transfer.in_place import Adoption, Report, Return
from ..transfer.in_place.rehearsal import rehearsed_at
from .adopt_report import lines
from .options import Schema, Url, describe_database, open_database, settings_for
from .output import confirm, progress
from .runtime import EXIT_INTERRUPTED, run_async, signals_as_interrupt

_LEFT_BEHIND = "SQLITE_READONLY"
"""What a killed process left in a file can be cleaned up only by one who may write."""

DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Say what it would do and change nothing: all of it is done and undone, which takes "
        "as long, and keeps everybody else from the tables meanwhile; a SQLite file is copied "
        "into the folder for temporary files instead (TMPDIR).",
    ),
]
DropDependents = Annotated[
    bool,
    typer.Option(
        "--drop-dependents",
        help="Drop policies, views, foreign keys and triggers that do not fit the new tables, and "
        "print what makes them again.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def adopt(
    dry_run: DryRun = False,
    drop_dependents: DropDependents = False,
    yes: Yes = False,
    url: Url = None,
    schema: Schema = None,
) -> None:
    """Take over a database of Chainlit's SQLAlchemy layer, in place.

    Whichever variant of the tables it has, on PostgreSQL or SQLite. Stop the application before.
    All is one transaction: interrupted at any point, the database is as it was. Columns that we
    do not know stay; rows that do not fit go into the table chainlit_sqla_quarantine; views,
    policies, permissions and triggers are made anew. `chainlit-sqla unadopt` goes back.
    """
    _exchange(Adoption, settings_for(url, schema), drop_dependents, dry_run=dry_run, yes=yes)


def unadopt(
    dry_run: DryRun = False,
    drop_dependents: DropDependents = False,
    yes: Yes = False,
    url: Url = None,
    schema: Schema = None,
) -> None:
    """Give the tables back the form that Chainlit's own SQLAlchemy layer needs.

    With all conversations of now, also in a database that was never adopted. Stop the
    application before. What Chainlit's tables cannot hold is kept in the table
    chainlit_sqla_unadopted, and `chainlit-sqla adopt` takes it back. All is one transaction.
    """
    _exchange(Return, settings_for(url, schema), drop_dependents, dry_run=dry_run, yes=yes)


def _exchange(
    kind: type[Adoption] | type[Return],
    settings: Settings,
    drop_dependents: bool,
    *,
    dry_run: bool,
    yes: bool,
) -> None:
    work: _Work | None = None
    try:
        with signals_as_interrupt(), ExitStack() as stack:
            shown = None
            if dry_run:
                settings, shown = stack.enter_context(rehearsed_at(settings))
            work = _Work(kind, settings, drop_dependents, shown)
            nothing = run_async(work.look())
            if nothing is None and not dry_run and not yes and not _agreed(work.label):
                typer.echo("Nothing was changed.")
                raise typer.Exit(1)
            said = [f"{nothing}; nothing to do."] if nothing else lines(run_async(work.run()))
    except KeyboardInterrupt:
        state = "It was nearly done, and may be" if work and work.ending else "Nothing was changed"
        typer.echo(f"Interrupted. {state}; run the same command again.", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    for line in said:
        typer.echo(line)


def _agreed(label: str) -> bool:
    return confirm(
        "Go on?",
        f"All tables in {label} will be changed.",
        "Stop the application, and make a backup first.",
        refusal="Nothing was changed, for there is no terminal to ask on; try --dry-run, make a "
        "backup, then add --yes",
    )


class _Work:
    """One command: first it looks, then it changes."""

    def __init__(
        self,
        kind: type[Adoption] | type[Return],
        settings: Settings,
        drop_dependents: bool,
        rehearsed: URL | None,
    ) -> None:
        self._kind, self._settings = kind, settings
        self._drop, self._rehearsed = drop_dependents, rehearsed
        self.label = ""
        self.ending = False
        """Whether the change may be there though the command was interrupted."""

    async def look(self) -> str | None:
        """Why there is nothing to do; a file that is not there is not made."""
        try:
            return await self._looked(read_only=True)
        except DatabaseUnavailable as error:
            name = getattr(driver_error(error.__cause__ or error), "sqlite_errorname", "")
            if name.startswith(_LEFT_BEHIND):
                return await self._looked(read_only=False)
            raise

    async def _looked(self, *, read_only: bool) -> str | None:
        async with self._opened(read_only=read_only) as database:
            self.label = describe_database(database)
            return await self._kind(database).look()

    @asynccontextmanager
    async def _opened(self, *, read_only: bool = False) -> AsyncIterator[Database]:
        async with open_database(self._settings, read_only=read_only) as database:
            if self._rehearsed is not None:
                database.given_url = self._rehearsed  # People gave no copy.
            yield database

    async def run(self) -> Report:
        """Do it."""
        async with self._opened() as database:
            with progress() as watch:
                change = self._kind(database, drop_dependents=self._drop, watch=watch)
                try:
                    report = await change.run(rehearse=self._rehearsed is not None)
                except Exception:
                    if (task := asyncio.current_task()) and task.cancelling():
                        raise asyncio.CancelledError from None  # An echo of Ctrl+C.
                    raise
                finally:
                    self.ending = change.ending
            report.label = describe_database(database)
            return report
