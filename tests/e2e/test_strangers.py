"""Another user sees nothing of a thread and can change nothing of it.

Bob knows all ids: he was shown the thread once.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from socketio.exceptions import ConnectionError as Refused

from .chat import Chat
from .person import Person
from .same import without_links
from .server import AppServer

# Chainlit and the layer decide here, whatever the database is.
pytestmark = pytest.mark.parametrize("running", ["sqlite"], indirect=True)

REFUSED = "'bob' is not the author"
"""What the server's log says of each attempt."""


@dataclass
class Target:
    """A thread of alice's with everything in it, and her open window."""

    alice: Person
    chat: Chat
    question: str
    answer: str
    counter: dict[str, Any]
    picture: str
    feedback: str

    @property
    def thread(self) -> str:
        return self.chat.thread

    async def state(self) -> str:
        """All that alice can read of it, as text; only the signatures of links change."""
        thread = without_links(await self.alice.thread(self.thread))
        listed = (await self.alice.list_threads()).json()
        return json.dumps([thread, listed])


@pytest.fixture
async def target(alice: Person) -> AsyncIterator[Target]:
    """The target; whatever a test does, it must be the same after it."""
    chat = await alice.talk("Tour the fields")
    question, answer = (
        next(id for id, step in chat.steps.items() if step["output"].startswith(start))
        for start in ("Tour", "The harvest")
    )
    given = await alice.give_feedback(forId=answer, threadId=chat.thread, value=1, comment="Clear")
    elements = {element["name"]: element for element in chat.elements.values()}
    target = Target(
        alice,
        chat,
        question,
        answer,
        elements["Counter"],
        elements["chart.png"]["id"],
        given.json()["feedbackId"],
    )
    before = await target.state()
    yield target
    assert await target.state() == before


async def test_nothing_is_seen_by_requests(target: Target, bob: Person) -> None:
    assert (await bob.get_thread(target.thread)).status_code == 401
    assert (await bob.get_shared(target.thread)).status_code == 404
    assert (await bob.get_element(target.thread, target.picture)).status_code == 401
    own = await bob.talk()
    found = await bob.get_element(own.thread, target.picture)
    assert found.json() is None
    key = target.chat.elements[target.picture]["chainlitKey"]
    assert (await bob.get_file(target.chat.session, key)).status_code == 401
    response = await bob.list_threads(userId=(await target.alice.http.get("/user")).json()["id"])
    assert target.thread not in {thread["id"] for thread in response.json()["data"]}
    assert await bob.threads(search="harvest") == {}
    assert await bob.threads(feedback=1) == {}


async def test_nothing_is_changed_by_requests_for_threads(target: Target, bob: Person) -> None:
    assert (await bob.rename(target.thread, "Bob's")).status_code == 401
    assert (await bob.share(target.thread, True)).status_code == 401
    assert (await bob.delete(target.thread)).status_code == 401
    upload = await bob.upload(target.chat.session, "x.txt", b"x", "text/plain")
    assert upload.status_code == 401


async def test_no_feedback_is_given_by_another(
    server: AppServer, target: Target, bob: Person
) -> None:
    server.expect(REFUSED)
    own = await bob.talk()
    step, given = target.answer, {"value": 0, "comment": "Bob was here"}
    with_thread = await bob.give_feedback(forId=step, threadId=target.thread, **given)
    assert with_thread.status_code == 403
    assert (await bob.give_feedback(forId=step, **given)).status_code == 403
    assert (await bob.give_feedback(forId=step, threadId="", **given)).status_code == 403
    assert (await bob.take_feedback(target.feedback)).status_code == 403
    # In his own thread there is no such step.
    await bob.give_feedback(forId=step, threadId=own.thread, id=target.feedback, **given)


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_no_feedback_is_smuggled_in_the_first_request_after_a_start(
    server: AppServer, alice: Person, bob: Person, method: str
) -> None:
    chat = await alice.talk()
    feedback = {"forId": next(iter(chat.steps)), "threadId": chat.thread, "comment": "Clear"}
    given = await alice.give_feedback(**feedback, value=1)
    body = {"feedbackId": given.json()["feedbackId"], "sessionId": "none"}
    body["feedback"] = {**feedback, "value": 0}
    server.restart()
    assert (await bob.http.request(method, "/feedback", json=body)).status_code == 403
    server.expect(REFUSED)
    steps = {step["id"]: step for step in (await alice.thread(chat.thread))["steps"]}
    assert steps[feedback["forId"]]["feedback"]["comment"] == "Clear"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
