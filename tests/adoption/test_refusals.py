"""What cannot be adopted is refused in words that help, and nothing is changed."""

from __future__ import annotations

import re
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from chainlit_sqla.errors import (
    AdoptionRefused,
    ConfigurationError,
    DatabaseUnavailable,
    SchemaUnknown,
)
from chainlit_sqla.transfer.in_place import Adoption
from tests.adoption.ways import adopt, digests, opened, set_aside, unadopt
from tests.cli.programs import run_program
from tests.frozen import original
from tests.frozen.load import Shelf, execute

BOTH = ["sqlite_v8", "postgres_v8"]


@pytest.mark.parametrize(
    ("dialect", "repair"),
    [
        ("sqlite", "let ours live in another file"),
        ("postgresql", "--schema, or let ours live beside them in another one"),
    ],
)
async def test_users_of_somebody_else_are_refused(frozen: Shelf, dialect: str, repair: str) -> None:
    url = frozen.empty(dialect)
    execute(url, "CREATE TABLE users (id TEXT PRIMARY KEY, email TEXT)")
    execute(url, "INSERT INTO users VALUES ('1', 'me')")
    words = "users has no column identifier, metadata"
    with pytest.raises(SchemaUnknown, match=words) as refused:
        await adopt(url)
    assert repair in str(refused.value)
    assert ("schema" in str(refused.value)) == (dialect == "postgresql")


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
async def test_an_empty_database_has_nothing_to_adopt(frozen: Shelf, dialect: str) -> None:
    schema = r" and the schema \(--schema\)" if dialect == "postgresql" else ""
    with pytest.raises(ConfigurationError, match=f"check the URL{schema}$"):
        await adopt(frozen.empty(dialect))
    with pytest.raises(SchemaUnknown, match=f"check the URL{schema}$"):
        await unadopt(frozen.empty(dialect))


@pytest.mark.parametrize("name", BOTH)
async def test_tables_without_elements_and_feedback_are_adopted(frozen: Shelf, name: str) -> None:
    url = frozen.load(name)
    execute(url, "DROP TABLE elements; DROP TABLE feedbacks")
    report = await adopt(url)
    assert report.kept["step"] > 0
    assert report.kept["element"] == report.kept["feedback"] == 0
    await unadopt(url)
    execute(url, "SELECT * FROM elements JOIN feedbacks ON true")


@pytest.mark.parametrize("name", BOTH)
async def test_our_version_table_over_other_tables_is_refused(frozen: Shelf, name: str) -> None:
    url = frozen.load(name)
    execute(url, "CREATE TABLE chainlit_sqla_version (version_num VARCHAR(32))")
    execute(url, "INSERT INTO chainlit_sqla_version VALUES ('0001')")
    with pytest.raises(SchemaUnknown, match="drop that table and run this again"):
        await adopt(url)


async def test_a_view_in_a_tables_place_is_refused(frozen: Shelf) -> None:
    url = frozen.load("postgres_v8")
    execute(
        url,
        "ALTER TABLE elements RENAME TO all_elements; "
        "CREATE VIEW elements AS SELECT * FROM all_elements",
    )
    with pytest.raises(SchemaUnknown, match="elements cannot be moved: it is a view"):
        await adopt(url)


async def test_only_who_owns_the_tables_can_have_them_adopted_and_given_back(
    frozen: Shelf,
) -> None:
    url, server = frozen.load("postgres_v8"), frozen.server
    server.execute("CREATE ROLE visitor LOGIN PASSWORD 'secret'")
    server.execute("CREATE ROLE owner")
    try:
        execute(url, "GRANT ALL ON SCHEMA public TO owner; GRANT ALL ON SCHEMA public TO visitor")
        for table in ("users", "threads", "steps", "elements", "feedbacks"):
            execute(url, f"GRANT ALL ON {table} TO visitor; ALTER TABLE {table} OWNER TO owner")
        theirs = re.sub(r"//[^@]*@", "//visitor:secret@", url)
        words = r"'visitor' may not do this .* belong to 'owner'; .* as a member of that role"
        with pytest.raises(DatabaseUnavailable, match=words):
            await adopt(theirs)
        async with opened(theirs) as database:
            with pytest.raises(DatabaseUnavailable, match=words):
                await Adoption(database).look()
        server.execute("GRANT owner TO visitor")
        assert (await adopt(theirs)).nothing is None
        server.execute("REVOKE owner FROM visitor")
        execute(url, "GRANT SELECT ON chainlit_sqla_version TO visitor")
        with pytest.raises(DatabaseUnavailable, match=words):
            await unadopt(theirs)
    finally:
        frozen.close()
        server.execute("DROP ROLE visitor")
        server.execute("DROP ROLE owner")


async def test_a_file_that_cannot_be_written_is_named(frozen: Shelf) -> None:
    url = frozen.load("sqlite_v8")
    with pytest.raises(DatabaseUnavailable, match="write permission"):
        await adopt(f"{url.replace('sqlite:///', 'sqlite:///file:')}?mode=ro&uri=true")
    assert (await adopt(url)).nothing is None


async def test_a_full_disk_leaves_the_original(frozen: Shelf) -> None:
    url = frozen.load("sqlite_v8")
    before = await original.read_at(frozen, "sqlite_v8", url)
    async with opened(url) as database:
        event.listen(database.engine.sync_engine, "connect", _small)
        with pytest.raises(DatabaseUnavailable, match="free disk space"):
            await Adoption(database).run()
    assert await original.read_at(frozen, "sqlite_v8", url) == before


