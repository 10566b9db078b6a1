"""What Chainlit calls in one turn of a chat, with payloads from Chainlit's own classes.

A turn is seven writes: the user's message; the run of ``@cl.on_message``, created when the
handler begins and updated when it ends; a tool's step, created and updated; the answer,
created empty and updated when it has been streamed.
"""

from __future__ import annotations

import asyncio
import json
import random
import uuid
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from chainlit.context import ChainlitContext, context_var
from chainlit.message import Message
from chainlit.session import WebsocketSession, ws_sessions_id, ws_sessions_sid
from chainlit.step import Step
from chainlit.user import User

QUESTION, TOOL_INPUT, TOOL_OUTPUT, ANSWER = 200, 500, 1_000, 2_000
"""Characters."""
WRITES = 7
STEPS = 4

_WORDS = [
    "the",
    "quick",
    "model",
    "answers",
    "every",
    "question",
    "with",
    "care",
    "and",
    "cites",
    "what",
    "it",
    "has",
    "read",
]


def now() -> str:
    """Give the present instant, as Chainlit's ``utc_now`` writes it."""
    return datetime.now(UTC).replace(tzinfo=None).isoformat() + "Z"


@dataclass(frozen=True, slots=True)
class Write:
    """One call of a layer.

    Args:
        method: ``create_step`` or ``update_step``.
        step: The step dict; the layer gets a copy.
    """

    method: str
    step: Mapping[str, Any]

    async def send(self, layer: Any) -> None:
        """Call the layer."""
        await getattr(layer, self.method)(dict(self.step))


async def login(layer: Any) -> Any:
    """Make a user, as a login does."""
    return await layer.create_user(User(identifier=f"{uuid.uuid4()}@example.org"))


@contextmanager
def session(user: Any, thread_id: str) -> Iterator[None]:
    """Stand in the context of a browser's session, in which Chainlit calls its layer."""

    def emit(*_: Any) -> None:
        """Nobody listens."""

    id = str(uuid.uuid4())
    made = WebsocketSession(id, id, emit, emit, {}, "webapp", thread_id=thread_id, user=user)
    made.has_first_interaction = True
    token = context_var.set(ChainlitContext(made))
    try:
        yield
    finally:
        context_var.reset(token)
        del ws_sessions_id[id], ws_sessions_sid[id]


def text(length: int) -> str:
    """Make a text that no other turn has."""
    words = str(uuid.uuid4())
    while len(words) < length:
        words += " " + random.choice(_WORDS)
    return words[:length]


def turn() -> list[Write]:
    """Make the writes of a turn; in a session, whose thread they belong to."""
    question = Message(text(QUESTION), author="User", type="user_message", created_at=now())
    writes = [Write("create_step", question.to_dict())]

    run = Step(name="on_message", type="run", parent_id=question.id)
    run.start = now()
    writes.append(Write("create_step", run.to_dict()))
    run.input = question.content

    tool = Step(name="look_up", type="tool", parent_id=run.id)
    tool.start = now()
    writes.append(Write("create_step", tool.to_dict()))
    tool.input = json.dumps({"query": text(TOOL_INPUT - 20)})
    tool.output = text(TOOL_OUTPUT)
    tool.end = now()
    writes.append(Write("update_step", tool.to_dict()))

    answer = Message("", parent_id=run.id, created_at=now())
    writes.append(Write("create_step", answer.to_dict()))
    answer.content = text(ANSWER)
    writes.append(Write("update_step", answer.to_dict()))

    run.end = now()
    return [*writes, Write("update_step", run.to_dict())]


def again(writes: Sequence[Write], thread_id: str) -> list[Write]:
    """Make the same turn once more, with other ids.

    Chainlit's `Message` and `Step` sleep a millisecond when they are made, so many turns are
    copies of one.

    Args:
        writes: A turn.
        thread_id: The thread of the new one.
    """
    ids = {write.step["id"]: str(uuid.uuid4()) for write in writes}

    def copy(step: Mapping[str, Any]) -> dict[str, Any]:
        own = {"id": ids[step["id"]], "threadId": thread_id, "parentId": ids.get(step["parentId"])}
        times = {name: now() for name in ("createdAt", "start", "end") if step[name]}
        return {**step, **own, **times}

    return [Write(write.method, copy(write.step)) for write in writes]


class Dropped:
    """Starts tasks and keeps none of them alive, as Chainlit does, but can wait for them."""

    def __init__(self) -> None:
        self._tasks: weakref.WeakSet[asyncio.Task[None]] = weakref.WeakSet()

    def start(self, work: Any) -> None:
        """Start a task."""
        self._tasks.add(asyncio.create_task(work))

    async def durable(self) -> None:
        """Wait until all of them have ended; what they raised is theirs."""
        if tasks := list(self._tasks):
            await asyncio.wait(tasks)
            for task in tasks:
                task.exception()


async def emit() -> None:
    """Wait as Chainlit's emitter does: python-socketio sends in a task and waits for it."""

    async def send() -> None:
        """The browser is not there."""

    await asyncio.wait([asyncio.create_task(send())])


async def converse(
    layer: Any, writes: Sequence[Write], first: tuple[str, str] | None, *, burst: bool = False
) -> None:
    """Carry out a turn in the way of Chainlit and wait until all is durable.

    Args:
        layer: The layer.
        writes: Those of `turn`.
        first: In the first turn of a thread, the thread's id and its owner's, which Chainlit's
            ``init_thread`` writes with the title while the first message is under way.
        burst: Start all writes together, without waiting for the browser in between.
    """
    dropped = Dropped()
    for number, write in enumerate(writes):
        dropped.start(write.send(layer))
        if first and number == 0:
            thread_id, user_id = first
            title = write.step["output"]
            dropped.start(layer.update_thread(thread_id, name=title, user_id=user_id, tags=None))
        if not burst:
            await emit()
    await dropped.durable()


async def stale_steps(layer: Any, thread_id: str, writes: Sequence[Write]) -> int:
    """Count the steps that are missing or do not have the content that was last sent."""
    thread = await layer.get_thread(thread_id)
    found = {str(step["id"]): step for step in thread["steps"]} if thread else {}
    wanted: dict[str, Mapping[str, Any]] = {}
    for write in writes:
        wanted[write.step["id"]] = write.step
    return sum(not _same(step, found.get(id)) for id, step in wanted.items())


def _same(sent: Mapping[str, Any], read: Mapping[str, Any] | None) -> bool:
    if read is None:
        return False
    return all((read.get(name) or "") == (sent.get(name) or "") for name in ("input", "output"))
