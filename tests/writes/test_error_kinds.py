"""What errors mean for a write: values, the session, or the schema, as real servers report them."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, select, text

from chainlit_sqla.database import Database
from chainlit_sqla.database.migrator import upgrade
from chainlit_sqla.dialects import ErrorKind
from chainlit_sqla.errors import DatabaseUnavailable, RejectedRow, RetriesExhausted
from chainlit_sqla.models import Step
from chainlit_sqla.settings import Settings
from chainlit_sqla.writes.operations import SaveStep, SaveThread
from chainlit_sqla.writes.queue import WriteQueue
from tests.servers.mysql import MySQLServer
from tests.servers.postgres import PostgresServer
from tests.until import PATIENCE

REJECTED, REPEAT, OTHER = ErrorKind.REJECTED, ErrorKind.REPEAT, ErrorKind.OTHER
TRANSIENT, LOCKED, SCHEMA = ErrorKind.TRANSIENT, ErrorKind.LOCKED, ErrorKind.SCHEMA

POSTGRESQL = {
    REJECTED: ["22001", "22021", "22P05", "23502", "23505", "23514", "54000"],
    REPEAT: ["23503"],
    LOCKED: ["55P03"],
    SCHEMA: ["42P01", "42703", "3F000"],
    TRANSIENT: [
        *("08006", "25006", "25P02", "28000", "40001", "40P01", "53100", "53300", "57P01"),
        *("58030", "26000", "42P05", "3D000"),
    ],
    OTHER: ["42501", "57014", "0A000", "42883", "42804", "XX000", "XX001", "P0001", "F0000"],
}
MYSQL = {
    REJECTED: [1048, 1062, 1264, 1265, 1292, 1364, 1366, 1406, 3140, 3141, 3819, 4025, 1153],
    REPEAT: [1452, 1216],
    LOCKED: [1205, 3572],
    SCHEMA: [1146, 1054],
    TRANSIENT: [1040, 1203, 1213, 1290, 1792, 1836, 1047, 1053, 1021, 2013],
    OTHER: [1142, 1143, 1370, 1227, 1105, 1317, 3024, 1665],
}


async def failure(database: Database, sql: str, values: Any = None) -> Exception:
    with pytest.raises(Exception) as raised:
        await database.transact(lambda connection: connection.execute(text(sql), values))
    return raised.value


async def test_postgresql_is_asked_for_its_sqlstate(postgres_url: str) -> None:
    database = Database(postgres_url)
    for kind, codes in POSTGRESQL.items():
        for code in codes:
            sql = f"DO $$ BEGIN RAISE 'refused' USING ERRCODE = '{code}'; END $$"
            by_sqlalchemy = await failure(database, sql)
            with pytest.raises(Exception) as by_driver:
                async with database._driver() as driver:
                    await driver.execute(sql)
            for error in (by_sqlalchemy, by_driver.value):
                assert database.dialect.classify(error) is kind, (code, error)
    await database.close()


@pytest.mark.parametrize("server", ["mariadb", "mysql"])
async def test_mysql_is_asked_for_its_number(request: pytest.FixtureRequest, server: str) -> None:
    running: MySQLServer = request.getfixturevalue(server)
    url = running.create_database()
    database = Database(url)
    for kind, codes in MYSQL.items():
        for code in codes:
            sql = f"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {code}, MESSAGE_TEXT = 'refused'"
            error = await failure(database, sql)
            assert database.dialect.classify(error) is kind, (code, error)
    unbound = await failure(database, "SELECT :text", {"text": "\ud800"})
    assert database.dialect.classify(unbound) is REJECTED
    await database.close()
    running.drop_database(url)


SQLITE = [
    (REJECTED, "INSERT INTO steps (id) VALUES (NULL)", {}),
    (REJECTED, "INSERT INTO users (id, identifier) VALUES ('a', 'a'), ('b', 'a')", {}),
    (REJECTED, "SELECT :value", {"value": object()}),
    (REJECTED, "SELECT :value", {"value": 2**70}),
    (REJECTED, "SELECT :value", {"value": "\ud800"}),
    (REJECTED, "SELECT zeroblob(3000000000)", {}),
    (SCHEMA, "INSERT INTO absent VALUES (1)", {}),
    (SCHEMA, "INSERT INTO steps (absent) VALUES (1)", {}),
    (SCHEMA, "SELECT absent FROM steps", {}),
    (OTHER, "SELECT nosuchfunction()", {}),
    (OTHER, "INSERT INTO", {}),
]


async def test_sqlite_is_asked_for_its_result_code(tmp_path: Path) -> None:
    file = tmp_path / "chats.db"
    database = Database(f"sqlite:///{file}")
    await upgrade(database)
    for kind, sql, values in SQLITE:
        assert database.dialect.classify(await failure(database, sql, values)) is kind, sql
        if kind is REJECTED:
            continue
        async with database.write() as connection:
            with pytest.raises(Exception) as by_aiosqlite:
                await connection.execute(text(sql), values)
        assert database.dialect.classify(by_aiosqlite.value) is kind, sql
    closed = sqlite3.connect(file)
    closed.close()
    with pytest.raises(sqlite3.ProgrammingError) as raised:
        closed.execute("SELECT 1")
    assert database.dialect.classify(raised.value) is TRANSIENT
    await database.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_values_that_cannot_be_sent_are_refused_at_once(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    """Alone: the others of the batch are written."""
    url = request.getfixturevalue("postgres_url") if kind == "postgresql" else None
    database = Database(url or f"sqlite:///{tmp_path / 'chats.db'}")
    await upgrade(database)
    write_queue = WriteQueue(database)
    values: list[Any] = ["one", "\ud800", object(), "four"]
    results = await asyncio.gather(
        *(write_queue.submit(SaveStep("t", f"s{n}", {"output": v})) for n, v in enumerate(values)),
        return_exceptions=True,
    )
    assert [isinstance(result, RejectedRow) for result in results] == [False, True, True, False]
    assert len(await database.read(lambda c: rows(c))) == 2
    await write_queue.close()
    await database.close()


async def rows(connection: Any) -> list[Any]:
    return list(await connection.execute(text(f"SELECT 1 FROM {Step.__tablename__}")))


@asynccontextmanager
async def write_as(
    postgres: PostgresServer, url: str, seconds: float, *statements: str
) -> AsyncIterator[tuple[Database, WriteQueue, Callable[[str], Awaitable[Any]]]]:
    """A database of a role that may write, its queue, and how its superuser runs statements."""
    role = f"writer_{secrets.token_hex(4)}"

    async def execute(statement: str) -> None:
        await asyncio.to_thread(postgres.execute, statement.format(role=role), url=url)

    owner = Database(url)
    await upgrade(owner)
    await owner.close()
    await execute("CREATE ROLE {role} LOGIN PASSWORD 'writer'")
    await execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
    for statement in statements:
        await execute(statement)
    login = owner.given_url.set(username=role, password="writer")
    limited = Database(login, settings=Settings.load(retry_seconds=seconds))
    write_queue = WriteQueue(limited)
    yield limited, write_queue, execute
    await write_queue.close()
    await limited.close()
    await execute("DROP OWNED BY {role}")
    await execute("DROP ROLE {role}")


async def test_a_permission_that_is_missing_for_a_while_costs_nothing(
    postgres: PostgresServer, postgres_url: str
) -> None:
    """Nobody is told to upgrade the tables."""
    revoked = "REVOKE INSERT, UPDATE ON steps FROM {role}"
    async with write_as(postgres, postgres_url, PATIENCE, revoked) as (limited, queue, execute):
        refused = asyncio.create_task(queue.submit(SaveStep("t", "s", {"output": "x"})))
        await queue.submit(SaveThread("u", {"name": "of others"}))
        assert not refused.done()
        await execute("GRANT INSERT, UPDATE ON steps TO {role}")
        await refused
        assert len(await limited.read(rows)) == 1
        await execute("REVOKE SELECT ON steps FROM {role}")
        with pytest.raises(DatabaseUnavailable, match="grant the permission"):
            await limited.read(rows)


async def test_a_policy_refuses_its_row_alone(postgres: PostgresServer, postgres_url: str) -> None:
    statements = (
        "ALTER TABLE steps ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY p ON steps USING (true) WITH CHECK (output IS DISTINCT FROM 'secret')",
    )
    async with write_as(postgres, postgres_url, 0.5, *statements) as (_, queue, _):
        results = await asyncio.gather(
            *(queue.submit(SaveStep(t, "s", {"output": t})) for t in ("a", "secret", "b")),
            return_exceptions=True,
        )
        assert [type(result) for result in results] == [type(None), RetriesExhausted, type(None)]
        assert "A row level security policy refuses" in str(results[1])


async def test_a_damaged_file_is_called_damaged(tmp_path: Path) -> None:
    """Immediately, and neither outdated nor the fault of a row."""
    file = tmp_path / "chats.db"
    database = Database(f"sqlite:///{file}")
    await upgrade(database)
    await database.close()
    file.write_bytes(b"no database at all" * 1000)
    write_queue = WriteQueue(database)
    with pytest.raises(DatabaseUnavailable, match="is not a SQLite database"):
        await write_queue.submit(SaveStep("t", "s", {}))
    await write_queue.close()
    await database.close()


async def test_steps_are_written_and_read_by_the_way_that_is_meant(
    tmp_path: Path, postgres_url: str
) -> None:
    """On PostgreSQL on the driver's connection, on SQLite in threads of the standard library."""
    for url, ways in ((postgres_url, [0]), (f"sqlite:///{tmp_path / 'chats.db'}", [0, 3])):
        database = Database(url)
        await upgrade(database)
        write_queue = WriteQueue(database)
        await write_queue.submit(SaveStep("t", "s", {}))  # Opens connections.
        counts = [count_statements(engine) for engine in database.sync_engines]
        await write_queue.submit(SaveStep("t", "s", {"output": "x"}))
        assert (await database.fetch((select(Step.output), {})))[0] == [("x",)]
        assert [min(len(statements), 3) for statements in counts] == ways, url
        await write_queue.close()
        await database.close()


def count_statements(engine: Engine) -> list[str]:
    seen: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *given: seen.append(given[2]))
    return seen