async def test_no_feedback_is_smuggled_in_an_unusual_body(
    server: AppServer, target: Target, bob: Person, encoding: str
) -> None:
    server.expect(REFUSED)
    junk = '"junk": [NaN, 1e999, "\\ud800"]'
    feedback = f'{{"forId": "{target.answer}", "threadId": "{target.thread}", "value": 0}}'
    headers = {"Content-Type": "application/json"}
    for method, body in (
        ("PUT", f'{{{junk}, "sessionId": "", "feedback": {feedback}}}'),
        ("DELETE", f'{{{junk}, "feedbackId": "{target.feedback}"}}'),
    ):
        content = body.encode(encoding)
        answer = await bob.http.request(method, "/feedback", content=content, headers=headers)
        assert answer.status_code == 403, answer.text


async def test_no_element_is_changed_by_another(
    server: AppServer, target: Target, bob: Person
) -> None:
    own = await bob.talk()
    changed = {**target.counter, "props": {"count": 666}}
    new = {**changed, "id": str(uuid.uuid4())}
    moved = {**changed, "threadId": own.thread}
    picture = {**changed, "id": target.picture, "forId": target.answer}
    for element in (changed, new, moved, picture, {**changed, "threadId": ""}):
        await bob.put_element(own.session, element)
        deleted = await bob.delete_element(own.session, element)
        assert deleted.status_code == (403 if element in (changed, picture) else 200)
        # With the session of another it is refused at once.
        assert (await bob.put_element(target.chat.session, element)).status_code == 401
        assert (await bob.delete_element(target.chat.session, element)).status_code == 401
    await target.state()  # Reads after what is being written.
    await own.send("Collect garbage")
    server.expect(REFUSED, "The element's thread has no id")


async def test_no_socket_is_opened_to_the_thread_of_another(
    server: AppServer, target: Target, bob: Person
) -> None:
    with pytest.raises(Refused):
        await bob.chat(target.thread)
    with pytest.raises(Refused):
        await bob.chat(session=target.chat.session)
    with pytest.raises(Refused):
        await bob.chat(target.thread, session=target.chat.session)
    async with Person(server.url) as nobody:
        with pytest.raises(Refused):
            await nobody.chat(target.thread)
    server.expect("Authorization for the (thread|session) failed", "Authentication failed")


async def test_a_session_that_named_the_thread_before_its_owner_reaches_nothing(
    server: AppServer, alice: Person, bob: Person
) -> None:
    thread = str(uuid.uuid4())
    prepared = await bob.chat(thread)
    chat = await alice.chat(thread)
    question = await chat.send("Show the fields")
    await alice.wait_for_greeting(chat)
    before = without_links(await alice.thread(thread))
    await prepared.send("Echo mine", id=question)
    await prepared.edit(question, "Take it back")
    [counter] = [element for element in chat.elements.values() if element["name"] == "Counter"]
    await bob.put_element(prepared.session, {**counter, "props": {}})
    assert (await bob.delete_element(prepared.session, counter)).status_code == 403
    await prepared.disconnect()
    await (await bob.talk()).send("Collect garbage")
    assert without_links(await alice.thread(thread)) == before
    server.expect(REFUSED)


async def test_ids_of_another_are_just_ids_in_ones_own_thread(target: Target, bob: Person) -> None:
    chat = await bob.talk()
    theirs = {"threadId": target.thread, "parentId": target.question}
    for id in (target.question, target.answer):
        await chat.send("Echo mine", id=id, **theirs)
        await chat.edit(id, "Echo changed")
    own = await bob.thread(chat.thread)
    outputs = {step["id"]: step["output"] for step in own["steps"]}
    assert outputs[target.question] == "Echo changed"
    # All of them removed again: by the app, with all below it, and by an edit before it.
    await chat.edit(target.question, "Take it back")
    assert (await bob.delete(chat.thread)).status_code == 200


async def test_editing_a_message_of_another_changes_nothing(
    target: Target, bob: Person, server: AppServer
) -> None:
    chat = await bob.talk()
    await chat.edit(target.question, "Echo changed")
    server.expect("NoneType", "Traceback")


async def test_the_author_is_not_hindered_by_copies_of_the_ids(target: Target, bob: Person) -> None:
    chat = await bob.talk()
    await chat.send("Echo mine", id=target.question)
    mine = await bob.give_feedback(
        forId=target.question, threadId=chat.thread, value=0, id=target.feedback
    )
    assert mine.status_code == 200
    alice, given = target.alice, {"forId": target.answer, "threadId": target.thread}
    assert (await alice.take_feedback(target.feedback)).status_code == 200
    [answer] = [
        step for step in (await alice.thread(target.thread))["steps"] if step["id"] == target.answer
    ]
    assert answer["feedback"] is None
    again = await alice.give_feedback(**given, value=1, comment="Clear", id=target.feedback)
    assert again.json()["feedbackId"] == target.feedback
    stays = {step["id"]: step["feedback"] for step in (await bob.thread(chat.thread))["steps"]}
    assert stays[target.question]
