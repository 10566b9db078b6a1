"""`export` as a user runs it: to a pipe or a file, refused, and ended in the middle."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from rich.console import Console
from sqlalchemy import make_url

from chainlit_sqla.cli.output import progress_log
from chainlit_sqla.database import Database
from chainlit_sqla.database import migrator as migrations
from chainlit_sqla.transfer.record_file import End, open_lines
from chainlit_sqla.transfer.records import Record
from tests.cli.conftest import Command
from tests.cli.programs import SECONDS, Result, environment
from tests.export import many, sample
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import FlakyProxy

FULL = pytest.mark.full
EXPORT = [sys.executable, "-m", "chainlit_sqla", "export"]
URL = "sqlite:///chats.db"

# Stands still when some of many rows are written.
HELD = """
import sys
from contextlib import contextmanager
import chainlit_sqla.cli.export as command
from chainlit_sqla.cli.app import main

@contextmanager
def progress():
    told = False

    def watch(what, done, total):
        nonlocal told
        if not told and 0 < done < total:
            told = True
            print("here", flush=True)
            sys.stdin.read()

    yield watch

command.progress = progress
main(sys.argv[1:])
"""


def fill(url: str, *, turns: int = 0) -> None:
    """Store the conversation of the documentation, and a long one."""

    async def work() -> None:
        database = Database(url)
        await sample.fill(database)
        await database.close()

    asyncio.run(work())
    if turns:
        fill_more(url, turns=turns)


def fill_more(url: str, *statements: str, turns: int = 0) -> None:
    """Store a long conversation, and change the database."""

    async def work() -> None:
        database = Database(url)
        if turns:
            await many.store(database, "long", turns, "lorem ipsum " * 100)
        async with database.write() as connection:
            for statement in statements:
                await connection.exec_driver_sql(statement)
        await database.close()

    asyncio.run(work())


def said(result: Result) -> str:
    assert result.code == 0, result
    assert result.err.count("\n") == 1, result.err
    return result.err


def there(folder: Path) -> list[str]:
    """Files that are not the database's."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("chats.db"))


@pytest.fixture
def chats(folder: Path) -> str:
    fill(URL)
    return URL


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_default_is_jsonl_on_standard_output(
    program: Command, chats: str, folder: Path
) -> None:
    result = program("export", "--url", chats)
    assert said(result) == ("Exported 1 conversation from sqlite:///chats.db to standard output.\n")
    lines = result.out.splitlines()
    assert End.parse(lines[-1]) == End(
        {"user": 1, "thread": 1, "step": 4, "element": 1, "feedback": 1}
    )
    assert [Record.parse(line).kind for line in lines[1:-1]].count("step") == 4
    assert there(folder) == []


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("a.jsonl", b'{"kind":"chainlit-sqla"'),
        ("a.md", b"# Weather\n"),
        ("a.HTML", b"<!doctype html>"),
        ("a.jsonl.gz", b'{"kind":"chainlit-sqla"'),
        ("a.md.gz", b"# Weather\n"),
    ],
)
def test_the_suffix_decides_the_format(
    cli: Command, chats: str, folder: Path, name: str, start: bytes
) -> None:
    result = cli("export", "--url", chats, "-o", name)
    assert said(result).endswith(f" to {name}.\n")
    assert result.out == ""
    with open_lines(folder / name) as lines:
        assert lines.read().startswith(start)
    assert ((folder / name).read_bytes()[:2] == b"\x1f\x8b") == name.endswith(".gz")
    assert mode(folder / name) == 0o600
    assert there(folder) == [name]


def test_existing_files_are_replaced_only_by_force(cli: Command, chats: str, folder: Path) -> None:
    (folder / "a.md").write_text("mine")
    (folder / "link.md").symlink_to("a.md")
    for name in ("a.md", "link.md"):
        result = cli("export", "--url", chats, "-o", name)
        assert (result.code, result.out) == (1, "")
        assert result.err == (
            f"Error: {name} already exists; name another file, or add --force to replace it\n"
        )
    assert (folder / "a.md").read_text() == "mine"
    said(cli("export", "--url", chats, "-o", "link.md", "--force"))
    assert (folder / "a.md").read_text().startswith("# Weather")
    assert (folder / "link.md").is_symlink()
    assert there(folder) == ["a.md", "link.md"]


