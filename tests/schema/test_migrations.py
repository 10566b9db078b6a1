"""The schema: made by either door, taken down and up, alone and by many at once."""

from __future__ import annotations

import ast
import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from chainlit.types import Pagination, ThreadFilter
from chainlit.user import User
from sqlalchemy import Connection, inspect, text

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.database import Database
from chainlit_sqla.database import migrator as migrations
from chainlit_sqla.database.revision import HEAD, REVISIONS, VERSION_TABLE
from chainlit_sqla.errors import ConfigurationError, SchemaOutdated, SchemaUnknown
from chainlit_sqla.models import Base
from chainlit_sqla.settings import Settings
from tests.until import until

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def opened(url: str, **settings: Any) -> AsyncIterator[Database]:
    database = Database(url, settings=Settings.load(**settings))
    try:
        yield database
    finally:
        await database.close()


async def schema_of(database: Database, schema: str | None = None) -> dict[str, Any]:
    """Everything that the database itself says of its tables."""

    def look(connection: Connection) -> dict[str, Any]:
        inspector = inspect(connection)
        return {
            table: {
                "columns": {
                    column["name"]: (str(column["type"]), column["nullable"], column["default"])
                    for column in inspector.get_columns(table, schema)
                },
                "key": inspector.get_pk_constraint(table, schema)["constrained_columns"],
                "foreign keys": [
                    (key["constrained_columns"], key["referred_table"], key["options"])
                    for key in inspector.get_foreign_keys(table, schema)
                ],
                "indexes": sorted(
                    (index["name"] or "", index["column_names"])
                    for index in inspector.get_indexes(table, schema)
                ),
            }
            for table in inspector.get_table_names(schema)
        }

    async with database.connect() as connection:
        return await connection.run_sync(look)


def alembic(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "alembic", *arguments]
    environment = os.environ | variables
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("url", ["sqlite", "postgresql", "mariadb", "mysql"], indirect=True)
async def test_both_doors_make_the_same_schema(url: str, tmp_path: Path) -> None:
    result = await asyncio.to_thread(alembic, "upgrade", "head", DATABASE_URL=url)
    assert result.returncode == 0, result.stderr
    async with opened(url) as database:
        by_alembic = await schema_of(database)
        await migrations.downgrade(database, "base")
        assert set(await schema_of(database)) == {VERSION_TABLE}
        await migrations.upgrade(database)
        assert await schema_of(database) == by_alembic
        assert set(by_alembic) == set(Base.metadata.tables) | {VERSION_TABLE}
        await migrations.check(database)
    drift = await asyncio.to_thread(alembic, "check", DATABASE_URL=url)
    assert drift.returncode == 0, drift.stderr


async def test_drift_is_found(url: str) -> None:
    async with opened(url) as database:
        await migrations.upgrade(database)
        async with database.write() as connection:
            await connection.execute(text("ALTER TABLE steps DROP COLUMN command"))
        with pytest.raises(SchemaOutdated, match="command"):
            await migrations.check(database)


