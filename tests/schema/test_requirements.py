"""A server that would lose rows is refused, and what the message says repairs it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.database import migrator as migrations
from chainlit_sqla.dialects import requirements
from chainlit_sqla.dialects.postgresql.dialect import PostgreSQL
from chainlit_sqla.errors import ServerUnsuitable
from chainlit_sqla.models import steps
from tests.schema.test_migrations import ROOT, alembic, opened
from tests.servers.mysql import MySQLServer, query, start_mysql
from tests.servers.postgres import PostgresServer

STEP = {"id": "s", "threadId": "t", "type": "user_message"}
OUTPUT = "naïve 😀 文"


async def refuses(url: str, match: str) -> str:
    """Try each door to a database, all of which must be closed; return the message."""
    messages = set()
    for door in (migrations.ensure, migrations.upgrade):
        async with opened(url, auto_upgrade=True) as database:
            with pytest.raises(ServerUnsuitable, match=match) as refusal:
                await door(database)
            messages.add(str(refusal.value))
    by_alembic = await asyncio.to_thread(alembic, "upgrade", "head", DATABASE_URL=url)
    assert by_alembic.returncode
    [message] = messages
    assert message in by_alembic.stderr
    return message


async def commanded(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "chainlit_sqla", *arguments]
    options = {"cwd": ROOT, "capture_output": True, "text": True}
    return await asyncio.to_thread(subprocess.run, command, **options)


async def moves(url: str, other: str, output: str = OUTPUT) -> None:
    """Run what the message says to run."""
    for arguments in (("upgrade",), ("import", "--from", url)):
        done = await commanded(*arguments, "--url", other)
        assert done.returncode == 0, done
    assert await stored(other) == output


async def stored(url: str) -> str | None:
    async with opened(url) as database, database.connect() as connection:
        return await connection.scalar(select(steps.c.output))


async def stores(url: str, output: str = OUTPUT) -> None:
    async with opened(url, auto_upgrade=True) as database:
        layer = SQLADataLayer(database, settings=database.settings)
        await layer.create_step({**STEP, "output": output})
        await layer.close()
    assert await stored(url) == output


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_postgresql_stores_unicode(
    postgres: PostgresServer, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.create_database(encoding=encoding, locale="C")
    other = postgres.create_database(encoding="UTF8", locale="C")
    with monkeypatch.context() as older_release:
        older_release.setattr(PostgreSQL, "check_server", lambda *_: None)
        await stores(url, "naïve")
    await refuses(url, rf"is {encoding}.*CREATE DATABASE name ENCODING 'UTF8'")
    async with opened(url) as database:
        layer = SQLADataLayer(database, settings=database.settings)
        with pytest.raises(ServerUnsuitable):
            await layer.create_step({**STEP, "output": OUTPUT})
        await layer.close()
    await moves(url, other, "naïve")
    for command in (("doctor",), ("run", "examples/minimal_app.py")):
        done = await commanded(*command, "--url", url)
        assert done.returncode == 1
        assert f"is {encoding}, which cannot hold every message" in done.stdout + done.stderr
    await stores(other)
    for name in (url, other):
        postgres.drop_database(name)


@pytest.mark.parametrize("url", ["sqlite", "postgresql", "mariadb", "mysql"], indirect=True)
async def test_an_old_server_is_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "LOWEST", dict.fromkeys(requirements.LOWEST, (99, 1)))
    async with opened(url) as database:
        with pytest.raises(ServerUnsuitable, match=r"is too old; upgrade it to 99"):
            await migrations.upgrade(database)


async def test_sqlite_without_json(tmp_path: Path) -> None:
    async with opened(f"sqlite:///{tmp_path / 'chats.db'}") as database:

        @event.listens_for(database.engine.sync_engine, "connect")
        def without(connection: Any, _record: Any) -> None:
            connection.create_function("json_type", 1, None)

        with pytest.raises(ServerUnsuitable, match="no functions for JSON; use a Python"):
            await migrations.ensure(database)


@pytest.mark.parametrize("change", ["latin1", "utf8mb4 COLLATE utf8mb4_general_ci"])
async def test_tables_in_another_collation_are_named_and_can_be_moved(
    mysql_server: MySQLServer, change: str
) -> None:
    """As a dump for another server leaves them: Kim and kim would be one user."""
    url, other = mysql_server.create_database(), mysql_server.create_database()
    await stores(url)
    query(url, "ALTER TABLE threads DROP FOREIGN KEY fk_threads_userId_users")
    query(url, f"ALTER TABLE users CONVERT TO CHARACTER SET {change}")
    await refuses(url, r"keys in another collation than utf8mb4_\w+ \(users\)")
    await moves(url, other)
    for name in (url, other):
        mysql_server.drop_database(name)


async def test_what_a_server_presets_for_sessions_does_not_matter() -> None:
    settings = {"log_bin": "log", "server_id": 1, "binlog_format": "STATEMENT"}
    latin1 = {"character_set_server": "latin1", "character_set_client_handshake": "OFF"}
    server = start_mysql("mariadb", **settings, **latin1)
    try:
        url = server.create_database()
        await refuses(url, "set binlog_format to ROW or MIXED")
        server.execute("SET GLOBAL binlog_format = ROW")
        await stores(url)
        [row] = server.execute("SELECT HEX(output) AS hex FROM steps", url=url)
        assert row["hex"] == OUTPUT.encode().hex().upper(), "other programs read it, too"
    finally:
        server.stop()
