"""`doctor`: what is wrong, the repair, and nothing changed."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.servers import s3_moto
from tests.servers.ports import free_port
from tests.servers.postgres import PostgresServer
from tests.servers.require import unavailable


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    """The variables for a bucket on a quick S3 server."""
    if reason := s3_moto.missing():
        unavailable(f"no S3 server ({reason})", "pip install -e '.[test]'")
    server = s3_moto.MotoServer()
    yield {
        "BUCKET_NAME": "attachments",
        "DEV_AWS_ENDPOINT": server.endpoint,
        "APP_AWS_ACCESS_KEY": server.access_key,
        "APP_AWS_SECRET_KEY": server.secret_key,
        "APP_AWS_REGION": server.region,
    }
    server.stop()


def checks(report: str) -> dict[str, str]:
    """The results of the checks by name."""
    found = re.findall(r"^(ok|note|FAILED|skipped) +([a-z ]+): ", report, re.MULTILINE)
    return {name: mark for mark, name in found}


def test_all_is_well_in_an_empty_folder(cli: Command, folder: Path) -> None:
    report = cli("doctor")
    assert report.code == 0, report
    assert report.err == ""
    assert "schema: no tables yet; will be created on first use" in report.out
    assert report.out.endswith("Everything works.\n")
    assert set(checks(report.out).values()) == {"ok"}


def test_it_makes_no_tables(cli: Command, folder: Path) -> None:
    assert cli("doctor", "--url", "sqlite:///chats.db").code == 0
    connection = sqlite3.connect(folder / "chats.db")
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
    connection.close()


def test_what_it_writes_is_gone(cli: Command, database: str, postgres: PostgresServer) -> None:
    assert cli("upgrade", "--url", database).code == 0
    report = cli("doctor", DATABASE_URL=database)
    assert report.code == 0, report
    assert "wrote a user and rolled it back" in report.out
    assert postgres.execute("SELECT * FROM users", url=database) == []


def test_it_says_which_server_this_is(cli: Command, database: str) -> None:
    report = cli("doctor", DATABASE_URL=database)
    assert re.search(
        r"^ok +database: PostgreSQL \d+\.\d+.*, postgresql://\w+:\*\*\*@", report.out, re.M
    )


def test_missing_tables_on_postgresql(cli: Command, database: str) -> None:
    report = cli("doctor", DATABASE_URL=database)
    assert report.code == 1
    assert checks(report.out)["schema"] == "FAILED"
    assert "has no tables yet, this release needs" in report.out
    assert report.out.endswith("\n1 check failed.\n")


def test_tables_that_make_themselves(cli: Command, database: str, postgres: PostgresServer) -> None:
    automatic = {"DATABASE_URL": database, "CHAINLIT_SQLA_AUTO_UPGRADE": "true"}
    report = cli("doctor", **automatic, CHAINLIT_SQLA_SCHEMA="chat")
    assert report.code == 0, report
    assert "created a table and rolled it back" in report.out
    names = {row[0] for row in postgres.execute("SELECT nspname FROM pg_namespace", url=database)}
    assert "chat" not in names


def test_no_permission_to_write(cli: Command, database: str, postgres: PostgresServer) -> None:
    assert cli("upgrade", "--url", database).code == 0
    postgres.execute("CREATE ROLE reader LOGIN PASSWORD 'reader'")
    try:
        postgres.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader", url=database)
        # The right for one table is not enough.
        postgres.execute("GRANT INSERT, UPDATE, DELETE ON users TO reader", url=database)
        report = cli("doctor", "--url", re.sub(r"//[^@]+@", "//reader:reader@", database))
        assert report.code == 1
        marks = checks(report.out)
        assert (marks["schema"], marks["write permission"]) == ("ok", "FAILED")
        assert "grant the permission" in report.out
    finally:
        postgres.drop_database(database)
        postgres.execute("DROP ROLE reader")


def test_storage_is_checked_where_there_is_no_database(cli: Command) -> None:
    url = f"postgresql://me:secret@127.0.0.1:{free_port()}/x"
    report = cli("doctor", DATABASE_URL=url)
    assert report.code == 1
    marks = checks(report.out)
    assert marks["database"] == "FAILED"
    assert marks["schema"] == marks["write permission"] == "skipped"
    assert marks["storage"] == "ok"
    assert "secret" not in report.out + report.err


def test_a_folder_for_files_that_cannot_be_made(cli: Command, folder: Path) -> None:
    (folder / "a_file").touch()
    report = cli("doctor", CHAINLIT_SQLA_STORAGE=f"file://{folder}/a_file/files")
    assert report.code == 1
    assert checks(report.out) == {
        "versions": "ok",
        "database": "ok",
        "schema": "ok",
        "write permission": "ok",
        "storage": "FAILED",
    }


def test_a_wrong_bucket(cli: Command, s3: dict[str, str]) -> None:
    report = cli("doctor", **s3)
    assert report.code == 1
    line = next(line for line in report.out.splitlines() if "storage:" in line)
    assert line.startswith("FAILED")
    assert "attachments" in line
    assert s3["APP_AWS_SECRET_KEY"] not in report.out


def test_a_bucket_that_is_there(cli: Command, s3: dict[str, str]) -> None:
    import boto3

    boto3.client(
        "s3",
        endpoint_url=s3["DEV_AWS_ENDPOINT"],
        aws_access_key_id=s3["APP_AWS_ACCESS_KEY"],
        aws_secret_access_key=s3["APP_AWS_SECRET_KEY"],
        region_name=s3["APP_AWS_REGION"],
    ).create_bucket(Bucket="present")
    report = cli("doctor", **s3 | {"BUCKET_NAME": "present"})
    assert report.code == 0, report
    assert "wrote, read and deleted a file" in report.out


def test_an_s3_server_that_is_not_there(cli: Command, s3: dict[str, str]) -> None:
    report = cli("doctor", **s3 | {"DEV_AWS_ENDPOINT": f"http://127.0.0.1:{free_port()}"})
    assert report.code == 1
    assert checks(report.out)["storage"] == "FAILED"


def test_a_missing_extra(program: Command, folder: Path, without_google: dict[str, str]) -> None:
    report = program("doctor", **without_google)
    assert report.code == 1
    assert 'run: pip install "chainlit-sqla[gcs]"' in report.out
    assert {path.name for path in folder.iterdir()} == {".chainlit_sqla"}


def test_it_shows_where_each_setting_comes_from(cli: Command, folder: Path) -> None:
    (folder / ".env").write_text("CHAINLIT_SQLA_POOL_SIZE=7\nCHAINLIT_SQLA_MAX_OVERFLOW=8\n")
    report = cli(
        "doctor",
        *("--url", "sqlite:///chats.db"),
        CHAINLIT_SQLA_POOL_SIZE="9",
        CHAINLIT_AUTH_SECRET="do-not-tell",
        STORAGE_EXPIRY_TIME="",
    )
    rows = {tuple(line.split()) for line in report.out.splitlines()}
    assert ("CHAINLIT_DATABASE_URL", "sqlite:///chats.db", "command", "line") in rows
    assert ("CHAINLIT_SQLA_POOL_SIZE", "9", "environment") in rows
    assert ("CHAINLIT_SQLA_MAX_OVERFLOW", "8", ".env") in rows
    assert ("STORAGE_EXPIRY_TIME", "3600", "default") in rows
    assert ("CHAINLIT_AUTH_SECRET", "(set)", "environment") in rows
    assert "do-not-tell" not in report.out


def test_a_misspelt_setting_is_noted(cli: Command) -> None:
    report = cli("doctor", CHAINLIT_SQLA_POOLSIZE="3")
    assert report.code == 0
    assert "CHAINLIT_SQLA_POOLSIZE (environment) is not a setting" in report.out
    assert "did you mean CHAINLIT_SQLA_POOL_SIZE?" in report.out


def test_an_impossible_setting(cli: Command) -> None:
    report = cli("doctor", CHAINLIT_SQLA_QUEUE_SIZE="none")
    assert report.code == 1
    assert "FAILED  settings: CHAINLIT_SQLA_QUEUE_SIZE='none'" in report.out


def test_a_locked_file(cli: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chainlit_sqla.dialects.sqlite.dialect._BUSY_SECONDS", 0.2)
    assert cli("upgrade", "--url", "sqlite:///chats.db").code == 0
    other = sqlite3.connect(folder / "chats.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        report = cli("doctor", "--url", "sqlite:///chats.db")
    finally:
        other.close()
    assert report.code == 1
    assert checks(report.out)["write permission"] == "FAILED"
    assert "end the other program that is writing to it" in report.out
