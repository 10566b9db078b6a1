"""Nobody gets the conversations of another user by an import."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from chainlit.user import User
from sqlalchemy import insert, select

from chainlit_sqla import BlobSource, LocalStorage, SQLADataLayer
from chainlit_sqla.models import elements, steps, threads, users
from chainlit_sqla.transfer.importing.object_keys import FOREIGN_KEY
from tests.importers.conftest import (
    ADA,
    BOB,
    DIALECTS,
    WITH_MARIADB,
    Targets,
    assert_equal,
    import_interrupted,
    quarantined,
    read,
    run_import,
    step,
    thread,
    url_of,
    write,
)
from tests.importers.test_import import message, used


@pytest.mark.parametrize("dialect", WITH_MARIADB)
@pytest.mark.parametrize("update", [False, True])
async def test_a_thread_of_another_user_is_never_taken_over(
    targets: Targets, tmp_path: Path, dialect: str, update: bool
) -> None:
    target = await targets.make(dialect)
    bobs = thread("t", userId="b", userIdentifier="bob")
    await run_import(write(tmp_path / "bob", BOB, bobs, step("s1", "t")), target)
    for number, named in enumerate(({"userIdentifier": "ada"}, {})):
        lines = ADA, thread("t", userId="a", **named), step("s2", "t")
        result = await run_import(write(tmp_path / f"ada{number}", *lines), target, update=update)
        assert {kind for kind, _ in result.quarantined} == {"thread", "step"}
    assert await read(target, select(threads.c.userIdentifier)) == [("bob",)]
    assert await read(target, select(steps.c.id)) == [("s1",)]


async def test_a_file_that_names_two_owners_takes_no_thread_over(
    targets: Targets, tmp_path: Path
) -> None:
    target = await targets.make("sqlite")
    adas = thread("t", userId="a", userIdentifier="ada")
    await run_import(write(tmp_path / "ada", ADA, adas), target)
    lines = BOB, thread("t", userId="b", userIdentifier="ada"), step("s", "t")
    result = await run_import(write(tmp_path / "bob", *lines), target, update=True)
    assert {kind for kind, _ in result.quarantined} == {"thread", "step"}
    assert await read(target, select(threads.c.userId)) == [("a",)]


HEX = "0" * 32
ADAS_KEYS = (
    f"threads/ada%2F1/e/{HEX}",
    "threads/ada/1/files/e",
    "a/e/map.png",
    "old/folder/map.png",
)
"""Keys of this package, of Chainlit's asyncpg and SQLAlchemy layers, and of another program."""


def element(id: str, thread_id: str, key: str) -> dict[str, Any]:
    return {"kind": "element", "id": id, "threadId": thread_id, "objectKey": key}


@pytest.mark.parametrize("dialect", WITH_MARIADB)
async def test_an_import_gives_nobody_another_users_file(
    targets: Targets, tmp_path: Path, dialect: str
) -> None:
    target, store = await targets.make(dialect), LocalStorage(tmp_path / "blobs")
    for key in ADAS_KEYS:
        await store.put(key, BlobSource(data=b"Ada's"), mime="text/plain")
    adas = thread("ada/1", userId="a", userIdentifier="ada")
    own = [element(f"e{n}" if n != 1 else "e", "ada/1", key) for n, key in enumerate(ADAS_KEYS)]
    ada_file = write(tmp_path / "ada", ADA, adas, *own)
    for _ in range(2):  # Her own files are restored, however often.
        assert_equal(await run_import(ada_file, target, update=True))
    lines: list[dict[str, Any]] = [{**BOB, "id": "a"}]  # As if his id were hers.
    for name in ("bob", "ada%2F1", "ada", f"ada%2F1/e/{HEX}"):
        lines.append(thread(name, userId="a", userIdentifier="bob"))
        lines += [element(f"{n}", name, key) for n, key in enumerate(ADAS_KEYS)]
        lines += [element(key.rpartition("/")[2], name, key) for key in ADAS_KEYS]
    for _ in range(2):
        result = await run_import(write(tmp_path / "bob", *lines), target, update=True)
        assert result.quarantined == {("element", FOREIGN_KEY): 4 * 2 * len(ADAS_KEYS)}
    layer = SQLADataLayer(url_of(target), storage=store)
    for name in ("bob", "ada%2F1", "ada", f"ada%2F1/e/{HEX}"):
        found = await layer.get_thread(name)
        assert found is not None
        assert found["elements"] == []
        await layer.delete_thread(name)
    await layer.close()
    stored = await read(target, select(elements.c.objectKey).order_by(elements.c.objectKey))
    assert stored == sorted((key,) for key in ADAS_KEYS)
    for key in ADAS_KEYS:
        assert (await store.stat(key)).size == len(b"Ada's")


