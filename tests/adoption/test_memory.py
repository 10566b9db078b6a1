"""However long messages are, adopting and the way back hold a few of them."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from tests.frozen.load import Shelf, execute
from tests.importers.bulk import fill_postgres, fill_sqlite, run

STEPS = 125
BOUND = 170
"""Megabytes, of which a process has about 80 before it reads anything; the messages have 125."""
LONG = {
    "sqlite": "replace(hex(zeroblob(500000)), '0', 'x')",
    "postgresql": "repeat('x', 1000000)",
}


def fill(url: str, dialect: str) -> None:
    """Fill tables of Chainlit's layer with long messages."""
    fill_sqlite(url, STEPS) if dialect == "sqlite" else asyncio.run(fill_postgres(url, STEPS))
    execute(url, f"UPDATE steps SET output = {LONG[dialect]}")


@pytest.mark.parametrize("dialect", LONG)
@pytest.mark.parametrize("threads", ["many", "one"])
def test_of_long_messages(frozen: Shelf, dialect: str, threads: str) -> None:
    url = frozen.empty(dialect)
    fill(url, dialect)
    if threads == "one":
        execute(url, 'UPDATE steps SET "threadId" = (SELECT id FROM threads ORDER BY id LIMIT 1)')
    for command in ("adopt", "unadopt"):
        assert run(command, "--yes", "--url", url).peak < BOUND, command


@pytest.mark.parametrize("dialect", LONG)
def test_of_long_messages_that_belong_to_nothing(frozen: Shelf, dialect: str) -> None:
    url = frozen.empty(dialect)
    fill(url, dialect)
    missing = str(uuid.UUID(int=0))
    dangling = f"UPDATE steps SET \"threadId\" = '{missing}'"
    if dialect == "postgresql":
        dangling = f"SET session_replication_role = replica; {dangling}"
    execute(url, dangling)
    for command in ("adopt", "unadopt", "adopt"):
        assert run(command, "--yes", "--url", url).peak < BOUND, command


def test_of_one_thread_that_is_imported(frozen: Shelf) -> None:
    url, target = frozen.empty("sqlite"), frozen.empty("sqlite")
    fill(url, "sqlite")
    execute(url, 'UPDATE steps SET "threadId" = (SELECT id FROM threads ORDER BY id LIMIT 1)')
    assert run("upgrade", "--url", target).peak < BOUND
    assert run("import", "--from", url, "--url", target).peak < BOUND
