"""What the commands about the schema do; nothing here prints."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sqlalchemy import func, inspect, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ..database import Database
from ..database import migrator as migrations
from ..database.revision import HEAD, REVISIONS, revision_mismatch
from ..errors import ConfigurationError, SchemaOutdated
from ..models import Base, Step, Thread, User, quarantine
from ..settings import Settings
from .options import auto_upgrades, describe_database, open_database

_BASE = "base"


@dataclass(frozen=True, slots=True)
class State:
    """Where a database stands."""

    label: str
    revision: str | None
    automatic: bool
    """Whether the data layer upgrades it without being told to."""
    occupied: str = ""
    """What is to be said of tables that are not ours."""

    @property
    def up_to_date(self) -> bool:
        """Whether this release can work with it as it is."""
        return self.revision == HEAD

    def __str__(self) -> str:
        if self.up_to_date:
            return f"{self.label}: at {HEAD}, up to date"
        if self.occupied:
            return f"{self.label} {self.occupied}"
        mismatch = revision_mismatch(self.label, self.revision)
        if self.automatic and isinstance(mismatch, SchemaOutdated):
            return f"{mismatch} (or start the app: the data layer upgrades this database)"
        return str(mismatch)


@dataclass(frozen=True, slots=True)
class Change:
    """What a migration did."""

    label: str
    before: str | None
    after: str | None
    tables: int
    """Tables made, or dropped where negative."""

    def __str__(self) -> str:
        if self.before == self.after:
            return f"{self.label}: already at {self.after or _BASE}"
        text = f"{self.label}: now at {self.after or _BASE}"
        if self.before:
            text += f", was at {self.before}"
        if self.tables:
            verb = "made" if self.tables > 0 else "dropped"
            text += f", {verb} {_count(abs(self.tables), 'table')}"
        return text


async def state(settings: Settings) -> State:
    """Ask a database for its revision."""
    async with open_database(settings) as database:
        automatic = auto_upgrades(database)
        revision = await migrations.current(database)
        foreign = "" if revision else await migrations.foreign_tables_message(database)
        return State(describe_database(database), revision, automatic, foreign)


async def upgrade(settings: Settings, revision: str = "head") -> Change:
    """Upgrade, and say what that did."""
    async with open_database(settings) as database:
        before, tables = await _snapshot(database)
        await migrations.upgrade(database, revision)
        return await _change(database, before, tables)


async def plan_downgrade(settings: Settings, revision: str) -> tuple[str, str]:
    """Find the revision that a downgrade goes to, and what it costs.

    Args:
        settings: Names the database.
        revision: A revision, ``-1``, or ``base``.

    Returns:
        The revision in full, and a sentence about the loss, empty where nothing is lost.

    Raises:
        ConfigurationError: There is no such older revision.
    """
    async with open_database(settings) as database:
        at = await migrations.current(database)
        target = _older(revision, at)
        if at is None or target == at:
            return target, ""
        aside = await database.read(_count_aside(database))
        if target != _BASE:
            loss = f"{describe_database(database)}: what {target} cannot hold will be lost"
            kept = f", except for {aside}: kept for the next upgrade" if aside else ""
            return target, f"{loss}{kept}."
        rows = await database.read(_count_rows)
        rows += f", {aside}" if aside else ""
        return target, f"{describe_database(database)}: all tables will be dropped, with {rows}."


async def downgrade(settings: Settings, target: str) -> Change:
    """Downgrade, and say what that did."""
    async with open_database(settings) as database:
        before, tables = await _snapshot(database)
        if before is not None:
            await migrations.downgrade(database, target)
        return await _change(database, before, tables)


def _older(revision: str, at: str | None) -> str:
    steps = [_BASE, *REVISIONS]
    here = steps.index(at or _BASE) if (at or _BASE) in steps else len(steps) - 1
    if revision in steps[: here + 1]:
        return revision
    if revision.startswith("-") and revision[1:].isdigit() and int(revision[1:]) <= here:
        return steps[here - int(revision[1:])]
    raise ConfigurationError(
        f"{revision!r} is no revision to go back to from {at or _BASE}; "
        f"use one of {', '.join(steps[: here + 1])}"
    )


async def _snapshot(database: Database) -> tuple[str | None, int]:
    return await migrations.current(database), await database.read(_tables_of(database))


async def _change(database: Database, before: str | None, tables: int) -> Change:
    after, now = await _snapshot(database)
    return Change(describe_database(database), before, after, now - tables)


def _tables_of(database: Database) -> Callable[[AsyncConnection], Awaitable[int]]:
    ours = set(Base.metadata.tables)

    async def count(connection: AsyncConnection) -> int:
        names = await connection.run_sync(
            lambda sync: inspect(sync).get_table_names(schema=database.schema)
        )
        return len(ours & set(names))

    return count


async def _count_rows(connection: AsyncConnection) -> str:
    counts = {
        noun: await connection.scalar(select(func.count()).select_from(model)) or 0
        for noun, model in (("user", User), ("thread", Thread), ("step", Step))
    }
    return ", ".join(_count(number, noun) for noun, number in counts.items())


def _count_aside(database: Database) -> Callable[[AsyncConnection], Awaitable[str]]:
    async def count(connection: AsyncConnection) -> str:
        there = await connection.run_sync(
            lambda sync: inspect(sync).has_table(quarantine.name, schema=database.schema)
        )
        query = select(func.count()).select_from(quarantine)
        number = await connection.scalar(query) if there else 0
        return f"{_count(number, 'row')} in {quarantine.name}" if number else ""

    return count


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