@pytest.mark.full
async def test_eight_processes_upgrade_at_once(url: str) -> None:
    command = [sys.executable, "-m", "chainlit_sqla", "upgrade"]
    environment = os.environ | {"DATABASE_URL": url, "PYTHONPATH": str(ROOT)}
    processes = [
        await asyncio.create_subprocess_exec(
            *command,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        for _ in range(8)
    ]
    outputs = await asyncio.gather(*(process.communicate() for process in processes))
    assert [process.returncode for process in processes] == [0] * 8, outputs
    async with opened(url) as database:
        assert await migrations.current(database) == HEAD


async def test_everything_lies_in_the_schema_of_the_setting(postgres_url: str) -> None:
    async with opened(postgres_url, db_schema="chainlit") as database:
        await asyncio.gather(*(migrations.upgrade(database) for _ in range(3)))
        await migrations.check(database)
        async with database.connect() as connection:
            found = await connection.execute(
                text(
                    "SELECT table_schema, count(*) FROM information_schema.tables "
                    "WHERE table_schema IN ('public', 'chainlit') GROUP BY 1"
                )
            )
            assert {row[0]: row[1] for row in found} == {"chainlit": len(Base.metadata.tables) + 1}
        layer = SQLADataLayer(database, settings=database.settings)
        await layer.create_step({"id": "s", "threadId": "t", "type": "tool", "output": "kept"})
        thread = await layer.get_thread("t")
        assert thread is not None
        assert [step["output"] for step in thread["steps"]] == ["kept"]
        await layer.close()
    async with opened(postgres_url) as other:
        assert await migrations.current(other) is None, "the default schema is another one"
        await migrations.upgrade(other)
    checked = await asyncio.to_thread(
        alembic, "check", DATABASE_URL=postgres_url, CHAINLIT_SQLA_SCHEMA="chainlit"
    )
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("name", ["", "x" * 64, "pg_mine", "a\x00b"])
def test_a_schema_that_cannot_be_is_refused(name: str) -> None:
    settings = Settings.load().model_copy(update={"db_schema": name or "\x00"})
    with pytest.raises(ConfigurationError, match="CHAINLIT_SQLA_SCHEMA"):
        Database("postgresql://h/d", settings=settings)


async def test_the_tables_are_made_on_first_use_only_where_that_is_allowed(url: str) -> None:
    default = url.startswith("sqlite")
    for automatic, settings in ((False, {"auto_upgrade": False}), (default, {})):
        async with opened(url, **settings) as database:
            with (
                nullcontext() if automatic else pytest.raises(SchemaOutdated, match="or set CHAIN")
            ):
                await migrations.ensure(database)
    async with opened(url, auto_upgrade=True) as database:
        await migrations.ensure(database)
        assert await migrations.current(database) == HEAD


async def test_a_newer_schema_is_left_alone(url: str) -> None:
    async with opened(url) as database:
        await migrations.upgrade(database)
        async with database.write() as connection:
            await connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
        for attempt in (migrations.ensure, migrations.upgrade):
            with pytest.raises(SchemaUnknown, match="upgrade chainlit-sqla"):
                await attempt(database)


async def test_tables_of_others_are_not_touched(url: str) -> None:
    async with opened(url, auto_upgrade=True) as database:
        async with database.write() as connection:
            await connection.execute(text("CREATE TABLE users (mine TEXT)"))
            await connection.execute(text("CREATE TABLE alembic_version (version_num TEXT)"))
            await connection.execute(text("INSERT INTO alembic_version VALUES ('theirs')"))
        before = await schema_of(database)
        with pytest.raises(SchemaUnknown, match=r"users.*another database"):
            await migrations.ensure(database)
        assert await schema_of(database) == before
        async with database.write() as connection:
            await connection.execute(text("DROP TABLE users"))
        await migrations.ensure(database)
        await migrations.downgrade(database, "base")
        async with database.connect() as connection:
            theirs = await connection.scalar(text("SELECT version_num FROM alembic_version"))
        assert theirs == "theirs"
        async with database.write() as connection:
            await connection.execute(text("CREATE TABLE users (mine TEXT)"))
        with pytest.raises(SchemaUnknown):
            await migrations.upgrade(database)


async def test_a_failed_upgrade_leaves_nothing_behind(transactional_url: str) -> None:
    async with opened(transactional_url) as database:
        async with database.write() as connection:
            await connection.execute(text("CREATE TABLE chainlit_sqla_blob_deletions (x TEXT)"))
        before = await schema_of(database)
        with pytest.raises(Exception, match="already exists"):
            await migrations.upgrade(database)
        assert await schema_of(database) == before


@pytest.mark.parametrize(
    ("move", "now", "target", "held", "wanted"),
    [
        (migrations.upgrade, "0003", HEAD, "threads", "steps"),
        (migrations.downgrade, HEAD, "0003", "steps", "threads"),
    ],
)
async def test_a_migration_that_meets_a_deadlock_is_repeated(
    postgres_url: str, move: Any, now: str, target: str, held: str, wanted: str
) -> None:
    """A transaction of the app locks two tables in the other order."""
    app, watch = await asyncpg.connect(postgres_url), await asyncpg.connect(postgres_url)
    waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = $1::regclass)"
    async with opened(postgres_url) as database:
        await migrations.upgrade(database, now)
        # Otherwise it may be the victim.
        await app.execute("SET deadlock_timeout = '1min'")
        transaction = app.transaction()
        await transaction.start()
        await app.execute(f"LOCK TABLE {held} IN ROW EXCLUSIVE MODE")
        migration = asyncio.create_task(move(database, target))
        await until(lambda: watch.fetchval(waits, held))
        await app.execute(f"LOCK TABLE {wanted} IN ROW EXCLUSIVE MODE")
        await transaction.commit()
        await migration
        assert await migrations.current(database) == target
    for connection in (app, watch):
        await connection.close()


def test_the_revisions_known_are_those_of_alembic() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(migrations.script_folder()))
    script = ScriptDirectory.from_config(config)
    assert script.get_heads() == [HEAD]
    assert [r.revision for r in reversed(list(script.walk_revisions()))] == list(REVISIONS)


def test_migrations_are_history_and_import_nothing_of_ours() -> None:
    for file in (ROOT / "alembic" / "versions").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names.append(node.module or "")
            assert not any(name.startswith("chainlit_sqla") for name in names), file.name


def test_alembic_prints_the_sql_of_an_upgrade(postgres_url: str) -> None:
    printed = alembic("upgrade", "head", "--sql", DATABASE_URL=postgres_url)
    assert printed.returncode == 0, printed.stderr
    assert "CREATE TABLE steps" in printed.stdout


async def said_long_ago(layer: SQLADataLayer, text: str) -> str:
    """Make a user with an old thread "t", and return the user's id."""
    user = await layer.create_user(User(identifier="me"))
    assert user
    old = {"type": "user_message", "createdAt": "2026-01-01T00:00:00Z"}
    await layer.create_step({"id": "s", "threadId": "t", "output": text, **old})
    await layer.update_thread("t", user_id=user.id)
    return user.id


async def found(layer: SQLADataLayer, user_id: str, term: str) -> list[str]:
    page = await layer.list_threads(Pagination(first=5), ThreadFilter(userId=user_id, search=term))
    return [thread["id"] for thread in page.data]
