"""What is particular about MySQL and MariaDB: nothing can be taken back, accounts are narrow."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
from typing import Any

import pytest
from chainlit.user import User
from sqlalchemy import inspect, make_url, text

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.database import migrator as migrations
from chainlit_sqla.database.revision import HEAD, UPGRADE_MARKER, VERSION_TABLE
from chainlit_sqla.errors import ChainlitSqlaError
from chainlit_sqla.models import Base
from tests.schema.test_migrations import ROOT, found, opened, said_long_ago
from tests.servers.mysql import MySQLServer, query, start_mysql

# Ends the process, as kill -9 does, before the change of the schema that it is told.
KILLED = """
import asyncio, os, sys
from sqlalchemy import event
from sqlalchemy.engine import Engine
from chainlit_sqla.database import migrator
from chainlit_sqla.database import Database
left = given = int(sys.argv[1])
@event.listens_for(Engine, "before_cursor_execute")
def count(connection, cursor, statement, *rest):
    global left
    changes = statement.lstrip().startswith(("CREATE", "DROP", "ALTER", "INSERT", "UPDATE"))
    left -= changes
    if not left and changes:
        os.kill(os.getpid(), 9)
async def main():
    await migrator.upgrade(Database())
    print(given - left)
asyncio.run(main())
"""


@pytest.fixture
def made(mysql_server: MySQLServer) -> Any:
    url = mysql_server.create_database()
    yield url
    mysql_server.drop_database(url)


async def ended(url: str, before: int) -> tuple[int | None, bytes]:
    """Upgrade in a process that is killed before a change: how it ended, and what it printed."""
    environment = os.environ | {"DATABASE_URL": url, "PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", KILLED, str(before)), env=environment, stdout=subprocess.PIPE
    )
    said, _ = await process.communicate()
    return process.returncode, said


async def killed(url: str, before: int) -> bool:
    """Whether there were so many changes."""
    return (await ended(url, before))[0] == -9


async def tables(url: str) -> set[str]:
    async with opened(url) as database, database.connect() as connection:
        return set(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))


async def test_an_upgrade_that_was_killed_goes_on(mysql_server: MySQLServer) -> None:
    url = mysql_server.create_database()
    code, changes = await ended(url, -1)
    mysql_server.drop_database(url)
    assert code == 0
    last = int(changes)
    # The last two are the revision, and that the mark goes.
    for before in (last // 4, last // 2, last - 1, last):
        url = mysql_server.create_database()
        assert await killed(url, before)
        assert UPGRADE_MARKER in await tables(url)
        async with opened(url) as database:
            await migrations.upgrade(database)
            await migrations.check(database)
            assert await migrations.current(database) == HEAD
        assert await tables(url) == set(Base.metadata.tables) | {VERSION_TABLE}
        triggers = "SELECT count(*) AS n FROM information_schema.triggers WHERE trigger_schema = %s"
        [row] = mysql_server.execute(triggers, make_url(url).database)
        assert row["n"] == 0
        mysql_server.drop_database(url)


async def test_a_table_of_others_ends_an_upgrade_that_then_goes_on(made: str) -> None:
    async with opened(made) as database:
        async with database.write() as connection:
            await connection.execute(text("CREATE TABLE chainlit_sqla_blob_deletions (x INT)"))
        with pytest.raises(Exception, match="already exists"):
            await migrations.upgrade(database)
        async with database.write() as connection:
            await connection.execute(text("DROP TABLE chainlit_sqla_blob_deletions"))
        await migrations.upgrade(database)
        await migrations.check(database)


async def test_a_layer_does_not_write_to_half_a_schema(made: str) -> None:
    assert await killed(made, 12)
    async with opened(made) as database:
        layer = SQLADataLayer(database, settings=database.settings)
        with pytest.raises(ChainlitSqlaError, match="run: chainlit-sqla upgrade"):
            await layer.create_user(User(identifier="me"))
        await layer.close()


@pytest.mark.full
async def test_an_account_that_may_make_no_triggers_upgrades_and_searches(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As on managed servers: a binary log, no SUPER, and no table without a primary key."""
    settings = {"log_bin": "ON", "server_id": 1, "log_bin_trust_function_creators": "OFF"}
    server = start_mysql("mysql", **settings, sql_require_primary_key="ON")
    try:
        url = server.create_database()
        name = make_url(url).database
        server.execute("CREATE USER narrow@'%%' IDENTIFIED BY 'narrow'")
        server.execute(f"GRANT ALL ON {name}.* TO narrow@'%%'")
        narrow = make_url(url).set(username="narrow", password="narrow")
        plain = narrow.render_as_string(hide_password=False)
        async with opened(plain, auto_upgrade=True) as database:
            await migrations.upgrade(database)
            assert not caplog.records, "nothing that a user can act on"
            await migrations.check(database)
            layer = SQLADataLayer(database, settings=database.settings)
            user_id = await said_long_ago(layer, "a thimble")
            assert await found(layer, user_id, "thimble") == ["t"]
            await layer.close()
            await migrations.downgrade(database, "base")
    finally:
        server.stop()


