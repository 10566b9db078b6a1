"""Hand-made variants of the tables of Chainlit's SQLAlchemy layer."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import delete, func, select

from chainlit_sqla.errors import ImportSourceError
from chainlit_sqla.models import steps, threads
from chainlit_sqla.settings import Settings
from chainlit_sqla.transfer.importing import Import, open_source
from tests.frozen.load import Shelf, execute
from tests.importers.conftest import Targets, bring, bring_in_two

TABLES = """
CREATE TABLE users (id {id}, identifier TEXT, metadata TEXT, "createdAt" TEXT);
CREATE TABLE threads (id {id}, "createdAt" TEXT, name TEXT, "userId" {id}, "userIdentifier" TEXT);
CREATE TABLE steps (id {id}, "threadId" {id}, type TEXT, output TEXT, "createdAt" TEXT);
CREATE TABLE elements (id {id}, "threadId" {id}, type TEXT, name TEXT);
CREATE TABLE feedbacks (id {id}, "forId" {id}, value INT);
"""


async def test_users_without_a_key_are_compared_also_where_there_are_no_threads(
    frozen: Shelf, targets: Targets
) -> None:
    url, target = frozen.empty("sqlite"), await targets.make("sqlite")
    execute(url, TABLES.format(id="TEXT"))
    execute(url, "INSERT INTO users VALUES ('a', 'ada', '{}', ''), ('b', 'bob', '{}', '')")
    result = await bring("", url, target)
    assert result.comparison is not None
    assert result.comparison.given["user"] == result.comparison.same["user"] == 2


@pytest.mark.parametrize("name", ["sqlite_v8", "postgres_v8", "postgres_prisma"])
async def test_tables_without_elements_and_feedback_are_read(
    frozen: Shelf, targets: Targets, name: str
) -> None:
    url, target = frozen.load(name), await targets.make("sqlite")
    prisma = name == "postgres_prisma"
    names = ('"Element"', '"Feedback"') if prisma else ("elements", "feedbacks")
    for table in names:
        execute(url, f"DROP TABLE {table}")
    result = await bring(name, url, target)
    assert result.comparison is not None
    assert result.comparison.equal
    assert result.comparison.same["step"] > 0
    assert not {"element", "feedback"} & (result.read.keys() | {kind for kind, _ in result.aside})


@pytest.mark.parametrize("table", ["users", "threads", "steps"])
async def test_tables_of_which_one_is_missing_that_is_needed_are_refused_until_it_is_made(
    frozen: Shelf, targets: Targets, table: str
) -> None:
    url, target = frozen.empty("sqlite"), await targets.make("sqlite")
    execute(url, TABLES.format(id="TEXT"))
    made = next(line for line in TABLES.splitlines() if f" {table} " in line)
    execute(url, f"DROP TABLE {table}")
    for layer in (None, "sqlalchemy"):
        with pytest.raises(ImportSourceError, match=f"named {table}.*; correct .*, or make "):
            await bring("", url, target, layer=layer)
    execute(url, made.format(id="TEXT"))
    assert (await bring("", url, target)).rows == 0


async def test_a_column_that_is_needed_is_named(frozen: Shelf, targets: Targets) -> None:
    url, target = frozen.empty("sqlite"), await targets.make("sqlite")
    execute(url, TABLES.format(id="TEXT"))
    execute(url, 'ALTER TABLE threads DROP COLUMN "userId"')
    with pytest.raises(ImportSourceError, match=r"threads has no column userId, .* or add it"):
        await bring("", url, target)


ODD_IDS = [
    pytest.param("", range(98, 102), id="numbers in a column without a type"),
    pytest.param("TEXT", ["A", "a\0b", "aa", "b", "c"], id="NUL"),
    pytest.param("", [7, 80, 8.5, "7", "8", b"a", b"\xff"], id="all types"),
]


def with_ids(url: str, type_: str, ids: Sequence[Any]) -> None:
    """Tables with a thread of two steps for each id."""
    execute(url, TABLES.format(id=type_))
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    for number, id in enumerate(ids):
        connection.execute("INSERT INTO threads (id, name) VALUES (?, ?)", (id, str(number)))
        for name in ("s1", "s2"):
            step = (f"{number} {name}", id, "tool", "done")
            connection.execute(
                'INSERT INTO steps (id, "threadId", type, output) VALUES (?, ?, ?, ?)', step
            )
    connection.commit()
    connection.close()


@pytest.mark.parametrize(("type_", "ids"), ODD_IDS)
async def test_ids_that_are_stored_as_others_are_gone_on_after(
    frozen: Shelf,
    targets: Targets,
    monkeypatch: pytest.MonkeyPatch,
    type_: str,
    ids: Sequence[Any],
) -> None:
    monkeypatch.setattr("chainlit_sqla.transfer.sources.tables.BATCH", 1)
    places = len({str(id) for id in ids})  # Two of the same text are one thread of ours.
    for after in range(3, 3 * len(ids), 3):
        url, target = frozen.empty("sqlite"), await targets.make("sqlite")
        with_ids(url, type_, ids)
        result = await bring_in_two(url, target, after)
        assert result.resumed
        assert result.read == {"thread": len(ids), "step": 2 * len(ids)}
        async with target.snapshot() as connection:
            for table, number in ((threads, places), (steps, 2 * len(ids))):
                assert await connection.scalar(select(func.count()).select_from(table)) == number


@pytest.mark.parametrize(("type_", "ids"), ODD_IDS[:2])
async def test_what_is_missing_of_ids_that_are_stored_as_others_is_told(
    frozen: Shelf, targets: Targets, type_: str, ids: Sequence[Any]
) -> None:
    url, target = frozen.empty("sqlite"), await targets.make("sqlite")
    with_ids(url, type_, ids)
    assert (await bring("", url, target)).rows == 3 * len(ids)
    async with target.write() as connection:
        await connection.execute(delete(steps).where(steps.c.id.endswith("s1")))
    async with open_source(url, Settings.load()) as source:
        result = await Import(source, target, missing=True).compare()
    assert result.comparison is not None
    assert result.comparison.by_kind == {"step": len(ids)}
    assert result.comparison.same == {"thread": len(ids), "step": len(ids)}
    assert result.missing is not None
    assert not result.missing.places
