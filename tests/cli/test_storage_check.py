"""`storage check` as a person or a nightly job runs it."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import boto3
import pytest
from sqlalchemy import make_url

from chainlit_sqla.database import Database
from chainlit_sqla.database import migrator as migrations
from chainlit_sqla.settings import Settings
from chainlit_sqla.storage.base import BlobSource, Inventory
from chainlit_sqla.storage.config import storage_from
from chainlit_sqla.storage.deletion_queue import DeletionQueue
from chainlit_sqla.storage.uploads import object_key
from chainlit_sqla.writes.operations import DeleteElement, SaveElement
from chainlit_sqla.writes.queue import Pipeline
from tests.cli.conftest import Command
from tests.cli.programs import SECONDS, environment
from tests.servers import s3_moto
from tests.servers.require import unavailable

T = TypeVar("T")
LOST = "row-without-blob"


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run in a loop of its own: the commands have theirs."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(work)


class App:
    """What an application with these settings has stored."""

    def __init__(self, **settings: str) -> None:
        self.settings = Settings.load(**settings)

    def store(self, *elements: str, size: int = 5, thread: str = "t") -> list[str]:
        """Store elements of a thread with their files; gives their keys."""

        async def work(storage: Inventory) -> list[str]:
            database = Database(settings=self.settings)
            await migrations.upgrade(database)
            pipeline, keys = Pipeline(database), []
            for element in elements:
                key = object_key({"threadId": thread, "id": element})
                await storage.put(key, BlobSource(data=b"x" * size), mime="text/plain")
                values = {"objectKey": key, "byteSize": size, "name": f"{element}\n.txt"}
                await pipeline.submit(SaveElement(thread, element, values))
                keys.append(key)
            await pipeline.close()
            await database.close()
            return keys

        return self.on_store(work)

    def erase(self, element: str) -> None:
        """Delete an element of the thread "t" and its file."""

        async def work(storage: Inventory) -> None:
            database = Database(settings=self.settings)
            pipeline = Pipeline(database)
            await pipeline.submit(DeleteElement(element, "t"))
            await DeletionQueue(database, storage).drain()
            await pipeline.close()
            await database.close()

        self.on_store(work)

    def adopt(self, key: str) -> None:
        """Store an element whose key other software made."""

        async def work(storage: Inventory) -> None:
            await storage.put(key, BlobSource(data=b"adopted"), mime="text/plain")
            database = Database(settings=self.settings)
            pipeline = Pipeline(database)
            await pipeline.submit(SaveElement("t", "adopted", {"objectKey": key, "name": "a"}))
            await pipeline.close()
            await database.close()

        self.on_store(work)

    def leave(self, *keys: str) -> None:
        """Store files without a row."""

        async def work(storage: Inventory) -> None:
            for key in keys:
                await storage.put(key, BlobSource(data=b"orphan"), mime="text/plain")

        self.on_store(work)

    def lose(self, *keys: str) -> None:
        """Delete files by hand."""
        self.on_store(lambda storage: storage.delete(keys))

    def keys(self) -> set[str]:
        """What is in the store."""

        async def work(storage: Inventory) -> set[str]:
            return {info.key async for info in storage.list_blobs()}

        return self.on_store(work)

    def on_store(self, work: Callable[[Inventory], Coroutine[Any, Any, T]]) -> T:
        async def opened() -> T:
            storage = storage_from(self.settings)
            try:
                return await work(storage)
            finally:
                await storage.close()

        return run(opened())


def orphan(element: str) -> str:
    return object_key({"threadId": "t", "id": element})


def numbers(report: str) -> dict[str, int]:
    """The table of numbers, without its zeros."""
    found = re.findall(r"^ *([\d,]+)  (.+)$", report, re.MULTILINE)
    return {name: int(number.replace(",", "")) for number, name in found if number != "0"}


def listed(report: str, kind: str) -> list[str]:
    return [line for line in report.splitlines() if line.startswith(f"{kind} ")]


def test_all_is_well(cli: Command, folder: Path) -> None:
    App().store("one", "two")
    report = cli("storage", "check")
    assert report.code == 0
    assert numbers(report.out) == {
        "rows with files": 2,
        "files of conversations in the store": 2,
    }
    assert report.out.endswith("\nNothing is wrong.\n")
    assert f"database  SQLite at sqlite:///{folder}/.chainlit_sqla/chainlit.db\n" in report.out
    assert f"store     file://{folder}/.chainlit_sqla/files\n" in report.out


def test_it_says_what_is_wrong_and_changes_nothing(cli: Command, folder: Path) -> None:
    app = App()
    one, two, _ = app.store("one", "two", "three")
    app.lose(one)
    app.leave(two, left := orphan("four"), "other/software.txt")
    before = app.keys()
    report = cli("storage", "check", "--older-than", "0")
    assert report.code == 1
    assert numbers(report.out) == {
        "rows with files": 3,
        "files of conversations in the store": 3,
        "row-without-blob": 1,
        "blob-without-row": 1,
        "damaged": 1,
        "not ours, left alone": 1,
    }
    (lost,) = listed(report.out, "row-without-blob")
    assert lost.startswith(
        f"row-without-blob {one} thread=t element=one name='one\\n.txt' size=5 date=20"
    )
    assert listed(report.out, "blob-without-row")[0].startswith(
        f"blob-without-row {left} size=6 date=20"
    )
    assert "size=5 stored=6" in listed(report.out, "damaged")[0]
    assert "run: chainlit-sqla storage check --fix --older-than 0\n" in report.out
    assert app.keys() == before
    assert cli("storage", "check", "--older-than", "0").out == report.out


def test_a_key_is_printed_whole_with_its_files_in_the_folder(cli: Command, folder: Path) -> None:
    app = App()
    thread, element = "t" * 64, "long-" * 12
    long, strange = app.store(element, thread=thread)[0], "reports/a\nb.txt"
    assert len(long) > 160
    app.adopt(strange)
    files = folder / ".chainlit_sqla" / "files"
    before = set(files.rglob("*.*"))
    app.lose(long, strange)
    lost = before - set(files.rglob("*.*"))
    assert len(lost) == 4
    lines = {line.split()[3]: line for line in listed(cli("storage", "check").out, LOST)}
    ours, adopted = lines[f"element={element}"], lines["element=adopted"]
    assert ours.startswith(f"row-without-blob {long} thread={thread} element=")
    assert adopted.startswith(f"row-without-blob {strange!r} thread=t element=")
    for path in lost:
        path.touch()
    found = {key: set(files.glob(line.rpartition(" file=")[2])) for key, line in lines.items()}
    assert [len(paths) for paths in found.values()] == [2, 2]
    assert set.union(*found.values()) == lost


def test_a_bucket_has_no_files_of_another_name(cli: Command, folder: Path, client: Any) -> None:
    app = App()
    (key,) = app.store("one")
    app.lose(key)
    (line,) = listed(cli("storage", "check").out, "row-without-blob")
    assert f" {key} " in line
    assert "file=" not in line


def test_the_command_to_repair_is_the_one_given_with_fix(
    program: Command, folder: Path, database: str
) -> None:
    where = f"file://{folder / 'my files & more'}"
    app = App(database_url=database, db_schema="chat", storage_url=where)
    one, _ = app.store("one", "two")
    app.lose(one)
    options = ("--schema", "chat", "--storage", where, "--older-than", "5")
    # The password is in the environment, the rest is given.
    report = program("storage", "check", *options, DATABASE_URL=database)
    (line,) = re.findall(r"To repair, run: (.*)\n", report.out)
    words = shlex.split(line)
    assert words[:4] == ["chainlit-sqla", "storage", "check", "--fix"]
    assert set(words[4:]) == set(options)
    repaired = program(*words[1:], "--yes", DATABASE_URL=database)
    assert "1 file marked as lost" in repaired.out, repaired


def test_the_command_to_repair_repeats_no_password(cli: Command, database: str) -> None:
    app = App(database_url=database)
    one, _ = app.store("one", "two")
    app.lose(one)
    report = cli("storage", "check", "--url", database)
    assert report.out.endswith("To repair, run: chainlit-sqla storage check --fix --url URL\n")
    assert str(make_url(database).password) not in report.out


def test_the_command_to_repair_repeats_a_url_without_password(cli: Command, folder: Path) -> None:
    url = f"sqlite:///{folder}/my chats.db"
    app = App(database_url=url)
    one, _ = app.store("one", "two")
    app.lose(one)
    report = cli("storage", "check", "--url", url)
    assert report.out.endswith(f"storage check --fix --url '{url}'\n")


def test_a_file_that_was_lost_earlier_stays_in_the_report_until_it_is_restored(
    cli: Command, folder: Path
) -> None:
    app = App()
    one, two = app.store("one", "two")
    files, backup = folder / ".chainlit_sqla" / "files", folder / "backup"
    shutil.copytree(files, backup)
    app.lose(one)
    marked = cli("storage", "check", "--fix", "--yes")
    restore = (
        "restore it under its key from a backup, then run: chainlit-sqla storage check --fix\n"
    )
    assert marked.out.endswith(f"1 file marked as lost.\n1 file was lost: {restore}")
    for fix in ((), ("--fix", "--yes")):
        report = cli("storage", "check", *fix)
        assert report.code == 0, report
        assert numbers(report.out)["lost-earlier"] == 1
        (line,) = listed(report.out, "lost-earlier")
        assert line.startswith(f"lost-earlier {one} thread=t element=one name='one\\n.txt' size=5")
        nothing = "Nothing to repair." if fix else "Nothing else is wrong."
        assert report.out.endswith(f"\n{nothing}\n1 file was lost earlier: {restore}")
    # As the line says: all files of that name, from the backup.
    pattern = line.rpartition("file=")[2]
    for path in backup.glob(pattern):
        shutil.copy2(path, files / path.relative_to(backup))
    assert cli("storage", "check", "--fix", "--yes").out.endswith(
        "Repaired: 1 file linked again.\n"
    )
    assert app.keys() == {one, two}
    report = cli("storage", "check")
    assert "lost-earlier" not in numbers(report.out)
    assert report.out.endswith("\nNothing is wrong.\n")


def test_the_first_twenty_that_were_lost_earlier_or_all_are_listed(
    cli: Command, folder: Path
) -> None:
    app = App()
    keys = app.store(*(f"e{number}" for number in range(23)))
    app.lose(*keys[1:])
    cli("storage", "check", "--fix", "--yes")
    report = cli("storage", "check")
    assert len(listed(report.out, "lost-earlier")) == 20
    assert "... and 2 more lost-earlier (--all lists them)" in report.out
    assert "22 files were lost earlier: restore them under their keys" in report.out
    assert len(listed(cli("storage", "check", "--all").out, "lost-earlier")) == 22


@pytest.mark.parametrize("fix", [(), ("--fix", "--yes")], ids=["look", "fix"])
def test_a_young_file_without_row_is_left_alone_and_it_says_until_when(
    cli: Command, folder: Path, fix: tuple[str, ...]
) -> None:
    app = App()
    app.store("one")
    app.leave(orphan("two"))
    before = datetime.now(UTC).astimezone()
    report = cli("storage", "check", *fix, "--older-than", "5000")
    assert report.code == 0
    assert numbers(report.out)["too young to be judged"] == 1
    assert len(app.keys()) == 2
    sentence = (
        r"1 file without row is younger than 5,000 minutes and not judged yet; run it again at "
        r"(\d+-\d+-\d+ \d+:\d+), or with --older-than 0 while nothing is uploading\n"
    )
    told = re.search(sentence, report.out)
    assert told, report
    due = datetime.strptime(told[1], "%Y-%m-%d %H:%M").astimezone()
    assert timedelta(0) <= due - before - timedelta(minutes=4999) <= timedelta(minutes=5)
    last = "Nothing to repair yet." if fix else "Nothing else is wrong."
    assert report.out.splitlines()[-1] == last
    assert "Nothing is wrong" not in report.out
    assert cli("storage", "check", "--fix", "--yes", "--older-than", "0").code == 0
    assert len(app.keys()) == 1


def test_after_a_move_as_documented_what_was_deleted_meanwhile_is_gone(
    cli: Command, folder: Path
) -> None:
    old, new = f"file://{folder / 'old'}", f"file://{folder / 'new'}"
    app = App(storage_url=old)
    stays, _ = app.store("stays", "goes")
    assert cli("storage", "copy", "--from", old, "--to", new).code == 0
    app.erase("goes")
    (came,) = app.store("came")
    assert cli("storage", "copy", "--from", old, "--to", new).code == 0
    check = ("storage", "check", "--fix", "--yes")
    soon = cli(*check, CHAINLIT_SQLA_STORAGE=new)
    assert soon.code == 0
    assert "1 file without row is younger than 60 minutes and not judged yet" in soon.out
    an_hour_ago = time.time() - 3601
    for path in (folder / "new").rglob("*"):
        os.utime(path, (an_hour_ago, an_hour_ago))
    later = cli(*check, CHAINLIT_SQLA_STORAGE=new)
    assert later.out.endswith("Repaired: 1 file without row deleted.\n")
    assert App(storage_url=new).keys() == {stays, came}


def test_files_of_conversations_that_the_database_never_had(cli: Command, folder: Path) -> None:
    app = App()
    (one,) = app.store("one")
    app.leave(orphan("two"), foreign := object_key({"threadId": "other", "id": "e"}))
    fix = ("storage", "check", "--older-than", "0", "--fix", "--yes")
    report = cli(*fix)
    assert report.code == 0, report
    left_alone = "of conversations this database never had, left alone"
    assert numbers(report.out)[left_alone] == 1
    assert listed(report.out, "unknown-conversation")[0].startswith(
        f"unknown-conversation {foreign} size=6 date=20"
    )
    assert report.out.endswith("Repaired: 1 file without row deleted.\n")
    assert app.keys() == {one, foreign}
    looked = cli("storage", "check", "--older-than", "0")
    assert (looked.code, numbers(looked.out)[left_alone]) == (0, 1)
    assert cli(*fix).out.endswith("\nNothing to repair.\n")
    forced = cli(*fix, "--force")
    assert forced.code == 0
    assert "left alone" not in forced.out.replace("not ours, left alone", "")
    assert forced.out.endswith("Repaired: 1 file without row deleted.\n")
    assert app.keys() == {one}


def test_the_wrong_database_is_refused(cli: Command, folder: Path, database: str) -> None:
    app = App()
    keys = app.store("one", "two")
    App(database_url=database).store()
    command = ("storage", "check", "--url", database, "--older-than", "0")
    looked = cli(*command)
    assert looked.code == 1
    assert "2 files of conversations, but the database knows of none." in looked.out
    assert "Nothing is wrong" not in looked.out
    refused = cli(*command, "--fix", "--yes")
    assert refused.code == 1
    assert "Is this the right store, and the right database?" in refused.err
    assert app.keys() == set(keys)


def test_fix_repairs_and_a_second_finds_nothing(cli: Command, database: str) -> None:
    app = App(database_url=database, db_schema="chat")
    one, two = app.store("one", "two")
    app.lose(one)
    app.leave(orphan("three"))
    arguments = ("--url", database, "--schema", "chat", "--older-than", "0", "--fix", "--yes")
    report = cli("storage", "check", *arguments)
    assert report.code == 0, report
    assert "\nRepaired: 1 file without row deleted and 1 file marked as lost.\n" in report.out
    assert app.keys() == {two}
    again = cli("storage", "check", *arguments)
    assert (again.code, again.out.splitlines()[-2]) == (0, "Nothing to repair.")
    app.leave(one)  # From a backup, but not the whole of it.
    back = cli("storage", "check", *arguments)
    assert back.out.endswith("Repaired: 1 file linked again.\n")
    damaged = cli("storage", "check", *arguments)
    assert damaged.code == 1
    assert "restore them under their keys from a backup" in damaged.out


def test_without_a_terminal_fix_refuses_and_says_what_it_would_do(
    program: Command, folder: Path
) -> None:
    app = App()
    one, _ = app.store("one", "two")
    app.lose(one)
    done = program("storage", "check", "--fix")
    assert done.code == 1
    assert done.out.endswith("\nThis will mark 1 file as lost.\n")
    last = done.err.splitlines()[-1]
    assert last == "Error: Nothing was changed, for there is no terminal to ask on; add --yes"
    assert numbers(program("storage", "check").out)["row-without-blob"] == 1


@pytest.mark.parametrize(("answer", "code", "left"), [("n", 1, 2), ("y", 0, 1)])
def test_fix_asks_on_a_terminal(folder: Path, answer: str, code: int, left: int) -> None:
    app = App()
    app.store("one")
    app.leave(orphan("two"))
    ours, theirs = pty.openpty()
    command = ("storage", "check", "--fix", "--older-than", "0")
    process = subprocess.Popen(
        [sys.executable, "-m", "chainlit_sqla", *command],
        cwd=folder,
        env=environment(folder, {}),
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    os.write(ours, f"{answer}\n".encode())
    said, _ = process.communicate(timeout=SECONDS)
    os.close(ours)
    os.close(theirs)
    assert "This will delete 1 file that no row has.\nGo on?" in said
    assert process.returncode == code, said
    assert len(app.keys()) == left


def test_the_first_twenty_or_all_are_listed(cli: Command, folder: Path) -> None:
    app = App()
    keys = app.store(*(f"e{number}" for number in range(23)))
    app.lose(*keys[1:])
    report = cli("storage", "check")
    assert len(listed(report.out, "row-without-blob")) == 20
    assert "... and 2 more row-without-blob (--all lists them)" in report.out
    every = cli("storage", "check", "--all")
    assert len(listed(every.out, "row-without-blob")) == 22
    assert "--all" not in every.out


def test_the_wrong_store_is_refused(cli: Command, folder: Path) -> None:
    app = App()
    app.store("one", "two")
    wrong = f"file://{folder / 'wrong'}"
    looked = cli("storage", "check", "--storage", wrong)
    assert looked.code == 1
    assert "None of the 2 files that the database knows is in this store." in looked.out
    assert "--fix" not in looked.out
    refused = cli("storage", "check", "--fix", "--yes", "--storage", wrong)
    assert refused.code == 1
    assert "check CHAINLIT_SQLA_STORAGE or BUCKET_NAME, and DATABASE_URL" in refused.err
    assert cli("storage", "check").code == 0
    forced = cli("storage", "check", "--fix", "--yes", "--force", "--storage", wrong)
    assert (forced.code, forced.out.splitlines()[-2]) == (0, "Repaired: 2 files marked as lost.")
    # The files were in the right store all the time.
    assert cli("storage", "check", "--fix", "--yes").out.endswith("2 files linked again.\n")


def test_a_database_without_tables(cli: Command, database: str) -> None:
    report = cli("storage", "check", DATABASE_URL=database)
    assert report.code == 1
    assert "has no tables yet, this release needs 0004; run: chainlit-sqla upgrade" in report.err


@pytest.mark.parametrize("option", ["--storage", "--url"])
def test_an_empty_option_is_refused(cli: Command, folder: Path, option: str) -> None:
    refused = cli("storage", "check", option, "")
    assert refused.code == 1
    assert f"{option} is empty; give it a value or leave it out" in refused.err


@pytest.fixture
def s3() -> Iterator[dict[str, str]]:
    """The variables for a bucket that other software uses too."""
    if reason := s3_moto.missing():
        unavailable(f"no S3 server ({reason})", "pip install -e '.[test]'")
    server = s3_moto.MotoServer()
    yield {
        "BUCKET_NAME": "files-of-many",
        "DEV_AWS_ENDPOINT": server.endpoint,
        "APP_AWS_ACCESS_KEY": server.access_key,
        "APP_AWS_SECRET_KEY": server.secret_key,
        "APP_AWS_REGION": server.region,
    }
    server.stop()


@pytest.fixture
def client(s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Set these variables, make the bucket and give a client for it."""
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    made = boto3.client(
        "s3",
        endpoint_url=s3["DEV_AWS_ENDPOINT"],
        aws_access_key_id="x",
        aws_secret_access_key="x",
        region_name=s3["APP_AWS_REGION"],
    )
    made.create_bucket(Bucket="files-of-many")
    return made


