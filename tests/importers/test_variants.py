"""Hand-made variants of the tables of Chainlit's SQLAlchemy layer."""

from __future__ import annotations

import pytest

from chainlit_sqla.errors import ImportSourceError
from tests.frozen.load import Shelf, execute
from tests.importers.conftest import Targets, bring

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
