"""What a client sends is bounded: it is refused, with a status that says why, before any work."""

from __future__ import annotations

import base64
import json

import pytest

from .person import Person
from .same import without_links
from .server import AppServer

pytestmark = pytest.mark.parametrize("running", ["sqlite"], indirect=True)

LONG = "x" * 10_000_000


async def test_large_requests_are_refused(server: AppServer, alice: Person) -> None:
    chat = await alice.talk("Echo me")
    before = without_links(await alice.thread(chat.thread))
    assert (await alice.list_threads(search=LONG)).status_code == 400
    assert (await alice.rename(chat.thread, LONG)).status_code == 413
    [step, *_] = chat.steps
    feedback = {"forId": step, "threadId": chat.thread, "value": 1}
    assert (await alice.give_feedback(**feedback, comment=LONG)).status_code == 413
    assert (await alice.give_feedback(**{**feedback, "forId": LONG})).status_code == 400
    assert (await alice.give_feedback(**{**feedback, "forId": ""})).status_code == 400
    assert (await alice.take_feedback(LONG)).status_code == 400
    for request in (alice.rename(LONG, "x"), alice.delete(LONG), alice.share(LONG, True)):
        assert (await request).status_code in (401, 404)
    assert without_links(await alice.thread(chat.thread)) == before
    server.expect(
        "Not written: feedback .* has 10,000,000 characters, 1,024 characters at most",
        "Not written: deletion of feedback .* has 10,000,000 characters, 1,024",
    )


async def test_a_long_first_message_is_stored_and_names_its_thread(alice: Person) -> None:
    text = "Echo " + "ü" * 100_000
    chat = await alice.talk(text)
    assert text in [step["output"] for step in (await alice.thread(chat.thread))["steps"]]
    assert (await alice.threads())[chat.thread] == text[:10_000]


@pytest.mark.parametrize(
    "cursor", ["x", "ü", "\x00", base64.urlsafe_b64encode(b"[1,2]").decode(), "[" * 100_000, LONG]
)
async def test_a_cursor_of_another_list_is_refused(alice: Person, cursor: str) -> None:
    body = {"pagination": {"first": 5, "cursor": cursor}, "filter": {}}
    response = await alice.http.post("/project/threads", json=body)
    assert (response.status_code, response.json()) == (400, {"detail": "Unknown page"})


@pytest.mark.parametrize("first", [-(10**30), -1, 0, 1, 10**30])
async def test_any_length_of_a_page_is_a_page(alice: Person, first: int) -> None:
    await alice.talk("Echo me")
    body = json.dumps({"pagination": {"first": first}, "filter": {}})
    headers = {"Content-Type": "application/json"}
    response = await alice.http.post("/project/threads", content=body, headers=headers)
    assert response.status_code == 200
    assert response.json()["data"]