@pytest.mark.parametrize(
    "options", ["CHARACTER SET latin1", "CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"]
)
async def test_the_databases_own_collation_does_not_matter(
    mysql_server: MySQLServer, options: str
) -> None:
    url = mysql_server.create_database(options)
    async with opened(url, auto_upgrade=True) as database:
        layer = SQLADataLayer(database, settings=database.settings)
        for identifier in ("kim", "Kim", "kim ", "kím", "😀"):
            user = await layer.create_user(User(identifier=identifier))
            assert user
            await layer.update_thread(f"of {identifier}", name="😀", user_id=user.id)
        for identifier in ("kim", "Kim", "kim ", "kím", "😀"):
            thread = await layer.get_thread(f"of {identifier}")
            assert thread
            assert (thread["userIdentifier"], thread["name"]) == (identifier, "😀")
        await layer.close()
    mysql_server.drop_database(url)


async def test_who_waits_for_an_upgrade_takes_its_tables_for_ours(made: str) -> None:
    """The tables are there one by one; the revision comes last."""
    assert await killed(made, 12)
    async with opened(made) as first, opened(made) as second:
        await asyncio.gather(migrations.upgrade(first), migrations.upgrade(second))
        assert await migrations.current(second) == HEAD


async def test_a_python_in_fips_mode_migrates(made: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenSSL refuses MD5 there unless it serves no security."""
    md5 = hashlib.md5

    def restricted(data: bytes = b"", *, usedforsecurity: bool = True) -> Any:
        if usedforsecurity:
            raise ValueError("[digital envelope routines] unsupported")
        return md5(data, usedforsecurity=False)

    monkeypatch.setattr(hashlib, "md5", restricted)
    async with opened(made) as database:
        await migrations.upgrade(database)
        await migrations.downgrade(database, "base")


async def test_a_downgrade_that_the_server_rolls_back_is_repeated(
    mysql_server: MySQLServer, made: str
) -> None:
    """Its tables are changed already, its revision is not."""
    async with opened(made) as database:
        await migrations.upgrade(database)
        # A rollback does not take numbers back.
        query(made, "CREATE TABLE met (n INT AUTO_INCREMENT PRIMARY KEY)")
        query(
            made,
            f"CREATE TRIGGER deadlock BEFORE UPDATE ON {VERSION_TABLE} FOR EACH ROW "
            "BEGIN INSERT INTO met VALUES (NULL); IF LAST_INSERT_ID() < 3 THEN "
            "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213; END IF; END",
        )
        await migrations.downgrade(database, "-2")
        assert query(made, "SELECT max(n) AS n FROM met") == [{"n": 4}]
        assert await migrations.current(database) == "0002"
        await migrations.upgrade(database)
        await migrations.check(database)
