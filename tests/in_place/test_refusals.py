"""What cannot be adopted is refused with the repair, and nothing is changed; odd rows are not."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from chainlit_sqla.database import migrator
from chainlit_sqla.errors import AdoptionRefused, ConfigurationError, SchemaOutdated, SchemaUnknown
from tests.frozen import conversations as said
from tests.frozen import original
from tests.frozen.load import Shelf, execute, rows
from tests.in_place.changes import adopt, opened, quarantined, unadopt

BOTH = ["sqlite_v8", "postgres_v8"]


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
async def test_other_tables_are_refused(frozen: Shelf, tmp_path: Path, dialect: str) -> None:
    schema = r" and the schema \(--schema\)" if dialect == "postgresql" else ""
    with pytest.raises(ConfigurationError, match=f"no tables of .* check the URL{schema}$"):
        await adopt(frozen.empty(dialect))
    with pytest.raises(SchemaUnknown, match=f"check the URL{schema}$"):
        await unadopt(frozen.empty(dialect), tmp_path / "rest.jsonl")
    url = frozen.empty(dialect)
    execute(url, "CREATE TABLE users (id TEXT PRIMARY KEY, email TEXT)")
    with pytest.raises(SchemaUnknown, match=r"users has no column identifier\)") as refused:
        await adopt(url)
    assert ("--schema" in str(refused.value)) == (dialect == "postgresql")


@pytest.mark.parametrize(
    ("sql", "sentence"),
    [
        (
            "CREATE TABLE chainlit_sqla_version (version_num VARCHAR(32)); "
            "INSERT INTO chainlit_sqla_version VALUES ('0001')",
            "drop that table and run the command again",
        ),
        (
            "ALTER TABLE elements RENAME TO all_elements; "
            "CREATE VIEW elements AS SELECT * FROM all_elements",
            "views or indexes named elements, and",
        ),
        (
            "ALTER TABLE steps RENAME TO all_steps; CREATE VIEW steps AS SELECT * FROM all_steps",
            r"\(steps is a view\)",
        ),
        ("CREATE TABLE users_before_adoption (id TEXT)", "named users_before_adoption, and"),
        ("CREATE INDEX ix_steps_id ON steps (type)", "named ix_steps_id, .* rename or drop them"),
    ],
)
@pytest.mark.parametrize("name", BOTH)
async def test_names_that_are_taken_are_refused(
    frozen: Shelf, name: str, sql: str, sentence: str
) -> None:
    url = frozen.load(name)
    execute(url, sql)
    before = await rows(url)
    with pytest.raises(SchemaUnknown, match=sentence):
        await adopt(url)
    assert await rows(url) == before


async def test_a_unique_constraint_that_is_named_like_ours_is_refused(frozen: Shelf) -> None:
    url = frozen.load("postgres_v8")
    execute(url, "ALTER TABLE users ADD CONSTRAINT uq_users_identifier UNIQUE (identifier)")
    with pytest.raises(SchemaUnknown, match="indexes named uq_users_identifier, and"):
        await adopt(url)


async def test_an_older_revision_is_upgraded_before_it_is_given_back(
    frozen: Shelf, tmp_path: Path
) -> None:
    url = frozen.load("sqlite_ours_0001")
    with pytest.raises(SchemaOutdated, match="run: chainlit-sqla upgrade"):
        await unadopt(url, tmp_path / "rest.jsonl")
    async with opened(url) as database:
        await migrator.upgrade(database)
    expected = await original.read_ours(url)
    await unadopt(url, tmp_path / "rest.jsonl")
    read = await original.read_at(frozen, "sqlite_v8", url)
    assert read["threads"].keys() == expected["threads"].keys()


async def test_files_that_wait_for_their_deletion_keep_our_tables(
    frozen: Shelf, tmp_path: Path
) -> None:
    url = frozen.load("postgres_v8")
    await adopt(url)
    execute(
        url,
        """INSERT INTO chainlit_sqla_blob_deletions ("objectKey", "createdAt")
        VALUES ('t/a.txt', '2026-01-01T00:00:00Z')""",
    )
    before = await rows(url)
    with pytest.raises(AdoptionRefused, match="Start the application with that store"):
        await unadopt(url, tmp_path / "rest.jsonl")
    assert await rows(url) == before
    assert not (tmp_path / "rest.jsonl").exists()
    execute(url, "DELETE FROM chainlit_sqla_blob_deletions")
    await unadopt(url, tmp_path / "rest.jsonl")


async def test_mysql_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="run chainlit-sqla import to copy"):
        await adopt("mysql://user@localhost/chats")


@pytest.mark.parametrize("name", BOTH)
async def test_tables_without_elements_and_feedback_are_adopted(
    frozen: Shelf, tmp_path: Path, name: str
) -> None:
    url = frozen.load(name)
    execute(url, "DROP TABLE elements; DROP TABLE feedbacks")
    report = await adopt(url)
    assert report.after["step"] > 0
    assert report.after["element"] == report.after["feedback"] == 0
    await unadopt(url, tmp_path / "rest.jsonl")
    execute(url, "SELECT * FROM elements JOIN feedbacks ON true")


@pytest.mark.parametrize(
    ("sql", "sentence"),
    [
        ("threads RENAME TO old; ALTER TABLE old RENAME TO Threads", "there is no table threads"),
        ('steps RENAME COLUMN "threadId" TO THREADID', "steps has no column threadId"),
    ],
)
async def test_names_in_other_letter_cases_are_refused_on_sqlite(
    frozen: Shelf, sql: str, sentence: str
) -> None:
    url = frozen.load("sqlite_v8")
    execute(url, f"ALTER TABLE {sql}")
    with pytest.raises(SchemaUnknown, match=sentence):
        await adopt(url)


async def test_rows_that_our_tables_cannot_hold_are_quarantined_and_come_back(
    frozen: Shelf, tmp_path: Path
) -> None:
    url = frozen.load("sqlite_v8")
    broken = "CAST(X'4772fcdf65' AS TEXT)"
    execute(
        url,
        "INSERT INTO threads (id, name) VALUES ('', 'nothing'); INSERT INTO steps "
        """(id, name, type, "threadId", streaming) VALUES ('s', 'n', 'run', '', 0);"""
        f"""UPDATE steps SET output = {broken}, metadata = '{{"a": NaN}}' """
        f"WHERE id = '{said.step_id(1, 1)}'",
    )
    await adopt(url)
    found = await quarantined(url)
    assert found["threads", "it has no id", ""] == 1
    assert found["steps", "its thread has no id", "s"] == 1
    assert found.total() >= 4  # And what of the step could not be read.
    await unadopt(url, tmp_path / "rest.jsonl")
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        query = "SELECT metadata FROM steps WHERE hex(output) = '4772FCDF65'"
        assert connection.execute(query).fetchall() == [('{"a": NaN}',)]


async def test_ids_that_are_no_uuids_go_into_the_file(frozen: Shelf, tmp_path: Path) -> None:
    url = frozen.load("postgres_v8")
    await adopt(url)
    entries = (await quarantined(url)).total()
    execute(
        url,
        """INSERT INTO threads (id, "createdAt", "updatedAt", metadata) VALUES
        ('C1/17.5', '2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z', '{}')""",
    )
    report = await unadopt(url, tmp_path / "rest.jsonl")
    assert report.in_file == {"thread": 1, "quarantined": entries}
    assert '"C1/17.5"' in (tmp_path / "rest.jsonl").read_text()
