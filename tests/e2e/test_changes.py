"""Editing and deleting: what is gone stays gone."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from tests.until import until

from .person import Person
from .same import assert_same_steps
from .server import AppServer


async def test_what_follows_an_edited_message_stays_removed(
    server: AppServer, alice: Person
) -> None:
    chat = await alice.talk("Echo one")
    two = await chat.send("Echo two")
    await chat.send("Echo three")
    await chat.edit(two, "Echo 2")
    said = ["Good morning!", "Answer 1: Echo one []", "Answer 4: Echo 2 []"]
    assert chat.answers() == said
    assert_same_steps(chat, await alice.thread(chat.thread))
    await chat.disconnect()
    server.restart()

    again = await alice.chat(chat.thread)
    assert again.resumed
    assert_same_steps(chat, again.resumed)
    await again.edit(two, "Echo II")
    assert again.answers() == [*said[:2], "Answer 5: Echo II []"]
    assert_same_steps(again, await alice.thread(chat.thread))


async def test_a_message_taken_back_is_gone_with_all_below_it(alice: Person) -> None:
    chat = await alice.talk("Take it back")
    assert "Take it back" not in [step["output"] for step in chat.steps.values()]
    thread = await alice.thread(chat.thread)
    assert thread["name"] == "Take it back"
    assert_same_steps(chat, thread)


async def test_a_question_answered_before_the_first_message_keeps_its_answer(
    alice: Person,
) -> None:
    chat = await alice.chat(session=f"ask {uuid4()}")
    await chat.wait(lambda: bool(chat.thread))
    await alice.wait_for_greeting(chat)
    steps = (await alice.thread(chat.thread))["steps"]
    answers = [step["output"] for step in steps if step["type"] == "assistant_message"]
    assert answers == ["Good morning!", "**Selected:** Yes"]


async def test_a_thread_deleted_under_an_open_window_stays_deleted(
    server: AppServer, alice: Person
) -> None:
    chat = await alice.chat()
    upload = await alice.upload(chat.session, "secret.txt", b"the secret words", "text/plain")
    await chat.send("Tour it", files=(upload.json()["id"],))
    thread = await alice.thread(chat.thread)
    [link] = [str(e["url"]) for e in thread["elements"] if e["name"] == "secret.txt"]
    assert (await alice.http.get(server.origin + link)).content == b"the secret words"
    assert holding(server.data, b"the secret words")

    assert (await alice.delete(chat.thread)).status_code == 200
    await chat.send("Echo after that")
    assert chat.answers()[-1] == "Answer 2: Echo after that []"
    await chat.disconnect()
    await until(lambda: f"Left: {chat.session}" in server.log())

    assert (await alice.get_thread(chat.thread)).status_code == 404
    assert chat.thread not in await alice.threads()
    await until(lambda: not holding(server.data, b"the secret words"))
    assert (await alice.http.get(server.origin + link)).status_code == 404
    server.restart()
    assert (await alice.get_thread(chat.thread)).status_code == 404


async def test_an_element_is_changed_and_removed_by_its_author(alice: Person) -> None:
    chat = await alice.talk("Tour it")
    [counter] = [e for e in chat.elements.values() if e["name"] == "Counter"]
    changed = {**counter, "props": {"count": 3}}
    assert (await alice.put_element(chat.session, changed)).json() == {"success": True}
    found = await alice.get_element(chat.thread, counter["id"])
    assert found.json()["props"] == {"count": 3}
    assert (await alice.delete_element(chat.session, counter)).json() == {"success": True}
    assert (await alice.get_element(chat.thread, counter["id"])).json() is None


def holding(folder: Path, content: bytes) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and content in read(path)]


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:  # Deleted meanwhile.
        return b""
