"""A user in front of the application: its HTTP requests, as the frontend sends them."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

import httpx

from tests.until import PATIENCE, until

from .chat import Chat

PASSWORD = "correct horse"


class Person:
    """Somebody who uses the application; log in first."""

    def __init__(self, url: str, name: str = "", password: str = PASSWORD) -> None:
        self.url = url
        self.name = name
        self._password = password
        self.http = httpx.AsyncClient(base_url=url, timeout=PATIENCE)
        self._chats: list[Chat] = []

    async def __aenter__(self) -> Self:
        if self.name:
            await self.log_in()
        return self

    async def __aexit__(self, *_: object) -> None:
        for chat in self._chats:
            await chat.disconnect()
        await self.http.aclose()

    async def log_in(self) -> None:
        form = {"username": self.name, "password": self._password}
        response = await self.http.post("/login", data=form)
        assert response.status_code == 200, response.text

    async def chat(self, thread: str = "", session: str | None = None) -> Chat:
        cookie = "; ".join(f"{name}={value}" for name, value in self.http.cookies.items())
        chat = Chat(self.url, self.name, cookie, thread=thread, session=session)
        await chat.connect()
        self._chats.append(chat)
        return chat

    async def talk(self, text: str = "Echo") -> Chat:
        """Open a window, say something, and wait until the greeting is saved too."""
        chat = await self.chat()
        await chat.send(text)
        await self.wait_for_greeting(chat)
        return chat

    async def wait_for_greeting(self, chat: Chat) -> None:
        """Wait until Chainlit has saved what it held back until the first message.

        It does so in the background, beside answering the message.
        """
        await until(partial(self._has_saved_greeting, chat))

    async def _has_saved_greeting(self, chat: Chat) -> bool:
        saved = await self.thread(chat.thread)
        opening = [step for step in saved["steps"] if step["name"] == "on_chat_start"]
        ids = {element["id"] for element in saved["elements"]}
        return any(step["end"] for step in opening) and ids.issuperset(chat.greeting)

    # Requests: they return the answer, whatever its status

    async def get_thread(self, thread: str) -> httpx.Response:
        return await self.http.get(f"/project/thread/{thread}")

    async def get_shared(self, thread: str) -> httpx.Response:
        return await self.http.get(f"/project/share/{thread}")

    async def get_element(self, thread: str, element: str) -> httpx.Response:
        return await self.http.get(f"/project/thread/{thread}/element/{element}")

    async def rename(self, thread: str, name: str) -> httpx.Response:
        return await self.http.put("/project/thread", json={"threadId": thread, "name": name})

    async def share(self, thread: str, shared: bool) -> httpx.Response:
        body = {"threadId": thread, "isShared": shared}
        return await self.http.put("/project/thread/share", json=body)

    async def delete(self, thread: str) -> httpx.Response:
        return await self._delete("/project/thread", {"threadId": thread})

    async def give_feedback(self, **feedback: Any) -> httpx.Response:
        body = {"feedback": feedback, "sessionId": "none"}
        return await self.http.put("/feedback", json=body)

    async def take_feedback(self, feedback: str) -> httpx.Response:
        return await self._delete("/feedback", {"feedbackId": feedback})

    async def put_element(self, session: str, element: dict[str, Any]) -> httpx.Response:
        body = {"element": element, "sessionId": session}
        return await self.http.put("/project/element", json=body)

    async def delete_element(self, session: str, element: dict[str, Any]) -> httpx.Response:
        return await self._delete("/project/element", {"element": element, "sessionId": session})

    async def get_file(self, session: str, key: str) -> httpx.Response:
        """A file of a session that is alive, as it is shown before a reload."""
        return await self.http.get(f"/project/file/{key}", params={"session_id": session})

    async def upload(self, session: str, name: str, data: bytes, mime: str) -> httpx.Response:
        params = {"session_id": session}
        return await self.http.post(
            "/project/file", params=params, files={"file": (name, data, mime)}
        )

    async def list_threads(self, first: int = 35, **filters: Any) -> httpx.Response:
        body = {"pagination": {"first": first}, "filter": filters}
        return await self.http.post("/project/threads", json=body)

    async def _delete(self, path: str, body: dict[str, Any]) -> httpx.Response:
        return await self.http.request("DELETE", path, json=body)

    # What a test mostly wants of them

    async def thread(self, thread: str) -> dict[str, Any]:
        response = await self.get_thread(thread)
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found

    async def threads(self, **filters: Any) -> dict[str, str]:
        """The titles in the sidebar by the ids of the threads, the newest first."""
        response = await self.list_threads(**filters)
        assert response.status_code == 200, response.text
        return {thread["id"]: thread["name"] for thread in response.json()["data"]}
