"""Hand-made variants of the tables of Chainlit's SQLAlchemy layer."""

from __future__ import annotations

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
