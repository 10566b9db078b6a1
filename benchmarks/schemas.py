"""Makes the tables of the contenders; Chainlit's layers make none themselves."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence

import asyncpg

from chainlit_sqla.database import Database
from chainlit_sqla.database import migrator as migrations
from tests.official.schema import prisma_tables, sqlalchemy_tables

# Chainlit's documentation gives none.
_DOCUMENTED_INDEXES = (
    'CREATE INDEX bench_threads_user ON threads ("userId")',
    'CREATE INDEX bench_steps_thread ON steps ("threadId", "createdAt")',
    'CREATE INDEX bench_steps_parent ON steps ("parentId")',
    'CREATE INDEX bench_elements_thread ON elements ("threadId")',
    'CREATE INDEX bench_elements_step ON elements ("forId")',
    'CREATE INDEX bench_feedbacks_thread ON feedbacks ("threadId")',
    'CREATE INDEX bench_feedbacks_step ON feedbacks ("forId")',
)
# What chainlit-datalayer's migrations make (Chainlit/chainlit-datalayer, prisma/schema.prisma).
_PRISMA_INDEXES = tuple(
    f'CREATE INDEX ON "{table}" ({columns})'
    for table, columns in (
        ("Element", '"stepId"'),
        ("Element", '"threadId"'),
        ("User", "identifier"),
        ("Feedback", '"createdAt"'),
        ("Feedback", "name"),
        ("Feedback", '"stepId"'),
        ("Feedback", "value"),
        ("Feedback", "name, value"),
        ("Step", '"createdAt"'),
        ("Step", '"endTime"'),
        ("Step", '"parentId"'),
        ("Step", '"startTime"'),
        ("Step", '"threadId"'),
        ("Step", "type"),
        ("Step", "name"),
        ("Step", '"threadId", "startTime", "endTime"'),
        ("Thread", '"createdAt"'),
        ("Thread", "name"),
    )
)
_SENSIBLE_INDEXES = (
    'CREATE INDEX ON "Thread" ("userId", "updatedAt")',
    'CREATE INDEX ON "Thread" ("updatedAt")',
    'CREATE INDEX ON "Step" ("threadId", "startTime")',
    'CREATE INDEX ON "Step" ("parentId")',
    'CREATE INDEX ON "Element" ("threadId")',
    'CREATE INDEX ON "Element" ("stepId")',
    'CREATE INDEX ON "Feedback" ("stepId")',
)


def ours(database: str, url: str) -> None:
    """Run our migrations."""

    async def upgrade() -> None:
        place = Database(url)
        try:
            await migrations.upgrade(place)
        finally:
            await place.close()

    asyncio.run(upgrade())


def documented(database: str, url: str) -> None:
    """Make the tables that Chainlit documents for its SQLAlchemy layer."""
    _execute(database, url, sqlalchemy_tables(sqlite=database == "sqlite"))


def documented_indexed(database: str, url: str) -> None:
    """The same with an index for each column that a query looks for, and WAL on SQLite."""
    documented(database, url)
    _execute(database, url, _DOCUMENTED_INDEXES)
    if database == "sqlite":
        _execute(database, url, ["PRAGMA journal_mode = WAL"])  # The file keeps it.


def prisma(database: str, url: str) -> None:
    """Make tables of the shape of the asyncpg layer's Prisma schema, with its indexes."""
    _execute(database, url, [*prisma_tables(), *_PRISMA_INDEXES])


def prisma_indexed(database: str, url: str) -> None:
    """The same tables with the indexes that the layer's queries use, and no others."""
    _execute(database, url, [*prisma_tables(), *_SENSIBLE_INDEXES])


def _execute(database: str, url: str, statements: Sequence[str]) -> None:
    if database == "sqlite":
        connection = sqlite3.connect(url.removeprefix("sqlite:///"))
        try:
            connection.executescript(";".join(statements))
        finally:
            connection.close()
        return

    async def run() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(";".join(statements))
        finally:
            await connection.close()

    asyncio.run(run())
