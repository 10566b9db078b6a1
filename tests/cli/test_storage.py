"""`storage check` and `storage copy` as a user runs them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from chainlit_sqla.database import Database
from chainlit_sqla.database import migrator as migrations
from chainlit_sqla.settings import Settings
from chainlit_sqla.storage.base import BlobSource
from chainlit_sqla.storage.keys import new_object_key
from chainlit_sqla.storage.local.client import LocalStorage
from chainlit_sqla.writes.operations import SaveElement
from chainlit_sqla.writes.queue import WriteQueue
from tests.cli.conftest import Command
from tests.cli.programs import run_program

TWO_DAYS = 2 * 24 * 3600
INTERRUPTED = """
import os, sys
from chainlit_sqla.cli.app import main
from chainlit_sqla.storage import copy

ending, transfer, copied = int(sys.argv.pop(1)), copy._transfer, []

async def transfer_and_end(*arguments):
    await transfer(*arguments)
    copied.append(arguments)
    if len(copied) == 20:
        os.kill(os.getpid(), ending)

copy._transfer = transfer_and_end
main(sys.argv[1:])
"""


class App:
    """What an application in the current folder has stored."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / ".chainlit_sqla" / "files"
        self.settings = Settings.load()

    def add(self, *elements: str, with_row: bool = True) -> list[str]:
        """Store files, with or without their rows; returns their keys."""

        async def work() -> list[str]:
            database = Database(settings=self.settings)
            await migrations.upgrade(database)
            queue, storage, keys = WriteQueue(database), LocalStorage(self.root), []
            for element in elements:
                key = new_object_key("t", element)
                await storage.put(key, BlobSource(data=b"12345"), mime="text/plain")
                values = {"objectKey": key, "byteSize": 5, "name": f"{element}\n.txt"}
                if with_row:
                    await queue.submit(SaveElement("t", element, values))
                keys.append(key)
            await queue.close()
            await database.close()
            return keys

        return asyncio.run(work())

    def remove(self, *keys: str) -> None:
        asyncio.run(LocalStorage(self.root).delete(keys))

    def set_age(self) -> None:
        """Make all files two days old."""
        for path in self.root.rglob("*"):
            os.utime(path, (time.time() - TWO_DAYS,) * 2)


@pytest.fixture
def app(folder: Path) -> App:
    return App(folder)


def keys_in(root: Path) -> set[str]:
    async def keys() -> set[str]:
        return {info.key async for info in LocalStorage(root).list_blobs()}

    return asyncio.run(keys())


def test_a_check_reports_every_problem_and_changes_nothing(cli: Command, app: App) -> None:
    one, two, _ = app.add("one", "two", "three")
    [orphan] = app.add("deleted", with_row=False)
    app.remove(two)
    app.set_age()
    before = keys_in(app.root)
    report = cli("storage", "check")
    assert report.code == 1
    assert [line.split() for line in report.out.splitlines()[3:13]] == [
        ["conversations'", "files", "by", "the", "database", "3"],
        ["files", "in", "the", "store", "3"],
        ["missing", "1"],
        ["wrong", "size", "0"],
        ["orphaned", "1"],
        ["unfinished", "uploads", "0"],
        ["waiting", "in", "the", "deletion", "queue", "0"],
        ["without", "a", "row,", "but", "younger", "than", "a", "day", "0"],
        ["of", "unknown", "conversations", "0"],
        ["of", "other", "software", "0"],
    ]
    [missing_line] = [line for line in report.out.splitlines() if line.startswith("missing ")][1:]
    assert missing_line.startswith(f"missing {two} thread=t element=two name='two\\n.txt' size=5")
    assert f"orphaned {orphan} stored=5 file=" in report.out
    assert one not in report.out
    assert keys_in(app.root) == before


def test_fix_deletes_orphans_and_a_second_check_finds_nothing(cli: Command, app: App) -> None:
    keys = app.add("one")
    app.add("deleted", with_row=False)
    app.set_age()
    refused = cli("storage", "check", "--fix")
    assert refused.code == 1
    assert "No changes made: confirmation needs a terminal. Re-run with --yes." in refused.err
    fixed = cli("storage", "check", "--fix", "--yes")
    assert fixed.code == 0, fixed
    assert "Deleted 1 file." in fixed.out
    assert keys_in(app.root) == set(keys)
    assert cli("storage", "check").code == 0


