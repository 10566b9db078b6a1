"""Text in a SQLite file that is no UTF-8: shown as far as it can be read, and no byte is lost."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

from tests.adoption.ways import adopt, digests, set_aside, unadopt
from tests.frozen import conversations as said
from tests.frozen.load import Shelf, execute

NAME = "sqlite_v8"
TABLES = ("users", "threads", "steps", "elements", "feedbacks")
STEP, THREAD = said.step_id(1, 1), said.thread_id(1)
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


def texts(url: str, *columns: str) -> dict[str, set[tuple[Any, ...]]]:
    """All rows of Chainlit's tables; texts as the bytes that they are."""
    found = {}
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        connection.text_factory = bytes
        for table in TABLES:
            names = [row[1].decode() for row in connection.execute(f"PRAGMA table_info({table})")]
            names = sorted(name for name in names if not columns or name in columns)
            shown = ", ".join(f'"{name}"' for name in names)
            found[table] = set(connection.execute(f"SELECT {shown} FROM {table}"))
    return found


def one(url: str, query: str) -> tuple[Any, ...]:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        [row] = connection.execute(query).fetchall()
    return tuple(row)


async def test_a_conversation_with_such_a_text_is_kept_and_its_bytes_beside_it(
    frozen: Shelf,
) -> None:
    url = frozen.load(NAME)
    execute(url, LATIN)
    report = await adopt(url)
    assert report.partly == {
        (kind, "a text in it is no UTF-8"): 1 for kind in ("user", "thread", "step")
    }
    query = f"SELECT output, metadata FROM steps WHERE id = '{STEP}'"
    assert one(url, query) == ("Gr��e", '{"a":"�"}')
    # By their identifiers people log in: two of them must not become one.
    owner = 'SELECT identifier, count(*) FROM threads JOIN users ON users.id = "userId"'
    assert one(url, f"{owner} WHERE threads.id = '{THREAD}'") == (r"J\xf6rg", 1)
    kept = """SELECT count(*) FROM chainlit_sqla_quarantine WHERE origin = 'steps' AND
      json_extract("row", '$.output.text_base64') = 'R3L832U='"""
    assert one(url, kept) == (1,)


async def test_the_way_back_gives_every_byte_back(frozen: Shelf) -> None:
    url = frozen.load(NAME)
    execute(url, LATIN + KEYS)
    columns = ("id", "threadId", "name", "output", "userIdentifier", "identifier", "userId")
    before = texts(url, *columns)
    indent = f"SELECT CAST(indent AS BLOB), CAST(metadata AS BLOB) FROM steps WHERE id = '{STEP}'"
    metadata = one(url, indent)
    await adopt(url)
    known, aside = await digests(url), await set_aside(url)
    report = await unadopt(url)
    assert report.exact == {"user": 1, "thread": 1, "step": 1}
    assert texts(url, *columns) == before
    assert one(url, indent) == metadata
    await adopt(url)
    assert await digests(url) == known
    assert await set_aside(url) == aside


async def test_two_people_whose_names_would_read_the_same_stay_two(frozen: Shelf) -> None:
    url = frozen.load(NAME)
    execute(
        url,
        r"""
        INSERT INTO users (id, identifier, metadata, "createdAt") VALUES
          ('broken', CAST(X'61ff' AS TEXT), '{}', '2024-01-01'),
          ('literal', 'a\xff', '{}', '2024-01-01'),
          ('once', CAST(X'62ff' AS TEXT), '{}', '2024-01-01');
        INSERT INTO threads (id, name, "userId", "userIdentifier") VALUES
          ('of broken', 'x', 'broken', CAST(X'61ff' AS TEXT)),
          ('of literal', 'y', 'literal', 'a\xff')
        """,
    )
    before = texts(url, "id", "identifier", "userId", "userIdentifier")
    report = await adopt(url)
    assert report.partly["user", "a text in it is no UTF-8"] == 2
    people = {
        id: one(url, f"SELECT identifier FROM users WHERE id = '{id}'")[0]
        for id in ("broken", "literal", "once")
    }
    assert people["literal"] == r"a\xff"
    assert people["once"] == r"b\xff"
    assert people["broken"].startswith(r"a\xff (")
    for id in ("broken", "literal"):
        owner = f'SELECT "userId", "userIdentifier" FROM threads WHERE id = \'of {id}\''
        assert one(url, owner) == (id, people[id])
    await unadopt(url)
    assert texts(url, "id", "identifier", "userId", "userIdentifier") == before


async def test_a_row_whose_id_is_no_utf8_is_put_aside_with_what_lies_in_it(frozen: Shelf) -> None:
    url = frozen.load(NAME)
    before = (await adopt(frozen.load(NAME))).kept
    execute(url, KEYS)
    report = await adopt(url)
    assert report.kept == before + type(before)({"thread": 1})
    assert {
        ("thread", "its id is no UTF-8"): 1,
        ("step", "its thread's id is no UTF-8"): 1,
        ("step", "its id is no UTF-8"): 1,
        ("step", "its thread is not there"): 1,
    }.items() <= report.aside.items()


async def test_a_text_that_was_changed_since_stays_changed(frozen: Shelf) -> None:
    url = frozen.load(NAME)
    execute(url, LATIN)
    await adopt(url)
    execute(url, f"UPDATE steps SET output = 'Größe' WHERE id = '{STEP}'")
    await unadopt(url)
    query = f"SELECT output, CAST(metadata AS BLOB) FROM steps WHERE id = '{STEP}'"
    assert one(url, query) == ("Größe", b'{"a": "\xfc"}')
    await adopt(url)
    assert one(url, f"SELECT output FROM steps WHERE id = '{STEP}'") == ("Größe",)
