"""`import` as a user runs it: killed, interrupted, run again, from files and databases."""

from __future__ import annotations

import asyncio
import gzip
import json
import signal
import sqlite3
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from chainlit_sqla.cli.import_report import lines
from chainlit_sqla.storage.base import BlobSource
from chainlit_sqla.storage.local.client import LocalStorage
from chainlit_sqla.transfer.importing import Comparison, Difference, Result
from chainlit_sqla.transfer.sources.base import BATCH
from tests.cli.conftest import Command
from tests.cli.programs import Result as Done
from tests.cli.programs import run_program
from tests.frozen.catalog import CATALOG
from tests.frozen.load import execute
from tests.importers.bulk import fill
from tests.servers.postgres import PostgresServer

STEPS = 5 * BATCH // 2
# Ends itself in the second batch: some of it is written, and not noted.
ENDED = """
import os, sys
from chainlit_sqla.cli.app import main
from chainlit_sqla.transfer.importing.target import Target

ending, noted, write = int(sys.argv.pop(1)), 0, Target.write

async def ended(self, records, *rest, **more):
    global noted
    written = await write(self, records, *rest, **more)
    noted += "position" in more
    if noted == 1 and any(record.kind == "step" for record in records):
        os.kill(os.getpid(), ending)
    return written

Target.write = ended
main(sys.argv[1:])
"""


