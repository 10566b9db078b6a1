"""Fills databases with conversations, as fast as they take them: COPY, and long transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING

import asyncpg

from .history import STEPS, Talk, users
from .shapes import Row, Shape, shape_of

if TYPE_CHECKING:
    from .context import Field

_AT_ONCE = 40_000
"""Steps that are made and sent together; they are in memory."""


async def fill_postgres(url: str, shape: Shape, talks: Iterable[Talk]) -> None:
    """Add conversations to a PostgreSQL database, whose users must be there.

    Args:
        url: The database.
        shape: Its tables.
        talks: What is added.
    """
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SET synchronous_commit = off")  # Filling is not measured.
        for portion in _portions(talks):
            async with connection.transaction():
                for table, rows in shape.rows(portion).items():
                    await _copy(connection, shape, table, rows)
    finally:
        await connection.close()


def fill_sqlite(url: str, shape: Shape, talks: Iterable[Talk]) -> None:
    """Add conversations to a SQLite file, whose users must be there; see `fill_postgres`."""
    with closing(_open(url)) as connection:
        for portion in _portions(talks):
            with connection:
                for table, rows in shape.rows(portion).items():
                    connection.executemany(_insert(shape, table), rows)


async def add_users_postgres(url: str, shape: Shape, numbers: Iterable[int]) -> None:
    """Add users to a PostgreSQL database."""
    connection = await asyncpg.connect(url)
    try:
        await _copy(connection, shape, shape.tables[0], shape.users(numbers))
    finally:
        await connection.close()


def add_users_sqlite(url: str, shape: Shape, numbers: Iterable[int]) -> None:
    """Add users to a SQLite file."""
    with closing(_open(url)) as connection, connection:
        connection.executemany(_insert(shape, shape.tables[0]), shape.users(numbers))


async def settle_postgres(url: str) -> None:
    """Bring statistics and visibility up to date, as autovacuum does in time."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


def settle_sqlite(url: str) -> None:
    """Bring statistics up to date and empty the log."""
    with closing(_open(url)) as connection:
        connection.execute("ANALYZE")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


class History:
    """The history in one database; it only grows.

    Args:
        url: ``postgresql://…``, or ``sqlite:///`` and the path of a file.
        shape: Its tables, which are there and empty.

    Example:
        >>> history = History(url, ours(sqlite=False))
        >>> await history.grow(10_000)
        >>> await history.grow(100_000)
    """

    def __init__(self, url: str, shape: Shape) -> None:
        self.url = url
        self.shape = shape
        self.talks = 0
        self._users = 0

    async def grow(self, steps: int) -> None:
        """Fill it up to so many steps, and wait until the database is at rest."""
        wanted = steps // STEPS
        if wanted <= self.talks:
            return
        known = users(wanted)
        await self.add(map(Talk, range(self.talks, wanted)), known[self._users :])
        self.talks, self._users = wanted, len(known)

    async def add(self, talks: Iterable[Talk], new_users: Sequence[int] = ()) -> None:
        """Add conversations of users that are there, or are given."""
        if self.url.startswith("postgresql:"):
            await add_users_postgres(self.url, self.shape, new_users)
            await fill_postgres(self.url, self.shape, talks)
            await settle_postgres(self.url)
        else:
            add_users_sqlite(self.url, self.shape, new_users)
            fill_sqlite(self.url, self.shape, talks)
            settle_sqlite(self.url)


class Histories:
    """The same history in the database of each contender.

    Args:
        field: The contenders.
    """

    def __init__(self, field: Field) -> None:
        self._field = field
        self._histories = [
            History(runner.place.url, shape_of(name, field.kind))
            for name, runner in field.runners.items()
        ]

    async def grow(self, steps: int) -> None:
        """See `History.grow`."""
        progress = self._field.context.progress
        title = f"filling {self._field.kind}: {steps:,} steps"
        for history in progress.track(self._histories, description=title):
            await history.grow(steps)


async def fill(field: Field, talks: Sequence[Talk]) -> None:
    """Put the same conversations into the database of each contender."""
    numbers = users(max(talk.number for talk in talks) + 1)
    for name, runner in field.runners.items():
        await History(runner.place.url, shape_of(name, field.kind)).add(talks, numbers)


async def _copy(
    connection: asyncpg.Connection, shape: Shape, table: str, rows: Sequence[Row]
) -> None:
    if rows:
        columns = shape.columns[table]
        await connection.copy_records_to_table(table, records=rows, columns=columns)


def _insert(shape: Shape, table: str) -> str:
    columns = shape.columns[table]
    names = ", ".join(f'"{name}"' for name in columns)
    return f'INSERT INTO "{table}" ({names}) VALUES ({", ".join("?" * len(columns))})'


def _open(url: str) -> sqlite3.Connection:
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    connection.execute("PRAGMA synchronous = OFF")  # Filling is not measured.
    connection.execute("PRAGMA cache_size = -500000")  # KiB: ids come in no order.
    connection.create_function("chainlit_sqla_fold", 1, _fold, deterministic=True)
    return connection


def _fold(value: str | None) -> str | None:
    """What our own connections have; a trigger may call it."""
    return None if value is None else value.casefold()


def _portions(talks: Iterable[Talk]) -> Iterator[list[Talk]]:
    source = iter(talks)
    while first := next(source, None):
        yield [first, *islice(source, max(_AT_ONCE // first.steps - 1, 0))]