@pytest.mark.parametrize("spelling", ["/{}", "///{}", "./{}", "x/../{}", "\\\\{}"])
async def test_another_spelling_of_a_key_gives_nobody_another_users_file(
    targets: Targets, tmp_path: Path, spelling: str
) -> None:
    target = await targets.make("sqlite")
    adas = thread("ada/1", userId="a", userIdentifier="ada")
    own = [element(f"e{n}" if n != 1 else "e", "ada/1", key) for n, key in enumerate(ADAS_KEYS)]
    assert_equal(await run_import(write(tmp_path / "ada", ADA, adas, *own), target))
    bobs = thread("bob", userId="b", userIdentifier="bob")
    keys = [spelling.format(key) for key in ADAS_KEYS]
    others = [element(f"{n}", "bob", key) for n, key in enumerate(keys)]
    others.append(element("own", "bob", spelling.format(f"threads/bob/own/{HEX}")))
    result = await run_import(write(tmp_path / "bob", BOB, bobs, *others), target)
    assert result.quarantined == {("element", FOREIGN_KEY): len(keys)}


async def test_nothing_is_written_into_another_users_thread_after_an_interruption(
    targets: Targets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chainlit_sqla.transfer.sources.jsonl.BATCH", 1)
    target = await targets.make("sqlite")
    bobs = thread("t2", userId="b", userIdentifier="bob")
    await run_import(write(tmp_path / "bob", BOB, bobs, step("bob's", "t2")), target)
    lines = [ADA]
    for number in range(1, 4):
        lines += [thread(f"t{number}", userId="a"), step(f"s{number}", f"t{number}")]
    assert (await import_interrupted(write(tmp_path / "ada", *lines), target, 2)).resumed
    assert await read(target, select(steps.c.id).order_by(steps.c.id)) == [
        ("bob's",),
        ("s1",),
        ("s3",),
    ]
    assert {row.row["id"] for row in await quarantined(target)} == {"t2", "s2"}


async def test_two_users_with_one_identifier_become_one(targets: Targets, tmp_path: Path) -> None:
    target = await targets.make("sqlite")
    lines = ADA, {**ADA, "id": "a2"}, thread("t1", userId="a"), thread("t2", userId="a2")
    result = await run_import(write(tmp_path / "lines", *lines), target)
    assert not result.quarantined
    assert await read(target, select(threads.c.userId)) == [("a",), ("a",)]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_user_who_exists_gets_the_threads(targets: Targets, dialect: str) -> None:
    origin, target = await targets.make("sqlite"), await targets.make(dialect)
    await (await used(url_of(origin))).close()
    layer = SQLADataLayer(url_of(target))
    user = await layer.create_user(User(identifier="ada@example.com", metadata={"mine": True}))
    result = await run_import(url_of(origin), target)
    assert user is not None
    assert result.comparison.different == {"user": 1}  # Its metadata and createdAt.
    thread_dict, stored_user = await layer.get_thread("t1"), await layer.get_user("ada@example.com")
    assert thread_dict is not None
    assert thread_dict["userId"] == user.id
    assert stored_user is not None
    assert stored_user.metadata == {"mine": True}
    await layer.close()


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_user_id_that_another_user_has_is_replaced(targets: Targets, dialect: str) -> None:
    origin, target = await targets.make("sqlite"), await targets.make(dialect)
    for database, name in ((origin, "ada"), (target, "eve")):
        async with database.write() as connection:
            await connection.execute(insert(users).values(id="1", identifier=name, metadata={}))
        layer = SQLADataLayer(url_of(database))
        for id in ("common", f"own-{name}"):
            await layer.update_thread(id, name=name, user_id="1")
            await layer.create_step(message(id, f"-{name}", "2026-01-01T00:00:00Z"))
        await layer.close()
    result = await run_import(url_of(origin), target)
    layer = SQLADataLayer(url_of(target))
    assert await layer.get_thread_author("own-ada") == "ada"
    assert await layer.get_thread_author("own-eve") == "eve"
    assert await layer.get_thread_author("common") == "eve"
    common = await layer.get_thread("common")
    assert common is not None
    assert [step_dict["id"] for step_dict in common["steps"]] == ["common-eve"]
    await layer.close()
    assert {row.row["id"] for row in await quarantined(target)} == {"common", "common-ada"}
    assert result.quarantined.total() == 2
