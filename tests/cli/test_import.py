"""`import` as a user runs it: killed, interrupted, run again, from files and databases."""

from __future__ import annotations

import gzip
import json
import shutil
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from chainlit_sqla.cli.import_ import report_lines
from chainlit_sqla.transfer.importing import Comparison, Difference, Result
from chainlit_sqla.transfer.sources import BATCH
from tests.cli.conftest import Command
from tests.cli.programs import run_program
from tests.frozen.catalog import CATALOG
from tests.frozen.load import execute
from tests.importers.bulk import fill
from tests.servers.postgres import PostgresServer

STEPS = 5 * BATCH // 2
# Ends itself in the second batch: some of it is written, without its resume token.
ENDED = """
import os, sys
from chainlit_sqla.cli.app import main
from chainlit_sqla.transfer.importing import ImportTarget

ending, batches = int(sys.argv.pop(1)), 0
write, save = ImportTarget.write, ImportTarget.save

async def ended(self, records):
    written = await write(self, records)
    if batches == 1 and any(record.kind == "step" for record in records):
        os.kill(os.getpid(), ending)
    return written

async def counted(self, quarantined=(), progress=None):
    global batches
    await save(self, quarantined, progress)
    batches += progress is not None

ImportTarget.write, ImportTarget.save = ended, counted
main(sys.argv[1:])
"""


@pytest.fixture
def old(folder: Path) -> Path:
    """A database of Chainlit's SQLAlchemy layer."""
    path = folder / "old.db"
    execute(f"sqlite:///{path}", CATALOG["sqlite_v8"].file.read_text())
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def new(request: pytest.FixtureRequest, folder: Path) -> str:
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{folder}/new.db"
    url: str = request.getfixturevalue("database")
    return url


def rows_in(url: str, postgres: PostgresServer | None) -> int:
    """Steps that are committed."""
    query = "SELECT count(*) FROM steps"
    if postgres is not None:
        return int(postgres.execute(query, url=url)[0][0])
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        return int(connection.execute(query).fetchone()[0])


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
def test_ended_in_the_middle_it_continues_to_a_correct_end(
    folder: Path, cli: Command, new: str, request: pytest.FixtureRequest, ending: signal.Signals
) -> None:
    fill(folder / "big.db", STEPS, each=1)  # Several batches.
    assert cli("upgrade", "--url", new).code == 0
    postgres = request.getfixturevalue("postgres") if new.startswith("postgresql") else None
    arguments = ("import", "--from", str(folder / "big.db"), "--url", new)
    ended = run_program([sys.executable, "-c", ENDED, str(int(ending)), *arguments], folder, {})
    assert ended.code == {signal.SIGKILL: -signal.SIGKILL, signal.SIGINT: 130}[ending], ended
    assert ("Run the same command again to continue." in ended.err) == (ending == signal.SIGINT), (
        ended
    )
    assert "Compared" not in ended.out
    assert BATCH < rows_in(new, postgres) < 2 * BATCH
    again = cli(*arguments)
    assert again.code == 0, again
    assert "continued after an interruption" in again.out
    assert "Users that already exist" not in again.out  # The first run created them.
    counted = ["steps", f"{STEPS:,}", f"{STEPS:,}", "0", "0"]
    assert counted in [line.split() for line in again.out.splitlines()]
    assert "no difference" in again.out
    assert rows_in(new, postgres) == STEPS


def test_the_report(folder: Path, old: Path, cli: Command, new: str) -> None:
    if new.startswith("postgresql"):
        assert cli("upgrade", "--url", new).code == 0
    done = cli("import", "--from", str(old), "--url", new)
    assert done.code == 0, done
    assert f"From sqlite:///{old}" in done.out
    assert "           in source  in target  quarantined  different" in done.out
    assert "users              3          3            0          0" in done.out
    assert "local time" in done.out
    assert "no difference" in done.out
    again = cli("import", "--from", f"sqlite:///{old}", "--url", new)
    assert again.code == 0
    assert "Users that already exist, by their identifier: 3" in again.out


def test_only_comparing_writes_nothing(folder: Path, old: Path, cli: Command) -> None:
    new = f"sqlite:///{folder}/new.db"
    assert cli("upgrade", "--url", new).code == 0
    before = (folder / "new.db").read_bytes()
    compared = cli("import", "--from", str(old), "--url", new, "--verify-only")
    assert compared.code == 1
    assert "missing in the target" in compared.out
    assert (folder / "new.db").read_bytes() == before
    assert cli("import", "--from", str(old), "--url", new).code == 0
    assert cli("import", "--from", str(old), "--url", new, "--verify-only").code == 0


