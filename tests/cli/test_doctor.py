"""`doctor` reports what is wrong and how to repair it, and changes nothing."""

from __future__ import annotations

import re
import sqlite3
import tomllib
from pathlib import Path

import boto3
import pytest

from chainlit_sqla.cli import app_checks
from tests.cli.conftest import Command
from tests.cli.programs import ROOT
from tests.frozen.load import execute
from tests.servers.ports import free_port
from tests.servers.postgres import PostgresServer
from tests.servers.s3_moto import MotoServer

MINIMAL = (ROOT / "examples" / "minimal_app.py").read_text(encoding="utf-8")
APP = """
import chainlit as cl

@cl.on_message
async def answer(message):
    await cl.Message("Hello").send()
"""


def checks(report: str) -> dict[str, str]:
    lines = re.findall(r"^(ok|note|FAILED|skipped) +([a-z ]+): ", report, re.MULTILINE)
    return {name: status for status, name in lines}


def test_everything_works_in_an_empty_folder(cli: Command, folder: Path) -> None:
    report = cli("doctor")
    assert report.code == 0, report
    assert report.err == ""
    assert "(or start the app: the data layer upgrades this database)" in report.out
    assert report.out.endswith("Everything works.\n")
    assert set(checks(report.out).values()) == {"ok", "skipped"}
    assert f"skipped app: no Chainlit app in {folder}" in report.out
    assert f"sqlite:///{folder}/.chainlit_sqla/chainlit.db\n" in report.out
    assert list(folder.iterdir()) == []


def test_no_file_remains(program: Command, folder: Path) -> None:
    (folder / "app.py").write_text(APP)
    (folder / "files").mkdir()
    before = set(folder.rglob("*"))
    for url in ("", "sqlite:///chats.db", f"sqlite:///{folder}/none/chats.db"):
        options = ["--url", url] if url else []
        report = program("doctor", *options, CHAINLIT_SQLA_STORAGE=f"file://{folder}/files")
        assert (report.code == 0) == ("none" not in url), report
        assert set(folder.rglob("*")) == before


def test_nothing_that_it_writes_remains(
    cli: Command, folder: Path, database: str, postgres: PostgresServer
) -> None:
    assert cli("upgrade", "--url", database).code == 0
    report = cli("doctor", DATABASE_URL=database)
    assert report.code == 0, report
    assert "wrote a user and rolled it back" in report.out
    assert postgres.execute("SELECT * FROM users", url=database) == []
    server = r"^ok +database: PostgreSQL \d+\.\d+.*, postgresql://\w+:\*\*\*@"
    assert re.search(server, report.out, re.M)


def test_the_backup_of_an_adoption_is_named(cli: Command, folder: Path) -> None:
    url = "sqlite:///chats.db"
    assert cli("upgrade", "--url", url).code == 0
    execute(url, "CREATE TABLE users_before_adoption (id TEXT)")
    report = cli("doctor", "--url", url)
    assert report.code == 0
    line = "users_before_adoption; drop them with: chainlit-sqla adopt --drop-old"
    assert f"ok      backup of adopt: {line}" in report.out


def test_an_incomplete_search_index_is_noted(
    cli: Command, database: str, postgres: PostgresServer
) -> None:
    assert cli("upgrade", "--url", database).code == 0
    assert cli("search", "enable", "--url", database).code == 0
    assert checks(cli("doctor", "--url", database).out)["search"] == "ok"
    indexes = "SELECT indexname FROM pg_indexes WHERE indexdef LIKE '%gin_trgm_ops%'"
    name = postgres.execute(indexes, url=database)[0][0]
    invalid = "UPDATE pg_index SET indisvalid = false WHERE indexrelid = $1::text::regclass"
    postgres.execute(invalid, f'"{name}"', url=database)
    report = cli("doctor", "--url", database)
    assert report.code == 0
    assert checks(report.out)["search"] == "note"
    assert "run: chainlit-sqla search enable" in report.out


def test_missing_tables(cli: Command, database: str, postgres: PostgresServer) -> None:
    report = cli("doctor", DATABASE_URL=database)
    assert report.code == 1
    assert checks(report.out)["schema"] == "FAILED"
    assert "has no tables yet, this release needs" in report.out
    assert report.out.endswith("\n1 check failed.\n")
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
        statuses = checks(report.out)
        assert (statuses["schema"], statuses["write permission"]) == ("ok", "FAILED")
        assert "grant the permission" in report.out
    finally:
        postgres.drop_database(database)
        postgres.execute("DROP ROLE reader")


def test_database_and_storage_are_checked_separately(cli: Command, folder: Path) -> None:
    url = f"postgresql://me:secret@127.0.0.1:{free_port()}/x"
    (folder / "a_file").touch()
    for variables, failed in (
        ({"DATABASE_URL": url}, "database"),
        ({"CHAINLIT_SQLA_STORAGE": f"file://{folder}/a_file/files"}, "storage"),
    ):
        report = cli("doctor", **variables)
        assert report.code == 1
        assert [name for name, status in checks(report.out).items() if status == "FAILED"] == [
            failed
        ]
        skipped = checks(report.out)["write permission" if failed == "database" else "app"]
        assert skipped == "skipped"
        assert "secret" not in report.out + report.err


