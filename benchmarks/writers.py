"""Sessions that write message after message."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from chainlit.message import Message
from chainlit.user import PersistedUser

from .chat import now, session
from .history import user_id

_TEXT = "The train to the coast leaves at a quarter past nine from platform four. " * 4
_PATIENCE = 60
OWNER = PersistedUser(id=user_id(0), identifier="user-0", createdAt="2023-01-01T00:00:00.000000Z")


class Writers:
    """Sessions that write at the same time, each its next message when the last is durable.

    Args:
        layer: A data layer, whose user 0 is there.
        sessions: How many.
        limit: After how many messages, all together, they end of themselves; None: `end`.
    """

    def __init__(self, layer: Any, sessions: int, limit: int | None = None) -> None:
        self.written = 0
        self._layer = layer
        self._left = limit
        with session(OWNER, str(uuid.uuid4())):
            self._template = message()
        self._tasks = [asyncio.create_task(self._write()) for _ in range(sessions)]

    async def under_way(self) -> None:
        """Wait until each has written twice, about."""
        async with asyncio.timeout(_PATIENCE):
            while self.written < 2 * len(self._tasks):
                for task in self._tasks:
                    if task.done():
                        task.result()  # It failed.
                await asyncio.sleep(0.005)

    async def end(self) -> None:
        """Let each write its last message."""
        self._left = 0
        await self.wait()

    async def wait(self) -> None:
        """Wait until the limit is reached."""
        await asyncio.gather(*self._tasks)

    async def _write(self) -> None:
        thread_id = str(uuid.uuid4())
        with session(OWNER, thread_id):
            await self._layer.update_thread(thread_id, name="A long talk", user_id=OWNER.id)
            while self._left is None or self._left > 0:
                if self._left is not None:
                    self._left -= 1
                await self._layer.create_step(another(self._template))
                self.written += 1


def message() -> Any:
    """Make a message; in a session, whose thread it belongs to."""
    return Message(_TEXT, created_at=now()).to_dict()


def another(message: dict[str, Any]) -> dict[str, Any]:
    """Copy a message: Chainlit's `Message` blocks the loop for a millisecond when it is made."""
    return message | {"id": str(uuid.uuid4()), "createdAt": now()}
