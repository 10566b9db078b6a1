"""What was deleted in the source since an earlier import goes from the target when asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from chainlit.user import User
from sqlalchemy import select

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.database import Database
from chainlit_sqla.models import blob_deletions, elements, threads
from chainlit_sqla.transfer.importing import Import, Result, open_source
from chainlit_sqla.transfer.importing.target import Target
from tests.frozen.load import Shelf, execute
from tests.importers.conftest import Targets, bring, url_of
from tests.importers.test_conflicts import thread, write
from tests.importers.test_imports import everything, message

DIALECTS = ("sqlite", "postgresql", "mariadb", "mysql")


async def cleared(url: str, target: Database) -> Result:
    """Import again, and delete what the source has not."""
    async with open_source(url, target.settings, target=target) as source:
        result = await Import(source, target, missing=True).run()
    assert result.missing is not None
    await result.missing.delete(Target(target, ""))
    return result


def keys(found: dict[Any, int]) -> set[Any]:
    return {key for key in found if key[0] not in ("tombstone", "user")}


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_what_a_user_deleted_in_the_old_app_goes(
    frozen: Shelf, targets: Targets, dialect: str
) -> None:
    url, target = frozen.load("sqlite_v8"), await targets.make(dialect)
    await bring("", url, target)
    async with target.connect() as connection:
        rows = (await connection.execute(select(elements).order_by(elements.c.id))).all()
        stored = next(row for row in rows if row.objectKey)
        whole = next(
            id
            for id in await connection.scalars(select(threads.c.id).order_by(threads.c.id))
            if id != stored.threadId
        )
    for table, column in (("feedbacks", "threadId"), ("elements", "threadId")):
        execute(url, f"DELETE FROM {table} WHERE \"{column}\" = '{whole}'")
    execute(url, f"DELETE FROM steps WHERE \"threadId\" = '{whole}'")
    execute(url, f"DELETE FROM threads WHERE id = '{whole}'")
    execute(url, f"DELETE FROM elements WHERE id = '{stored.id}'")
    execute(url, f"DELETE FROM feedbacks WHERE \"forId\" = '{stored.forId}'")
    execute(url, f"DELETE FROM steps WHERE id = '{stored.forId}'")
    before = keys(await everything(target))
    await bring("", url, target)
    assert keys(await everything(target)) == before  # Nothing without being asked.
    result = await cleared(url, target)
    fresh = await targets.make("sqlite")
    await bring("", url, fresh)
    assert keys(await everything(target)) == keys(await everything(fresh))
    assert result.missing is not None
    assert result.missing.threads == [whole]
    assert result.missing.counts.total() == len(before) - len(keys(await everything(fresh)))
    async with target.connect() as connection:
        assert stored.objectKey in set(await connection.scalars(select(blob_deletions.c.objectKey)))
    again = await cleared(url, target)
    assert again.missing is not None
    assert not again.missing.places


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
async def test_what_lies_below_a_deleted_step_stays_if_the_source_has_it(
    frozen: Shelf, targets: Targets, dialect: str
) -> None:
    origin, target = await targets.make("sqlite"), await targets.make(dialect)
    layer = SQLADataLayer(url_of(origin))
    await layer.create_step(message("t", "parent", "2026-01-01T00:00:00Z"))
    await layer.create_step(message("t", "child", "2026-01-01T00:00:01Z") | {"parentId": "tparent"})
    await layer.close()
    await bring("", url_of(origin), target)
    execute(url_of(origin), "DELETE FROM steps WHERE id = 'tparent'")
    await cleared(url_of(origin), target)
    assert keys(await everything(target)) == {("thread", "t"), ("step", "t", "tchild")}


async def test_a_row_that_no_longer_fits_stays_as_it_was(frozen: Shelf, targets: Targets) -> None:
    url, target = frozen.load("sqlite_v8"), await targets.make("sqlite")
    await bring("", url, target)
    before = keys(await everything(target))
    execute(url, "UPDATE feedbacks SET value = 7")
    result = await cleared(url, target)
    assert result.aside.total() > 0
    assert keys(await everything(target)) == before


async def test_the_rows_of_another_users_thread_stay(frozen: Shelf, targets: Targets) -> None:
    url, target = frozen.load("sqlite_v8"), await targets.make("sqlite")
    await bring("", url, target)
    execute(url_of(target), "UPDATE threads SET \"userIdentifier\" = 'eve', \"userId\" = 'e'")
    execute(url, "DELETE FROM steps")
    before = keys(await everything(target))
    await cleared(url, target)
    assert keys(await everything(target)) == before


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_the_threads_of_a_user_whom_the_source_does_not_know_stay(
    frozen: Shelf, targets: Targets, tmp_path: Path, dialect: str
) -> None:
    url, target = frozen.load("sqlite_v8"), await targets.make(dialect)
    await bring("", url, target)
    layer = SQLADataLayer(url_of(target))
    eve = await layer.create_user(User(identifier="eve"))
    assert eve is not None
    await layer.update_thread("hers", name="Mine", user_id=eve.id)
    await layer.update_thread("nobodys", name="Anonymous")
    await layer.close()
    hers, adas = thread("hers-by-id", userId=eve.id), thread("adas-by-id", userId="a")
    known = {"kind": "user", "id": "a", "identifier": "ada@example.com"}
    await bring("", write(tmp_path / "lines", known, hers, adas), target)
    result = await cleared(url, target)
    assert result.missing is not None
    assert sorted(result.missing.threads) == ["adas-by-id", "nobodys"]
    async with target.connect() as connection:
        assert {"hers", "hers-by-id"} <= set(await connection.scalars(select(threads.c.id)))
