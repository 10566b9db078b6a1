"""What survives the end of the server, gentle or not.

- After SIGTERM: everything that was shown. ``close()`` writes what is under way.
- After SIGKILL: everything that a request of the same user has read or changed. Chainlit
  shows a message and saves it at the same time, so the last messages shown may be missing;
  never one before a message that is there.
"""

from __future__ import annotations

import pytest

from .person import Person
from .same import assert_same_steps, without_links
from .server import AppServer


async def test_what_was_shown_survives_sigterm(server: AppServer, alice: Person) -> None:
    chat = await alice.talk("Burst 300")
    await chat.send("Tour the fields")
    server.restart()
    thread = await alice.thread(chat.thread)
    assert_same_steps(chat, thread)
    assert {e["id"] for e in thread["elements"]} == set(chat.elements)
    assert thread["metadata"]["asked"]["text"] == "Tour the fields"  # The window was open.


async def test_what_was_read_or_changed_survives_sigkill(server: AppServer, alice: Person) -> None:
    chat = await alice.talk("Tour it")
    await chat.wait(lambda: len(chat.elements) == 11)
    await alice.rename(chat.thread, "Kept")
    given = await alice.give_feedback(forId=next(iter(chat.steps)), threadId=chat.thread, value=1)
    read = await alice.thread(chat.thread)
    server.kill()
    server.start()
    thread = await alice.thread(chat.thread)
    assert without_links(thread) == without_links(read)
    assert thread["name"] == "Kept"
    assert thread["steps"][0]["feedback"]["id"] == given.json()["feedbackId"]
    assert_same_steps(chat, thread)


@pytest.mark.full
async def test_no_gap_is_left_by_sigkill(server: AppServer, alice: Person) -> None:
    chat = await alice.talk()
    await chat.send("Burst 300", wait=False)
    await chat.wait(lambda: "Part 150" in chat.answers())
    server.kill()
    server.start()
    stored = [step["output"] for step in (await alice.thread(chat.thread))["steps"]]
    parts = [output for output in stored if output.startswith("Part")]
    assert parts == [f"Part {number}" for number in range(len(parts))]
    assert "Answer 1: Echo []" in stored  # It was read before.
    assert "Burst 300" in stored or not parts
