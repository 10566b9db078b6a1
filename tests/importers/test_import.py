"""What an import promises for a database in use, and when it is run again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Any

import pytest
from chainlit.user import User
from sqlalchemy import select, update

from chainlit_sqla import SQLADataLayer
from chainlit_sqla._internal.timestamps import now, parse_instant
from chainlit_sqla.database import Database, migrator
from chainlit_sqla.errors import ConfigurationError, ImportSourceError
from chainlit_sqla.models import feedbacks, steps, threads, users
from chainlit_sqla.settings import Settings
from chainlit_sqla.transfer.importing import Import, Result
from chainlit_sqla.transfer.sources import Chunk, open_source
from tests.frozen.load import Shelf, execute
from tests.importers.bulk import fill
from tests.importers.conftest import (
    BOB,
    DIALECTS,
    WITH_MARIADB,
    Targets,
    assert_equal,
    compare,
    digests,
    import_interrupted,
    quarantined,
    read,
    run_import,
    step,
    thread,
    url_of,
    write,
)
from tests.servers.postgres import start_postgres
from tests.until import PATIENCE

OTHER = {
    "sqlite": "postgresql",
    "postgresql": "sqlite",
    "mariadb": "postgresql",
    "mysql": "sqlite",
}


async def used(url: str) -> SQLADataLayer:
    """A layer on a database in which somebody has talked."""
    layer = SQLADataLayer(url)
    user = await layer.create_user(User(identifier="ada@example.com", metadata={"n": 1.0}))
    assert user is not None
    for number in range(3):
        id = f"t{number}"
        await layer.update_thread(id, name=f"Thread {number}", user_id=user.id, tags=["x"])
        await layer.create_step(message(id, "s1", "2026-01-01T00:00:00.000001Z"))
        await layer.create_step(message(id, "s2", "2026-01-01T00:00:01Z", "ü🙂\x00"))
    await layer.delete_step("s2")
    await layer.delete_thread("t2")
    return layer


def message(thread_id: str, id: str, at: str, text: str = "said") -> Any:
    return {
        "id": f"{thread_id}{id}",
        "threadId": thread_id,
        "name": "ada",
        "type": "user_message",
        "output": text,
        "createdAt": at,
        "metadata": {"f": 0.1, "big": 2**60, "deep": {"b": [1.0, None], "a": {}}},
    }


@pytest.mark.parametrize("dialect", [*WITH_MARIADB, "mysql"])
async def test_a_database_of_ours_comes_back_unchanged_from_another_dialect(
    targets: Targets, dialect: str
) -> None:
    first = await targets.make(dialect)
    await (await used(url_of(first))).close()
    second, third = await targets.make(OTHER[dialect]), await targets.make(dialect)
    await run_import(url_of(first), second)
    await run_import(url_of(second), third)
    assert await digests(first) == await digests(second) == await digests(third)
    assert any(key[0] == "tombstone" for key in await digests(third))


@pytest.mark.parametrize("dialect", WITH_MARIADB)
async def test_a_second_run_changes_nothing(frozen: Shelf, targets: Targets, dialect: str) -> None:
    url, target = frozen.load("sqlite_no_foreign_keys"), await targets.make(dialect)
    first = await run_import(url, target)
    before = await digests(target), await quarantined(target)
    second = await run_import(url, target)
    assert (await digests(target), await quarantined(target)) == before
    assert (second.read, second.quarantined) == (first.read, first.quarantined)
    assert first.quarantined.total() + first.partly_quarantined.total() == len(before[1])


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_second_run_brings_what_was_added_since(targets: Targets, dialect: str) -> None:
    origin, target = await targets.make("sqlite"), await targets.make(dialect)
    layer = await used(url_of(origin))
    await run_import(url_of(origin), target)
    await layer.create_step(message("t1", "s9", "2026-02-01T00:00:00Z"))
    await layer.update_thread("t9", name="new")
    await layer.close()
    assert_equal(await run_import(url_of(origin), target))
    assert await digests(origin) == await digests(target)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_what_was_deleted_in_the_target_stays_deleted(targets: Targets, dialect: str) -> None:
    origin, target = await targets.make("sqlite"), await targets.make(dialect)
    await (await used(url_of(origin))).close()
    await run_import(url_of(origin), target)
    layer = SQLADataLayer(url_of(target))
    await layer.delete_thread("t0")
    await layer.delete_step("t1s1")
    await layer.close()
    result = await run_import(url_of(origin), target)
    assert result.deleted == 4  # A thread with two steps, and one step.
    assert_equal(result)
    deleted = [key for key in await digests(target) if key[-1] in ("t0", "t0s1", "t1s1")]
    assert {key[0] for key in deleted} == {"tombstone"}


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_changed_row_stays_unless_the_source_wins(targets: Targets, dialect: str) -> None:
    origin, target = await targets.make("sqlite"), await targets.make(dialect)
    await (await used(url_of(origin))).close()
    await run_import(url_of(origin), target)
    layer = SQLADataLayer(url_of(target))
    await layer.update_thread("t1", name="renamed here")
    await layer.close()
    unchanged = await run_import(url_of(origin), target)
    assert [str(difference) for difference in unchanged.comparison.differences] == [
        "thread t1: different (name)"
    ]
    assert_equal(await run_import(url_of(origin), target, update=True))
    assert await digests(origin) == await digests(target)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_what_the_source_deleted_is_reported_and_takes_writes(
    targets: Targets, tmp_path: Path, dialect: str
) -> None:
    old, new = await targets.make("sqlite"), await targets.make(dialect)
    lines = BOB, thread("t1", userId="b"), step("s1", "t1"), thread("t2"), step("s2", "t2")
    await run_import(write(tmp_path / "lines", *lines), old)
    await run_import(url_of(old), new)
    layer = SQLADataLayer(url_of(old))
    await layer.delete_thread("t1")
    await layer.delete_step("s2")
    await layer.close()
    result = await run_import(url_of(old), new)
    assert [(kind, count) for (kind, _), count in result.quarantined.items()] == [("tombstone", 2)]
    layer = SQLADataLayer(url_of(new))
    await layer.create_step(message("t1", "s3", "2026-02-01T00:00:00Z"))
    thread_dict = await layer.get_thread("t1")
    await layer.close()
    assert thread_dict is not None
    assert [step_dict["id"] for step_dict in thread_dict["steps"]] == ["s1", "t1s3"]


async def test_files_of_a_restored_thread_come_with_a_later_run(
    targets: Targets, tmp_path: Path
) -> None:
    target = await targets.make("sqlite")
    marker = {"id": "element ", "threadId": "t", "deletedAt": "2026-01-01T00:00:00Z"}
    lines = [BOB, thread("t", userId="b")]
    file = {"kind": "element", "threadId": "t", "ordinal": 1_790_000_000_000_000}
    tombstone = {"kind": "tombstone", **marker}
    await run_import(write(tmp_path / "first", *lines, {**file, "id": "e1"}, tombstone), target)
    lines += [{**file, "id": "e1"}, {**file, "id": "e2"}, tombstone]
    result = await run_import(write(tmp_path / "second", *lines), target)
    assert result.deleted == 0
    assert result.comparison.same["element"] == 2


async def _import_paused(
    url: str, target: Database, pause: Callable[[], Awaitable[None]], *, update: bool = False
) -> Result:
    """Import, and pause when threads were read and are not written yet."""
    async with open_source(url, target.settings, target=target) as source:
        threads = source.threads

        async def paused(*options: Any) -> AsyncGenerator[Chunk, None]:
            monkey.undo()
            async with aclosing(threads(*options)) as chunks:
                async for chunk in chunks:
                    await pause()
                    yield chunk

        with pytest.MonkeyPatch.context() as monkey:
            monkey.setattr(source, "threads", paused)
            return await Import(source, target, update=update).run()


async def test_two_concurrent_imports_end_the_same(frozen: Shelf, targets: Targets) -> None:
    url, target = frozen.load("sqlite_v8"), await targets.make("postgresql")
    again = await targets.at(url_of(target))
    barrier = asyncio.Barrier(2)

    async def pause() -> None:
        """Both have read the same rows before one of them writes any."""
        async with asyncio.timeout(PATIENCE):
            await barrier.wait()

    results = await asyncio.gather(
        *(_import_paused(url, database, pause) for database in (target, again))
    )
    for result in results:
        assert_equal(result)


async def test_a_thread_may_go_on_while_it_is_imported(targets: Targets) -> None:
    origin, target = await targets.make("sqlite"), await targets.make("postgresql")
    await (await used(url_of(origin))).close()
    await run_import(url_of(origin), target)
    layer = SQLADataLayer(url_of(target))
    has_started, may_write = asyncio.Event(), asyncio.Event()

    async def pause() -> None:
        has_started.set()
        async with asyncio.timeout(PATIENCE):
            await may_write.wait()

    async def talk() -> None:
        """Step by step; the import writes what it has read when some are there."""
        async with asyncio.timeout(PATIENCE):
            await has_started.wait()
        for number in range(50):
            await layer.create_step(message("t1", f"n{number}", "2026-03-01T00:00:00Z"))
            if number == 5:
                may_write.set()

    async with AsyncExitStack() as stack:
        stack.push_async_callback(layer.close)
        await asyncio.gather(_import_paused(url_of(origin), target, pause, update=True), talk())
        thread_dict = await layer.get_thread("t1")
    assert thread_dict is not None
    assert len(thread_dict["steps"]) == 52


@pytest.mark.parametrize("prefix", ["sqlite", "postgres"])
async def test_an_interrupted_import_continues_with_the_same_counts(
    frozen: Shelf, targets: Targets, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    monkeypatch.setattr("chainlit_sqla.transfer.sources.base.BATCH", 2)
    url, target = frozen.load(f"{prefix}_no_foreign_keys"), await targets.make("sqlite")
    whole = await run_import(url, await targets.make("sqlite"))
    result = await import_interrupted(url, target, 8)
    assert result.resumed
    assert (result.read, result.quarantined) == (whole.read, whole.quarantined)
    assert_equal(result)


@pytest.mark.full
async def test_an_import_survives_a_restart_of_the_targets_server(tmp_path: Path) -> None:
    server = start_postgres(own=True)
    database = Database(server.create_database())
    killed = False

    def kill(what: str, done: int, _total: int | None) -> None:
        nonlocal killed
        if what == "Importing" and done > 1_000 and not killed:
            killed = True
            server.kill()
            server.start()

    fill(tmp_path / "big.db", 2_000, each=5)
    try:
        await migrator.upgrade(database)
        async with open_source(str(tmp_path / "big.db"), Settings.load()) as source:
            result = await Import(source, database, watch=kill).run()
    finally:
        await database.close()
        server.stop()
    assert killed
    assert_equal(result)
    assert result.comparison.same["step"] == 2_000


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_unknown_columns_and_the_quarantine_are_imported_too(
    frozen: Shelf, targets: Targets, dialect: str
) -> None:
    origin, target = await targets.make(dialect), await targets.make("sqlite")
    await run_import(frozen.load("sqlite_no_foreign_keys"), origin)
    for table in ("steps", "threads"):
        execute(url_of(origin), f'ALTER TABLE {table} ADD COLUMN "Cost ""centre" INTEGER')
        execute(url_of(origin), f'UPDATE {table} SET "Cost ""centre" = 7')
    result = await run_import(url_of(origin), target)
    assert_equal(result)
    extras = [extra for (extra,) in await read(target, select(steps.c.extra))]
    assert extras
    assert all(extra['Cost "centre'] == 7 for extra in extras)
    before, after = await quarantined(origin), await quarantined(target)
    new_ids = {row.id for row in after if row.reason.startswith("there is no column for Cost")}
    assert len(new_ids) == result.comparison.same["thread"]
    assert {row.row.get("id") for row in before} <= {row.row.get("id") for row in after}
    assert result.quarantined.total() == len(before)


# The comparison

USER: dict[str, Any] = {
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
    file = write(tmp_path / "lines", USER, {**USER, "id": "b", "identifier": "bob"})
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
    assert await read(target, query) == [("Ada", parse_instant(USER["createdAt"]))]


async def test_what_the_source_does_not_know_of_a_user_replaces_nothing(
    targets: Targets, tmp_path: Path
) -> None:
    target = await targets.make("sqlite")
    await run_import(write(tmp_path / "first", USER), target)
    unknown = {"kind": "user", "id": "a", "identifier": "ada", "metadata": USER["metadata"]}
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


# Sources that are refused


async def refused(location: str, target: Database, **options: Any) -> str:
    with pytest.raises((ImportSourceError, ConfigurationError)) as raised:
        async with open_source(location, target.settings, target=target, **options) as source:
            await Import(source, target).run()
    return str(raised.value)


async def test_a_location_without_conversations_is_refused_with_the_repair(
    frozen: Shelf, targets: Targets, tmp_path: Path
) -> None:
    target = await targets.make("sqlite")
    missing = await refused(f"sqlite:///{tmp_path}/none.db", target)
    assert f"There is no SQLite file {tmp_path}/none.db; correct" in missing
    assert not (tmp_path / "none.db").exists()
    foreign = await refused(frozen.load("sqlite_foreign_users"), target)
    assert "has no conversations of Chainlit" in foreign
    assert "--from-schema" in foreign
    served = await targets.make("postgresql")
    by_name = url_of(served).replace("127.0.0.1", "localhost")
    assert by_name != url_of(served)
    assert "is the database to import into" in await refused(by_name, served)
    empty = frozen.empty("postgresql")
    assert "no tables" in await refused(empty, target)
    away = empty.replace("127.0.0.1:", "127.0.0.1:1")
    unavailable = await refused(away[: away.rindex(":") + 1] + "1/none", target)
    assert "The source:" in unavailable
    assert "cannot be reached" in unavailable


@pytest.mark.full  # It needs MariaDB.
async def test_tables_of_chainlits_layer_on_mariadb_are_refused_with_the_repair(
    frozen: Shelf, targets: Targets
) -> None:
    url, target = frozen.empty("mariadb"), await targets.make("sqlite")
    for name in ("users", "threads", "steps"):
        execute(url, f"CREATE TABLE {name} (id VARCHAR(36) PRIMARY KEY)")
    assert "copy them into a SQLite file" in await refused(url, target)


async def test_the_source_is_only_read(frozen: Shelf, targets: Targets) -> None:
    url = frozen.load("sqlite_v3")
    path = Path(url.removeprefix("sqlite:///"))
    before = path.read_bytes()
    await run_import(url, await targets.make("sqlite"))
    assert path.read_bytes() == before


async def test_the_asyncpg_layers_tables_may_be_in_the_target(
    frozen: Shelf, targets: Targets
) -> None:
    url = frozen.load("postgres_prisma")
    result = await run_import(url, await targets.at(url))
    assert_equal(result)
    assert result.comparison.same["thread"] == 7


async def test_rows_that_a_policy_hides_are_not_skipped(frozen: Shelf, targets: Targets) -> None:
    url = frozen.load("postgres_v8")
    execute(
        url,
        """DROP ROLE IF EXISTS somebody; CREATE ROLE somebody LOGIN PASSWORD 'somebody';
        GRANT SELECT ON ALL TABLES IN SCHEMA public TO somebody;
        ALTER TABLE threads ENABLE ROW LEVEL SECURITY;
        CREATE POLICY mine ON threads USING (name IS NULL)""",
    )
    owner, server = url.split("@")
    as_somebody = f"{owner.split('//')[0]}//somebody:somebody@{server}"
    problem = await refused(as_somebody, await targets.make("sqlite"))
    assert "Row level security would hide rows from 'somebody'" in problem
    assert "BYPASSRLS" in problem
