"""`adopt` and `unadopt` as a user starts them: what they ask, print and refuse."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.cli.programs import on_a_terminal
from tests.frozen.load import execute, rows


@pytest.mark.parametrize("command", ["adopt", "unadopt"])
@pytest.mark.parametrize("option", ["--dry-run", "--yes", ""])
def test_a_wrong_path_makes_no_file(cli: Command, folder: Path, command: str, option: str) -> None:
    url = f"sqlite:///{folder}/wrong.db"
    result = cli(command, *filter(None, [option]), "--url", url)
    assert (result.code, result.out) == (1, "")
    assert result.err == f"Error: There is no SQLite file {folder}/wrong.db; correct the URL\n"
    assert list(folder.iterdir()) == []


def test_a_dry_run_changes_nothing(cli: Command, folder: Path, old: Path) -> None:
    path = old.rename(folder / "old chats.db")
    before = asyncio.run(rows(f"sqlite:///{path}"))
    named = str(path).replace(" ", "%20")
    result = cli("adopt", "--dry-run", "--url", f"sqlite:///file://localhost{named}?uri=true")
    assert ": dry run, no changes made" in result.out
    assert ["users", "3", "3", "0"] in [line.split() for line in result.out.splitlines()]
    assert asyncio.run(rows(f"sqlite:///{path}")) == before


def test_the_backup_is_dropped_when_it_is_no_longer_needed(
    cli: Command, folder: Path, old: Path
) -> None:
    url = f"sqlite:///{old}"
    result = cli("adopt", "--drop-old", "--url", url)
    assert "has no tables of an adoption to drop" in result.err
    assert "until: chainlit-sqla adopt --drop-old" in cli("adopt", "--yes", "--url", url).out
    assert cli("upgrade", "--url", url).code == 0
    assert "drop them with: chainlit-sqla adopt --drop-old" in cli("doctor", "--url", url).out
    view = "CREATE VIEW titles AS SELECT name FROM threads_before_adoption"
    execute(url, view)
    said, code = on_a_terminal(folder, "n\n", "adopt", "--drop-old", "--url", url)
    assert f"…_before_adoption in SQLite at {url} will be removed for good." in said
    assert "replaced" not in said
    assert code == 1
    result = cli("adopt", "--drop-old", "--drop-dependents", "--yes", "--url", url)
    assert f"  {view};\n" in result.out
    assert "Dropped users_before_adoption with 3 rows\n" in result.out
    assert "quarantined" not in result.out
    assert cli("unadopt", "--yes", "--url", url).code == 0


def test_the_way_back_names_the_file_with_what_chainlits_tables_cannot_hold(
    cli: Command, folder: Path, old: Path
) -> None:
    url = f"sqlite:///{old}"
    assert cli("adopt", "--yes", "--url", url).code == 0
    execute(url, 'UPDATE steps SET extra = \'{"mood": "good"}\'')
    result = cli("unadopt", "--dry-run", "--url", url)
    assert "are in a file (quarantined: 1, step: 28)" in result.out
    result = cli("unadopt", "--yes", "--url", url, "--output", str(folder / "rest.jsonl"))
    assert f"are in {folder / 'rest.jsonl'} (quarantined: 1, step: 28)" in result.out
    assert cli("adopt", "--yes", "--url", url).code == 0
    result = cli("import", "--from", str(folder / "rest.jsonl"), "--update", "--url", url)
    assert result.code == 0, result.err
    with closing(sqlite3.connect(old)) as connection:
        query = "SELECT count(*) FROM steps WHERE extra LIKE '%mood%'"
        assert connection.execute(query).fetchone() == (28,)


def test_without_a_terminal_nothing_is_changed(program: Command, old: Path) -> None:
    before = old.read_bytes()
    result = program("adopt", "--url", f"sqlite:///{old}")
    assert result.code == 1
    assert "confirmation needs a terminal" in result.err
    assert old.read_bytes() == before


def test_nothing_to_do_needs_no_answer(cli: Command, old: Path) -> None:
    url = f"sqlite:///{old}"
    result = cli("unadopt", "--url", url)
    assert "has Chainlit's tables, not those of chainlit-sqla; nothing to do." in result.out
    assert result.code == 0
    assert cli("adopt", "--yes", "--url", url).code == 0
    result = cli("adopt", "--url", url)
    assert "is already adopted" in result.out
    assert result.code == 0


def test_the_question_names_the_database_and_yes_adopts_once(folder: Path, old: Path) -> None:
    before, url = old.read_bytes(), f"sqlite:///{old}"
    said, code = on_a_terminal(folder, "n\n", "adopt", "--url", url)
    assert f"The tables in SQLite at {url} will be replaced." in said
    assert said.endswith("No changes made.\n")
    assert code == 1
    assert old.read_bytes() == before
    for expected in ("threads compared", "is already adopted"):
        said, code = on_a_terminal(folder, "y\n", "adopt", "--url", url)
        assert expected in said
        assert code == 0


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        ("sqlite", "current"),
        ("postgresql", "upgrade"),
        ("sqlite", "doctor"),
        ("sqlite", "run app.py"),
        ("postgresql", "run app.py"),
    ],
)
def test_every_command_names_the_way_from_chainlits_tables(
    program: Command,
    folder: Path,
    request: pytest.FixtureRequest,
    kind: str,
    command: str,
) -> None:
    (folder / "app.py").write_text("")
    url = f"sqlite:///{folder}/old.db"
    if kind == "postgresql":
        url = request.getfixturevalue("database")
    execute(
        url,
        "CREATE TABLE users (id TEXT, identifier TEXT, metadata TEXT);"
        'CREATE TABLE threads (id TEXT, "userId" TEXT, "userIdentifier" TEXT);'
        'CREATE TABLE steps (id TEXT, "threadId" TEXT, type TEXT, "createdAt" TEXT);',
    )
    result = program(*command.split(), DATABASE_URL=url)
    assert result.code == 1
    assert (
        "has conversations of Chainlit's own data layer; migrate them with "
        "chainlit-sqla adopt (in place) or chainlit-sqla import (into another database)"
    ) in result.out + result.err
    execute(url, "DROP TABLE steps; DROP TABLE threads")
    result = program(*command.split(), DATABASE_URL=url)
    assert result.code == 1
    assert "CHAINLIT_SQLA_SCHEMA=chainlit" in result.out + result.err
