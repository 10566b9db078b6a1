"""What has no place in our tables goes into a file of records, and comes back from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from chainlit_sqla._internal.timestamps import parse_instant
from chainlit_sqla.database import Database
from chainlit_sqla.database import migrator as migrations
from chainlit_sqla.models import quarantine, steps
from chainlit_sqla.settings import Settings
from chainlit_sqla.transfer.importing import Import, Result
from chainlit_sqla.transfer.record_file import Header
from chainlit_sqla.transfer.sources import open_source

from .conftest import EVERYWHERE, Exported
from .place import Memory
from .story import Story

OTHER = {"sqlite": "postgresql", "postgresql": "sqlite", "mariadb": "postgresql", "mysql": "sqlite"}
OTHERS = "a thread with its id belongs to another user in the target"
PARIS: list[tuple[str, str, Any]] = [
    ("steps", "odd: ü", {"id": "s", "threadId": "paris-1", "output": "ü🙂", "n": [1.5, None]}),
    ("feedbacks", "its value is neither 0 nor 1", {"id": "f", "forId": "answer", "value": "7"}),
    ("Thread", "it is there twice", {"id": "paris-1", "name": "twice"}),
    ("users", "it is there twice", {"id": "second", "identifier": "alice@example.org"}),
    ("a.jsonl", "its page", {"line": '{"kind":"element","threadId":"paris-1","page":true}'}),
]
"""Rows of alice and of her conversation."""
ELSEWHERE: list[tuple[str, str, Any]] = [
    ("steps", "odd", {"id": "s", "threadId": "Rome/../1", "output": "bob's"}),
    ("steps", "its thread is not there", {"id": "lost", "threadId": "gone"}),
    ("users", "it is there twice", {"id": "third", "identifier": "bob"}),
    ("a.jsonl", "it is not JSON", {"line": "not JSON"}),
    ("steps", OTHERS, {"id": "secret", "threadId": "paris-1", "output": "somebody else's"}),
]
STRANGERS = {"users": "mood", "threads": "kind", "feedbacks": "stars"}
"""Columns of somebody else; one is named as a member of each line."""

Aside = list[tuple[Any, ...]]


@pytest.fixture
def other(request: pytest.FixtureRequest, url: str, tmp_path: Path) -> Any:
    """The URL of an empty database of another kind."""
    name = OTHER[request.node.callspec.params["url"]]
    there = f"sqlite:///{tmp_path / 'other.db'}"
    return there if name == "sqlite" else request.getfixturevalue("postgres_url")


@pytest.fixture
async def full(database: Database, story: Story) -> Database:
    """A database that has put rows aside, and has columns that are not ours."""
    quote = _quoted(database)
    async with database.write() as connection:
        for number, (origin, reason, row) in enumerate((*PARIS, *ELSEWHERE)):
            values = {"id": f"digest {number}", "origin": origin, "reason": reason, "row": row}
            created = parse_instant(f"2026-01-01T00:00:{number:02}.5Z")
            await connection.execute(
                quarantine.insert(), values | {"source": "old", "createdAt": created}
            )
        for table, name in STRANGERS.items():
            column = quote(name)
            await connection.execute(text(f"ALTER TABLE {table} ADD COLUMN {column} VARCHAR(20)"))
            await connection.execute(text(f"UPDATE {table} SET {column} = '{name} of it'"))
    return database


def _quoted(database: Database) -> Any:
    return database.engine.dialect.identifier_preparer.quote


async def aside(database: Database) -> Aside:
    """All that is put aside, also when and where from."""
    async with database.connect() as connection:
        rows = (await connection.execute(select(quarantine))).all()
    return sorted(
        (r.id, r.origin, r.reason, json.dumps(r.row, sort_keys=True), r.source, r.createdAt)
        for r in rows
    )


async def brought(given: str, target: Database) -> Result:
    async with open_source(given, target.settings, target=target) as source:
        return await Import(source, target).run()


async def opened(url: str) -> Database:
    database = Database(url, settings=Settings.load())
    await migrations.upgrade(database)
    return database


def saved(memory: Memory, folder: Path) -> str:
    path = folder / "chats.jsonl"
    path.write_bytes(memory.files[""])
    return str(path)


@EVERYWHERE
async def test_it_comes_back_on_another_database_as_a_direct_import_brings_it(
    exported: Exported, full: Database, other: str, tmp_path: Path
) -> None:
    path = saved(await exported("jsonl"), tmp_path)
    target, direct = await opened(other), await opened(f"sqlite:///{tmp_path / 'direct.db'}")
    result = await brought(path, target)
    same = await brought(full.given_url.render_as_string(hide_password=False), direct)
    found, before = await aside(target), await aside(full)
    # Two users, three threads and two feedbacks have a value in a column that is not ours.
    assert [row for row in found if row[0].startswith("digest")] == before
    assert len(found) == len(before) + 7
    assert [row[:4] for row in found] == [row[:4] for row in await aside(direct)]
    assert (result.read, result.quarantined, result.partly_quarantined) == (
        same.read,
        same.quarantined,
        same.partly_quarantined,
    )
    assert result.comparison is not None
    assert result.comparison.equal
    await brought(path, target)
    assert await aside(target) == found, "a second run brought something twice"
    await target.close()
    await direct.close()


@EVERYWHERE
async def test_a_selection_has_that_of_its_conversations_and_their_owners(
    exported: Exported, full: Database, story: Story
) -> None:
    lines = (await exported("jsonl", threads=[story.paris])).lines
    quarantined = [line for line in lines if line["kind"] == "quarantined"]
    unplaced = [line for line in lines if line["kind"] == "unplaced"]
    assert [(one["origin"], one["reason"], one["row"]) for one in quarantined] == PARIS
    assert [(one["of"], one["row"]) for one in unplaced] == [
        ("user", {"id": story.alice.id, "mood": "mood of it"}),
        ("thread", {"id": story.paris, "kind": "kind of it"}),
        ("feedback", {"threadId": story.paris, "forId": "run", "stars": "stars of it"}),
    ]
    assert lines[-1]["counts"]["quarantined"] == len(PARIS)


async def test_what_an_adoption_put_aside_is_not_taken_for_one_of_the_database_it_comes_to(
    exported: Exported, full: Database, other: str, tmp_path: Path
) -> None:
    async with full.write() as connection:
        await connection.execute(
            quarantine.update().where(quarantine.c.id == "digest 0").values(source="adoption")
        )
    path = saved(await exported("jsonl"), tmp_path)
    target, direct = await opened(other), await opened(f"sqlite:///{tmp_path / 'direct.db'}")
    url = full.given_url.render_as_string(hide_password=False)
    for database, given, title in ((target, path, path), (direct, url, full.label)):
        await brought(given, database)
        [row] = [row for row in await aside(database) if row[0] == "digest 0"]
        assert row[4] == f"{title} (adoption)"
        await database.close()


async def test_a_line_of_another_release_is_kept_as_it_is(
    exported: Exported, story: Story, other: str, tmp_path: Path
) -> None:
    memory = await exported("jsonl")
    first, *lines, last = memory.text.splitlines()
    assert Header.parse(first).release == "9.9"
    end = json.loads(last)
    end["counts"]["reaction"] = 1
    news = '{"kind":"reaction","threadId":"paris-1","emoji":"🙂"}'
    memory.files[""] = "\n".join([first, *lines, news, json.dumps(end), ""]).encode()
    target = await opened(other)
    result = await brought(saved(memory, tmp_path), target)
    assert result.read["line"] == 1
    assert [json.loads(row[3]) for row in await aside(target)] == [{"line": news + "\n"}]
    await target.close()


async def test_a_damaged_line_is_kept_as_it_is_and_a_lost_one_is_missed(
    exported: Exported, full: Database, other: str, tmp_path: Path
) -> None:
    memory = await exported("jsonl")
    whole = memory.text
    target = await opened(other)
    memory.files[""] = whole.replace('"origin":"Thread",', "").encode()
    result = await brought(saved(memory, tmp_path), target)
    assert result.read["line"] == 1
    assert result.read["quarantined"] == len(PARIS) + len(ELSEWHERE) - 1
    kept = [line for line in whole.splitlines() if '"origin":"Thread"' not in line]
    memory.files[""] = "\n".join([*kept, ""]).encode()
    with pytest.raises(Exception, match=r"lost lines.*quarantined: \+1"):
        await brought(saved(memory, tmp_path), target)
    await target.close()


async def test_steps_and_elements_keep_it_in_their_extra(
    exported: Exported, full: Database, other: str, tmp_path: Path
) -> None:
    column = _quoted(full)("tokens")
    async with full.write() as connection:
        await connection.execute(text(f"ALTER TABLE steps ADD COLUMN {column} INTEGER"))
        await connection.execute(text(f"UPDATE steps SET {column} = 7"))
    target = await opened(other)
    await brought(saved(await exported("jsonl"), tmp_path), target)
    async with target.connect() as connection:
        extras = (await connection.scalars(select(steps.c.extra))).all()
    assert extras
    assert all(extra["tokens"] == 7 for extra in extras)
    await target.close()
