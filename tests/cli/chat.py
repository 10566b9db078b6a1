"""A browser's side of a conversation: a socket.io client that speaks as Chainlit's page does."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime
from typing import Any

import httpx
import socketio

from tests.until import PATIENCE as SECONDS


class Chat:
    """One open conversation.

    Args:
        client: Somebody who is logged in.
        thread_id: The conversation to resume; empty: a new one.
    """

    def __init__(self, client: httpx.Client, thread_id: str = "") -> None:
        self._client = client
        self.thread_id = thread_id
        self.events: list[tuple[str, Any]] = []
        self._news = asyncio.Condition()
        self._socket = socketio.AsyncClient(reconnection=False, request_timeout=SECONDS)
        self._socket.on("*", self._receive)

    async def __aenter__(self) -> Chat:
        cookies = "; ".join(f"{name}={value}" for name, value in self._client.cookies.items())
        await self._socket.connect(
            str(self._client.base_url),
            socketio_path="/ws/socket.io",
            headers={"Cookie": cookies},
            auth={
                "clientType": "webapp",
                "sessionId": str(uuid.uuid4()),
                "threadId": self.thread_id,
                "userEnv": "{}",
                "chatProfile": "",
            },
            wait_timeout=SECONDS,  # Its own is a second.
        )
        await self._socket.emit("connection_successful")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._socket.disconnect()

    async def say(self, text: str, command: str | None = None) -> None:
        """Send a message, and wait until it is answered."""
        message = {
            "id": str(uuid.uuid4()),
            "name": "me",
            "type": "user_message",
            "output": text,
            "createdAt": datetime.now(UTC).isoformat(),
            "command": command,
        }
        seen = len(self.events)
        await self._socket.emit("client_message", {"message": message, "fileReferences": []})
        # The end of the run that Chainlit wraps around the app's function.
        await self.wait_for("update_message", seen, name="on_message")
        await self.wait_for("first_interaction")

    async def wait_for_greeting(self) -> None:
        """Wait until the app has greeted, all of it: what is said before cuts it short."""
        async with asyncio.timeout(SECONDS), self._news:
            # One task ends when the connection is made, one when the app has greeted.
            await self._news.wait_for(
                lambda: [name for name, _ in self.events].count("task_end") >= 2
            )

    async def wait_for(self, event: str, after: int = 0, **members: str) -> None:
        """Wait for an event of this name whose data has these members."""

        def found() -> bool:
            return any(
                name == event and all(data[key] == value for key, value in members.items())
                for name, data in self.events[after:]
            )

        async with asyncio.timeout(SECONDS), self._news:
            await self._news.wait_for(found)

    async def _receive(self, event: str, *data: Any) -> None:
        async with self._news:
            self.events.append((event, data[0] if data else None))
            if event == "first_interaction":
                self.thread_id = data[0]["thread_id"]
            self._news.notify_all()