def test_conditions_select_and_an_empty_selection_is_reported(
    cli: Command, chats: str, folder: Path
) -> None:
    chat = cli("export", "--url", chats, "--format", "chat", "--feedback", "up", "--tag", "travel")
    [line] = chat.out.splitlines()
    assert json.loads(line)["feedback"] == "up"
    result = cli("export", "--url", chats, "-o", "a.jsonl", "--feedback", "down", "--tag", "x")
    assert said(result) == (
        "Nothing exported: sqlite:///chats.db has no conversation for --feedback --tag.\n"
    )
    for output in ("a.html", "a.md.gz", "-"):
        assert "Nothing exported: " in said(
            cli("export", "--url", chats, "-o", output, "--tag", "x")
        )
    assert there(folder) == []
    assert "no user 'eve'; correct --user" in cli("export", "--url", chats, "--user", "eve").err
    assert "write it as 2026-01-31" in cli("export", "--url", chats, "--since", "soon").err


def test_conversations_without_an_answer_are_counted(
    cli: Command, chats: str, folder: Path
) -> None:
    fill_more(chats, "DELETE FROM steps WHERE id = 's4'")
    result = cli("export", "--url", chats, "--format", "chat")
    assert result.out == ""
    assert said(result) == (
        "Nothing exported from sqlite:///chats.db. Left out: 1 without an answer.\n"
    )
    said(cli("export", "--url", chats, "--format", "chat", "-o", "a.jsonl.gz"))
    assert there(folder) == []
    fill_more(chats, turns=50)
    assert said(cli("export", "--url", chats, "--format", "chat", "-o", "a.jsonl.gz")) == (
        "Exported 1 conversation from sqlite:///chats.db to a.jsonl.gz. "
        "Left out: 1 without an answer.\n"
    )
    [line] = gzip.decompress((folder / "a.jsonl.gz").read_bytes()).splitlines()
    assert len(json.loads(line)["messages"]) == 100


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-o", "a.txt"], "does not imply a format; add --format"),
        (["-o", "a/", "--format", "html"], "a/ is not a file, and an export is one file; name a"),
        (["-o", "/dev/null", "--format", "html"], "is not a file, and an export is one file"),
        (["-o", "no/such/a.md"], "(No such file or directory); create its folder (mkdir -p), or"),
        (["-o", "chats.db/a.md"], "cannot be written (Not a directory); name another file"),
        (["--tools"], "--tools needs --format chat; add it"),
        (["--url", "sqlite:///typo.db"], "typo.db; correct the URL"),
        (["--url", "postgresql://me:pas5word@127.0.0.1:1/x"], "cannot be reached"),
    ],
)
def test_errors_are_one_sentence(
    cli: Command, chats: str, folder: Path, options: list[str], words: str
) -> None:
    result = cli("export", "--url", chats, *options)
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("Error: ")
    assert result.err.count("\n") == 1
    assert words in result.err
    assert "pas5word" not in result.err
    assert there(folder) == []


@pytest.mark.parametrize("option", ["--feedback", "--format"])
def test_an_invalid_value_is_refused_with_the_choices(
    cli: Command, chats: str, option: str
) -> None:
    result = cli("export", "--url", chats, option, "good")
    assert (result.code, result.out) == (2, "")
    assert f"Invalid value for '{option}'" in result.err
    assert "'good' is not one of '" in result.err


def test_a_database_is_not_changed(cli: Command, chats: str, folder: Path) -> None:
    with closing(sqlite3.connect("chats.db")) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    before = (folder / "chats.db").read_bytes()
    said(cli("export", "--url", chats))
    assert (folder / "chats.db").read_bytes() == before
    assert [path.name for path in folder.iterdir()] == ["chats.db"]


def test_foreign_tables_are_refused(cli: Command, chats: str) -> None:
    def refused(url: str, statement: str) -> str:
        fill_more(url, statement)
        return cli("export", "--url", url).err

    err = refused("sqlite:///chats.db-other", "CREATE TABLE notes (id TEXT)")
    assert "has no tables of chainlit-sqla; set --url" in err
    err = refused("sqlite:///chats.db-foreign", "CREATE TABLE threads (id TEXT)")
    assert "already has tables named threads that chainlit-sqla did not create" in err
    err = refused(chats, "UPDATE chainlit_sqla_version SET version_num = '9999'")
    assert "at revision 9999, which is newer than this release" in err


@pytest.mark.parametrize("revision", ["0001", "0002"])
def test_an_older_revision_is_exported_unchanged(
    cli: Command, chats: str, folder: Path, revision: str
) -> None:
    now = cli("export", "--url", chats).out

    async def go_back() -> str | None:
        database = Database(chats)
        await migrations.downgrade(database, revision)
        found = await migrations.current(database)
        await database.close()
        return found

    assert asyncio.run(go_back()) == revision
    result = cli("export", "--url", chats)
    assert said(result)
    assert result.out.splitlines()[1:] == now.splitlines()[1:]


