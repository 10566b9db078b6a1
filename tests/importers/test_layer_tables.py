"""Hand-made variants of the tables of Chainlit's SQLAlchemy layer, and values that few can read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import Text, cast, select

from chainlit_sqla.errors import ImportSourceError
from chainlit_sqla.models import steps, threads, users
from tests.frozen import conversations as sample
from tests.frozen.load import Shelf, execute
from tests.importers.conftest import (
    Targets,
    assert_equal,
    quarantined,
    read,
    run_import,
    url_of,
)

TABLES = """
CREATE TABLE users (id {id}, identifier TEXT, metadata TEXT, "createdAt" TEXT);
CREATE TABLE threads (id {id}, "createdAt" TEXT, name TEXT, "userId" {id}, "userIdentifier" TEXT);
CREATE TABLE steps (id {id}, "threadId" {id}, type TEXT, output TEXT, "createdAt" TEXT);
CREATE TABLE elements (id {id}, "threadId" {id}, type TEXT, name TEXT);
CREATE TABLE feedbacks (id {id}, "forId" {id}, value INT);
"""
STEP, THREAD = sample.step_id(1, 1), sample.thread_id(1)


@pytest.mark.parametrize("name", ["sqlite_v8", "postgres_v8", "postgres_prisma"])
async def test_tables_without_elements_and_feedback_are_read(
    frozen: Shelf, targets: Targets, name: str
) -> None:
    url, target = frozen.load(name), await targets.make("sqlite")
    tables = ('"Element"', '"Feedback"') if name == "postgres_prisma" else ("elements", "feedbacks")
    for table in tables:
        execute(url, f"DROP TABLE {table}")
    result = await run_import(url, target)
    assert_equal(result)
    assert result.read["step"] > 0
    assert not {"element", "feedback"} & result.read.keys()


@pytest.mark.parametrize("table", ["users", "threads", "steps"])
async def test_a_missing_table_is_refused_until_it_is_created(
    frozen: Shelf, targets: Targets, table: str
) -> None:
    url, target = frozen.empty("sqlite"), await targets.make("sqlite")
    execute(url, TABLES.format(id="TEXT"))
    statement = next(line for line in TABLES.splitlines() if f" {table} " in line)
    execute(url, f"DROP TABLE {table}")
    with pytest.raises(ImportSourceError, match=r"no conversations .*, or create what is missing"):
        await run_import(url, target)
    with pytest.raises(ImportSourceError, match=f"no tables named {table}; correct --layer"):
        await run_import(url, target, layer="sqlalchemy")
    execute(url, statement.format(id="TEXT"))
    assert (await run_import(url, target)).rows == 0


async def test_a_missing_column_is_refused_by_name(frozen: Shelf, targets: Targets) -> None:
    url, target = frozen.empty("sqlite"), await targets.make("sqlite")
    execute(url, TABLES.format(id="TEXT"))
    execute(url, 'ALTER TABLE threads DROP COLUMN "userId"')
    with pytest.raises(ImportSourceError, match=r"threads has no column userId, .* or add it"):
        await run_import(url, target)


@pytest.mark.parametrize("id", ["X'61'", "CAST(X'fc' AS TEXT)", "7", "'a' || char(0)"])
async def test_the_id_of_a_thread_that_is_not_text_is_refused(
    frozen: Shelf, targets: Targets, id: str
) -> None:
    url, target = frozen.empty("sqlite"), await targets.make("sqlite")
    execute(url, TABLES.format(id="") + f"INSERT INTO threads (id) VALUES ({id})")
    with pytest.raises(ImportSourceError, match=r"is not text .* give the thread another id"):
        await run_import(url, target)


@pytest.mark.parametrize(
    ("sql", "sentence"),
    [
        (
            "DROP TABLE steps; CREATE TABLE steps (id TEXT PRIMARY KEY) WITHOUT ROWID",
            r"steps was created WITHOUT ROWID.*copy the rows",
        ),
        (
            "ALTER TABLE elements RENAME TO old; ALTER TABLE old RENAME TO Elements",
            "its letter case differs; make it a table named elements",
        ),
    ],
)
async def test_a_table_that_cannot_be_read_is_refused(
    frozen: Shelf, targets: Targets, sql: str, sentence: str
) -> None:
    url, target = frozen.empty("sqlite"), await targets.make("sqlite")
    execute(url, TABLES.format(id="TEXT") + sql)
    with pytest.raises(ImportSourceError, match=sentence):
        await run_import(url, target)


async def test_text_that_is_not_utf8_is_imported_as_far_as_it_can_be_read(
    frozen: Shelf, targets: Targets
) -> None:
    url = frozen.load("sqlite_v8")
    execute(
        url,
        f"""UPDATE steps SET output = CAST(X'4772fcdf65' AS TEXT) WHERE id = '{STEP}';
        UPDATE threads SET "userIdentifier" = CAST(X'4af67267' AS TEXT) WHERE id = '{THREAD}';
        UPDATE users SET identifier = CAST(X'4af67267' AS TEXT) WHERE id = '{sample.user_id(1)}';
        INSERT INTO steps (id, name, type, "threadId", streaming) VALUES
          (CAST(X'fc' AS TEXT), 'n', 'run', '{THREAD}', 0),
          ('lost', 'n', 'run', CAST(X'fd' AS TEXT), 0);""",
    )
    target = await targets.make("postgresql")
    result = await run_import(url, target)
    assert_equal(result)
    assert result.quarantined["user", "its identifier is not valid UTF-8"] == 1
    assert result.quarantined["step", "its id is not valid UTF-8"] == 1
    assert result.quarantined["step", "its thread is missing"] == 1
    assert result.partly_quarantined["step", "text in it is not valid UTF-8"] == 1
    assert await read(target, select(steps.c.output).where(steps.c.id == STEP)) == [
        ("Gr\ufffd\ufffde",)
    ]
    # Two names could read the same: nobody gets the threads of this one.
    query = select(threads.c.userId, threads.c.userIdentifier).where(threads.c.id == THREAD)
    assert await read(target, query) == [(None, None)]
    rows = [row.row for row in await quarantined(target)]
    assert r"Gr\xfc\xdfe" in [row.get("output") for row in rows]
    assert r"\xfd" in [row.get("threadId") for row in rows]


NAN = '{"role": "admin", "a": [NaN, -Infinity], "b": 1e400}', {"a": [None, None], "b": None}
SURROGATE = r'{"role": "admin", "half": "\ud83d"}', {"half": "�"}


@pytest.mark.parametrize(
    ("name", "type_", "case", "dialect"),
    [
        ("sqlite_v8", None, NAN, "postgresql"),
        ("sqlite_v8", None, SURROGATE, "mariadb"),
        ("postgres_v8", "json", SURROGATE, "sqlite"),
        ("postgres_v8", "jsonb", ('{"role": "admin", "n": 1e400}', {"n": None}), "sqlite"),
    ],
)
async def test_json_that_only_some_readers_accept_is_quarantined_besides(
    frozen: Shelf,
    targets: Targets,
    name: str,
    type_: str | None,
    case: tuple[str, dict[str, Any]],
    dialect: str,
) -> None:
    url, target, (text, expected) = frozen.load(name), await targets.make(dialect), case
    for table in ("users", "threads", "steps"):
        if type_:
            change = f'ALTER "metadata" TYPE {type_} USING "metadata"::{type_}'
            execute(url, f"ALTER TABLE {table} {change}")
        execute(url, f"UPDATE {table} SET metadata = '{text}'")
    result = await run_import(url, target, name=name)
    assert_equal(result)
    reason = "its JSON has values that not every database can store"
    partly = {kind for kind, why in result.partly_quarantined if why == reason}
    assert partly == {"user", "thread", "step"}
    for table in (users, threads, steps):
        for (metadata,) in await read(target, select(table.c.metadata)):
            assert metadata == {"role": "admin"} | expected
    texts = [
        row.row["metadata"] for row in await quarantined(target) if row.reason.startswith(reason)
    ]
    assert all("1e400" in text or "ud83d" in text or "0000" in text for text in texts)


async def test_metadata_that_is_not_an_object_is_kept(frozen: Shelf, targets: Targets) -> None:
    url, target = frozen.load("sqlite_v8"), await targets.make("sqlite")
    execute(url, "UPDATE users SET metadata = '\"just\"'; UPDATE threads SET metadata = '[1]'")
    result = await run_import(url, target)
    assert_equal(result)
    reason = "its metadata is not a JSON object"
    assert {kind for kind, why in result.partly_quarantined if why == reason} == {"user", "thread"}
    assert set(await read(target, select(users.c.metadata))) == {("just",)}


@pytest.mark.parametrize(
    ("origin", "dialect"), [("postgres_v8", "sqlite"), ("sqlite_v8", "postgresql")]
)
async def test_long_numbers_are_imported_in_double_precision(
    frozen: Shelf, targets: Targets, origin: str, dialect: str
) -> None:
    text = '{"n": [12345678901234567890123, -0.1234567890123456789012345], "short": 0.1}'
    url, between, target = (
        frozen.load(origin),
        await targets.make(dialect),
        await targets.make("postgresql"),
    )
    execute(url, f"UPDATE threads SET metadata = '{text}'")
    assert_equal(await run_import(url, between, name=origin))
    assert_equal(await run_import(url_of(between), target))
    for database in (between, target):
        for (stored,) in await read(database, select(cast(threads.c.metadata, Text))):
            document = json.loads(stored, parse_int=float)
            assert document["n"] == [12345678901234567890123.0, -0.1234567890123456789012345]


@pytest.mark.full  # It needs MySQL.
async def test_a_database_that_rounds_numbers_is_not_different(
    frozen: Shelf, targets: Targets
) -> None:
    url = frozen.load("sqlite_v8")
    execute(url, """UPDATE threads SET metadata = '{"n": 0.1234567890123456789012345}'""")
    assert_equal(await run_import(url, await targets.make("mysql")))
