"""`export` as a user runs it: to a pipe, a file, a folder; interrupted, refused, in a terminal."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import os
import pty
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from sqlalchemy import make_url

from chainlit_sqla import migrations
from chainlit_sqla.cli.progress import Lines
from chainlit_sqla.database import Database
from chainlit_sqla.record_file import End, open_lines
from chainlit_sqla.records import Record
from tests.cli.conftest import Command
from tests.cli.programs import SECONDS, Result, environment
from tests.export import many, sample
from tests.servers.ports import free_port
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import FlakyProxy

EXPORT = [sys.executable, "-m", "chainlit_sqla", "export"]
URL = "sqlite:///chats.db"


def fill(url: str, *, turns: int = 0, text: str = "lorem ipsum " * 100) -> None:
    """Store the conversation of the documentation, and a long one."""

    async def work() -> None:
        database = Database(url)
        await sample.fill(database)
        if turns:
            await many.store(database, "long", turns, text)
        await database.close()

    asyncio.run(work())


@pytest.fixture
def chats(folder: Path) -> str:
    """The URL of a database with a conversation."""
    fill(URL)
    return URL


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def said(result: Result) -> str:
    assert result.code == 0, result
    assert result.err.count("\n") == 1, result.err
    return result.err


def there(folder: Path) -> list[str]:
    """Files that are not the database's."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("chats.db"))


