"""`delete` as a user runs it: everything is gone, also after a kill, and what is not is said."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from chainlit.element import File
from chainlit.user import User

from chainlit_sqla import SQLADataLayer
from chainlit_sqla.database import Database, migrator
from chainlit_sqla.errors import ThreadDeleted
from chainlit_sqla.storage.local.client import LocalStorage
from chainlit_sqla.transfer import deletion
from chainlit_sqla.transfer.deletion import delete_selected
from chainlit_sqla.transfer.selection import Selection
from tests.cli.conftest import Command
from tests.cli.programs import run_program
from tests.frozen.load import execute
from tests.servers.fixtures import url_of

FULL = pytest.mark.full
URL = "sqlite:///chats.db"
KILLED = """
import os, sys
from chainlit_sqla.cli.app import main
from chainlit_sqla.transfer import deletion

deletion._BATCH, work, batches = 1, deletion.{name}, []

async def work_and_die(*arguments):
    result = await work(*arguments)
    batches.append(arguments)
    if len(batches) == {times}:
        os.kill(os.getpid(), 9)
    return result

deletion.{name} = work_and_die
main(sys.argv[1:])
"""


async def fill(layer: SQLADataLayer, *names: str) -> dict[str, Any]:
    """Two conversations of each user, with a message, its feedback and a file."""
    people = {}
    for name in names:
        person = people[name] = await layer.create_user(User(identifier=name))
        assert person
        for number in (1, 2):
            thread_id = f"{name}{number}"
            await layer.update_thread(thread_id, name="Chat", user_id=person.id)
            message: Any = {"id": f"{thread_id}s", "threadId": thread_id, "type": "user_message"}
            await layer.create_step(message)
            file = File(id=f"{thread_id}e", thread_id=thread_id, name="a.txt", content=b"12345")
            await layer.create_element(file)
    return people


def make(url: str, *names: str) -> None:
    async def work() -> None:
        database = Database(url)
        await migrator.upgrade(database)
        layer = SQLADataLayer(database)
        await fill(layer, *names)
        await layer.close()

    asyncio.run(work())


def rows(query: str) -> list[Any]:
    with closing(sqlite3.connect("chats.db")) as file:
        return [row[0] for row in file.execute(query)]


def set_activity(*instants: str) -> None:
    """Set the last activity of all conversations by the number at the end of their ids."""
    for number, instant in enumerate(instants, 1):
        execute(URL, f"UPDATE threads SET updatedAt = '{instant}' WHERE id LIKE '%{number}'")


def files() -> int:
    return len(list(Path(".chainlit_sqla/files").glob("??/*.json")))


@pytest.fixture(params=["sqlite", "postgresql", pytest.param("mariadb", marks=FULL)])
def url(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    yield from url_of(request, folder)


async def test_a_user_is_gone_beside_a_running_application(program: Command, url: str) -> None:
    database = Database(url)
    await migrator.upgrade(database)
    layer = SQLADataLayer(database)
    people = await fill(layer, "ada", "bob")

    async def delete(*options: str) -> Any:
        return await asyncio.to_thread(program, "delete", "--user", "ada", *options, "--url", url)

    planned = await delete("--dry-run")
    assert planned.code == 0, planned
    assert [line.split() for line in planned.out.splitlines()[3:9]] == [
        ["users", "1"],
        ["conversations", "2"],
        ["steps", "2"],
        ["elements", "2"],
        ["feedbacks", "0"],
        ["files", "2", "(10", "bytes)"],
    ]
    assert files() == 4
    assert "confirmation needs a terminal" in (await delete()).err
    assert await layer.get_thread("ada1")
    deleted = await delete("--yes")
    assert deleted.code == 0, deleted
    assert "\nDeleted 1 user, 2 conversations, 2 steps, 2 elements, 0 feedbacks and 2 files.\n" in (
        deleted.out
    )
    assert files() == 2
    late: Any = {"id": "late", "threadId": "ada1", "type": "user_message", "output": "late"}
    with pytest.raises(ThreadDeleted):
        await layer.create_step(late)
    await layer.update_thread("ada2", metadata={"end": "of a session"})
    assert [await layer.get_thread(id) for id in ("ada1", "ada2")] == [None, None]
    assert (await layer.get_thread("bob1") or {})["elements"]
    again = await layer.create_user(User(identifier="ada"))
    assert again
    assert again.id != people["ada"].id
    assert "There is no user 'eve'; correct --user" in (await delete("--user", "eve", "-y")).err
    await layer.close()


@pytest.mark.parametrize(
    ("name", "times"), [("_transact", 1), ("_delete_threads", 1), ("delete_due", 1)]
)
def test_the_same_command_completes_one_that_was_killed(
    cli: Command, folder: Path, name: str, times: int
) -> None:
    make(URL, "ada", "bob")
    script = KILLED.format(name=name, times=times)
    command = [sys.executable, "-c", script, "delete", "--user", "ada", "--yes", "--url", URL]
    assert run_program(command, folder, {}).code == -signal.SIGKILL
    assert rows("SELECT identifier FROM users") == ["ada", "bob"], "the last to be deleted"
    assert cli("delete", "--user", "ada", "--yes", "--url", URL).code == 0
    assert rows("SELECT id FROM threads") == ["bob1", "bob2"]
    assert rows("SELECT identifier FROM users") == ["bob"]
    assert rows("SELECT threadId FROM chainlit_sqla_tombstones") == ["ada1", "ada2"]
    assert files() == 2


def test_files_that_are_not_in_this_store_wait_and_are_reported(cli: Command, folder: Path) -> None:
    make(URL, "ada")
    other = {"CHAINLIT_SQLA_STORAGE": f"file://{folder}/other", "DATABASE_URL": URL}
    deleted = cli("delete", "--thread", "ada1", "--yes", **other)
    assert deleted.code == 1
    assert "1 of the files to delete wait: the store has no file 'threads/ada1/" in deleted.err
    assert files() == 2
    assert cli("storage", "check", "--fix", "--yes", **other).code == 1, "ada2's file is missing"
    assert rows("SELECT count(*) FROM chainlit_sqla_blob_deletions") == [1]
    fixed = cli("storage", "check", "--fix", "--yes", DATABASE_URL=URL)
    assert fixed.code == 0, fixed
    assert rows("SELECT count(*) FROM chainlit_sqla_blob_deletions") == [0]
    assert files() == 1


def test_the_time_before_which_conversations_ended(cli: Command, folder: Path) -> None:
    make(URL, "ada", "bob")
    set_activity("2026-01-01T12:00:00.000000Z", "2026-01-02T00:00:00.000000Z")
    for before, left in (("2026-01-01T14:00:00+02:00", 4), ("2026-01-02", 2), ("2026-01-03", 0)):
        assert cli("delete", "--before", before, "--yes", "--url", URL).code == 0
        assert len(rows("SELECT id FROM threads")) == left, before
    assert len(rows("SELECT id FROM users")) == 2
    assert "There is no thread 'x'" in cli("delete", "--thread", "x", "-y", "--url", URL).err
    assert cli("delete", "--thread", "ada1", "-y", "--url", URL).code == 0, "deleted before"


async def test_a_conversation_that_becomes_active_is_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion, "_BATCH", 1)
    await asyncio.to_thread(make, URL, "ada")
    set_activity("2026-01-01T12:00:00.000000Z", "2026-01-02T00:00:00.000000Z")
    database = Database(URL)

    def write(_what: str, _done: int, _total: int | None) -> None:
        set_activity("2026-02-01T00:00:00.000000Z", "2026-02-01T00:00:00.000000Z")

    storage = LocalStorage(folder / ".chainlit_sqla" / "files")
    result = await delete_selected(database, storage, Selection.parse(before="2026-01-10"), write)
    await database.close()
    assert (result.rows["threads"], rows("SELECT id FROM threads")) == (1, ["ada2"])


def test_a_user_is_named_by_the_id_and_owns_what_has_no_owner_yet(
    cli: Command, folder: Path
) -> None:
    make(URL, "ada", "bob")
    [id] = rows("SELECT id FROM users WHERE identifier = 'ada'")
    execute(URL, "UPDATE threads SET userId = NULL WHERE id = 'ada1'")
    assert cli("delete", "--user", id, "--yes", "--url", URL).code == 0
    assert rows("SELECT id FROM threads") == ["bob1", "bob2"]


def test_an_identifier_that_is_another_users_id_is_refused(cli: Command, folder: Path) -> None:
    make(URL, "ada")
    [id] = rows("SELECT id FROM users")
    make(URL, id)
    refused = cli("delete", "--user", id, "--yes", "--url", URL)
    assert refused.code == 1
    assert "is the identifier of one user and the id of another" in refused.err
    assert len(rows("SELECT id FROM threads")) == 4
