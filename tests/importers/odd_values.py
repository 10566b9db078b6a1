"""Values that not every reader takes: JSON with NaN, long numbers, and text that is no UTF-8."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from decimal import Decimal
from typing import Any

import asyncpg
from chainlit.types import Pagination, ThreadFilter

from chainlit_sqla import SQLADataLayer
from tests.frozen import conversations as said
from tests.frozen.load import execute

STEP, THREAD = said.step_id(1, 1), said.thread_id(1)
REASON = "its JSON has what not every database stores"
NO_OBJECT = "its metadata are no JSON object"
NAN = '{"role": "admin", "a": [NaN, -Infinity], "b": 1e400}'
NAN_READ = {"role": "admin", "a": [None, None], "b": None}
HALF = r'{"half": "\ud83d", "whole": "\ud83d\ude00"}'
HALF_READ = {"half": "�", "whole": "😀"}
HUGE = '{"n": 1e400, "role": "admin"}'
HUGE_READ = {"n": None, "role": "admin"}


def write_json(url: str, text: str) -> None:
    """The metadata of all users and threads, and of a step with its generation."""
    execute(
        url,
        f"UPDATE users SET metadata = '{text}'; UPDATE threads SET metadata = '{text}'; "
        f"UPDATE steps SET metadata = '{text}', generation = '{text}' WHERE id = '{STEP}'",
    )


def typed(url: str, type_: str) -> None:
    """Make all of them columns of a type."""
    for table, name in (
        ("users", "metadata"),
        ("threads", "metadata"),
        ("steps", "metadata"),
        ("steps", "generation"),
    ):
        execute(url, f'ALTER TABLE {table} ALTER "{name}" TYPE {type_} USING "{name}"::{type_}')


async def shown(url: str) -> list[Any]:
    """What Chainlit gets for a user, its thread, alone and in the list, and a step."""
    layer = SQLADataLayer(url)
    try:
        user = await layer.get_user("ada@example.com")
        assert user is not None
        thread = await layer.get_thread(THREAD)
        assert thread is not None
        page = await layer.list_threads(Pagination(first=20), ThreadFilter(userId=user.id))
        [listed] = [one for one in page.data if one["id"] == THREAD]
        [step] = [one for one in thread["steps"] if one["id"] == STEP]
        found = [user.metadata, thread["metadata"], listed["metadata"]]
        return [*found, step["metadata"], step["generation"]]
    finally:
        await layer.close()


CASES = [
    ("sqlite_v8", None, NAN, NAN_READ),
    ("sqlite_v8", None, HALF, HALF_READ),
    ("postgres_text_json", "text", NAN, NAN_READ),
    ("postgres_text_json", "text", HALF, HALF_READ),
    ("postgres_v8", "json", HALF, HALF_READ),
    ("postgres_v8", "json", HUGE, HUGE_READ),
    ("postgres_v8", "jsonb", HUGE, HUGE_READ),
]

DOCUMENT = '{"n": [12345678901234567890123, -0.1234567890123456789012345], "short": 0.1}'
WITHIN = {"n": [Decimal("12345678901234567890123"), Decimal("-0.1234567890123456789012345")]}
EXPECTED = WITHIN | {"short": Decimal("0.1")}


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


def write_numbers(url: str) -> None:
    execute(
        url,
        f"UPDATE steps SET metadata = '{DOCUMENT}' WHERE id = '{STEP}'; "
        f"UPDATE threads SET metadata = '{DOCUMENT}'",
    )


LATIN = f"""
UPDATE steps SET output = CAST(X'4772fcdf65' AS TEXT), indent = CAST(X'fc' AS TEXT),
  metadata = CAST(X'7b2261223a2022fc227d' AS TEXT) WHERE id = '{STEP}';
UPDATE threads SET name = CAST(X'4772fcdf65' AS TEXT), "userIdentifier" = CAST(X'4af67267' AS TEXT)
  WHERE id = '{THREAD}';
UPDATE users SET identifier = CAST(X'4af67267' AS TEXT) WHERE id = '{said.user_id(1)}';
"""
KEYS = """
INSERT INTO threads (id, name) VALUES (CAST(X'fc' AS TEXT), 'broken'), ('good', 'good');
INSERT INTO steps (id, name, type, "threadId", streaming) VALUES
  ('inside', 'n', 'run', CAST(X'fc' AS TEXT), 0), (CAST(X'fc' AS TEXT), 'n', 'run', 'good', 0),
  ('lost', 'n', 'run', CAST(X'fd' AS TEXT), 0);
"""
