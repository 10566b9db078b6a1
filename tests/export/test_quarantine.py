"""Quarantined rows and foreign columns survive an export and an import."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from chainlit_sqla._internal.timestamps import parse_instant
from chainlit_sqla.database import Database
from chainlit_sqla.database import migrator as migrations
from chainlit_sqla.models import quarantine
from chainlit_sqla.settings import Settings
from chainlit_sqla.transfer.importing import Import, Result
from chainlit_sqla.transfer.sources import open_source

from .conftest import EVERYWHERE, Exported, Memory
from .story import Story

OTHER = {"sqlite": "postgresql", "postgresql": "sqlite", "mariadb": "postgresql"}
ROWS: list[tuple[str, str, Any]] = [
    ("steps", "odd: ü", {"id": "s", "threadId": "paris-1", "output": "ü🙂", "n": [1.5, None]}),
    ("feedbacks", "its value is neither 0 nor 1", {"id": "f", "forId": "answer", "value": "7"}),
    ("Thread", "it is there twice", {"id": "paris-1", "name": "twice"}),
    ("a.jsonl", "it is not JSON", {"line": "not JSON"}),
]
FOREIGN_COLUMNS = {"users": "mood", "threads": "kind", "steps": "tokens", "feedbacks": "stars"}
"""Columns of another program; one has the name of a member of each line."""

Quarantined = list[tuple[Any, ...]]


@pytest.fixture
def other(request: pytest.FixtureRequest, url: str, tmp_path: Path) -> Any:
    name = OTHER[request.node.callspec.params["url"]]
    there = f"sqlite:///{tmp_path / 'other.db'}"
    return there if name == "sqlite" else request.getfixturevalue("postgres_url")


@pytest.fixture
async def full(database: Database, story: Story) -> Database:
    """A database with quarantined rows and foreign columns."""
    quote = database.engine.dialect.identifier_preparer.quote
    async with database.write() as connection:
        for number, (origin, reason, row) in enumerate(ROWS):
            values = {"id": f"digest {number}", "origin": origin, "reason": reason, "row": row}
            created = parse_instant(f"2026-01-01T00:00:{number:02}.5Z")
            source = "old" if number else "adoption"
            await connection.execute(
                quarantine.insert(), values | {"source": source, "createdAt": created}
            )
        for table, name in FOREIGN_COLUMNS.items():
            column = quote(name)
            await connection.execute(text(f"ALTER TABLE {table} ADD COLUMN {column} VARCHAR(20)"))
            await connection.execute(text(f"UPDATE {table} SET {column} = '{name} of it'"))
    return database


async def quarantined(database: Database) -> Quarantined:
    """The rows of the quarantine with their origin and time."""
    async with database.connect() as connection:
        rows = (await connection.execute(select(quarantine))).all()
    return sorted(
        (r.id, r.origin, r.reason, json.dumps(r.row, sort_keys=True), r.source, r.createdAt)
        for r in rows
    )


async def imported(given: str, target: Database) -> Result:
    async with open_source(given, target.settings, target=target) as source:
        return await Import(source, target).run()


async def open_target(url: str) -> Database:
    database = Database(url, settings=Settings.load())
    await migrations.upgrade(database)
    return database


def save(memory: Memory, folder: Path) -> str:
    path = folder / "chats.jsonl"
    path.write_text(memory.text, encoding="utf-8")
    return str(path)


@EVERYWHERE
async def test_an_import_of_the_file_equals_a_direct_import(
    exported: Exported, full: Database, other: str, tmp_path: Path
) -> None:
    path = save(await exported("jsonl"), tmp_path)
    target, direct = (
        await open_target(other),
        await open_target(f"sqlite:///{tmp_path / 'direct.db'}"),
    )
    result = await imported(path, target)
    same = await imported(full.given_url.render_as_string(hide_password=False), direct)
    found, before = await quarantined(target), await quarantined(full)
    # Two users, three threads and two feedbacks have a value in a column that is not ours.
    kept = [row for row in found if row[0].startswith("digest")]
    assert [row[:4] for row in kept] == [row[:4] for row in before]
    assert [row[4] for row in kept] == [f"{path} (adoption)", *(row[4] for row in before[1:])]
    assert [row[5] for row in kept] == [row[5] for row in before]
    assert len(found) == len(before) + 7
    assert [row[:4] for row in found] == [row[:4] for row in await quarantined(direct)]
    assert result.quarantined.total() == same.quarantined.total() + same.partly_quarantined.total()
    assert result.comparison.equal
    await imported(path, target)
    assert await quarantined(target) == found, "a second run brought something twice"
    await target.close()
    await direct.close()


async def test_a_selection_has_unknown_columns_and_no_other_quarantined_rows(
    exported: Exported, full: Database, story: Story
) -> None:
    memory = await exported("jsonl", threads=[story.paris])
    rows = [line for line in memory.lines if line["kind"] == "quarantined"]
    assert [(line["origin"], line["row"]) for line in rows] == [
        ("users", {"id": story.alice.id, "mood": "mood of it"}),
        ("threads", {"id": story.paris, "kind": "kind of it"}),
        ("feedbacks", {"threadId": story.paris, "forId": "run", "stars": "stars of it"}),
    ]
    assert memory.lines[-1]["counts"]["quarantined"] == len(rows)
    # Steps have a place for them.
    extras = [line["extra"] for line in memory.lines if line["kind"] == "step"]
    assert extras == [{"tokens": "tokens of it"}] * len(extras)


async def test_a_damaged_or_unknown_line_is_kept_and_a_lost_one_reported(
    exported: Exported, full: Database, other: str, tmp_path: Path
) -> None:
    memory = await exported("jsonl")
    whole = memory.text
    target = await open_target(other)
    *lines, last = whole.replace('"origin":"Thread",', "").splitlines()
    end = json.loads(last)
    end["counts"]["reaction"] = 1
    news = '{"kind":"reaction","threadId":"paris-1","emoji":"🙂"}'
    memory.text = "\n".join([*lines, news, json.dumps(end), ""])
    result = await imported(save(memory, tmp_path), target)
    assert result.read["line"] == 2
    assert result.read["quarantined"] == len(ROWS) - 1 + 7
    assert json.dumps({"line": news + "\n"}) in [row[3] for row in await quarantined(target)]
    kept = [line for line in whole.splitlines() if '"origin":"Thread"' not in line]
    memory.text = "\n".join([*kept, ""])
    with pytest.raises(Exception, match=r"lines of the \d+ that were written"):
        await imported(save(memory, tmp_path), target)
    await target.close()
