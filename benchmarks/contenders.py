"""The layers that are compared, each with the tables that it needs.

| name | what it is |
|---|---|
| chainlit-sqla | this package with its defaults, on tables made by its migrations |
| before | the same from another checkout (`--before PATH`) |
| chainlit sqlalchemy | Chainlit's `SQLAlchemyDataLayer` on its documented tables, with indexes |
| chainlit asyncpg | Chainlit's `ChainlitDataLayer` on the tables of its Prisma schema |
| driver | the driver alone on our tables: the least that a database must do for these rows |
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

OURS, BEFORE, DRIVER = "chainlit-sqla", "before", "driver"
SQLALCHEMY, ASYNCPG = "chainlit sqlalchemy", "chainlit asyncpg"
CONTENDERS = {
    "postgresql": (OURS, SQLALCHEMY, ASYNCPG, DRIVER),
    "sqlite": (OURS, SQLALCHEMY, DRIVER),
}

# Chainlit documents none; without them its layer reads whole tables.
_SQLALCHEMY_INDEXES = (
    'CREATE INDEX bench_threads_user ON threads ("userId")',
    'CREATE INDEX bench_steps_thread ON steps ("threadId", "createdAt")',
    'CREATE INDEX bench_steps_parent ON steps ("parentId")',
    'CREATE INDEX bench_elements_thread ON elements ("threadId")',
    'CREATE INDEX bench_elements_step ON elements ("forId")',
    'CREATE INDEX bench_feedbacks_step ON feedbacks ("forId")',
)
# The indexes that its queries use, of those in chainlit-datalayer's Prisma schema.
_PRISMA_INDEXES = (
    'CREATE INDEX ON "Thread" ("userId", "updatedAt")',
    'CREATE INDEX ON "Step" ("threadId", "startTime")',
    'CREATE INDEX ON "Step" ("parentId")',
    'CREATE INDEX ON "Element" ("threadId")',
    'CREATE INDEX ON "Element" ("stepId")',
    'CREATE INDEX ON "Feedback" ("stepId")',
)


@dataclass(frozen=True, slots=True)
class Target:
    """The database of one contender.

    Args:
        database: ``postgresql`` or ``sqlite``.
        url: ``postgresql://…`` or ``sqlite:////folder/chats.db``.
        folder: For its files.
        checkout: The root that ``chainlit_sqla`` is imported from; None: this one.
    """

    database: str
    url: str
    folder: str
    checkout: str | None = None


def create_tables(name: str, target: Target) -> None:
    """Create the tables of a contender in an empty database.

    Args:
        name: The contender.
        target: Its database.
    """
    # The process of another checkout cannot import what belongs to this one.
    from tests.frozen.catalog import CATALOG

    if name == SQLALCHEMY:
        tables = CATALOG["sqlite_v8" if target.database == "sqlite" else "postgres_v8"]
        _execute(target, [*tables.statements, *_SQLALCHEMY_INDEXES])
    elif name == ASYNCPG:
        _execute(target, [*CATALOG["postgres_prisma"].statements, *_PRISMA_INDEXES])
    else:
        root = target.checkout or str(Path(__file__).parents[1])
        environment = os.environ | {"PYTHONPATH": root, "DATABASE_URL": target.url}
        command = [sys.executable, "-m", "chainlit_sqla", "upgrade"]
        subprocess.run(
            command, env=environment, cwd=target.folder, check=True, stdout=subprocess.DEVNULL
        )


def _folder_client(target: Target) -> Any:
    from tests.official.backends import FolderClient

    return FolderClient(Path(target.folder) / "files")


def open_layer(name: str, target: Target) -> Any:
    """Make the layer of a contender.

    Args:
        name: The contender.
        target: Its database.
    """
    if name == SQLALCHEMY:
        from chainlit.data.sql_alchemy import SQLAlchemyDataLayer

        driver = {"postgresql": "postgresql+asyncpg", "sqlite": "sqlite+aiosqlite"}
        url = target.url.replace(target.database, driver[target.database], 1)
        return SQLAlchemyDataLayer(url, storage_provider=_folder_client(target))
    if name == ASYNCPG:
        from chainlit.data.chainlit_data_layer import ChainlitDataLayer

        return ChainlitDataLayer(target.url, storage_client=_folder_client(target))
    if name == DRIVER:
        if target.database == "sqlite":
            from .limits.sqlite import SqliteLimit

            return SqliteLimit(Path(target.url.removeprefix("sqlite:///")))
        from .limits.postgresql import PostgresLimit

        return PostgresLimit(target.url)
    from chainlit_sqla import SQLADataLayer

    return SQLADataLayer(target.url)


def _execute(target: Target, statements: Sequence[str]) -> None:
    if target.database == "sqlite":
        connection = sqlite3.connect(target.url.removeprefix("sqlite:///"))
        connection.executescript(";".join(statements))
        connection.close()
        return

    async def run() -> None:
        connection = await asyncpg.connect(target.url)
        try:
            await connection.execute(";".join(statements))
        finally:
            await connection.close()

    asyncio.run(run())