def test_without_options_everything_goes_to_standard_output(
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
def test_the_name_of_a_file_tells_its_form(
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


def test_what_is_there_is_replaced_only_by_force(cli: Command, chats: str, folder: Path) -> None:
    (folder / "a.md").write_text("mine")
    (folder / "link.md").symlink_to("a.md")
    for name in ("a.md", "link.md"):
        result = cli("export", "--url", chats, "-o", name)
        assert (result.code, result.out) == (1, "")
        assert result.err == (
            f"Error: {name} is there already; name another file, or add --force to replace it\n"
        )
    assert (folder / "a.md").read_text() == "mine"
    said(cli("export", "--url", chats, "-o", "link.md", "--force"))
    assert (folder / "a.md").read_text().startswith("# Weather")
    assert (folder / "link.md").is_symlink()
    assert there(folder) == ["a.md", "link.md"]


def test_conditions_select_and_an_empty_selection_says_so(
    cli: Command, chats: str, folder: Path
) -> None:
    chat = cli("export", "--url", chats, "--format", "chat", "--feedback", "up", "--tag", "travel")
    [line] = chat.out.splitlines()
    assert json.loads(line)["feedback"] == "up"
    result = cli("export", "--url", chats, "-o", "a.jsonl", "--feedback", "down", "--tag", "x")
    assert said(result) == (
        "There is no conversation for --feedback --tag in sqlite:///chats.db: nothing was exported."
        "\n"
    )
    assert len((folder / "a.jsonl").read_text().splitlines()) == 2
    assert "no user 'eve'; correct --user" in cli("export", "--url", chats, "--user", "eve").err
    assert "write it as 2026-01-31" in cli("export", "--url", chats, "--since", "soon").err


def test_conversations_without_an_answer_are_counted(cli: Command, chats: str) -> None:
    options = ("--format", "chat", "--messages-only")
    assert "Exported 1 conversation (" in cli("export", "--url", chats, *options).err

    async def forget() -> None:
        database = Database(chats)
        async with database.write() as connection:
            await connection.exec_driver_sql("DELETE FROM steps WHERE id = 's4'")
        await database.close()

    asyncio.run(forget())
    result = cli("export", "--url", chats, *options)
    assert result.out == ""
    assert result.err.endswith("Left out for want of an answer: 1.\n")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-o", "a.txt"], "does not tell which form is wanted; add --format markdown"),
        (["-o", "a/"], "does not tell which form is wanted"),
        (["-o", "a/", "--format", "chat"], "makes one file, and a is a folder; name a file"),
        (["-o", "no/such/a.md"], "cannot be written (No such file or directory); free disk"),
        (["-o", "chats.db/a.md"], "cannot be written (Not a directory)"),
        (["-o", "/dev/full", "--format", "html"], "cannot be written (No space left on device)"),
        (["--tools"], "belong to --format chat; add it"),
        (["--messages-only", "--format", "html"], "belong to --format chat; add it"),
        (["--url", "sqlite:///typo.db"], "typo.db cannot be opened"),
        (["--url", "postgresql://me:pas5word@127.0.0.1:1/x"], "cannot be reached"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    cli: Command, chats: str, folder: Path, options: list[str], words: str
) -> None:
    result = cli("export", "--url", chats, *options)
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("Error: ")
    assert result.err.count("\n") == 1
    assert words in result.err
    assert "pas5word" not in result.err
    assert there(folder) == []


def test_a_database_of_somebody_else_is_told(cli: Command, folder: Path) -> None:
    async def make(name: str, *statements: str) -> str:
        database = Database(f"sqlite:///{name}")
        async with database.write() as connection:
            for statement in statements:
                await connection.exec_driver_sql(statement)
        await database.close()
        return f"sqlite:///{name}"

    other = asyncio.run(make("chats.db-other", "CREATE TABLE notes (id TEXT)"))
    assert "has no tables of chainlit-sqla; name the database" in cli("export", "--url", other).err
    foreign = asyncio.run(make("chats.db-foreign", "CREATE TABLE threads (id TEXT)"))
    assert "another layer stored; take them over" in cli("export", "--url", foreign).err
    fill(URL)
    newer = asyncio.run(make("chats.db", "UPDATE chainlit_sqla_version SET version_num = '9999'"))
    assert "at revision 9999, which this release does not know" in cli("export", "--url", newer).err


@pytest.mark.parametrize("revision", ["0001", "0002"])
def test_an_older_revision_is_exported_as_it_is(
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


def test_what_was_exported_is_imported_as_it_was(
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


@pytest.mark.parametrize("form", ["jsonl", "markdown", "html", "chat"])
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


@pytest.mark.parametrize(
    ("output", "ending"),
    [
        ("a.jsonl.gz", signal.SIGINT),
        ("a.html", signal.SIGINT),
        ("a.html", signal.SIGTERM),
        ("a.html", signal.SIGHUP),
    ],
)
def test_ctrl_c_or_a_request_to_end_leaves_no_half_file(
    folder: Path, postgres: PostgresServer, database: str, output: str, ending: signal.Signals
) -> None:
    fill(database, turns=400)
    with FlakyProxy("127.0.0.1", make_url(database).port or 0) as proxy:
        proxy.delay(0.1)  # So slow that it cannot end before the signal.
        with subprocess.Popen(
            [*EXPORT, "-o", output],
            cwd=folder,
            env=environment(folder, {"DATABASE_URL": proxy.url(database)}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            wait_until(lambda: list(folder.glob(".*.part")), process)
            process.send_signal(ending)
            out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 130, err
    assert (out, err) == (
        "",
        "Interrupted. Nothing was written. Run the same command again for all.\n",
    )
    assert there(folder) == []


def wait_until(met: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + SECONDS
    while not met():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_server_that_goes_away_in_the_middle_leaves_no_half_file(
    folder: Path, postgres: PostgresServer, database: str
) -> None:
    fill(database, turns=400)
    with FlakyProxy("127.0.0.1", make_url(database).port or 0) as proxy:
        proxy.delay(0.1)
        with subprocess.Popen(
            [*EXPORT, "-o", "a.md"],
            cwd=folder,
            env=environment(folder, {"DATABASE_URL": proxy.url(database)}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            wait_until(lambda: list(folder.glob(".*.part")), process)
            proxy.refuse()
            proxy.drop_all()
            _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert "try again" in err
    assert there(folder) == []


def test_a_terminal_shows_a_bar(folder: Path) -> None:
    fill(URL, turns=500)
    terminal, side = pty.openpty()
    with subprocess.Popen(
        [*EXPORT, "--url", URL, "-o", "a.html"],
        cwd=folder,
        env=environment(folder, {"TERM": "xterm", "COLUMNS": "120"}),
        stderr=side,
        stdout=subprocess.DEVNULL,
    ) as process:
        os.close(side)
        shown = b""
        while chunk := read(terminal):
            shown += chunk
        process.wait(SECONDS)
    os.close(terminal)
    assert process.returncode == 0
    assert b"of 2,004" in shown
    assert b"/s" in shown
    assert shown.replace(b"\r\n", b"\n").endswith(b"kB).\n") or shown.endswith(b"MB).\r\n")


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux says so when the other side was closed.
        return b""


def test_without_a_terminal_lines_have_rate_and_time_left() -> None:
    log = io.StringIO()
    lines = Lines(Console(file=log), seconds=0)
    lines("steps", 0, 2_000)
    lines("steps", 1_000, 2_000)
    lines("files", 5, None)
    first, second, third = log.getvalue().splitlines()
    assert first == "steps: 0 of 2,000"
    assert second.startswith("steps: 1,000 of 2,000, ")
    assert second.endswith(" left")
    assert "/s, 0:00:0" in second
    assert third == "files: 5"
    Lines(Console(file=log), seconds=60)("steps", 1, 2)
    assert len(log.getvalue().splitlines()) == 3, "what is short needs no lines"


def test_an_unreachable_server_leaves_nothing(cli: Command, folder: Path) -> None:
    url = f"postgresql://me@127.0.0.1:{free_port()}/x"
    assert "cannot be reached" in cli("export", "--url", url, "-o", "a.md").err
    assert there(folder) == []
