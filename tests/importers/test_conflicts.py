"""What an import does where source and target contradict each other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.database import Database
from chainlit_sqla.errors import ImportSourceError
from chainlit_sqla.models import steps, threads
from tests.frozen.load import Shelf
from tests.importers.conftest import Targets, bring, url_of
from tests.servers.mysql import Kind, MySQLServer, query

DIALECTS = ("sqlite", "postgresql", "mariadb")
BOB = {"kind": "user", "id": "b", "identifier": "bob"}
ADA = {"kind": "user", "id": "a", "identifier": "ada"}


def thread(id: str, **values: Any) -> dict[str, Any]:
    return {"kind": "thread", "id": id, **values}


def step(id: str, place: str, output: str = "said") -> dict[str, Any]:
    return {"kind": "step", "id": id, "threadId": place, "output": output}


def write(path: Path, *records: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


async def read(database: Database, query: Any) -> list[tuple[Any, ...]]:
    async with database.snapshot() as connection:
        return [tuple(row) for row in await connection.execute(query)]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("update", [False, True])
async def test_a_thread_of_somebody_else_is_never_taken_over(
    targets: Targets, tmp_path: Path, dialect: str, update: bool
) -> None:
    target = await targets.make(dialect)
    bob = thread("t", userId="b", userIdentifier="bob")
    await bring("", write(tmp_path / "bob", BOB, bob, step("s1", "t")), target)
    for number, named in enumerate(({"userIdentifier": "ada"}, {})):
        ada = thread("t", userId="a", **named)
        lines = write(tmp_path / f"ada{number}", ADA, ada, step("s2", "t"))
        result = await bring("", lines, target, update=update)
        assert {kind for kind, _ in result.aside} == {"thread", "step"}
    assert await read(target, select(threads.c.userIdentifier)) == [("bob",)]
    assert await read(target, select(steps.c.id)) == [("s1",)]


async def test_a_person_who_is_there_twice_keeps_the_threads_of_both(
    targets: Targets, tmp_path: Path
) -> None:
    target = await targets.make("sqlite")
    again = {**ADA, "id": "a2"}
    lines = write(
        tmp_path / "lines",
        ADA,
        again,
        thread("t1", userId="a"),
        thread("t2", userId="a2"),
        step("s", "t2"),
    )
    result = await bring("", lines, target)
    assert not result.aside
    assert await read(target, select(threads.c.id, threads.c.userId).order_by(threads.c.id)) == [
        ("t1", "a"),
        ("t2", "a"),
    ]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_what_the_source_deleted_since_is_told_and_takes_words_until_it_is_deleted_too(
    frozen: Shelf, targets: Targets, tmp_path: Path, dialect: str
) -> None:
    old, new = await targets.make("sqlite"), await targets.make(dialect)
    both = [thread("t1", userId="b"), thread("t2", userId="b")]
    lines = write(tmp_path / "lines", BOB, *both, step("s1", "t1"), step("s2", "t2"))
    await bring("", lines, old)
    await bring("", url_of(old), new)
    layer = SQLADataLayer(url_of(old))
    await layer.delete_thread("t1")
    await layer.delete_step("s2")
    await layer.close()
    result = await bring("", url_of(old), new)
    assert [(kind, count) for (kind, _), count in result.aside.items()] == [("tombstone", 2)]
    layer = SQLADataLayer(url_of(new))
    await layer.create_step({**step("s3", "t1"), "type": "user_message", "name": "bob"})  # type: ignore[typeddict-item]
    shown = await layer.get_thread("t1")
    await layer.close()
    assert shown is not None
    assert [one["id"] for one in shown["steps"]] == ["s1", "s3"]


async def test_tables_of_chainlits_layer_on_mariadb_are_refused_with_the_repair(
    targets: Targets, mysql_servers: Callable[[Kind], MySQLServer]
) -> None:
    server, target = mysql_servers("mariadb"), await targets.make("sqlite")
    url = server.create_database()
    for name in ("users", "threads", "steps", "elements", "feedbacks"):
        query(url, f"CREATE TABLE {name} (id VARCHAR(36) PRIMARY KEY)")
    with pytest.raises(ImportSourceError, match="copy them into a SQLite file"):
        await bring("", url, target)


async def test_files_of_a_thread_that_came_back_come_with_a_later_run(
    targets: Targets, tmp_path: Path
) -> None:
    target = await targets.make("sqlite")
    marker = {"id": "element ", "threadId": "t", "deletedAt": "2026-01-01T00:00:00Z"}
    place = [BOB, thread("t", userId="b"), {"kind": "tombstone", **marker}]
    file = {"kind": "element", "threadId": "t", "ordinal": 1_790_000_000_000_000}
    await bring("", write(tmp_path / "one", *place, {**file, "id": "e1"}), target)
    later = write(tmp_path / "two", *place, {**file, "id": "e1"}, {**file, "id": "e2"})
    result = await bring("", later, target)
    assert result.deleted == 0
    assert result.comparison is not None
    assert result.comparison.same["element"] == 2
