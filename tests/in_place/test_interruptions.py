"""A process that is killed or interrupted in the middle changes nothing, and the next one does."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from chainlit_sqla.errors import AdoptionRefused, DatabaseUnavailable
from chainlit_sqla.transfer.in_place import Adoption
from tests.cli.programs import ROOT, environment, run_program
from tests.frozen.load import Shelf, rows
from tests.in_place.changes import adopt, digests, opened, unadopt

# The command line, stopped at a point of the progress: for kill -9, or by Ctrl+C.
PROGRAM = """
import os, signal, sys
from contextlib import contextmanager
import chainlit_sqla.cli.adopt as command
from chainlit_sqla.cli.app import main

at, how = sys.argv.pop(), sys.argv.pop()

@contextmanager
def progress():
    def watch(what, done, total):
        if what == at:
            print("reached", flush=True)
            sys.stdin.read() if how == "wait" else os.kill(os.getpid(), signal.SIGINT)
    yield watch

command.progress = progress
main(sys.argv[1:])
"""
NAMES = ["sqlite_v8", "postgres_v8"]


def kill_at(url: str, folder: Path, command: str, at: str) -> None:
    """Run a command and kill it where its progress says so."""
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, command, "--yes", "--url", url, "wait", at],
        cwd=folder,
        env=environment(folder, {}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "reached\n"
    child.send_signal(signal.SIGKILL)
    child.communicate()


@pytest.mark.parametrize("name", NAMES)
async def test_a_killed_command_leaves_the_state_before(
    frozen: Shelf, tmp_path: Path, name: str
) -> None:
    url = frozen.load(name)
    before = await rows(url)
    for at in ("Importing", "Comparing"):
        kill_at(url, tmp_path, "adopt", at)
        assert await rows(url) == before
    assert (await adopt(url)).after["step"] > 0
    adopted = await digests(url)
    kill_at(url, tmp_path, "unadopt", "Copying")
    assert await digests(url) == adopted
    await unadopt(url, tmp_path / "rest.jsonl")
    assert await rows(url) == before


@pytest.mark.parametrize(
    ("name", "command", "option"),
    [
        ("sqlite_v8", "adopt", "--yes"),
        ("postgres_v8", "adopt", "--dry-run"),
        ("postgres_v8", "unadopt", "--yes"),
    ],
)
async def test_ctrl_c_changes_nothing_and_says_so(
    frozen: Shelf, tmp_path: Path, name: str, command: str, option: str
) -> None:
    url = frozen.load(name)
    if command == "unadopt":
        await adopt(url)
    before = await rows(url)
    at = "Importing" if command == "adopt" else "Copying"
    done = run_program(
        [sys.executable, "-c", PROGRAM, command, option, "--url", url, "interrupt", at],
        tmp_path,
        {},
    )
    assert done.err == "Interrupted. No changes made; run the same command again.\n"
    assert done.code == 130
    assert await rows(url) == before
    assert list(tmp_path.glob("*.jsonl")) == []


@pytest.mark.parametrize("name", NAMES)
def test_of_several_concurrent_commands_one_adopts(
    frozen: Shelf, tmp_path: Path, name: str
) -> None:
    url = frozen.load(name)
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "chainlit_sqla", "adopt", "--yes", "--url", url],
            cwd=ROOT,
            env=environment(tmp_path, {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(3)
    ]
    outputs = [(child.communicate()[0], child.returncode) for child in children]
    assert [code for _, code in outputs] == [0, 0, 0], outputs
    assert sum("is already adopted" in text for text, _ in outputs) == 2


async def test_tables_in_use_are_left_alone(frozen: Shelf) -> None:
    url = frozen.load("postgres_v8")
    app = await asyncpg.connect(url, server_settings={"application_name": "my app"})
    user = rf"my app of \w+ from .* \(process {app.get_server_pid()}, idle in transaction\)"
    try:
        async with app.transaction():
            await app.execute("SELECT count(*) FROM steps")
            with pytest.raises(AdoptionRefused, match=f"in use by {user}. Stop the application"):
                await adopt(url)
    finally:
        await app.close()
    assert (await adopt(url)).nothing_to_do is None


async def test_a_lost_connection_leaves_the_state_before(frozen: Shelf) -> None:
    url = frozen.load("postgres_v8")
    before = await rows(url)
    end_connections = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )

    def watch(what: str, done: int, total: int | None) -> None:
        if what == "Importing":
            frozen.server.execute(end_connections, url=url)

    async with opened(url) as database:
        with pytest.raises(DatabaseUnavailable):
            await Adoption(database, watch=watch).run()
    assert await rows(url) == before