# Is interrupted at its beginning, when nobody knows how far it is.
EARLY = """
import os, signal, sys
from chainlit_sqla.cli import import_
from chainlit_sqla.cli.app import main

load = import_.settings_for

def interrupted(*given):
    os.kill(os.getpid(), signal.SIGINT)
    return load(*given)

import_.settings_for = interrupted
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
def test_ended_in_the_middle_it_goes_on_to_a_correct_end(
    folder: Path, cli: Command, new: str, request: pytest.FixtureRequest, ending: signal.Signals
) -> None:
    fill(folder / "big.db", STEPS, each=1)  # Several batches.
    assert cli("upgrade", "--url", new).code == 0
    postgres = request.getfixturevalue("postgres") if new.startswith("postgresql") else None
    arguments = ("import", "--from", str(folder / "big.db"), "--url", new)
    ended = run_program([sys.executable, "-c", ENDED, str(int(ending)), *arguments], folder, {})
    assert ended.code == {signal.SIGKILL: -signal.SIGKILL, signal.SIGINT: 130}[ending], ended
    assert ("Run the same command again to go on." in ended.err) == (ending == signal.SIGINT), ended
    assert "Compared" not in ended.out
    assert BATCH < rows_in(new, postgres) < 2 * BATCH
    again = cli(*arguments)
    assert again.code == 0, again
    assert "gone on after an interruption" in again.out
    assert "Users who are there already" not in again.out  # It brought them itself.
    counted = ["steps", f"{STEPS:,}", f"{STEPS:,}", "0", "0"]
    assert counted in [line.split() for line in again.out.splitlines()]
    assert "no difference" in again.out
    assert rows_in(new, postgres) == STEPS


def test_interrupted_at_its_beginning_it_says_how_to_go_on(folder: Path, old: Path) -> None:
    arguments = ("import", "--from", str(old), "--url", f"sqlite:///{folder}/new.db")
    ended = run_program([sys.executable, "-c", EARLY, *arguments], folder, {})
    assert ended.code == 130, ended
    assert ended.err == "Interrupted. Run the same command again to go on.\n"


def test_it_says_what_it_did(folder: Path, old: Path, cli: Command, new: str) -> None:
    if new.startswith("postgresql"):
        assert cli("upgrade", "--url", new).code == 0
    done = cli("import", "--from", str(old), "--url", new)
    assert done.code == 0, done
    assert f"From sqlite:///{old}" in done.out
    assert "           in source  in target  put aside  different" in done.out
    assert "users              3          3          0          0" in done.out
    assert "put aside" in done.out
    assert "local time" in done.out
    assert "no difference" in done.out
    again = cli("import", "--from", f"sqlite:///{old}", "--url", new)
    assert again.code == 0
    assert "Users who are there already, by their identifier: 3" in again.out


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


def test_a_difference_is_named_and_the_source_may_win(
    folder: Path, old: Path, cli: Command
) -> None:
    new = f"sqlite:///{folder}/new.db"
    assert cli("import", "--from", str(old), "--url", new).code == 0
    execute(new, "UPDATE threads SET name = 'changed' WHERE id LIKE '%1'")
    kept = cli("import", "--from", str(old), "--url", new)
    assert kept.code == 1
    assert "different (name)" in kept.out
    assert "--update" in kept.out
    assert cli("import", "--from", str(old), "--url", new, "--update").code == 0


# Files


@pytest.fixture
def exported(folder: Path, old: Path, cli: Command) -> Path:
    """A file of records."""
    assert cli("import", "--from", str(old), "--url", f"sqlite:///{folder}/a.db").code == 0
    file = folder / "chats.jsonl"
    assert cli("export", "--url", f"sqlite:///{folder}/a.db", "--output", str(file)).code == 0
    return file


def test_an_export_comes_back_the_same(
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


def test_a_packed_file_is_unpacked(exported: Path, folder: Path, cli: Command) -> None:
    packed = folder / "packed"
    packed.write_bytes(gzip.compress(exported.read_bytes()))
    assert cli("import", "--from", str(packed), "--url", f"sqlite:///{folder}/b.db").code == 0


@pytest.mark.parametrize("cut", ["last line", "one line", "half a line"])
def test_a_cut_file_is_refused_with_the_repair(
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
    assert "export it again, or delete its first line to import what there is" in refused.err
    exported.write_bytes(b"".join(left[1:]))
    accepted = cli("import", "--from", str(exported), "--url", url)
    assert accepted.code == 0, accepted
    assert ("bad lines" in accepted.out) == (cut == "half a line")
    assert "nobody can tell whether it is whole" in accepted.out


def test_lines_made_by_hand_are_taken_and_bad_ones_put_aside(folder: Path, cli: Command) -> None:
    (folder / "hand.jsonl").write_text(
        '{"kind": "user", "id": "u", "identifier": "me"}\n\n'
        '{"kind": "thread", "id": "t", "userId": "u", "userIdentifier": "me"}\n'
        '{"kind": "step", "threadId": "t", "id": "s", "output": "hi", "createdAt": "2026-01-01"}\n'
        '{"kind": "step", "threadId": "none", "id": "s2"}\n'
        '{"kind": "step", "threadId": "t"}\n'
        "not json\n"
    )
    url = f"sqlite:///{folder}/new.db"
    done = cli("import", "--from", "hand.jsonl", "--url", url)
    assert done.code == 1  # The step without a thread is missing.
    assert "bad lines: 1 (it is not JSON)" in done.out
    assert "bad lines: 1 (its id is missing)" in done.out
    assert "steps: 1 (the database refuses it)" in done.out
    with sqlite3.connect(folder / "new.db") as connection:
        rows = connection.execute("SELECT id, output FROM steps").fetchall()
        aside = connection.execute("SELECT origin FROM chainlit_sqla_quarantine").fetchall()
    assert rows == [("s", "hi")]
    assert sorted(aside) == [("hand.jsonl",), ("hand.jsonl",), ("steps",)]


@pytest.mark.parametrize("form", ["~/{}", "{}", "file://{home}/{}", "file://localhost{home}/{}"])
def test_a_file_is_found_however_its_path_is_written(
    old: Path, folder: Path, cli: Command, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setenv("HOME", str(folder))
    name = "ä b?c%41#.db"
    old.rename(folder / name)
    shown = quote(name) if form.startswith("file:") else name
    given = form.format(shown, home=folder)
    done = cli("import", "--from", given, "--url", f"sqlite:///{folder}/new.db")
    assert done.code == 0, done.err


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--from", ""], "--from is empty"),
        (["--from", "nowhere.db"], "There is no file nowhere.db"),
        (["--from", "oracle://x/y"], "is not a database that chainlit-sqla speaks"),
        (["--from", "old.db", "--layer", "mine"], "give one of chainlit-sqla, sqlalchemy, asyncpg"),
        (["--from", "old.db", "--layer", "asyncpg"], "has no tables named Step, Thread, User"),
        (["--from", "new.db"], "is the database that is imported into"),
        (["--from", "."], ". is no file; give"),
    ],
)
def test_a_mistake_is_told_with_the_repair(
    folder: Path, old: Path, cli: Command, arguments: list[str], words: str
) -> None:
    assert cli("upgrade", "--url", "sqlite:///new.db").code == 0
    refused = cli("import", *arguments, "--url", "sqlite:///new.db")
    assert refused.code == 1
    assert words in refused.err
    assert refused.err.count("\n") == 1


def test_a_target_without_tables_is_told_how_to_get_them(
    old: Path, database: str, cli: Command
) -> None:
    refused = cli("import", "--from", str(old), "--url", database)
    assert refused.code == 1
    assert "run: chainlit-sqla upgrade" in refused.err


def keys_of(old: Path) -> list[str]:
    """The object keys that the elements name."""
    with sqlite3.connect(old) as connection:
        query = 'SELECT "objectKey" FROM elements WHERE "objectKey" IS NOT NULL'
        return [key for (key,) in connection.execute(query)]


def put(store: Path, keys: list[str]) -> None:
    """Put a blob into a folder under each of some keys."""

    async def put_all() -> None:
        client = LocalStorage(store)
        for key in keys:
            await client.put(key, BlobSource(data=b"bytes"), mime="image/png", name="a.png")
        await client.close()

    asyncio.run(put_all())


def import_with_files(cli: Command, folder: Path, old: Path) -> Done:
    return cli(
        *("import", "--from", str(old), "--url", f"sqlite:///{folder}/new.db"),
        *("--copy-storage", f"file://{folder}/files"),
        CHAINLIT_SQLA_STORAGE=f"file://{folder}/copied",
    )


def test_files_come_along(folder: Path, old: Path, cli: Command) -> None:
    keys = keys_of(old)
    assert len(keys) > 1
    put(folder / "files", [*keys[:-1], "of no element"])
    put(folder / "copied", keys[-1:])  # Uploaded since, or copied by hand.
    done = import_with_files(cli, folder, old)
    assert done.code == 0, done
    assert f"Files: {len(keys) - 1} files (" in done.out
    assert "1 already in the target, 0 failed." in done.out


def test_a_file_that_is_nowhere_is_told_and_fails(folder: Path, old: Path, cli: Command) -> None:
    keys = keys_of(old)
    put(folder / "files", keys[1:])
    done = import_with_files(cli, folder, old)
    assert done.code == 1, done
    assert f"Files: {len(keys) - 1} files (" in done.out
    assert f"1 of the {len(keys)} files of the imported elements are neither in" in done.err
    assert repr(keys[0]) in done.err
    assert "correct --copy-storage" in done.err


def test_a_folder_of_another_layout_is_told_by_the_option_that_named_it(
    folder: Path, old: Path, cli: Command
) -> None:
    keys = keys_of(old)
    for number, key in enumerate(keys):
        path = folder / "files" / "by hand" / f"{number} {Path(key).name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"bytes")
    done = import_with_files(cli, folder, old)
    assert done.code == 1, done
    assert f"{len(keys)} of the {len(keys)} files of the imported elements" in done.err
    assert "a folder is read only in the layout of chainlit-sqla" in done.err


@pytest.mark.parametrize("storage", ["ftp://x/y", "file:///nowhere/at/all"])
def test_a_wrong_store_is_told_before_anything_is_imported(
    folder: Path, old: Path, cli: Command, storage: str
) -> None:
    new = f"sqlite:///{folder}/new.db"
    refused = cli("import", "--from", str(old), "--url", new, "--copy-storage", storage)
    assert refused.code == 1
    assert refused.err
    assert not (folder / "new.db").exists()


def test_rows_that_came_during_an_interruption_are_told_with_the_repair() -> None:
    found = Comparison(threads=1)
    found.add(Difference(("step", "t", "s"), "missing"))
    again = "run the same command again"
    told = "\n".join(lines(Result("old", resumed=True, comparison=found), update=False))
    assert again in told
    assert again not in "\n".join(lines(Result("old", comparison=found), update=False))


def test_threads_of_which_nothing_can_be_said_are_told_with_the_repair() -> None:
    found = Comparison(threads=1)
    found.doubt("t", Counter({"thread": 1, "step": 2}))
    told = "\n".join(lines(Result("old", comparison=found), update=False))
    assert "Compared 1 thread: 3 unclear, for the source did not give their thread" in told
    assert "thread t: unclear" in told
    assert "run the same command again" in told


def test_a_text_in_another_encoding_stops_nothing(folder: Path, old: Path, cli: Command) -> None:
    execute(f"sqlite:///{old}", "UPDATE steps SET output = CAST(x'6772fcdf65' AS TEXT)")
    done = cli("import", "--from", str(old), "--url", f"sqlite:///{folder}/new.db")
    assert done.code == 0, done
    with sqlite3.connect(folder / "new.db") as connection:
        assert connection.execute("SELECT DISTINCT output FROM steps").fetchall() == [("gr��e",)]


def test_a_url_without_its_beginning_shows_no_password(folder: Path, cli: Command) -> None:
    refused = cli("import", "--from", "me:secret@host/old", "--url", "sqlite:///new.db")
    assert refused.code == 1
    assert "secret" not in refused.err
    assert "postgresql://user@host/name" in refused.err


def test_comparing_with_nothing_makes_nothing(folder: Path, old: Path, cli: Command) -> None:
    compared = cli("import", "--from", str(old), "--url", "sqlite:///none.db", "--verify-only")
    assert compared.code == 1
    assert not (folder / "none.db").exists()


def test_a_line_that_is_there_twice_is_different_not_missing(folder: Path, cli: Command) -> None:
    thread = '{"kind": "thread", "id": "t", "name": "%s"}\n'
    (folder / "twice.jsonl").write_text(thread % "first" + thread % "second")
    done = cli("import", "--from", "twice.jsonl", "--url", "sqlite:///new.db")
    assert done.code == 1
    assert "thread t: different (name)" in done.out
    assert "missing" not in done.out


def test_a_source_with_nothing_in_it_is_told(folder: Path, cli: Command) -> None:
    for url in ("sqlite:///empty.db", "sqlite:///new.db"):
        assert cli("upgrade", "--url", url).code == 0
    done = cli("import", "--from", "empty.db", "--url", "sqlite:///new.db")
    assert done.code == 0
    assert "There is nothing in the source.\n" in done.out
