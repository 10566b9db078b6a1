"""The commands ``upgrade``, ``downgrade`` and ``current``."""

from __future__ import annotations

from typing import Annotated

import typer
from sqlalchemy import func, inspect, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..database import Database, migrator
from ..database.revision import REVISIONS
from ..errors import ConfigurationError
from ..models import Base, Step, Thread, User, quarantine
from ..settings import Settings
from .options import (
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

_BASE = "base"


def upgrade(
    revision: Annotated[
        str, typer.Argument(help="The revision to upgrade to; head is the newest.")
    ] = "head",
    url: Url = None,
    schema: Schema = None,
) -> None:
    """Create the tables, or upgrade them to a revision.

    Safe to re-run, and to run on several machines concurrently.
    """
    typer.echo(run_async(_upgrade(settings_for(url, schema), revision)))


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
        refusal = "No changes made: confirmation needs a terminal. Re-run with --yes."
        if not confirm("Continue?", refusal=refusal):
            typer.echo("No changes made.")
            raise typer.Exit(1)
    typer.echo(run_async(_downgrade(settings, target)))


def current(url: Url = None, schema: Schema = None) -> None:
    """Show the revision of the tables.

    Exit code 1 unless it is the revision that this release needs.
    """

    async def ask() -> tuple[bool, str]:
        async with open_database(settings_for(url, schema)) as database:
            return await describe_revision(database)

    is_current, text = run_async(ask())
    typer.echo(text)
    if not is_current:
        raise typer.Exit(1)


async def _upgrade(settings: Settings, revision: str) -> str:
    async with open_database(settings) as database:
        before = await _state(database)
        await migrator.upgrade(database, revision)
        return await _describe_change(database, before)


async def _plan_downgrade(settings: Settings, revision: str) -> tuple[str, str]:
    """Find the target of a downgrade and what it costs.

    Returns:
        The revision, and a sentence about the loss; empty where nothing is lost.

    Raises:
        ConfigurationError: There is no such older revision.
    """
    async with open_database(settings) as database:
        now = await migrator.current(database)
        target = _older_revision(revision, now)
        if now is None or target == now:
            return target, ""
        label = describe_database(database)
        quarantined = await database.read(lambda c: _count_quarantined(c, database.schema))
        if target != _BASE:
            kept = f"; kept for the next upgrade: {quarantined}" if quarantined else ""
            return target, f"{label}: what {target} cannot hold will be lost{kept}."
        rows = await database.read(_count_rows)
        rows += f", {quarantined}" if quarantined else ""
        return target, f"{label}: all tables will be dropped, with {rows}."


async def _downgrade(settings: Settings, target: str) -> str:
    async with open_database(settings) as database:
        before = await _state(database)
        if before[0] is not None:
            await migrator.downgrade(database, target)
        return await _describe_change(database, before)


def _older_revision(revision: str, now: str | None) -> str:
    revisions = [_BASE, *REVISIONS]
    position = revisions.index(now or _BASE) if (now or _BASE) in revisions else len(REVISIONS)
    if revision in revisions[: position + 1]:
        return revision
    steps_back = int(revision[1:]) if revision.startswith("-") and revision[1:].isdigit() else 0
    if 0 < steps_back <= position:
        return revisions[position - steps_back]
    raise ConfigurationError(
        f"{revision!r} is not a revision to return to from {now or _BASE}; "
        f"use one of {', '.join(revisions[: position + 1])}"
    )


async def _state(database: Database) -> tuple[str | None, int]:
    """The revision, and the number of our tables."""

    async def count(connection: AsyncConnection) -> int:
        names = await connection.run_sync(
            lambda sync: inspect(sync).get_table_names(schema=database.schema)
        )
        return len(Base.metadata.tables.keys() & set(names))

    return await migrator.current(database), await database.read(count)


async def _describe_change(database: Database, before: tuple[str | None, int]) -> str:
    revision, tables = await _state(database)
    label = describe_database(database)
    if revision == before[0]:
        return f"{label}: already at {revision or _BASE}"
    text = f"{label}: now at {revision or _BASE}"
    if before[0]:
        text += f", was at {before[0]}"
    if change := tables - before[1]:
        text += f", {'created' if change > 0 else 'dropped'} {plural(abs(change), 'table')}"
    return text


async def _count_rows(connection: AsyncConnection) -> str:
    counts = [
        plural(await connection.scalar(select(func.count()).select_from(model)) or 0, noun)
        for noun, model in (("user", User), ("thread", Thread), ("step", Step))
    ]
    return ", ".join(counts)


async def _count_quarantined(connection: AsyncConnection, schema: str | None) -> str:
    exists = await connection.run_sync(
        lambda sync: inspect(sync).has_table(quarantine.name, schema=schema)
    )
    query = select(func.count()).select_from(quarantine)
    number = await connection.scalar(query) if exists else 0
    return f"{plural(number, 'row')} in {quarantine.name}" if number else ""
