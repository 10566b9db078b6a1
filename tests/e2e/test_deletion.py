"""An operator deletes a user whose window is open, in a running application."""

from __future__ import annotations

import asyncio
import sys

import pytest

from tests.cli.programs import run_program
from tests.until import until

from .person import Person
from .server import AppServer

pytestmark = pytest.mark.parametrize("running", ["sqlite"], indirect=True)


async def test_what_a_deleted_user_begins_is_the_new_users(
    alice: Person, server: AppServer
) -> None:
    before = await alice.talk("Before")
    window = await alice.chat()
    command = [sys.executable, "-m", "chainlit_sqla", "delete", "--user", "alice", "--yes"]
    deleted = await asyncio.to_thread(run_program, command, server.folder, {})
    assert deleted.code == 0, deleted
    await before.send("Echo")  # Dropped: its thread was deleted.
    server.expect("Not written: thread .*: There is no user with the id")
    await window.send("Echo again")

    async def is_listed() -> bool:
        return await alice.threads() == {window.thread: "Echo again"}

    await until(is_listed)
    assert (await alice.get_thread(before.thread)).status_code == 404
    [question, *_] = [
        step for step in (await alice.thread(window.thread))["steps"] if "user" in step["type"]
    ]
    assert question["output"] == "Echo again"