def test_it_shows_where_each_setting_comes_from(cli: Command, folder: Path) -> None:
    (folder / ".env").write_text("CHAINLIT_SQLA_POOL_SIZE=7\nCHAINLIT_SQLA_MAX_OVERFLOW=8\n")
    report = cli(
        "doctor",
        *("--url", "sqlite:///chats.db"),
        CHAINLIT_SQLA_POOL_SIZE="9",
        CHAINLIT_AUTH_SECRET="a-secret-value",
        STORAGE_EXPIRY_TIME="",
    )
    rows = {tuple(line.split()) for line in report.out.splitlines()}
    assert ("CHAINLIT_DATABASE_URL", "sqlite:///chats.db", "command", "line") in rows
    assert ("CHAINLIT_SQLA_POOL_SIZE", "9", "environment") in rows
    assert ("CHAINLIT_SQLA_MAX_OVERFLOW", "8", ".env") in rows
    assert ("STORAGE_EXPIRY_TIME", "3600", "default") in rows
    assert ("CHAINLIT_AUTH_SECRET", "(set)", "environment") in rows
    assert "a-secret-value" not in report.out


def test_a_misspelt_or_invalid_setting_is_named(cli: Command) -> None:
    report = cli("doctor", CHAINLIT_SQLA_POOLSIZE="3")
    assert report.code == 0
    assert "CHAINLIT_SQLA_POOLSIZE (environment) is not a setting" in report.out
    assert "did you mean CHAINLIT_SQLA_POOL_SIZE?" in report.out
    report = cli("doctor", CHAINLIT_SQLA_QUEUE_SIZE="none")
    assert report.code == 1
    assert "FAILED  settings: CHAINLIT_SQLA_QUEUE_SIZE is invalid" in report.out


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


def test_what_the_app_lacks_is_said(cli: Command, folder: Path) -> None:
    (folder / "setup.py").write_text("import chainlit\n")  # No app.
    (folder / "app.py").write_text(APP)
    report = cli("doctor")
    assert report.code == 0
    assert "note    app: app.py has no login, and Chainlit shows past conversations" in report.out
    assert "note    app: app.py has no @cl.on_chat_resume" in report.out
    assert "start it with: chainlit-sqla run app.py" in report.out
    assert "DATABASE_URL to Chainlit" not in report.out
    # Chainlit's own layer would be used on this database.
    report = cli("doctor", DATABASE_URL="sqlite:///chats.db")
    assert "note    app: app.py has no @cl.data_layer: a plain `chainlit run`" in report.out
    assert "rename the variable to CHAINLIT_DATABASE_URL" in report.out

    # What an app imports from beside it counts, and nothing is run.
    (folder / "login.py").write_text(f"{MINIMAL}\nraise SystemExit\n")
    (folder / "app.py").write_text(f"{APP}\nfrom login import log_in\n")
    report = cli("doctor", "app.py")
    assert report.code == 1
    assert "FAILED  app: app.py has a login, which needs CHAINLIT_AUTH_SECRET" in report.out
    assert "chainlit create-secret | tail -n 1 >> .env" in report.out
    (folder / ".env").write_text("CHAINLIT_AUTH_SECRET=a-secret\n")
    report = cli("doctor", "app.py")
    assert report.code == 0
    assert report.out.endswith("Everything works.\n")
    # Chainlit looks into the file for no variable that is set, even to nothing.
    assert cli("doctor", "app.py", CHAINLIT_AUTH_SECRET="").code == 1
    assert cli("doctor", "none.py").code == 1


def test_empty_variables_are_said(cli: Command, folder: Path) -> None:
    (folder / ".env").write_text("BUCKET_NAME=\n")
    report = cli("doctor", DATABASE_URL="")
    assert "note    settings: DATABASE_URL, BUCKET_NAME: empty, which counts as unset" in report.out
    report = cli("doctor", "--url", "sqlite:///chats.db", DATABASE_URL="")
    assert "note    settings: BUCKET_NAME: empty" in report.out


def test_links_are_fetched_as_browsers_fetch_them(cli: Command, folder: Path) -> None:
    server = MotoServer()
    try:
        keys = {"aws_access_key_id": server.access_key, "aws_secret_access_key": server.secret_key}
        client = boto3.client("s3", endpoint_url=server.endpoint, region_name="us-east-1", **keys)
        client.create_bucket(Bucket="attachments")
        variables = {
            "BUCKET_NAME": "attachments",
            "APP_AWS_ACCESS_KEY": server.access_key,
            "APP_AWS_SECRET_KEY": server.secret_key,
            "DEV_AWS_ENDPOINT": server.endpoint,
        }
        report = cli("doctor", **variables)
        assert checks(report.out)["link"] == "ok"
        assert f"browsers fetch files from {server.endpoint}/attachments/" in report.out
        public = {"CHAINLIT_SQLA_PUBLIC_ENDPOINT": "http://localstack:4566"}
        report = cli("doctor", **variables, **public)
        assert (report.code, checks(report.out)["link"]) == (0, "note")
        assert "whose host 'localstack' only containers" in report.out
        assert not client.list_objects_v2(Bucket="attachments").get("Contents")
        assert server.secret_key not in report.out
        assert "Signature" not in report.out
    finally:
        server.stop()


def test_a_release_of_chainlit_with_known_holes_is_named(
    cli: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lowest = ".".join(map(str, app_checks._LOWEST_CHAINLIT))
    assert f"chainlit>={lowest},<3" in project["dependencies"]
    for installed, code in (("2.9.3", 1), ("2.10.0", 1), (lowest, 0), ("2.11.0rc1", 0)):
        monkeypatch.setattr(app_checks, "version", lambda _, installed=installed: installed)
        report = cli("doctor")
        assert report.code == code
        assert (f"Chainlit {installed} is not safe" in report.out) == bool(code)
