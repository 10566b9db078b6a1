"""``adopt`` and ``unadopt``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ..adoption import Adoption, Report, Return
from ..errors import ConfigurationError
from ..settings import Settings
from .adopt_report import lines
from .guard import complete
from .options import Schema, Url, settings_for
from .progress import progress
from .revisions import label, opened

DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Say what it would do and change nothing: all of it is done and undone, which takes "
        "as long, and keeps everybody else from the tables meanwhile.",
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
    if not dry_run and not yes:
        _ask()
    for line in lines(complete(_run(kind, settings, drop_dependents, dry_run=dry_run))):
        typer.echo(line)


def _ask() -> None:
    if not sys.stdin.isatty():
        raise ConfigurationError(
            "Nothing was changed, for there is no terminal to ask on; try --dry-run, make a "
            "backup, then add --yes"
        )
    typer.echo("All tables will be changed. Stop the application, and make a backup first.")
    typer.confirm("Go on?", abort=True)


async def _run(
    kind: type[Adoption] | type[Return],
    settings: Settings,
    drop_dependents: bool,
    *,
    dry_run: bool,
) -> Report:
    async with opened(settings) as database:
        with progress() as watch:
            change = kind(database, drop_dependents=drop_dependents, watch=watch)
            report = await change.run(rehearse=dry_run)
        report.label = label(database)
        return report
