"""A chat window: a socket.io client that keeps what it is shown, as the frontend does."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import socketio

from tests.until import PATIENCE

Event = tuple[str, Any]


class Chat:
    """One session with the server.

    ``steps`` and ``elements`` are what the window shows, by id, in the order of arrival;
    ``events`` all that arrived; ``greeting`` the ids of the elements shown before the first
    message; ``resumed`` the thread that the server sent to be shown.
    """

    def __init__(
        self, url: str, user: str, cookie: str, *, thread: str = "", session: str | None = None
    ) -> None:
        self.session = session or str(uuid.uuid4())
        self.thread = thread
        self.events: list[Event] = []
        self.steps: dict[str, dict[str, Any]] = {}
        self.elements: dict[str, dict[str, Any]] = {}
        self.resumed: dict[str, Any] | None = None
        self.greeting: list[str] = []
        self.url = url
        self._user = user
        self._cookie = cookie
        self._changed = asyncio.Condition()
        self._client = socketio.AsyncClient(reconnection=False, request_timeout=PATIENCE)
        self._client.on("*", self._on_event)

    async def connect(self) -> None:
        """Connect as the frontend does, and wait for the greeting or the resumed thread."""
        path = urlsplit(self.url).path
        auth = {
            "clientType": "webapp",
            "sessionId": self.session,
            "threadId": self.thread,
            "userEnv": "{}",
            "chatProfile": "",
        }
        await self._client.connect(
            self.url,
            headers={"Cookie": self._cookie} if self._cookie else {},
            auth=auth,
            transports=["websocket"],
            socketio_path=f"{path}/ws/socket.io",
            wait_timeout=PATIENCE,  # Its own is a second: too short for a server just started.
        )
        await self._client.emit("connection_successful")
        await self.wait(lambda: self.resumed is not None or self._is_greeted())
        self.greeting = [] if self.resumed else list(self.elements)

    async def disconnect(self, *, clear: bool = True) -> None:
        if self._client.connected:
            if clear:
                await self._client.emit("clear_session")
            await self._client.disconnect()

    # Talking

    async def send(
        self, text: str, *, files: tuple[str, ...] = (), wait: bool = True, **more: Any
    ) -> str:
        """Send a message and wait until it is answered; return its id."""
        message = {
            "id": str(uuid.uuid4()),
            "threadId": "",
            "name": self._user,
            "type": "user_message",
            "output": text,
            "createdAt": datetime.now(UTC).isoformat(),
            "metadata": {"location": f"{self.url}/"},
            **more,
        }
        self._on_new_message(message)
        ended = self.count("task_end")
        payload = {"message": message, "fileReferences": [{"id": id} for id in files]}
        await self._client.emit("client_message", payload)
        if wait:
            await self.wait(lambda: self.count("task_end") > ended)
            await self.wait(lambda: bool(self.thread))
        return str(message["id"])

    async def edit(self, message_id: str, text: str) -> None:
        """Change a message that was sent, and wait until it is answered again."""
        ended = self.count("task_end")
        message = {**self.steps.get(message_id, {}), "id": message_id, "output": text}
        await self._client.emit("edit_message", {"message": message})
        await self.wait(lambda: self.count("task_end") > ended)

    # What is shown

    def _is_greeted(self) -> bool:
        # One task ends when the connection is made, one when the app has greeted.
        return bool(self.elements) and self.count("task_end") >= 2

    def count(self, event: str) -> int:
        return sum(name == event for name, _ in self.events)

    def step(self, name: str) -> dict[str, Any]:
        [found] = [step for step in self.steps.values() if step["name"] == name]
        return found

    def answers(self) -> list[str]:
        return [
            str(step["output"])
            for step in self.steps.values()
            if step["type"] == "assistant_message"
        ]

    async def wait(self, condition: Callable[[], bool]) -> None:
        """Wait until something is shown; `TimeoutError` if it never is."""
        async with asyncio.timeout(PATIENCE), self._changed:
            await self._changed.wait_for(condition)

    async def _on_event(self, event: str, data: Any = None) -> Any:
        """Show what arrived; a question is answered immediately, by its first action."""
        self.events.append((event, data))
        if handler := getattr(self, f"_on_{event}", None):
            handler(data)
        async with self._changed:
            self._changed.notify_all()
        return {"id": "1", "name": "yes", "label": "Yes"} if event == "ask" else None

    def _on_new_message(self, step: dict[str, Any]) -> None:
        """Show a step in its place: where a stream began, or at the end."""
        self.steps[step["id"]] = {**self.steps.get(step["id"], {}), **step}

    _on_stream_start = _on_new_message

    def _on_update_message(self, step: dict[str, Any]) -> None:
        if step["id"] in self.steps:  # The frontend passes over what it does not show.
            self.steps[step["id"]] |= step

    def _on_stream_token(self, token: dict[str, Any]) -> None:
        step = self.steps[token["id"]]
        name = "input" if token["isInput"] else "output"
        step[name] = token["token"] if token["isSequence"] else step[name] + token["token"]

    def _on_delete_message(self, step: dict[str, Any]) -> None:
        gone = {step["id"]}
        while below := {s["id"] for s in self.steps.values() if s.get("parentId") in gone} - gone:
            gone |= below
        self.steps = {id: s for id, s in self.steps.items() if id not in gone}
        self.elements = {id: e for id, e in self.elements.items() if e["forId"] not in gone}

    def _on_element(self, element: dict[str, Any]) -> None:
        self.elements[element["id"]] = element

    def _on_remove_element(self, element: dict[str, Any]) -> None:
        self.elements.pop(element["id"], None)

    def _on_first_interaction(self, interaction: dict[str, Any]) -> None:
        self.thread = interaction["thread_id"]

    def _on_resume_thread(self, thread: dict[str, Any]) -> None:
        self.resumed = thread
        self.steps |= {step["id"]: step for step in thread["steps"]}
        self.elements |= {element["id"]: element for element in thread["elements"]}