def test_twenty_problems_of_a_kind_are_listed_or_all(cli: Command, app: App) -> None:
    app.remove(*app.add(*(f"e{number}" for number in range(25))))
    report = cli("storage", "check")
    assert report.out.count("missing threads/") == 20
    assert "... and 5 more (--all lists them)" in report.out
    assert "None of the database's files is in this store." in report.out
    assert cli("storage", "check", "--all").out.count("missing threads/") == 25


def test_a_file_named_on_disk_can_be_restored(cli: Command, app: App, folder: Path) -> None:
    [key] = app.add("e")
    saved = {path: path.read_bytes() for path in app.root.glob("??/*")}
    app.remove(key)
    report = cli("storage", "check")
    [name] = [word[5:-1] for word in report.out.split() if word.startswith("file=")]
    for path, data in saved.items():
        assert str(path.relative_to(app.root)).startswith(name)
        path.write_bytes(data)
    assert cli("storage", "check").code == 0


def test_half_a_pair_of_files_is_reported(cli: Command, app: App) -> None:
    app.add("e")
    (description,) = app.root.glob("??/*.json")
    description.unlink()
    report = cli("storage", "check")
    assert report.code == 1
    assert report.out.count("one is missing; restore it from a backup") == 1


def test_a_database_without_tables_is_refused(cli: Command, database: str) -> None:
    refused = cli("storage", "check", DATABASE_URL=database)
    assert refused.code == 1
    assert "run: chainlit-sqla upgrade" in refused.err


def test_a_copy_takes_the_files_of_rows_and_says_how_to_switch(
    cli: Command, app: App, folder: Path
) -> None:
    keys = app.add("one", "two", "three")
    app.add("orphan", with_row=False)
    urls = ["--from", f"file://{app.root}", "--to", f"file://{folder}/target"]
    copied = cli("storage", "copy", *urls)
    assert copied.code == 0, copied
    assert copied.err == ""
    first, switch = copied.out.splitlines()
    assert first == "3 files (15 bytes) copied and verified, 0 already in the target, 0 failed."
    assert switch.endswith(f"CHAINLIT_SQLA_STORAGE=file://{folder}/target")
    assert keys_in(folder / "target") == set(keys)
    later = app.add("four")
    again = cli("storage", "copy", *urls)
    assert again.out.startswith("1 file (5 bytes) copied and verified, 3 already in the target")
    assert keys_in(folder / "target") == {*keys, *later}


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_copy_continues(app: App, folder: Path, ending: signal.Signals) -> None:
    keys = app.add(*(f"e{number}" for number in range(60)))
    urls = ["--from", f"file://{app.root}", "--to", f"file://{folder}/target"]
    command = [sys.executable, "-c", INTERRUPTED, str(int(ending)), "storage", "copy", *urls]
    stopped = run_program(command, folder, {})
    assert stopped.code == (130 if ending is signal.SIGINT else -ending)
    if ending is signal.SIGINT:
        assert stopped.err == "Interrupted. Run the same command again to continue.\n"
    copied = len(keys_in(folder / "target"))
    assert 20 <= copied < 60
    again = run_program([sys.executable, "-m", "chainlit_sqla", *command[4:]], folder, {})
    assert again.out.startswith(f"{60 - copied} files (")
    assert keys_in(folder / "target") == set(keys)


def test_a_copy_fails_where_a_file_is_in_neither_store(
    cli: Command, app: App, folder: Path
) -> None:
    [key, _] = app.add("one", "two")
    app.remove(key)
    copied = cli("storage", "copy", "--from", f"file://{app.root}", "--to", f"file://{folder}/new")
    assert copied.code == 1
    assert f"1 file of conversations are in neither store (the first: {key!r})" in copied.err


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("file:///nowhere", "file:///tmp/new", "There is no folder /nowhere to copy from"),
        ("s3://bucket", "s3://bucket", "s3://bucket is both source and target"),
        ("", "s3://bucket", "--from is empty"),
        ("ftp://host/x", "s3://bucket", "is of no kind that can be opened"),
    ],
)
def test_stores_that_cannot_be_copied_are_refused(
    cli: Command, app: App, source: str, target: str, message: str
) -> None:
    app.add("e")
    refused = cli("storage", "copy", "--from", source, "--to", target)
    assert refused.code == 1
    assert message in refused.err
