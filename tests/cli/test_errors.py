"""Errors are one sentence with the repair and exit code 1, without traceback or password."""

from __future__ import annotations

import os
import re
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.cli.programs import Result, run_program
from tests.servers.ports import free_port
from tests.servers.postgres import PostgresServer

PASSWORD = "pas5word"


def refused(result: Result, *words: str) -> None:
    """Check that a command failed with one sentence that contains all of this."""
    assert result.code == 1, result
    assert result.out == ""
    assert result.err.startswith("Error: ")
    assert result.err.count("\n") == 1
    for word in words:
        assert word in result.err
    assert "Traceback" not in result.err
    assert PASSWORD not in result.err


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("garbage", ("Cannot parse", "postgresql://user:password@host:5432/name")),
        (f"oracle://me:{PASSWORD}@localhost/x", ("'oracle'", "use a postgresql://, mysql://,")),
        (f"mysql://me:{PASSWORD}@no-such-host.invalid/x", ("cannot be reached", "correct")),
        (f"mysql://me:{PASSWORD}@localhost/x?ssl-mode=OFTEN", ("'OFTEN'", "use DISABLED,")),
        (f"mysql://me:{PASSWORD}@localhost/x?ssl_ca=/none", ("ssl_ca", "correct its path")),
        (f"mysql://me:{PASSWORD}@localhost/x?charm=1", ("'charm'", "remove it from the URL")),
        (f"mysql://me:{PASSWORD}@localhost/x?useSSL=true", ("'useSSL'", "use ssl-mode instead")),
        (f"postgresql://me:{PASSWORD}@localhost/x?sslmode=ful", ("'ful'", "verify-full")),
        (f"postgresql://me:{PASSWORD}@localhost/x?sslcert=/no", ("sslcert", "correct its path")),
        (f"postgresql://me:{PASSWORD}@localhost/x?sslrootcert={__file__}", ("sslrootcert cannot",)),
        (f"postgresql://me:{PASSWORD}@localhost/x?foo=1", ("'foo'", "remove it from the URL")),
        (f"postgresql://me:{PASSWORD}@localhost/x?timeout=soon", ("'soon'", "correct it")),
        (f"postgresql://me:{PASSWORD}@localhost:port/x", ("Cannot parse", "write it as")),
        (f"postgresql://me:{PASSWORD}@h:1,h:2/x", ("database URL",)),
        (f"postgresql://me:{PASSWORD}@no-such-host.invalid/x", ("cannot be reached", "correct")),
        ("", ("--url is empty",)),
    ],
)
def test_unusable_url(cli: Command, url: str, words: tuple[str, ...]) -> None:
    refused(cli("upgrade", "--url", url), *words)


@pytest.mark.parametrize("tail", ["", "/w", "?w", "#w", "@w"])
@pytest.mark.parametrize("command", ["current", "doctor", "export"])
def test_no_part_of_an_unescaped_password_is_printed(cli: Command, tail: str, command: str) -> None:
    result = cli(command, "--url", f"postgresql://me:p@{PASSWORD}{tail}@localhost/x")
    assert result.code == 1
    assert "%40 for @" in result.err + result.out
    assert PASSWORD not in result.err + result.out


_INTERRUPTED_AT = """
import os, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == MODULE:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
from chainlit_sqla.__main__ import main
sys.argv[1:] = ["current", "--url", "sqlite:///chats.db"]
main()
"""


@pytest.mark.parametrize("module", ["typer", "sqlalchemy", "chainlit_sqla.cli.app", "aiosqlite"])
def test_ctrl_c_during_the_imports_is_one_line(folder: Path, module: str) -> None:
    code = _INTERRUPTED_AT.replace("MODULE", repr(module))
    result = run_program([sys.executable, "-c", code], folder, {})
    assert (result.code, result.err) == (130, "Interrupted.\n")


def test_connection_errors_name_the_repair(cli: Command, database: str) -> None:
    unreachable = f"postgresql://me:{PASSWORD}@127.0.0.1:{free_port()}/x"
    for command in ("upgrade", "current"):
        result = cli(command, "--url", unreachable)
        refused(result, "cannot be reached", "start the server or correct")
    wrong_password = re.sub(r":[^:@]+@", f":{PASSWORD}@", database)
    result = cli("upgrade", "--url", wrong_password)
    refused(result, "refuses the login of", "correct the user or the password")
    refused(cli("upgrade", "--url", f"{database}_none"), "has no database", "createdb")


