"""What the comparison at the end says of users, and of threads that are hard to ask for again."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from chainlit_sqla._internal.timestamps import now, parse_instant
from chainlit_sqla.database import Database
from chainlit_sqla.models import users
from chainlit_sqla.transfer.importing import Comparison, Import, Result, open_source
from chainlit_sqla.transfer.importing.target import Target
from chainlit_sqla.transfer.sources.base import BATCH, CHUNK_ROWS
from tests.frozen.load import execute
from tests.importers.conftest import Targets, bring, url_of
from tests.importers.test_conflicts import write
from tests.importers.test_imports import everything

ODD_IDS = [("", 5), ("TEXT", "a\0b")]
"""Types of a column, and an id in it that is another one as text."""


def old_database(path: Path, type_: str, id: Any) -> str:
    """Tables of Chainlit's layer with a thread of two steps."""
    with sqlite3.connect(path) as connection:
        connection.executescript(
            f"""
            CREATE TABLE users (id {type_}, identifier TEXT, metadata TEXT);
            CREATE TABLE threads (id {type_}, name TEXT, "userId" {type_}, "userIdentifier" TEXT);
            CREATE TABLE steps (id TEXT, "threadId" {type_}, type TEXT, output TEXT,
                "createdAt" TEXT);
            CREATE TABLE elements (id TEXT, "threadId" {type_}, type TEXT, url TEXT, "forId" TEXT);
            CREATE TABLE feedbacks (id TEXT, "forId" TEXT, value INT, comment TEXT);
            """
        )
        connection.execute("INSERT INTO threads (id, name) VALUES (?, 'n')", (id,))
        for step in ("s1", "s2"):
            row = step, id, "tool", "said"
            connection.execute("INSERT INTO steps VALUES (?, ?, ?, ?, NULL)", row)
    connection.close()
    return f"sqlite:///{path}"


async def compared(url: str, target: Database) -> Comparison:
    async with open_source(url, target.settings, target=target) as source:
        found = (await Import(source, target).compare()).comparison
    assert found is not None
    return found


@pytest.mark.parametrize(("type_", "id"), ODD_IDS)
async def test_what_is_lost_of_a_thread_with_an_odd_id_is_told(
    targets: Targets, tmp_path: Path, type_: str, id: Any
) -> None:
    url, target = old_database(tmp_path / "old.db", type_, id), await targets.make("sqlite")
    await bring("", url, target)
    assert (await compared(url, target)).equal
    execute(url_of(target), "DELETE FROM steps WHERE id = 's2'")
    found = await compared(url, target)
    assert not found.equal
    name = str(id).replace("\0", "␀")
    assert [str(one) for one in found.differences] == [f"step {name} s2: missing"]
    assert found.same == {"thread": 1, "step": 1}


@pytest.mark.parametrize(("type_", "id"), ODD_IDS)
async def test_nothing_is_deleted_of_a_thread_with_an_odd_id_that_differs(
    targets: Targets, tmp_path: Path, type_: str, id: Any
) -> None:
    url, target = old_database(tmp_path / "old.db", type_, id), await targets.make("sqlite")
    await bring("", url, target)
    execute(url_of(target), "UPDATE threads SET name = 'renamed'")
    async with open_source(url, target.settings, target=target) as source:
        result = await Import(source, target, missing=True).run()
    assert result.missing is not None
    assert not result.missing.places
    assert result.comparison is not None
    assert result.comparison.counts == {"different": 1}


async def test_a_row_with_an_odd_id_that_no_longer_fits_stays(
    targets: Targets, tmp_path: Path
) -> None:
    url, target = old_database(tmp_path / "old.db", "TEXT", "t"), await targets.make("sqlite")
    feedback = "INSERT INTO feedbacks VALUES ('f', 's' || char(0), 1, '')"
    execute(url, f"INSERT INTO steps VALUES ('s' || char(0), 't', 'tool', '', NULL); {feedback}")
    await bring("", url, target)
    before = await everything(target)
    execute(url, "UPDATE feedbacks SET value = 7")
    async with open_source(url, target.settings, target=target) as source:
        result = await Import(source, target, missing=True).run()
    assert result.missing is not None
    await result.missing.delete(Target(target, ""))
    assert await everything(target) == before
    assert ("feedback", "t", "s␀") in before


