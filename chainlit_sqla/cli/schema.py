"""The commands ``upgrade``, ``downgrade`` and ``current``."""

from __future__ import annotations

from typing import Annotated

import typer
from sqlalchemy import func, inspect, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..database import Database, migrator
from ..models import quarantine, steps, threads, users
from ..settings import Settings
from .options import (
    RevisionState,
    Schema,
    Url,
    Yes,
    describe_database,
    describe_revision,
    open_database,
    settings_for,
)
from .output import confirm, plural
from .runtime import run_async


def upgrade(
    revision: Annotated[
        str, typer.Argument(help="The revision to upgrade to; head is the newest.")
    ] = "head",
    url: Url = None,
    schema: Schema = None,
) -> None:
    """Create the tables, or upgrade them to a revision.

    Safe to re-run, and to run on several machines concurrently. On PostgreSQL it also revokes
    what default privileges gave to other roles on the tables.
    """
    typer.echo(run_async(_migrate(settings_for(url, schema), upgrade_to=revision)))


def downgrade(
    revision: Annotated[str, typer.Argument(help="The revision to return to, -1, or base.")],
    yes: Yes = False,
    url: Url = None,
    schema: Schema = None,
) -> None:
    """Return the tables to an older revision.

    What that revision cannot hold is lost; "base" drops all tables of chainlit-sqla. Make a
    backup first.
    """
    settings = settings_for(url, schema)
    target, loss = run_async(_plan_downgrade(settings, revision))
    if loss and not yes:
        typer.echo(loss)
        if not confirm("Continue?"):
            typer.echo("No changes made.")
            raise typer.Exit(1)
    typer.echo(run_async(_migrate(settings, downgrade_to=target)))


def current(url: Url = None, schema: Schema = None) -> None:
    """Show the revision of the tables.

    Exit code 1 unless it is the revision that this release needs.
    """

    async def describe() -> RevisionState:
        async with open_database(settings_for(url, schema)) as database:
            return await describe_revision(database)

    state = run_async(describe())
    typer.echo(state.text)
    if not state.is_current:
        raise typer.Exit(1)


async def _migrate(
    settings: Settings, *, upgrade_to: str | None = None, downgrade_to: str | None = None
) -> str:
    async with open_database(settings) as database:
        before, revoked = await migrator.current(database) or migrator.BASE, ""
        if upgrade_to is not None:
            revoked = await migrator.upgrade(database, upgrade_to)
        elif downgrade_to is not None and before != migrator.BASE:
            await migrator.downgrade(database, downgrade_to)
        after = await migrator.current(database) or migrator.BASE
        state = f"already at {after}" if after == before else f"now at {after}, was at {before}"
        return "\n".join(filter(None, [f"{describe_database(database)}: {state}", revoked]))


async def _plan_downgrade(settings: Settings, revision: str) -> tuple[str, str]:
    """Return the target of a downgrade, and a sentence about what is lost, empty for nothing."""
    async with open_database(settings) as database:
        now = await migrator.current(database)
        target = migrator.older_revision(revision, now)
        if now is None or target == now:
            return target, ""
        label = describe_database(database)
        rows, quarantined = await database.read(lambda c: _count_rows(c, database))
        if target != migrator.BASE:
            kept = f"; kept for the next upgrade: {quarantined}" if quarantined else ""
            return target, f"{label}: what {target} cannot hold will be lost{kept}."
        rows += f", {quarantined}" if quarantined else ""
        return target, f"{label}: all tables will be dropped, with {rows}."


async def _count_rows(connection: AsyncConnection, database: Database) -> tuple[str, str]:
    """Describe how many rows there are, and in the quarantine, if any."""
    has_quarantine = await connection.run_sync(
        lambda sync: inspect(sync).has_table(quarantine.name, schema=database.schema)
    )
    tables = {"user": users, "thread": threads, "step": steps}
    tables |= {"row": quarantine} if has_quarantine else {}
    counts = {
        noun: await connection.scalar(select(func.count()).select_from(table)) or 0
        for noun, table in tables.items()
    }
    quarantined = counts.pop("row", 0)
    rows = ", ".join(plural(count, noun) for noun, count in counts.items())
    return rows, f"{plural(quarantined, 'row')} in {quarantine.name}" if quarantined else ""
