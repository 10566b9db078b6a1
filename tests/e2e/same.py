"""Whether a stored thread is what was shown live, key by key."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import httpx

from tests.until import PATIENCE

from .chat import Chat
from .person import Person

INSTANTS = {"createdAt", "start", "end"}

SET_BY_SERVER = {"threadId", "createdAt"}
"""Of a message sent by the client: the server says which thread and when."""

OF_THE_SESSION = {"url", "objectKey", "chainlitKey"}
"""Of an element: where its bytes can be read while the session is alive."""


def assert_same_steps(chat: Chat, thread: Mapping[str, Any]) -> None:
    """Each key of each step that was shown has the same value in the stored thread."""
    stored = {step["id"]: step for step in thread["steps"]}
    assert len(stored) == len(thread["steps"])
    names = {id: step["name"] for id, step in chat.steps.items()}
    assert [names.get(step["id"], step) for step in thread["steps"]] == list(names.values())
    for id, shown in chat.steps.items():
        by_client = SET_BY_SERVER if shown["type"] == "user_message" else set()
        for key in shown.keys() - by_client:
            expected, found = _value(key, shown[key]), _value(key, stored[id][key])
            assert (type(found), found) == (type(expected), expected), (shown["name"], key)
        assert stored[id]["threadId"] == thread["id"] == chat.thread


async def assert_same_elements(
    chat: Chat, thread: Mapping[str, Any], files: Mapping[str, bytes]
) -> None:
    """Each element that was shown is in the stored thread, and its link serves its bytes."""
    stored = {element["id"]: element for element in thread["elements"]}
    assert len(stored) == len(thread["elements"])
    assert {e["name"] for e in stored.values()} == {e["name"] for e in chat.elements.values()}
    for id, shown in chat.elements.items():
        for key in shown.keys() - OF_THE_SESSION:
            assert stored[id][key] == shown[key], (shown["name"], key)
        if shown["url"] is not None and id not in files:
            assert stored[id]["url"] == shown["url"]
    links = {id: stored[id]["url"] for id in files}
    # The links are signed.
    origin = httpx.URL(chat.url).copy_with(path="/")
    async with httpx.AsyncClient(base_url=origin, timeout=PATIENCE) as stranger:
        for id, content in files.items():
            response = await stranger.get(links[id])
            assert response.status_code == 200, (stored[id]["name"], response.text)
            assert response.content == content, stored[id]["name"]


async def live_files(person: Person, chat: Chat) -> dict[str, bytes]:
    """The bytes of the elements as they are served while the session is alive, by id."""
    files = {}
    for id, element in chat.elements.items():
        if element["url"] is None and element["type"] != "custom":
            response = await person.get_file(chat.session, element["chainlitKey"])
            assert response.status_code == 200, element
            files[id] = response.content
    return files


def without_links(thread: Mapping[str, Any]) -> dict[str, Any]:
    """A thread without the URLs, which are signed anew at each reading."""
    elements = [{**element, "url": bool(element["url"])} for element in thread["elements"]]
    return {**thread, "elements": elements}


def _value(key: str, value: Any) -> Any:
    return datetime.fromisoformat(value) if key in INSTANTS and value else value
