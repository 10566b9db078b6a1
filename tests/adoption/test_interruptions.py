"""A process that is killed in the middle changes nothing, and the next one does it all."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from chainlit_sqla.errors import AdoptionRefused
from tests.adoption.ways import adopt, digests, settings_of, unadopt
from tests.cli.programs import ROOT, environment, run_program
from tests.frozen import original
from tests.frozen.load import Shelf, execute

# Counts the rows that were written, and says so when it is in the middle.
CHILD = """
import asyncio, sys
from chainlit_sqla.transfer.in_place import Adoption, Return
from chainlit_sqla.database import Database
from chainlit_sqla.settings import Settings

def watch(what, done, total):
    if done >= int(sys.argv[3]) or what == sys.argv[4]:
        print("here", flush=True)
        sys.stdin.read()

async def run():
    database = Database(sys.argv[2], settings=Settings.load(database_url=sys.argv[2]))
    try:
        await {"adopt": Adoption, "unadopt": Return}[sys.argv[1]](database, watch=watch).run()
    finally:
        await database.close()

asyncio.run(run())
"""
# The command line, with Ctrl+C as a terminal sends it, in the middle.
PRESSED = """
import os, signal, sys
from contextlib import contextmanager
import chainlit_sqla.cli.adopt as command
from chainlit_sqla.cli.app import main

at = sys.argv.pop()

@contextmanager
def progress():
    def watch(what, done, total):
        if what == at or (at.isdigit() and done >= int(at)):
            print("here", flush=True)
            os.kill(os.getpid(), signal.SIGINT)
    yield watch

command.progress = progress
main(sys.argv[1:])
"""
NAMES = ["sqlite_v8", "postgres_v8"]


def killed(command: str, url: str, folder: Path, at: str) -> None:
    """Run a command and kill it: after so many rows, or before the end."""
    rows = at if at.isdigit() else "1000000"
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, command, url, rows, at],
        cwd=folder,
        env=environment(folder, {}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "here\n"
    child.send_signal(signal.SIGKILL)
    child.communicate()


@pytest.mark.parametrize("at", ["1", "20", "finishing"])
@pytest.mark.parametrize("name", NAMES)
async def test_a_killed_adoption_leaves_the_original(
    frozen: Shelf, tmp_path: Path, name: str, at: str
) -> None:
    url = frozen.load(name)
    before = await original.read_at(frozen, name, url)
    killed("adopt", url, tmp_path, at)
    assert await original.read_at(frozen, name, url) == before
    report = await adopt(url, **settings_of(name))
    assert report.nothing is None
    assert report.rows["step"] == report.kept["step"] > 0


@pytest.mark.parametrize("name", NAMES)
async def test_a_killed_way_back_leaves_ours(frozen: Shelf, tmp_path: Path, name: str) -> None:
    url = frozen.load(name)
    await adopt(url)
    before = await digests(url)
    killed("unadopt", url, tmp_path, "finishing")
    assert await digests(url) == before
    await unadopt(url)
    await adopt(url)
    assert await digests(url) == before


@pytest.mark.parametrize(
    ("name", "option", "at"),
    [
        ("sqlite_v8", "--yes", "finishing"),
        ("sqlite_v8", "--dry-run", "20"),
        ("postgres_v8", "--yes", "1"),
        ("postgres_v8", "--dry-run", "20"),
    ],
)
async def test_ctrl_c_changes_nothing_and_says_so(
    frozen: Shelf, tmp_path: Path, name: str, option: str, at: str
) -> None:
    url = frozen.load(name)
    for command in ("adopt", "unadopt"):
        if command == "unadopt":
            assert (await adopt(url)).nothing is None
            before = await digests(url)
        done = run_program(
            [sys.executable, "-c", PRESSED, command, option, "--url", url, at], tmp_path, {}
        )
        assert done.out.startswith("here\n")
        assert done.err == "Interrupted. Nothing was changed; run the same command again.\n"
        assert done.code == 130
    assert await digests(url) == before


@pytest.mark.parametrize("name", NAMES)
async def test_of_several_at_once_one_adopts(frozen: Shelf, tmp_path: Path, name: str) -> None:
    url = frozen.load(name)
    command = [sys.executable, "-m", "chainlit_sqla", "adopt", "--yes", "--url", url]
    children = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(tmp_path, {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(3)
    ]
    said = [(child.communicate()[0], child.returncode) for child in children]
    assert [code for _, code in said] == [0, 0, 0], said
    assert sum("is adopted already" in text for text, _ in said) == 2


async def test_tables_in_use_are_left_alone_and_the_user_is_named(frozen: Shelf) -> None:
    import asyncpg

    url = frozen.load("postgres_v8")
    app = await asyncpg.connect(url, server_settings={"application_name": "our chat"})
    try:
        async with app.transaction():
            await app.execute("SELECT count(*) FROM steps")
            with pytest.raises(AdoptionRefused, match=r"our chat of .*stop the application"):
                await adopt(url)
    finally:
        await app.close()
    assert (await adopt(url)).nothing is None


async def test_a_write_in_progress_on_sqlite_is_waited_for(frozen: Shelf) -> None:
    import sqlite3

    url = frozen.load("sqlite_v8")
    app = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    app.execute("BEGIN IMMEDIATE")
    app.execute("UPDATE threads SET name = 'renamed at the last moment'")
    adopting = asyncio.create_task(adopt(url))
    done, _ = await asyncio.wait([adopting], timeout=0.5)
    assert not done
    app.execute("COMMIT")
    app.close()
    assert (await adopting).nothing is None


async def test_what_chainlits_layer_changed_meanwhile_is_not_taken_back(frozen: Shelf) -> None:
    url = frozen.load("sqlite_v8")
    await adopt(url)
    execute(url, 'UPDATE steps SET "showInput" = \'"python"\', ordinal = ordinal + 1000000')
    await unadopt(url)
    first = "(SELECT id FROM steps ORDER BY rowid LIMIT 1)"
    execute(
        url, f"UPDATE steps SET output = 'by Chainlit', \"showInput\" = 'xml' WHERE id = {first}"
    )
    await adopt(url)
    found = await original.read_ours(url)
    steps = [one for thread in found["threads"].values() for [one] in thread["steps"].values()]
    assert {one["showInput"] for one in steps} == {"python", "xml"}
    assert [one["showInput"] for one in steps if one["output"] == "by Chainlit"] == ["xml"]
