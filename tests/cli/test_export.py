"""`export` as a user runs it: to a pipe, a file, a folder; refused."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from rich.console import Console
from rich.filesize import decimal

from chainlit_sqla.cli.output import ProgressLog
from chainlit_sqla.database import Database
from chainlit_sqla.database import migrator as migrations
from chainlit_sqla.transfer.record_file import End, open_lines
from chainlit_sqla.transfer.records import Record
from tests.cli.conftest import Command
from tests.cli.exports import URL, fill, said, there
from tests.export import many


@pytest.fixture
def chats(folder: Path) -> str:
    """The URL of a database with a conversation."""
    fill(URL)
    return URL


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_default_is_jsonl_on_standard_output(
    program: Command, chats: str, folder: Path
) -> None:
    result = program("export", "--url", chats)
    assert said(result) == (
        "Exported 1 conversation (4 steps) from sqlite:///chats.db to standard output (2.7 kB).\n"
    )
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
    assert f" to {name} (" in said(result)
    assert result.out == ""
    with open_lines(folder / name) as lines:
        assert lines.read().startswith(start)
    assert ((folder / name).read_bytes()[:2] == b"\x1f\x8b") == name.endswith(".gz")
    assert mode(folder / name) == 0o600
    assert there(folder) == [name]


def test_a_folder_gets_a_file_for_each_conversation(cli: Command, chats: str, folder: Path) -> None:
    result = cli("export", "--url", chats, "-o", "new/transcripts/", "--format", "markdown")
    assert " to new/transcripts (" in said(result)
    [path] = (folder / "new" / "transcripts").iterdir()
    assert path.name == "2026-01-31-weather-t1.md"
    assert path.read_text().startswith("# Weather\n")
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700
    again = ["export", "--url", chats, "-o", "new/transcripts", "--format", "html"]
    assert "is not empty; name another one, or add --force" in cli(*again).err
    assert said(cli(*again, "--force"))
    assert len(list(path.parent.iterdir())) == 2


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
    options = ("--format", "chat", "--messages-only")
    assert "Exported 1 conversation (" in cli("export", "--url", chats, *options).err

    async def delete_answer() -> None:
        database = Database(chats)
        async with database.write() as connection:
            await connection.exec_driver_sql("DELETE FROM steps WHERE id = 's4'")
        await database.close()

    asyncio.run(delete_answer())
    result = cli("export", "--url", chats, *options)
    assert result.out == ""
    assert said(result) == (
        "Nothing exported from sqlite:///chats.db. Left out: 1 without an answer.\n"
    )
    said(cli("export", "--url", chats, *options, "-o", "a.jsonl.gz"))
    assert there(folder) == []


def test_the_summary_counts_what_was_written(cli: Command, chats: str, folder: Path) -> None:
    async def add() -> None:
        database = Database(chats)
        await many.store(database, "long", 50, "lorem ipsum " * 100)
        async with database.write() as connection:
            await connection.exec_driver_sql("UPDATE feedbacks SET value = 0")
        await database.close()

    asyncio.run(add())
    options = ("--format", "chat", "--tools", "--messages-only")
    words = said(cli("export", "--url", chats, *options, "-o", "a.jsonl.gz"))
    [line] = gzip.decompress((folder / "a.jsonl.gz").read_bytes()).splitlines()
    messages = len(json.loads(line)["messages"])
    size = decimal((folder / "a.jsonl.gz").stat().st_size)
    assert words == (
        f"Exported 1 conversation ({messages} messages) from sqlite:///chats.db to a.jsonl.gz "
        f"({size}). Left out: 1 without an answer to train on (thumbs down).\n"
    )
    assert "(3 steps)" in said(cli("export", "--url", chats, "-o", "a.md", "--thread", "t1"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-o", "a.txt"], "does not imply a format; add --format"),
        (["-o", "a/"], "does not imply a format"),
        (["-o", "a/", "--format", "chat"], "writes one file, and a is a folder; name a file"),
        (["-o", "a.html", "--format", "chat"], "name a file that ends with .jsonl, or correct"),
        (["-o", "a.md.gz", "--format", "jsonl"], "has the suffix of markdown, not of jsonl"),
        (["-o", "a.jsonl", "--format", "html"], "name a file that ends with .html, or correct"),
        (["-o", "no/such/a.md"], "The folder no/such does not exist; create it"),
        (["-o", "chats.db/a.md"], "cannot be written (Not a directory); name another file"),
        (["-o", "/dev/full", "--format", "html"], "(No space left on device); free disk space, or"),
        (["--tools"], "need --format chat; add it"),
        (["--messages-only", "--format", "html"], "need --format chat; add it"),
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
    assert f"{option}': 'good' is not one of " in result.err
    assert "Value error" not in result.err


def test_a_database_is_not_changed(cli: Command, chats: str, folder: Path) -> None:
    with closing(sqlite3.connect("chats.db")) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    before = (folder / "chats.db").read_bytes()
    said(cli("export", "--url", chats))
    assert (folder / "chats.db").read_bytes() == before
    assert [path.name for path in folder.iterdir()] == ["chats.db"]


def test_foreign_tables_are_refused(cli: Command, folder: Path) -> None:
    async def make(name: str, *statements: str) -> str:
        database = Database(f"sqlite:///{name}")
        async with database.write() as connection:
            for statement in statements:
                await connection.exec_driver_sql(statement)
        await database.close()
        return f"sqlite:///{name}"

    other = asyncio.run(make("chats.db-other", "CREATE TABLE notes (id TEXT)"))
    assert "has no tables of chainlit-sqla; set --url" in cli("export", "--url", other).err
    foreign = asyncio.run(make("chats.db-foreign", "CREATE TABLE threads (id TEXT)"))
    assert "tables of another data layer; migrate it" in cli("export", "--url", foreign).err
    fill(URL)
    newer = asyncio.run(make("chats.db", "UPDATE chainlit_sqla_version SET version_num = '9999'"))
    assert "at revision 9999, which is newer than this release" in cli("export", "--url", newer).err


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
    assert "(1,204 steps)" in said(first)
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
    lines = ProgressLog(Console(file=log), seconds=0)
    lines("steps", 0, 2_000)
    lines("steps", 1_000, 2_000)
    lines("files", 5, None)
    first, second, third = log.getvalue().splitlines()
    assert first == "steps: 0 of 2,000"
    assert second.startswith("steps: 1,000 of 2,000, ")
    assert second.endswith(" left")
    assert "/s, 0:00:0" in second
    assert third == "files: 5"
    ProgressLog(Console(file=log), seconds=60)("steps", 1, 2)
    assert len(log.getvalue().splitlines()) == 3, "what is short needs no lines"
