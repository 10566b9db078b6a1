"""What the comparison at the end finds, and what --delete-missing deletes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from chainlit.user import User
from sqlalchemy import select, update

from chainlit_sqla import SQLADataLayer
from chainlit_sqla._internal.timestamps import now, parse_instant
from chainlit_sqla.models import blob_deletions, elements, threads, users
from tests.frozen.load import Shelf, execute
from tests.importers.conftest import (
    DIALECTS,
    WITH_MARIADB,
    Targets,
    assert_equal,
    compare,
    digests,
    import_and_delete,
    read,
    run_import,
    thread,
    url_of,
    write,
)
from tests.importers.test_import import message

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
        assert comparison is not None
        assert not comparison.equal
        assert [str(difference) for difference in comparison.differences] == [
            "user a: different (displayName, metadata, createdAt)"
        ]
        assert (comparison.same["user"], comparison.in_target("user")) == (1, 2)
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
    execute(url, f"DELETE FROM threads WHERE id = '{ids[2]}'")
    comparison = await compare(url, target)
    names = {str(difference) for difference in comparison.differences}
    assert f"thread {ids[0]}: different (name)" in names
    assert f"thread {ids[1]}: missing" in names
    assert not any(ids[2] in name for name in names)  # Only deletions look for these.
    assert comparison.by_kind["thread"] == 2


# --delete-missing


def _keys(by_key: dict[Any, int]) -> set[Any]:
    return {key for key in by_key if key[0] not in ("tombstone", "user")}


@pytest.mark.parametrize("dialect", WITH_MARIADB)
async def test_what_was_deleted_in_the_source_is_deleted_when_asked_for(
    frozen: Shelf, targets: Targets, dialect: str
) -> None:
    url, target = frozen.load("sqlite_v8"), await targets.make(dialect)
    await run_import(url, target)
    async with target.connect() as connection:
        rows = (await connection.execute(select(elements).order_by(elements.c.id))).all()
        stored = next(row for row in rows if row.objectKey)
        query = select(threads.c.id).where(threads.c.id != stored.threadId).order_by(threads.c.id)
        deleted = await connection.scalar(query.limit(1))
    for table in ("feedbacks", "elements", "steps"):
        execute(url, f"DELETE FROM {table} WHERE \"threadId\" = '{deleted}'")
    execute(url, f"DELETE FROM threads WHERE id = '{deleted}'")
    execute(url, f"DELETE FROM elements WHERE id = '{stored.id}'")
    execute(url, f"DELETE FROM feedbacks WHERE \"forId\" = '{stored.forId}'")
    execute(url, f"DELETE FROM steps WHERE id = '{stored.forId}'")
    before = _keys(await digests(target))
    await run_import(url, target)
    assert _keys(await digests(target)) == before  # Nothing without being asked.
    _, deletions = await import_and_delete(url, target)
    fresh = await targets.make("sqlite")
    await run_import(url, fresh)
    remaining = _keys(await digests(target))
    assert remaining == _keys(await digests(fresh))
    assert deletions.threads == [deleted]
    assert deletions.counts.total() == len(before) - len(remaining)
    assert (stored.objectKey,) in await read(target, select(blob_deletions.c.objectKey))
    _, again = await import_and_delete(url, target)
    assert not again.thread_ids


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_what_is_below_a_deleted_step_stays_if_the_source_has_it(
    targets: Targets, dialect: str
) -> None:
    origin, target = await targets.make("sqlite"), await targets.make(dialect)
    layer = SQLADataLayer(url_of(origin))
    await layer.create_step(message("t", "parent", "2026-01-01T00:00:00Z"))
    await layer.create_step(message("t", "child", "2026-01-01T00:00:01Z") | {"parentId": "tparent"})
    await layer.close()
    await run_import(url_of(origin), target)
    execute(url_of(origin), "DELETE FROM steps WHERE id = 'tparent'")
    await import_and_delete(url_of(origin), target)
    assert _keys(await digests(target)) == {("thread", "t"), ("step", "t", "tchild")}


async def test_a_row_that_the_source_has_but_cannot_be_imported_stays(
    frozen: Shelf, targets: Targets
) -> None:
    url, target = frozen.load("sqlite_v8"), await targets.make("sqlite")
    await run_import(url, target)
    before = _keys(await digests(target))
    execute(url, "UPDATE feedbacks SET value = 7")
    result, _ = await import_and_delete(url, target)
    assert result.quarantined.total() > 0
    assert _keys(await digests(target)) == before


async def test_the_rows_of_another_users_thread_stay(frozen: Shelf, targets: Targets) -> None:
    url, target = frozen.load("sqlite_v8"), await targets.make("sqlite")
    await run_import(url, target)
    execute(url_of(target), "UPDATE threads SET \"userIdentifier\" = 'eve', \"userId\" = 'e'")
    execute(url, "DELETE FROM steps")
    before = _keys(await digests(target))
    await import_and_delete(url, target)
    assert _keys(await digests(target)) == before


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_the_threads_of_a_user_whom_the_source_does_not_have_stay(
    frozen: Shelf, targets: Targets, tmp_path: Path, dialect: str
) -> None:
    url, target = frozen.load("sqlite_v8"), await targets.make(dialect)
    await run_import(url, target)
    layer = SQLADataLayer(url_of(target))
    eve = await layer.create_user(User(identifier="eve"))
    assert eve is not None
    await layer.update_thread("hers", name="Mine", user_id=eve.id)
    await layer.update_thread("nobodys", name="Anonymous")
    await layer.close()
    ada = {"kind": "user", "id": "a", "identifier": "ada@example.com"}
    lines = ada, thread("hers-by-id", userId=eve.id), thread("adas-by-id", userId="a")
    await run_import(write(tmp_path / "lines", *lines), target)
    _, deletions = await import_and_delete(url, target)
    assert sorted(deletions.threads) == ["adas-by-id", "nobodys"]
    remaining = {id for (id,) in await read(target, select(threads.c.id))}
    assert {"hers", "hers-by-id"} <= remaining