def test_on_s3(cli: Command, folder: Path, client: Any) -> None:
    # To moto, all uploads have begun years ago.
    client.create_multipart_upload(Bucket="files-of-many", Key=orphan("big"))
    app = App()
    one, two, three = app.store("one", "two", "three")
    app.lose(one)
    app.leave(two, left := orphan("four"), "public/logo.png")
    report = cli("storage", "check", "--fix", "--yes")
    # What is damaged stays so, and what is young is left alone.
    assert report.code == 1, report
    assert numbers(report.out) == {
        "rows with files": 3,
        "files of conversations in the store": 3,
        "row-without-blob": 1,
        "damaged": 1,
        "unfinished uploads": 1,
        "not ours, left alone": 1,
        "too young to be judged": 1,
    }
    assert "Repaired: 1 file marked as lost and 1 unfinished upload removed." in report.out
    assert app.keys() == {two, three, left, "public/logo.png"}
    assert "Uploads" not in client.list_multipart_uploads(Bucket="files-of-many")


def test_an_upload_that_another_repair_gives_up_meanwhile_is_no_error(
    folder: Path, client: Any
) -> None:
    bucket = {"Bucket": "files-of-many"}
    uploads = [client.create_multipart_upload(**bucket, Key=orphan(name)) for name in "abc"]

    def other_is_faster(key: str) -> bool:
        for upload in uploads:
            if upload["Key"] == key:
                client.abort_multipart_upload(**bucket, Key=key, UploadId=upload["UploadId"])
        return True

    soon = datetime.now(UTC) + timedelta(hours=1)
    App().on_store(lambda s: s.clear_unfinished(soon, is_ours=other_is_faster, remove=True))
    assert "Uploads" not in client.list_multipart_uploads(**bucket)


def test_doctor_sees_that_the_files_are_elsewhere(cli: Command, folder: Path) -> None:
    app = App()
    keys = app.store("one", "two", "three", "four")
    app.lose(*keys[:-1])
    well = cli("doctor")
    assert well.code == 0
    assert re.search("^ok +storage: ", well.out, re.MULTILINE)
    moved = cli("doctor", CHAINLIT_SQLA_STORAGE=f"file://{folder / 'elsewhere'}")
    assert moved.code == 0
    assert re.search(
        r"^note +storage: .*not in this store.*run: chainlit-sqla storage check, or copy them "
        r"with: chainlit-sqla storage copy$",
        moved.out,
        re.MULTILINE,
    )


def test_it_tells_of_half_a_pair_of_files(cli: Command, folder: Path) -> None:
    App().store("e")
    (description,) = folder.glob(".chainlit_sqla/files/??/*.json")
    description.unlink()
    report = cli("storage", "check")
    assert report.code == 1
    assert report.err.count("one is missing; restore it from a backup") == 1
    assert "1  row-without-blob" in report.out
    assert "0  unfinished uploads" in report.out
