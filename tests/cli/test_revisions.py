"""`upgrade`, `downgrade` and `current` on real databases."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import trustme

from tests.cli.conftest import Command
from tests.cli.programs import on_a_terminal
from tests.frozen.load import execute
from tests.servers.postgres import PostgresServer

TABLES = {"users", "threads", "steps", "elements", "feedbacks"}


def sqlite_tables(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}


def test_each_command_reports_in_one_line(cli: Command, folder: Path) -> None:
    where = f"SQLite at sqlite:///{folder}/.chainlit_sqla/chainlit.db"
    assert cli("upgrade") == (0, f"{where}: now at 0004, was at base\n", "")
    assert cli("upgrade") == (0, f"{where}: already at 0004\n", "")
    assert cli("current") == (0, f"{where}: at 0004, up to date\n", "")
    assert sqlite_tables(folder / ".chainlit_sqla" / "chainlit.db") >= TABLES
    done = cli("downgrade", "base", "--yes")
    assert done == (0, f"{where}: now at base, was at 0004\n", "")
    assert cli("downgrade", "base", "--yes") == (0, f"{where}: already at base\n", "")


def test_postgresql_without_the_password(
    cli: Command, database: str, postgres: PostgresServer
) -> None:
    made = cli("upgrade", DATABASE_URL=database)
    assert made.code == 0
    assert "now at 0004, was at base" in made.out
    password = database.split(":")[2].split("@")[0]
    assert password not in made.out + made.err
    rows = postgres.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname='public'", url=database
    )
    assert {row[0] for row in rows} >= TABLES
    assert cli("current", "--url", database).code == 0
    assert cli("downgrade", "-1", "--yes", DATABASE_URL=database).code == 0
    assert cli("current", DATABASE_URL=database).code == 1


def test_tables_in_a_schema(cli: Command, database: str, postgres: PostgresServer) -> None:
    done = cli("upgrade", "--url", database, "--schema", "chainlit")
    assert done.code == 0
    assert "(schema chainlit)" in done.out
    query = "SELECT DISTINCT schemaname FROM pg_tables WHERE tablename = ANY($1)"
    rows = postgres.execute(query, sorted(TABLES), url=database)
    assert [row[0] for row in rows] == ["chainlit"]
    stale = cli("current", "--url", database)
    assert stale.code == 1
    assert "has no tables yet, this release needs 0004; run: chainlit-sqla upgrade" in stale.out
    assert cli("current", "--url", database, CHAINLIT_SQLA_SCHEMA="chainlit").code == 0


def test_options_override_the_environment_and_its_file(cli: Command, folder: Path) -> None:
    assert cli("upgrade", "--url", "sqlite:///mine.db", DATABASE_URL="sqlite:///other.db").code == 0
    assert (folder / "mine.db").exists()
    assert not (folder / "other.db").exists()
    (folder / ".env").write_text('DATABASE_URL="sqlite:///from_file.db"\n')
    assert cli("upgrade").code == 0
    assert sqlite_tables(folder / "from_file.db") >= TABLES


def test_downgrade_without_a_terminal_reports_the_loss_and_refuses(
    program: Command, folder: Path
) -> None:
    assert program("upgrade", DATABASE_URL="sqlite:///chats.db").code == 0
    execute(
        "sqlite:///chats.db",
        "INSERT INTO users (id, identifier, metadata, createdAt) "
        "VALUES ('1', 'ada', '{}', '2026-01-31T08:00:00.000000Z');"
        'INSERT INTO chainlit_sqla_quarantine (id, source, origin, reason, "row", createdAt) '
        "VALUES ('1', 'adoption', 'steps', 'odd', '{}', '2026-01-31T08:00:00.000000Z')",
    )
    done = program("downgrade", "0002", DATABASE_URL="sqlite:///chats.db")
    quarantined = "1 row in chainlit_sqla_quarantine"
    assert f"will be lost; kept for the next upgrade: {quarantined}." in done.out
    done = program("downgrade", "base", DATABASE_URL="sqlite:///chats.db")
    assert done.code == 1
    assert f"will be dropped, with 1 user, 0 threads, 0 steps, {quarantined}." in done.out
    assert done.err == (
        "Error: No changes made: confirmation needs a terminal. Re-run with --yes.\n"
    )
    assert sqlite_tables(folder / "chats.db") >= TABLES


@pytest.mark.parametrize(("answer", "code", "kept"), [("n", 1, True), ("y", 0, False)])
def test_downgrade_asks_on_a_terminal(
    cli: Command, folder: Path, answer: str, code: int, kept: bool
) -> None:
    assert cli("upgrade", "--url", "sqlite:///chats.db").code == 0
    command = ("downgrade", "base", "--url", "sqlite:///chats.db")
    output, status = on_a_terminal(folder, f"{answer}\n", *command)
    assert "Continue?" in output
    assert status == code, output
    assert bool(sqlite_tables(folder / "chats.db") & TABLES) is kept


def test_migrations_do_not_import_chainlit(program: Command, folder: Path) -> None:
    for command in ("upgrade", "current", "doctor"):
        assert program(command).code == 0
    assert {path.name for path in folder.iterdir()} == {".chainlit_sqla"}


def test_certificates_in_the_url_ask_for_tls(
    program: Command, database: str, tmp_path: Path
) -> None:
    # The server has none: without a check, the connection would go on in plain text.
    certificate = trustme.CA().issue_cert("client")
    key = tmp_path / "client.pem"
    certificate.private_key_and_cert_chain_pem.write_to_path(str(key))
    for query in ("sslmode=verify-full", f"sslcert={key}&sslkey={key}", f"sslrootcert={key}"):
        done = program("current", "--url", f"{database}?{query}")
        assert done.code == 1
        assert "SSL" in done.err
