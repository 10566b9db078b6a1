"""What an import promises to a database that is in use, and to one who runs it twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Any

import pytest
from chainlit.user import User
from sqlalchemy import insert, select

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.database import Database
from chainlit_sqla.database.migrator import upgrade
from chainlit_sqla.errors import ConfigurationError, ImportSourceError
from chainlit_sqla.models import quarantine, steps, users
from chainlit_sqla.settings import Settings
from chainlit_sqla.transfer.importing import Import, OurSource, Result, open_source
from chainlit_sqla.transfer.sources.base import Chunk
from tests.frozen.load import Shelf, execute
from tests.importers.bulk import fill
from tests.importers.conftest import Targets, bring, url_of
from tests.servers.postgres import start_postgres
from tests.until import PATIENCE

DIALECTS = ("sqlite", "postgresql", "mariadb", "mysql")
OTHER = {
    "sqlite": "postgresql",
    "postgresql": "sqlite",
    "mariadb": "postgresql",
    "mysql": "sqlite",
}


async def everything(database: Database) -> dict[Any, int]:
    """The digest of each record, by its key."""
    found = {}
    async with database.snapshot() as connection:
        source = OurSource(connection, "", "", database.schema)
        for chunks in (source.users(), source.threads(), source.rest()):
            async for chunk in chunks:
                found |= {record.key: record.digest() for record in chunk.records}
    return found


async def used(url: str) -> SQLADataLayer:
    """A layer on a database in which somebody has talked."""
    layer = SQLADataLayer(url)
    user = await layer.create_user(User(identifier="ada@example.com", metadata={"n": 1.0}))
    assert user is not None
    for number in range(3):
        thread = f"t{number}"
        await layer.update_thread(thread, name=f"Thread {number}", user_id=user.id, tags=["x"])
        await layer.create_step(message(thread, "s1", "2026-01-01T00:00:00.000001Z"))
        await layer.create_step(message(thread, "s2", "2026-01-01T00:00:01Z", "ü🙂\x00"))
    await layer.delete_step("s2")
    await layer.delete_thread("t2")
    return layer


def message(thread: str, id: str, at: str, text: str = "said") -> Any:
    return {
        "id": f"{thread}{id}",
        "threadId": thread,
        "name": "ada",
        "type": "user_message",
        "output": text,
        "createdAt": at,
        "metadata": {"f": 0.1, "big": 2**60, "deep": {"b": [1.0, None], "a": {}}},
    }


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_ours_arrives_on_another_database_and_comes_back_the_same(
    frozen: Shelf, targets: Targets, dialect: str
) -> None:
    first = await targets.make(dialect)
    await (await used(url_of(first))).close()
    second, third = await targets.make(OTHER[dialect]), await targets.make(dialect)
    await bring("", url_of(first), second)
    await bring("", url_of(second), third)
    assert await everything(first) == await everything(second) == await everything(third)
    assert any(key[0] == "tombstone" for key in await everything(third))


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_second_run_changes_nothing(frozen: Shelf, targets: Targets, dialect: str) -> None:
    url = frozen.load("sqlite_no_foreign_keys")
    target = await targets.make(dialect)
    first = await bring("sqlite_no_foreign_keys", url, target)
    before = await everything(target), await aside(target)
    second = await bring("sqlite_no_foreign_keys", url, target)
    assert (await everything(target), await aside(target)) == before
    assert second.read == first.read
    assert second.aside == first.aside
    assert sum(first.aside.values()) + sum(first.partly.values()) == len(before[1])


async def aside(database: Database) -> list[Any]:
    async with database.connect() as connection:
        rows = await connection.execute(
            select(quarantine.c.id, quarantine.c.origin, quarantine.c.reason, quarantine.c.row)
        )
        return sorted(rows.all(), key=lambda row: row.id)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_what_came_since_the_first_run_comes_with_the_second(
    frozen: Shelf, targets: Targets, dialect: str
) -> None:
    origin, target = await targets.make("sqlite"), await targets.make(dialect)
    layer = await used(url_of(origin))
    await bring("", url_of(origin), target)
    await layer.create_step(message("t1", "s9", "2026-02-01T00:00:00Z"))
    await layer.update_thread("t9", name="new")
    await layer.close()
    result = await bring("", url_of(origin), target)
    assert result.comparison is not None
    assert result.comparison.equal, result.comparison.differences
    assert await everything(origin) == await everything(target)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_what_was_deleted_since_stays_deleted(
    frozen: Shelf, targets: Targets, dialect: str
) -> None:
    origin, target = await targets.make("sqlite"), await targets.make(dialect)
    await (await used(url_of(origin))).close()
    await bring("", url_of(origin), target)
    layer = SQLADataLayer(url_of(target))
    await layer.delete_thread("t0")
    await layer.delete_step("t1s1")
    await layer.close()
    result = await bring("", url_of(origin), target)
    assert result.deleted == 4  # A thread with two steps, and one step.
    assert result.comparison is not None
    assert result.comparison.equal
    assert not [key for key in await everything(target) if key[-1] in ("t0", "t0s1", "t1s1")][1:]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_changed_row_stays_unless_the_source_is_to_win(
    frozen: Shelf, targets: Targets, dialect: str
) -> None:
    origin, target = await targets.make("sqlite"), await targets.make(dialect)
    await (await used(url_of(origin))).close()
    await bring("", url_of(origin), target)
    layer = SQLADataLayer(url_of(target))
    await layer.update_thread("t1", name="renamed here")
    await layer.close()
    kept = await bring("", url_of(origin), target)
    assert kept.comparison is not None
    assert [str(one) for one in kept.comparison.differences] == ["thread t1: different (name)"]
    won = await bring("", url_of(origin), target, update=True)
    assert won.comparison is not None
    assert won.comparison.equal
    assert await everything(origin) == await everything(target)


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_user_who_was_there_gets_the_threads(
    frozen: Shelf, targets: Targets, dialect: str
) -> None:
    origin, target = await targets.make("sqlite"), await targets.make(dialect)
    await (await used(url_of(origin))).close()
    layer = SQLADataLayer(url_of(target))
    known = await layer.create_user(User(identifier="ada@example.com", metadata={"mine": True}))
    result = await bring("", url_of(origin), target)
    assert known is not None
    assert result.known_users == 1
    assert result.comparison is not None
    assert result.comparison.counts == {"different": 1}  # The user's metadata and createdAt.
    thread = await layer.get_thread("t1")
    assert thread is not None
    assert thread["userId"] == known.id
    again = await layer.get_user("ada@example.com")
    assert again is not None
    assert again.metadata == {"mine": True}
    await layer.close()


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_nobody_gets_the_threads_of_another_by_chance(
    frozen: Shelf, targets: Targets, dialect: str
) -> None:
    origin, target = await targets.make("sqlite"), await targets.make(dialect)
    for database, name in ((origin, "ada"), (target, "eve")):
        async with database.write() as connection:
            await connection.execute(insert(users).values(id="1", identifier=name, metadata={}))
        layer = SQLADataLayer(url_of(database))
        for id in ("common", f"own-{name}"):
            await layer.update_thread(id, name=name, user_id="1")
            await layer.create_step(message(id, f"-{name}", "2026-01-01T00:00:00Z"))
        await layer.close()
    result = await bring("", url_of(origin), target)
    layer = SQLADataLayer(url_of(target))
    assert await layer.get_thread_author("own-ada") == "ada"
    assert await layer.get_thread_author("own-eve") == "eve"
    assert await layer.get_thread_author("common") == "eve"
    common = await layer.get_thread("common")
    assert common is not None
    assert [step["id"] for step in common["steps"]] == ["common-eve"]
    await layer.close()
    put_aside = {row.row["id"] for row in await aside(target)}
    assert put_aside == {"common", "common-ada"}
    assert sum(result.aside.values()) == 2


async def held(
    url: str, target: Database, read: Callable[[], Awaitable[None]], *, update: bool = False
) -> Result:
    """Import, and wait for something when threads were read and are not written yet."""
    async with open_source(url, target.settings, target=target) as source:
        threads = source.threads

        async def first(**options: Any) -> AsyncGenerator[Chunk, None]:
            monkey.undo()
            async with aclosing(threads(**options)) as chunks:
                async for chunk in chunks:
                    await read()
                    yield chunk

        with pytest.MonkeyPatch.context() as monkey:
            monkey.setattr(source, "threads", first)
            return await Import(source, target, update=update).run()


async def test_two_imports_at_once_end_the_same(frozen: Shelf, targets: Targets) -> None:
    url, target = frozen.load("sqlite_v8"), await targets.make("postgresql")
    again = await targets.at(url_of(target))
    both = asyncio.Barrier(2)

    async def read() -> None:
        """Both have read the same rows before one of them writes any."""
        async with asyncio.timeout(PATIENCE):
            await both.wait()

    results = await asyncio.gather(*(held(url, one, read) for one in (target, again)))
    assert all(one.comparison and one.comparison.equal for one in results)


async def test_a_thread_may_go_on_while_it_is_imported(frozen: Shelf, targets: Targets) -> None:
    origin, target = await targets.make("sqlite"), await targets.make("postgresql")
    await (await used(url_of(origin))).close()
    await bring("", url_of(origin), target)
    layer = SQLADataLayer(url_of(target))
    begun, some = asyncio.Event(), asyncio.Event()

    async def read() -> None:
        begun.set()
        async with asyncio.timeout(PATIENCE):
            await some.wait()

    async def write() -> None:
        """Step by step; the import writes what it has read when some are there."""
        async with asyncio.timeout(PATIENCE):
            await begun.wait()
        for number in range(50):
            await layer.create_step(message("t1", f"n{number}", "2026-03-01T00:00:00Z"))
            if number == 5:
                some.set()

    async with AsyncExitStack() as stack:
        stack.push_async_callback(layer.close)
        await asyncio.gather(held(url_of(origin), target, read, update=True), write())
        thread = await layer.get_thread("t1")
    assert thread is not None
    assert len(thread["steps"]) == 52


# What cannot be imported


async def refused(given: str, target: Database, **options: Any) -> str:
    with pytest.raises((ImportSourceError, ConfigurationError)) as raised:
        async with open_source(given, target.settings, target=target, **options) as source:
            await Import(source, target).run()
    return str(raised.value)


async def test_a_source_that_is_none_is_refused_with_the_repair(
    frozen: Shelf, targets: Targets, tmp_path: Path
) -> None:
    target = await targets.make("sqlite")
    assert "There is no file" in await refused(str(tmp_path / "none.jsonl"), target)
    missing = await refused(f"sqlite:///{tmp_path}/none.db", target)
    assert f"There is no SQLite file {tmp_path}/none.db; correct" in missing
    assert not (tmp_path / "none.db").exists()
    foreign = await refused(frozen.load("sqlite_foreign_users"), target)
    assert "has no conversations of Chainlit" in foreign
    assert "--from-schema" in foreign
    assert "is the database that is imported into" in await refused(url_of(target), target)
    served = await targets.make("postgresql")
    by_name = url_of(served).replace("127.0.0.1", "localhost")
    assert by_name != url_of(served)
    assert "is the database that is imported into" in await refused(by_name, served)
    empty = frozen.empty("postgresql")
    assert "no tables" in await refused(empty, target)
    away = empty.replace("127.0.0.1:", "127.0.0.1:1")
    assert "cannot be reached" in await refused(away[: away.rindex(":") + 1] + "1/none", target)


async def test_the_source_is_not_changed(frozen: Shelf, targets: Targets) -> None:
    url = frozen.load("sqlite_v3")
    path = Path(url.removeprefix("sqlite:///"))
    before = path.read_bytes()
    await bring("", url, await targets.make("sqlite"))
    assert path.read_bytes() == before


async def test_the_asyncpg_layers_tables_may_lie_in_the_same_database(
    frozen: Shelf, targets: Targets
) -> None:
    url = frozen.load("postgres_prisma")
    target = await targets.at(url)
    result = await bring("", url, target)
    assert result.comparison is not None
    assert result.comparison.equal
    assert result.comparison.same["thread"] == 7


async def test_rows_that_a_policy_hides_are_not_passed_over(
    frozen: Shelf, targets: Targets
) -> None:
    url = frozen.load("postgres_v8")
    execute(
        url,
        """DROP ROLE IF EXISTS somebody; CREATE ROLE somebody LOGIN PASSWORD 'somebody';
        GRANT SELECT ON ALL TABLES IN SCHEMA public TO somebody;
        ALTER TABLE threads ENABLE ROW LEVEL SECURITY;
        CREATE POLICY mine ON threads USING (name IS NULL)""",
    )
    owner, place = url.split("@")
    as_somebody = f"{owner.split('//')[0]}//somebody:somebody@{place}"
    message = await refused(as_somebody, await targets.make("sqlite"))
    assert "Row level security would hide rows from 'somebody'" in message
    assert "BYPASSRLS" in message


async def test_the_report_counts_an_import_that_was_cut_in_two(
    frozen: Shelf, targets: Targets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chainlit_sqla.transfer.sources.tables.BATCH", 2)
    url, target = frozen.load("sqlite_no_foreign_keys"), await targets.make("sqlite")
    whole = await bring("", url, await targets.make("sqlite"))
    steps = 0

    def cut(_what: str, done: int, _total: int | None) -> None:
        nonlocal steps
        steps += 1
        if steps == 8:
            raise KeyboardInterrupt

    async with open_source(url, Settings.load()) as source:
        with pytest.raises(KeyboardInterrupt):
            await Import(source, target, watch=cut).run()
    result: Result = await bring("", url, target)
    assert result.resumed
    assert (result.read, result.aside, result.partly) == (whole.read, whole.aside, whole.partly)


async def test_a_restart_of_the_targets_server_is_ridden_out(tmp_path: Path) -> None:
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
        await upgrade(database)
        async with open_source(str(tmp_path / "big.db"), Settings.load()) as source:
            result = await Import(source, database, watch=kill).run()
    finally:
        await database.close()
        server.stop()
    assert killed
    assert result.comparison is not None
    assert result.comparison.equal
    assert result.comparison.same["step"] == 2_000


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
async def test_columns_of_others_and_what_was_put_aside_move_on(
    frozen: Shelf, targets: Targets, dialect: str
) -> None:
    origin, target = await targets.make(dialect), await targets.make("sqlite")
    await bring("", frozen.load("sqlite_no_foreign_keys"), origin)
    for table in ("steps", "threads"):
        execute(url_of(origin), f'ALTER TABLE {table} ADD COLUMN "Cost ""centre" INTEGER')
        execute(url_of(origin), f'UPDATE {table} SET "Cost ""centre" = 7')
    result = await bring("", url_of(origin), target)
    assert result.comparison is not None
    assert result.comparison.equal
    async with target.connect() as connection:
        extras = list(await connection.scalars(select(steps.c.extra)))
    assert extras
    assert all(extra['Cost "centre'] == 7 for extra in extras)
    before, after = await aside(origin), await aside(target)
    moved = {row.id for row in after if row.reason.startswith("there is no place for Cost")}
    threads = result.comparison.same["thread"]
    assert len(moved) == threads
    assert {row.row.get("id") for row in before} <= {row.row.get("id") for row in after}
    assert result.aside.total() == len(before)
