"""What a user does on two days: all that was shown on the first is there on the second."""

from __future__ import annotations

import httpx

from .person import Person
from .same import assert_same_elements, assert_same_steps, live_files
from .server import AppServer


async def test_a_conversation_is_resumed_as_it_was(server: AppServer, alice: Person) -> None:
    chat = await alice.chat()
    upload = await alice.upload(chat.session, "soil.csv", b"ph\n6.5\n", "text/csv")
    await chat.send("Tour the fields", files=(upload.json()["id"],), command="Tour")
    await chat.wait(lambda: len(chat.elements) == 12)
    files = await live_files(alice, chat)
    await chat.disconnect()
    server.restart()

    again = await alice.chat(chat.thread)
    assert again.resumed
    assert_same_steps(chat, again.resumed)
    await assert_same_elements(chat, again.resumed, files)
    assert again.resumed["metadata"]["questions"] == 1
    assert again.resumed["metadata"]["asked"] == {"text": "Tour the fields", "command": "Tour"}