def test_missing_permissions_name_the_repair(
    cli: Command, postgres: PostgresServer, database: str
) -> None:
    name = database.rpartition("/")[2]
    postgres.execute(f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'")
    try:
        postgres.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC", url=database)
        url = re.sub(r"//[^@]+@", f"//reader:{PASSWORD}@", database)
        for options in ([], ["--schema", "new"]):
            refused(cli("upgrade", "--url", url, *options), "may not do this", "grant")
        postgres.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        refused(cli("upgrade", "--url", database), "read-only", "connect to the primary")
    finally:
        postgres.drop_database(database)
        postgres.execute("DROP ROLE reader")


def test_foreign_tables_and_newer_revisions_are_refused(
    cli: Command, postgres: PostgresServer, database: str
) -> None:
    postgres.execute("CREATE TABLE users (name text)", url=database)
    refused(cli("upgrade", "--url", database), "users", "CHAINLIT_SQLA_SCHEMA")
    with closing(sqlite3.connect("app.db")) as connection:
        connection.execute("CREATE TABLE Users (name)")
    refused(cli("upgrade", "--url", "sqlite:///app.db"), "tables named users", "use another")
    postgres.execute("DROP TABLE users", url=database)
    parameters = "timeout=600&command_timeout=600&keepalives_idle=30"
    assert cli("upgrade", "--url", f"{database}?{parameters}").code == 0
    postgres.execute("UPDATE chainlit_sqla_version SET version_num = '9999'", url=database)
    for command in (["upgrade"], ["downgrade", "base", "--yes"]):
        refused(cli(*command, "--url", database), "9999", "pip install -U chainlit-sqla")
    current = cli("current", "--url", database)
    assert current.code == 1
    assert "pip install -U chainlit-sqla" in current.out


def test_a_file_that_is_not_a_database_or_damaged(cli: Command, folder: Path) -> None:
    content = b"Not the pages of a database.\n" * 9
    (folder / "notes.db").write_bytes(content)
    refused(cli("upgrade", "--url", "sqlite:///notes.db"), "is not a SQLite database", "another")
    assert (folder / "notes.db").read_bytes() == content
    path = folder / "chats.db"
    assert cli("upgrade", "--url", "sqlite:///chats.db").code == 0
    content = path.read_bytes()
    path.write_bytes(content[:100] + os.urandom(len(content) - 100))
    refused(cli("current", "--url", "sqlite:///chats.db"), "is damaged", "restore a backup")


def test_a_failing_disk(folder: Path) -> None:
    # A file that may not grow: SQLite takes it for a broken disk, not for a full one.
    limited = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (8_192, 8_192)); "
        "from chainlit_sqla.cli.app import main; "
        "main(['upgrade', '--url', 'sqlite:///chats.db'])"
    )
    python = [sys.executable, "-B"]  # Its own files would be cut short as well.
    refused(run_program([*python, "-c", limited], folder, {}), "disk I/O error", "check the disk")


@pytest.mark.parametrize("path", ["a_folder", "no/such/folder/chats.db", "a_file/chats.db"])
def test_a_file_that_cannot_be_opened(cli: Command, folder: Path, path: str) -> None:
    (folder / "a_folder").mkdir()
    (folder / "a_file").touch()
    refused(cli("upgrade", "--url", f"sqlite:///{path}"), "cannot be opened", "its folder exists")


def test_a_setting_that_cannot_be_used(cli: Command, folder: Path) -> None:
    (folder / "a_file").touch()
    result = cli("upgrade", CHAINLIT_SQLA_DATA_DIR=str(folder / "a_file" / "data"))
    refused(result, "Cannot create the folder", "CHAINLIT_SQLA_DATA_DIR")
    refused(cli("upgrade", CHAINLIT_SQLA_POOL_SIZE="many"), "CHAINLIT_SQLA_POOL_SIZE is")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["upgrade", "0042"], ("0042", "known revisions are 0001")),
        (["downgrade", "0042"], ("0042", "use one of base")),
        (["downgrade", "-7"], ("-7", "use one of base")),
        (["upgrade", "--schema", "chat"], ("SQLite has no schemas", "leave --schema out")),
    ],
)
def test_an_unknown_revision_or_schema(
    cli: Command, command: list[str], words: tuple[str, ...]
) -> None:
    refused(cli(*command), *words)


def test_an_unexpected_error_is_one_sentence(cli: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object, **__: object) -> None:
        raise ZeroDivisionError("division by zero\nand a second line")

    monkeypatch.setattr("chainlit_sqla.cli.schema._migrate", explode)
    refused(cli("upgrade"), "Unexpected ZeroDivisionError: division by zero", "--debug")


@pytest.mark.parametrize("how", [("--debug",), ()])
def test_debug_shows_the_traceback(program: Command, how: tuple[str, ...]) -> None:
    variables = {} if how else {"CHAINLIT_SQLA_DEBUG": "1"}
    result = program(*how, "upgrade", "--url", "garbage", **variables)
    assert result.code == 1
    assert "Traceback (most recent call last)" in result.err
    assert result.err.splitlines()[-1].startswith("Error: ")


@pytest.mark.parametrize("arguments", [["nonsense"], ["upgrade", "--nonsense"], ["downgrade"]])
def test_usage_errors_exit_with_2(cli: Command, arguments: list[str]) -> None:
    result = cli(*arguments)
    assert result.code == 2
    assert "Usage: chainlit-sqla" in result.err


AS_NOBODY = """
import concurrent.futures.thread, email.parser, os, sys
import aiosqlite, alembic.command, sqlalchemy.dialects.sqlite.aiosqlite, encodings.idna
import chainlit_sqla.database.migrator
from chainlit_sqla.cli import app
os.setgroups([]); os.setgid(65534); os.setuid(65534)
app.main(sys.argv[1:])
"""


def as_other_user(folder: Path, *arguments: str) -> Result:
    """Run a command as a user who owns nothing: root may write everywhere."""
    program = [sys.executable, "-c", AS_NOBODY]
    if os.geteuid() != 0:
        program = [sys.executable, "-m", "chainlit_sqla"]
        folder.chmod(0o555)
    return run_program([*program, *arguments], folder, {})


def test_no_permission_for_a_folder_or_a_file(cli: Command) -> None:
    with tempfile.TemporaryDirectory() as name:  # Others cannot enter the folders of pytest.
        folder = Path(name)
        url = f"sqlite:///{folder}/chats.db"
        assert cli("upgrade", "--url", url).code == 0
        (folder / "chats.db").chmod(0o444)
        folder.chmod(0o755)
        result = as_other_user(folder, "upgrade")
        refused(result, "(Permission denied)", "give this user write permission")
        result = as_other_user(folder, "downgrade", "base", "--yes", "--url", url)
        refused(result, "give this user write permission")
        report = as_other_user(folder, "doctor", "--url", url)
        assert report.code == 1
        assert "FAILED  database: The SQLite file" in report.out
        folder.chmod(0o755)