def _small(connection: Any, _record: Any) -> None:
    """SQLite itself says that there is no room, as it does when the disk is full."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA max_page_count = 1")
    cursor.close()


async def test_sqlite_views_triggers_and_foreign_keys_of_others_still_work(frozen: Shelf) -> None:
    url = frozen.load("sqlite_v8")
    execute(
        url,
        """
        CREATE VIEW titles AS SELECT id, name, indent FROM threads JOIN
          (SELECT "threadId", max(indent) AS indent FROM steps GROUP BY 1) ON "threadId" = id;
        CREATE TRIGGER retitle INSTEAD OF UPDATE ON titles
          BEGIN UPDATE threads SET name = NEW.name WHERE id = NEW.id; END;
        CREATE TABLE told (name TEXT);
        CREATE TRIGGER tell AFTER UPDATE OF name ON threads
          BEGIN INSERT INTO told VALUES (NEW.name); END;
        CREATE TABLE notes (thread TEXT REFERENCES threads(id) ON DELETE CASCADE);
        INSERT INTO notes SELECT id FROM threads;
        """,
    )
    path = url.removeprefix("sqlite:///")

    def state() -> list[object]:
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("UPDATE titles SET name = name || '!' WHERE name = 'Złoto'")
        found = [
            connection.execute("SELECT * FROM titles ORDER BY 1").fetchall(),
            connection.execute("SELECT * FROM told").fetchall(),
            connection.execute("PRAGMA foreign_key_check").fetchall(),
            connection.execute("DELETE FROM threads WHERE name = 'Złoto!'").rowcount,
            connection.execute("SELECT count(*) FROM notes").fetchall(),
        ]
        connection.rollback()
        connection.close()
        return found

    before = state()
    report = await adopt(url)
    assert set(report.carried) == {"trigger tell on threads", "view titles", "foreign key of notes"}
    assert state() == before
    await unadopt(url)
    assert state() == before


async def test_a_sqlite_foreign_key_to_a_step_is_refused(frozen: Shelf) -> None:
    url = frozen.load("sqlite_v8")
    execute(url, "CREATE TABLE marks (step TEXT REFERENCES steps(id))")
    with pytest.raises(AdoptionRefused, match="foreign key of marks: foreign key mismatch"):
        await adopt(url, drop=True)


async def test_a_sqlite_table_without_rowid_is_refused(frozen: Shelf) -> None:
    url = frozen.load("sqlite_v8")
    execute(
        url,
        "DROP TABLE feedbacks; CREATE TABLE feedbacks "
        '(id TEXT PRIMARY KEY, "forId" TEXT, value INT) WITHOUT ROWID',
    )
    with pytest.raises(SchemaUnknown, match="feedbacks cannot be moved: it is made WITHOUT ROWID"):
        await adopt(url)


async def test_what_lies_in_a_thread_without_an_id_is_put_aside(frozen: Shelf) -> None:
    url = frozen.load("sqlite_v8")
    execute(
        url,
        "INSERT INTO threads (id, name) VALUES ('', 'nothing'); INSERT INTO steps "
        """(id, name, type, "threadId", streaming) VALUES ('s', 'n', 'run', '', 0)""",
    )
    await adopt(url)
    assert {
        ("threads", "it has no id", ""): 1,
        ("steps", "its thread has no id", "s"): 1,
    }.items() <= (await set_aside(url)).items()


@pytest.mark.parametrize("name", BOTH)
async def test_ids_that_are_no_uuids_come_back_as_text(frozen: Shelf, name: str) -> None:
    url = frozen.load(name)
    await adopt(url)
    execute(
        url,
        """INSERT INTO threads (id, "createdAt", "updatedAt", metadata) VALUES
        ('C1/17.5', '2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z', '{}')""",
    )
    before = await digests(url)
    await unadopt(url)
    found = await original.read_at(frozen, name, url)
    assert "C1/17.5" in found["threads"]
    await adopt(url)
    assert await digests(url) == before


@pytest.mark.parametrize("name", BOTH)
def test_the_commands_ask_and_tell(frozen: Shelf, tmp_path: Path, name: str) -> None:
    url = frozen.load(name)

    def run(*arguments: str) -> tuple[int, str, str]:
        command = [sys.executable, "-m", "chainlit_sqla", *arguments]
        return run_program(command, tmp_path, {"DATABASE_URL": url})

    code, _, err = run("adopt")
    assert code == 1
    assert "--dry-run" in err
    code, out, _ = run("adopt", "--dry-run")
    assert code == 0
    assert "a rehearsal, nothing was changed" in out
    assert "a newer feedback is there for the same step" in out
    assert run("current")[0] == 1
    code, out, _ = run("adopt", "--yes")
    assert code == 0
    if name.startswith("postgres"):
        assert "steps.createdAt: text to timestamp with time zone" in out
    assert "no difference" in out
    assert run("current")[0] == 0
    code, out, _ = run("unadopt", "--yes")
    assert code == 0
    assert "chainlit_sqla_unadopted" in out
    assert "Put back from the quarantine: 1 feedbacks" in out
    assert ["feedbacks", "3", "4", "0"] in [line.split() for line in out.splitlines()]