async def changed_while_it_is_compared(path: Path, target: Database, more: int) -> Result:
    """Import a file of one thread; its second reading has other steps but the first."""

    def step(name: str) -> str:
        return json.dumps({"kind": "step", "id": name, "threadId": "t"})

    first = [json.dumps({"kind": "thread", "id": "t"}), step("s")]
    lines = [*first, *(step(f"old{number}") for number in range(CHUNK_ROWS))]
    path.write_text("\n".join(lines))
    await bring("", str(path), target)
    execute(url_of(target), "UPDATE threads SET name = 'renamed'")

    def watch(what: str, _done: int, _total: int | None) -> None:
        if what == "Comparing":  # The first chunk: the file is open, and has more.
            other = path.with_suffix(".new")
            other.write_text("\n".join([*first, *(step(f"new{number}") for number in range(more))]))
            other.replace(path)

    async with open_source(str(path), target.settings, target=target) as source:
        return await Import(source, target, missing=True, watch=watch).run()


@pytest.mark.parametrize("more", [0, CHUNK_ROWS, 2 * CHUNK_ROWS])
async def test_a_thread_that_is_not_given_twice_alike_is_unclear_and_keeps_its_rows(
    targets: Targets, tmp_path: Path, more: int
) -> None:
    target = await targets.make("sqlite")
    result = await changed_while_it_is_compared(tmp_path / "file.jsonl", target, more)
    found, missing = result.comparison, result.missing
    assert found is not None
    assert not found.equal
    assert [str(one) for one in found.differences] == ["thread t: unclear"]
    assert found.counts == {"unclear": CHUNK_ROWS + 2}
    assert missing is not None
    assert not missing.places


ADA: dict[str, Any] = {
    "kind": "user",
    "id": "a",
    "identifier": "ada",
    "displayName": "Ada",
    "metadata": {"role": "admin", "big": 1e20},
    "createdAt": "2025-01-01T08:00:00Z",
}


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql", "mariadb", "mysql"])
async def test_a_user_who_is_not_as_in_the_source_is_told_and_the_source_may_win(
    targets: Targets, tmp_path: Path, dialect: str
) -> None:
    target, others = await targets.make(dialect), {"id": "b", "identifier": "bob"}
    file = write(tmp_path / "lines", ADA, {**ADA, **others})
    await bring("", file, target)
    assert (await compared(file, target)).equal
    async with target.write() as connection:
        changed = {"displayName": None, "metadata": {}, "createdAt": now()}
        await connection.execute(update(users).where(users.c.id == "a").values(changed))
    for found in (await compared(file, target), (await bring("", file, target)).comparison):
        assert found is not None
        assert not found.equal
        told = "user a: different (displayName, metadata, createdAt)"
        assert [str(one) for one in found.differences] == [told]
        assert (found.same["user"], found.there("user")) == (1, 2)
    await bring("", file, target, update=True)
    assert (await compared(file, target)).equal


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql", "mariadb", "mysql"])
async def test_what_the_source_does_not_know_of_a_user_stays_and_is_no_difference(
    targets: Targets, tmp_path: Path, dialect: str
) -> None:
    target = await targets.make(dialect)
    await bring("", write(tmp_path / "full", ADA), target)
    bare = {**ADA, "id": "other", "metadata": {"role": "user"}}
    del bare["displayName"], bare["createdAt"]
    before = await everything(target)
    file = write(tmp_path / "bare", bare)
    kept = (await bring("", file, target)).comparison
    assert kept is not None
    assert [str(one) for one in kept.differences] == ["user other: different (metadata)"]
    assert await everything(target) == before
    won = (await bring("", file, target, update=True)).comparison
    assert won is not None
    assert won.equal
    async with target.connect() as connection:
        row = (await connection.execute(select(users))).one()
    assert (row.id, row.displayName, row.metadata) == ("a", "Ada", {"role": "user"})
    assert row.createdAt == parse_instant(ADA["createdAt"])


async def test_threads_whose_ids_have_the_same_text_lose_no_rows(
    targets: Targets, tmp_path: Path
) -> None:
    path, target = tmp_path / "old.db", await targets.make("sqlite")
    url = old_database(path, "", 5)
    with sqlite3.connect(path) as connection:
        others = [(1_000 + number,) for number in range(BATCH)]
        connection.executemany("INSERT INTO threads (id) VALUES (?)", [*others, ("5",)])
        connection.execute("INSERT INTO steps VALUES ('s3', '5', 'tool', 'said', NULL)")
    connection.close()
    async with open_source(url, target.settings, target=target) as source:
        result = await Import(source, target, missing=True).run()
    assert result.comparison is not None
    assert not result.comparison.equal
    assert result.missing is not None
    assert not result.missing.places
    assert {("step", "5", step) for step in ("s1", "s2", "s3")} <= set(await everything(target))
