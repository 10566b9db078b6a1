"""What the comparison at the end finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from chainlit_sqla._internal.timestamps import now, parse_instant
from chainlit_sqla.models import feedbacks, threads, users
from tests.frozen.load import Shelf, execute
from tests.importers.conftest import (
    WITH_MARIADB,
    Targets,
    assert_equal,
    compare,
    read,
    run_import,
    url_of,
    write,
)

ADA: dict[str, Any] = {
    "kind": "user",
    "id": "a",
    "identifier": "ada",
    "displayName": "Ada",
    "metadata": {"role": "admin", "big": 1e20},
    "createdAt": "2025-01-01T08:00:00Z",
}


@pytest.mark.parametrize("dialect", [*WITH_MARIADB, "mysql"])
async def test_a_user_who_differs_is_reported_and_the_source_may_win(
    targets: Targets, tmp_path: Path, dialect: str
) -> None:
    target = await targets.make(dialect)
    file = write(tmp_path / "lines", ADA, {**ADA, "id": "b", "identifier": "bob"})
    await run_import(file, target)
    assert (await compare(file, target)).equal
    async with target.write() as connection:
        changed = {"displayName": None, "metadata": {}, "createdAt": now()}
        await connection.execute(update(users).where(users.c.id == "a").values(changed))
    for comparison in (await compare(file, target), (await run_import(file, target)).comparison):
        assert not comparison.equal
        assert [str(difference) for difference in comparison.differences] == [
            "user a: different (displayName, metadata, createdAt)"
        ]
        assert (comparison.same, comparison.different) == ({"user": 1}, {"user": 1})
    assert_equal(await run_import(file, target, update=True))
    query = select(users.c.displayName, users.c.createdAt).where(users.c.id == "a")
    assert await read(target, query) == [("Ada", parse_instant(ADA["createdAt"]))]


async def test_what_the_source_does_not_know_of_a_user_replaces_nothing(
    targets: Targets, tmp_path: Path
) -> None:
    target = await targets.make("sqlite")
    await run_import(write(tmp_path / "first", ADA), target)
    unknown = {"kind": "user", "id": "a", "identifier": "ada", "metadata": ADA["metadata"]}
    result = await run_import(write(tmp_path / "second", unknown), target, update=True)
    assert_equal(result)
    assert await read(target, select(users.c.displayName)) == [("Ada",)]


async def test_each_difference_is_named(frozen: Shelf, targets: Targets) -> None:
    url, target = frozen.load("sqlite_v8"), await targets.make("sqlite")
    await run_import(url, target)
    ids = [id for (id,) in await read(target, select(threads.c.id).order_by(threads.c.id))]
    execute(url_of(target), f"UPDATE threads SET name = 'renamed' WHERE id = '{ids[0]}'")
    execute(url_of(target), f"DELETE FROM threads WHERE id = '{ids[1]}'")
    execute(url, "DELETE FROM feedbacks")
    comparison = await compare(url, target)
    names = {str(difference) for difference in comparison.differences}
    assert f"thread {ids[0]}: different (name)" in names
    assert f"thread {ids[1]}: missing" in names
    assert (comparison.missing["thread"], comparison.different["thread"]) == (1, 1)
    left = await read(target, select(feedbacks.c.id))
    assert comparison.more == {"feedback": len(left)}