# Files


@pytest.fixture
def exported(folder: Path, old: Path, cli: Command) -> Path:
    """A file of records."""
    assert cli("import", "--from", str(old), "--url", f"sqlite:///{folder}/a.db").code == 0
    file = folder / "chats.jsonl"
    assert cli("export", "--url", f"sqlite:///{folder}/a.db", "--output", str(file)).code == 0
    return file


def test_an_export_comes_back_unchanged(
    exported: Path, folder: Path, cli: Command, new: str
) -> None:
    if new.startswith("postgresql"):
        assert cli("upgrade", "--url", new).code == 0
    done = cli("import", "--from", str(exported), "--url", new)
    assert done.code == 0, done
    assert "no difference" in done.out
    second = folder / "second.jsonl"
    assert cli("export", "--url", new, "--output", str(second)).code == 0
    # PostgreSQL keeps no order of members.
    before, after = (
        [json.loads(line) for line in path.read_bytes().splitlines()[1:]]
        for path in (exported, second)
    )
    assert before == after


@pytest.mark.parametrize("cut", ["last line", "one line", "half a line"])
def test_a_truncated_file_is_refused_with_the_repair(
    exported: Path, folder: Path, cli: Command, cut: str
) -> None:
    lines = exported.read_bytes().splitlines(keepends=True)
    left = {
        "last line": lines[:-1],
        "one line": lines[:10] + lines[11:],
        "half a line": [*lines[:10], lines[10][: len(lines[10]) // 2]],
    }[cut]
    exported.write_bytes(b"".join(left))
    url = f"sqlite:///{folder}/b.db"
    refused = cli("import", "--from", str(exported), "--url", url)
    assert refused.code == 1
    assert (
        "export it again, or delete its first line to import the lines that it has" in refused.err
    )
    exported.write_bytes(gzip.compress(b"".join(left[1:])))  # Recognised by its content.
    accepted = cli("import", "--from", str(exported), "--url", url)
    assert accepted.code == 0, accepted
    assert ("bad lines" in accepted.out) == (cut == "half a line")
    assert "has no header line, so it may be incomplete" in accepted.out


@pytest.mark.parametrize("form", ["~/{}", "{}", "file://{home}/{}", "file://localhost{home}/{}"])
def test_a_file_is_found_however_its_path_is_written(
    old: Path, folder: Path, cli: Command, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setenv("HOME", str(folder))
    name = "ä b?c%41#.db"
    old.rename(folder / name)
    written = quote(name) if form.startswith("file:") else name
    location = form.format(written, home=folder)
    done = cli("import", "--from", location, "--url", f"sqlite:///{folder}/new.db")
    assert done.code == 0, done.err


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--from", ""], "--from is empty"),
        (["--from", "nowhere.db"], "There is no file nowhere.db"),
        (["--from", "oracle://x/y"], "is not a supported database"),
        (["--from", "old.db", "--layer", "mine"], "give one of chainlit-sqla, sqlalchemy, asyncpg"),
        (["--from", "old.db", "--layer", "asyncpg"], "has no tables named Step, Thread, User"),
        (["--from", "new.db"], "is the database to import into"),
        (["--from", "."], ". is not a file; give"),
        (["--from", "me:secret@host/old"], "a URL such as postgresql://user@host/name"),
    ],
)
def test_a_mistake_is_reported_with_the_repair(
    folder: Path, old: Path, cli: Command, arguments: list[str], words: str
) -> None:
    assert cli("upgrade", "--url", "sqlite:///new.db").code == 0
    refused = cli("import", *arguments, "--url", "sqlite:///new.db")
    assert refused.code == 1
    assert words in refused.err
    assert "secret" not in refused.err
    assert refused.err.count("\n") == 1


def test_a_target_without_tables_is_refused_with_the_repair(
    old: Path, database: str, cli: Command
) -> None:
    refused = cli("import", "--from", str(old), "--url", database)
    assert refused.code == 1
    assert "run: chainlit-sqla upgrade" in refused.err


def test_rows_added_during_an_interruption_are_reported_with_the_repair() -> None:
    comparison = Comparison(threads=1)
    comparison.add(Difference(("step", "t", "s"), "missing"))
    again = "run the same command again"
    report = "\n".join(
        report_lines(Result("old", resumed=True, comparison=comparison), update=False)
    )
    assert again in report
    assert again not in "\n".join(report_lines(Result("old", comparison=comparison), update=False))


def test_an_empty_source_is_reported(folder: Path, cli: Command) -> None:
    for url in ("sqlite:///empty.db", "sqlite:///new.db"):
        assert cli("upgrade", "--url", url).code == 0
    done = cli("import", "--from", "empty.db", "--url", "sqlite:///new.db")
    assert done.code == 0
    assert "The source is empty.\n" in done.out


# --delete-missing

THREAD = "10000000-0000-4000-8000-000000000002"
# With --update, as what lies behind a deleted step has another number in its thread then.
IMPORT = ("import", "--from", "old.db", "--url", "sqlite:///new.db", "--update")


@pytest.fixture
def imported(folder: Path, cli: Command) -> None:
    """An import, after which a thread and a step were deleted in the source."""
    old = f"sqlite:///{folder}/old.db"
    execute(old, CATALOG["sqlite_v8"].file.read_text())
    assert cli(*IMPORT).code == 0
    for table in ("feedbacks", "elements", "steps"):
        execute(old, f"DELETE FROM {table} WHERE \"threadId\" = '{THREAD}'")
    execute(old, f"DELETE FROM threads WHERE id = '{THREAD}'")
    execute(old, "DELETE FROM steps WHERE id = '20000000-0000-4000-8000-000100000003'")


def threads_in(folder: Path) -> int:
    with sqlite3.connect(folder / "new.db") as connection:
        return int(connection.execute("SELECT count(*) FROM threads").fetchone()[0])


@pytest.mark.usefixtures("imported")
def test_what_is_missing_is_listed_before_it_is_deleted(folder: Path, cli: Command) -> None:
    before = threads_in(folder)
    unasked = cli(*IMPORT)
    assert unasked.code == 0
    assert threads_in(folder) == before
    refused = cli(*IMPORT, "--delete-missing")
    assert refused.code == 1
    assert "Only in the target, to be deleted permanently: threads 1, steps " in refused.out
    assert f"thread {THREAD}: the whole thread" in refused.out
    assert "thread 10000000-0000-4000-8000-000000000001: 1 row" in refused.out
    assert "Make a backup of the target, then re-run with --yes." in refused.err
    assert threads_in(folder) == before
    done = cli(*IMPORT, "--delete-missing", "--yes")
    assert done.code == 0, done
    assert "Deleted from the target: threads 1, steps " in done.out
    assert threads_in(folder) == before - 1
    again = cli(*IMPORT, "--delete-missing", "--yes")
    assert "The target has nothing that the source does not have." in again.out


@pytest.mark.usefixtures("imported")
@pytest.mark.parametrize(
    ("source", "options", "reason"),
    [
        ("old.db", ["--verify-only"], "give one of them"),
        ("hand.jsonl", [], "may be incomplete"),
        ("bad.jsonl", [], "1 line of bad.jsonl could not be read, and may be what is missing"),
        ("empty.db", [], "check whether it is the right source"),
    ],
)
def test_a_source_that_may_have_what_is_missing_deletes_nothing(
    folder: Path, cli: Command, source: str, options: list[str], reason: str
) -> None:
    (folder / "hand.jsonl").write_text('{"kind": "user", "id": "u", "identifier": "me"}\n')
    assert cli("upgrade", "--url", "sqlite:///empty.db").code == 0
    assert cli("export", "--url", "sqlite:///new.db", "-o", "whole.jsonl").code == 0
    text = (folder / "whole.jsonl").read_text()
    (folder / "bad.jsonl").write_text(text.replace('{"kind":"step",', '{"kind":"step"', 1))
    before = threads_in(folder)
    arguments = ("import", "--from", source, "--url", "sqlite:///new.db", *options)
    refused = cli(*arguments, "--delete-missing", "--yes")
    assert refused.code == 1
    assert reason in refused.err
    assert threads_in(folder) == before


@pytest.mark.usefixtures("imported")
def test_threads_of_users_whom_the_source_does_not_have_are_reported(
    folder: Path, cli: Command
) -> None:
    before = threads_in(folder)
    shutil.copyfile(folder / "old.db", folder / "part.db")
    with closing(sqlite3.connect(folder / "part.db")) as connection:
        connection.execute('DELETE FROM threads WHERE "userId" IS NOT NULL')
        for table in ("feedbacks", "elements", "steps"):
            connection.execute(
                f'DELETE FROM {table} WHERE "threadId" NOT IN (SELECT id FROM threads)'
            )
        connection.execute("DELETE FROM users")
        [(left,)] = connection.execute("SELECT count(*) FROM threads")
        connection.commit()
    done = cli("import", "--from", "part.db", *IMPORT[3:], "--delete-missing", "--yes")
    assert f"stay, of users whom the source does not have: {before - left}." in done.out
    assert "The target has nothing else that the source does not have." in done.out
    assert threads_in(folder) == before
