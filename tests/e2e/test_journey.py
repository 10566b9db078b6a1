"""What a user does on two days: all that was shown on the first is there on the second."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.until import PATIENCE, until

from .chat import Chat
from .person import Person
from .same import assert_same_elements, assert_same_steps, live_files
from .server import AppServer

ELEMENTS_OF_A_TOUR = 12


async def test_a_conversation_is_resumed_as_it_was(server: AppServer, alice: Person) -> None:
    chat = await first_day(alice)
    files = await live_files(alice, chat)
    thread, answer = chat.thread, final_answer(chat)
    await rate(alice, answer)
    assert (await alice.rename(thread, "Harvest")).status_code == 200
    assert (await alice.share(thread, True)).status_code == 200
    await chat.disconnect()
    server.restart()

    assert next(iter((await alice.threads()).items())) == (thread, "Harvest")
    again = await alice.chat(thread)
    assert again.resumed
    assert again.resumed["name"] == "Harvest"
    assert_same_steps(chat, again.resumed)
    await assert_same_elements(chat, again.resumed, files)
    assert_feedback(again.resumed, answer["id"], value=0, comment=None)
    await assert_altered_links_are_refused(server, again.resumed)
    await assert_others_can_read(server, again.resumed)
    await continue_it(alice, again)


async def first_day(alice: Person) -> Chat:
    """Ask for everything that the app can show, with a file."""
    chat = await alice.chat()
    upload = await alice.upload(chat.session, "soil.csv", b"ph\n6.5\n", "text/csv")
    await chat.send("Tour the fields", files=(upload.json()["id"],), command="Tour")
    await chat.wait(lambda: len(chat.elements) == ELEMENTS_OF_A_TOUR)
    await alice.wait_for_greeting(chat)
    assert "A mistake" not in chat.answers()
    return chat


def final_answer(chat: Chat) -> dict[str, Any]:
    [answer] = [step for step in chat.steps.values() if step.get("tags") == ["final"]]
    return answer


async def rate(alice: Person, answer: dict[str, Any]) -> None:
    """Thumbs up with a comment; then down, as the frontend changes a feedback."""
    given = {"forId": answer["id"], "threadId": answer["threadId"]}
    up = await alice.give_feedback(**given, value=1, comment="Clear")
    thread = await alice.thread(answer["threadId"])
    assert_feedback(thread, answer["id"], value=1, comment="Clear")
    assert answer["threadId"] in await alice.threads(feedback=1)
    down = await alice.give_feedback(**given, id=up.json()["feedbackId"], value=0, comment=None)
    assert down.json()["feedbackId"] == up.json()["feedbackId"]
    assert answer["threadId"] not in await alice.threads(feedback=1)
    assert answer["threadId"] in await alice.threads(feedback=0)


def assert_feedback(thread: dict[str, Any], step_id: str, **expected: Any) -> None:
    found = {step["id"]: step["feedback"] for step in thread["steps"] if step["feedback"]}
    assert list(found) == [step_id]
    assert found[step_id]["forId"] == step_id
    assert {name: found[step_id][name] for name in expected} == expected


async def assert_altered_links_are_refused(server: AppServer, thread: dict[str, Any]) -> None:
    links = [e["url"] for e in thread["elements"] if "/chainlit-sqla/files/" in (e["url"] or "")]
    async with httpx.AsyncClient(base_url=server.origin, timeout=PATIENCE) as http:
        for link in links:
            middle = (len(link) + link.rindex("/")) // 2
            other = "A" if link[middle] != "A" else "B"
            response = await http.get(link[:middle] + other + link[middle + 1 :])
            assert response.status_code == 403


async def assert_others_can_read(server: AppServer, thread: dict[str, Any]) -> None:
    """Whoever may use the application; Chainlit's login stands before a shared thread too."""
    async with Person(server.url, "bob") as bob, Person(server.url) as nobody:
        shared = await bob.get_shared(thread["id"])
        assert shared.status_code == 200
        assert shared.json()["steps"] == thread["steps"]
        assert (await bob.get_thread(thread["id"])).status_code == 401
        assert (await nobody.get_shared(thread["id"])).status_code == 401


async def continue_it(alice: Person, chat: Chat) -> None:
    """The values of the session are there again, and what is new joins what was there."""
    values = (chat.resumed or {})["metadata"]
    assert values["questions"] == 1
    assert values["asked"] == {"text": "Tour the fields", "command": "Tour"}
    assert values["is_shared"] is True
    await chat.send("Echo the fields")
    assert chat.answers()[-1] == "Answer 2: Echo the fields []"
    thread = await alice.thread(chat.thread)
    assert thread["name"] == "Harvest"
    assert_same_steps(chat, thread)


async def test_the_last_conversation_comes_first(alice: Person) -> None:
    one = await alice.talk("Echo one")
    two = await alice.talk("Echo two")
    assert list(await alice.threads())[:2] == [two.thread, one.thread]
    await one.send("Echo more of it")
    assert list(await alice.threads())[:2] == [one.thread, two.thread]
    await alice.rename(two.thread, "Two")
    await two.disconnect()
    assert list(await alice.threads())[:2] == [one.thread, two.thread]
    assert list(await alice.threads(search="MORE OF it")) == [one.thread]


@pytest.mark.parametrize("shared", [True, False])
async def test_sharing_outlives_the_window(alice: Person, bob: Person, shared: bool) -> None:
    """A window has a copy of the metadata, from before, and writes it back when it closes."""
    chat = await alice.talk("Echo")
    await alice.share(chat.thread, True)
    await alice.share(chat.thread, not shared)
    await chat.disconnect()
    again = await alice.chat(chat.thread)
    await alice.share(chat.thread, shared)
    await again.send("Echo last")
    await again.disconnect()

    async def has_written_back() -> bool:
        asked: dict[str, Any] = (await alice.thread(chat.thread))["metadata"].get("asked", {})
        return asked.get("text") == "Echo last"

    await until(has_written_back)
    assert (await bob.get_shared(chat.thread)).status_code == (200 if shared else 404)
    assert ("shared_at" in (await alice.thread(chat.thread))["metadata"]) is shared


async def test_sharing_ends_when_it_is_taken_back(alice: Person, bob: Person) -> None:
    chat = await alice.talk("Echo")
    assert (await bob.get_shared(chat.thread)).status_code == 404
    await alice.share(chat.thread, True)
    assert (await bob.get_shared(chat.thread)).status_code == 200
    await alice.share(chat.thread, False)
    assert (await bob.get_shared(chat.thread)).status_code == 404
