"""Numbers in documents that double precision would round keep all their digits."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from tests.adoption.ways import adopt, unadopt
from tests.frozen import conversations as said
from tests.frozen.load import Shelf, execute

DOCUMENT = '{"n": [12345678901234567890123, -0.1234567890123456789012345], "short": 0.1}'
WITHIN = {"n": [Decimal("12345678901234567890123"), Decimal("-0.1234567890123456789012345")]}
EXPECTED = WITHIN | {"short": Decimal("0.1")}
STEP = said.step_id(1, 1)


async def documents(url: str) -> list[Any]:
    """The metadata of a step and of its thread, as they are stored."""
    exactly: Any = lambda text: json.loads(text, parse_float=Decimal, parse_int=Decimal)  # noqa: E731
    return [exactly(one) for one in (await stored(url))[:2]]


async def stored(url: str) -> list[Any]:
    """The text of the metadata of a step, its thread and its user, and of its generation."""
    query = (
        "SELECT CAST(s.metadata AS TEXT), CAST(t.metadata AS TEXT), CAST(u.metadata AS TEXT), "
        "CAST(s.generation AS TEXT) FROM steps s "
        """JOIN threads t ON t.id = s."threadId" JOIN users u ON u.id = t."userId" """
        f"WHERE s.id = '{STEP}'"
    )
    if url.startswith("sqlite:///"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database:
            [row] = database.execute(query).fetchall()
    else:
        connection = await asyncpg.connect(url)
        row = await connection.fetchrow(query)
        await connection.close()
    return list(row)


def write(url: str) -> None:
    execute(
        url,
        f"UPDATE steps SET metadata = '{DOCUMENT}' WHERE id = '{STEP}'; "
        f"UPDATE threads SET metadata = '{DOCUMENT}'",
    )


@pytest.mark.parametrize("name", ["postgres_v8", "postgres_text_json", "sqlite_v8"])
async def test_there_and_back_no_digit_is_lost(frozen: Shelf, name: str) -> None:
    url = frozen.load(name)
    write(url)
    await adopt(url)
    assert await documents(url) == [EXPECTED, EXPECTED]
    await unadopt(url)
    assert await documents(url) == [EXPECTED, EXPECTED]