def test_an_import_restores_an_export(
    cli: Command, chats: str, folder: Path, database: str
) -> None:
    fill("sqlite:///chats.db-2", turns=300)
    first = cli("export", "--url", "sqlite:///chats.db-2", "-o", "a.jsonl.gz")
    assert "Exported 2 conversations" in said(first)
    cli("upgrade", "--url", database)
    assert cli("import", "--from", "a.jsonl.gz", "--url", database).code == 0
    said(cli("export", "--url", database, "-o", "b.jsonl"))
    before = gzip.decompress((folder / "a.jsonl.gz").read_bytes()).splitlines()
    after = (folder / "b.jsonl").read_bytes().splitlines()
    assert len(after) == len(before) == 1_204 + 8

    def digests(lines: list[bytes]) -> set[int]:
        return {Record.parse(line).digest() for line in lines[1:-1]}

    assert digests(after) == digests(before)
    assert End.parse(after[-1]) == End.parse(before[-1])


def test_progress_without_a_terminal() -> None:
    log = io.StringIO()
    watch = progress_log(Console(file=log), seconds=0)
    watch("steps", 1_000, 2_000)
    watch("files", 5, None)
    progress_log(Console(file=log), seconds=60)("steps", 1, 2)  # What is short needs no lines.
    assert log.getvalue().splitlines() == ["steps: 1,000 of 2,000", "files: 5"]


@pytest.mark.parametrize(
    "form", ["jsonl", *(pytest.param(form, marks=FULL) for form in ("markdown", "html", "chat"))]
)
def test_a_reader_that_goes_away_ends_it_quietly(folder: Path, form: str) -> None:
    fill(URL, turns=500)  # Far more than a pipe holds.
    with subprocess.Popen(
        [*EXPORT, "--url", URL, "--format", form],
        cwd=folder,
        env=environment(folder, {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(SECONDS) == 141


def test_a_full_disk_is_reported(folder: Path) -> None:
    fill(URL)
    with Path("/dev/full").open("wb") as full:
        result = subprocess.run(
            [*EXPORT, "--url", URL],
            cwd=folder,
            env=environment(folder, {}),
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=SECONDS,
        )
    assert result.returncode == 1
    assert b"cannot be written (No space left on device); free disk space, or" in result.stderr


@pytest.mark.parametrize(
    ("output", "ending"),
    [
        ("a.jsonl.gz", signal.SIGINT),
        pytest.param("a.html", signal.SIGINT, marks=FULL),
        ("a.html", signal.SIGTERM),
        pytest.param("a.html", signal.SIGHUP, marks=FULL),
    ],
)
def test_ctrl_c_or_a_request_to_end_leaves_no_half_file(
    folder: Path, postgres: PostgresServer, database: str, output: str, ending: signal.Signals
) -> None:
    fill(database, turns=400)
    with held(folder, database, output) as process:
        process.send_signal(ending)
        out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 130, err
    assert (out, err) == (
        "",
        "Interrupted. No file was written; run the same command again.\n",
    )
    assert there(folder) == []


@contextmanager
def held(folder: Path, url: str, output: str) -> Iterator[subprocess.Popen[str]]:
    """An export that stands still in the middle, until it is spoken to."""
    with subprocess.Popen(
        [sys.executable, "-c", HELD, *EXPORT[3:], "-o", output],
        cwd=folder,
        env=environment(folder, {"DATABASE_URL": url}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n", process.communicate()
        assert list(folder.glob(".*.part"))
        yield process


def test_a_server_that_goes_away_in_the_middle_leaves_no_half_file(
    folder: Path, postgres: PostgresServer, database: str
) -> None:
    fill(database, turns=400)
    with (
        FlakyProxy("127.0.0.1", make_url(database).port or 0) as proxy,
        held(folder, proxy.url(database), "a.md") as process,
    ):
        proxy.refuse()
        proxy.drop_all()
        _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert "try again" in err
    assert there(folder) == []


def test_a_terminal_shows_a_bar(cli: Command, chats: str) -> None:
    result = cli("export", "--url", chats, "-o", "a.html", FORCE_COLOR="1")  # As a terminal.
    assert "0/4" in result.err
    assert result.err.endswith("to a.html.\n")
