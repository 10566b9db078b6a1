"""Sessions that write while something fails: the process that `benchmarks.faults` watches.

Each answer of the layer is a line of the journal, outside of the database: an `Entry` of
`benchmarks.faults`.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import os
import resource
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TICK = 0.05
DELETED = -1


class Writer:
    """What the sessions of this process share."""

    def __init__(self, layer: Any, user: Any, journal: Any) -> None:
        self.layer = layer
        self.user = user
        self.journal = journal
        self.go = asyncio.Event()
        self.stop = asyncio.Event()

    def note(self, *values: Any) -> None:
        """Append a line to the journal; it survives the process."""
        self.journal.write(json.dumps(values) + "\n")

    async def record(
        self,
        who: str,
        table: str,
        thread_id: str,
        id: str,
        version: int,
        call: Coroutine[Any, Any, Any],
    ) -> None:
        """Await a call of the layer, unless it closes already, and write down how it ended."""
        if self.stop.is_set():
            call.close()
            return
        began, error = time.monotonic(), ""
        try:
            await call
        except (Exception, asyncio.CancelledError) as raised:
            error = type(raised).__name__
        self.note(who, table, thread_id, id, version, began, time.monotonic(), error)

    @asynccontextmanager
    async def thread(self, who: str) -> AsyncIterator[str]:
        """Stand in a session with a thread of its own."""
        id = str(uuid.uuid4())
        with chat().session(self.user, id):
            call = self.layer.update_thread(id, name="0", user_id=self.user.id)
            await self.record(who, "threads", id, id, 0, call)
            yield id

    async def watch(self) -> None:
        """Note how long the event loop stood still and the memory, when there is more of it."""
        most = [0.0, 0]
        while True:
            began = time.monotonic()
            await asyncio.sleep(TICK)
            blocked = time.monotonic() - began - TICK
            figures = [blocked, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]
            if any(a > b * 1.02 for a, b in zip(figures, most, strict=True)):
                most = [*map(max, figures, most)]
                self.note(*most)


def chat() -> Any:
    """Return `benchmarks.chat`, which imports Chainlit."""
    return importlib.import_module("benchmarks.chat")


@cache
def output(version: int, size: int) -> str:
    """Make a text that begins with its version, which all large messages share."""
    return f"{version} ".ljust(size, "x")


def step(thread_id: str, id: str, version: int, size: int = 200) -> dict[str, Any]:
    """Make a message whose text begins with the version."""
    own = {"id": id, "threadId": thread_id, "output": output(version, size)}
    return {**own, "name": "App", "type": "assistant_message", "createdAt": chat().now()}


async def talk(writer: Writer, who: str, pause: float = 0.01) -> None:
    """Write a message and update it, over and over, awaiting each."""
    async with writer.thread(who) as thread_id:
        while not writer.stop.is_set():
            id = str(uuid.uuid4())
            for version, save in enumerate((writer.layer.create_step, writer.layer.update_step)):
                call = save(step(thread_id, id, version))
                await writer.record(who, "steps", thread_id, id, version, call)
                await asyncio.sleep(pause)


async def mix(writer: Writer, who: str) -> None:
    """Write messages, elements and feedback; delete every second message and older threads."""
    from chainlit.element import File
    from chainlit.types import Feedback

    layer, older = writer.layer, ""
    while not writer.stop.is_set():
        async with writer.thread(who) as thread_id:
            for number in range(2):
                id = str(uuid.uuid4())
                file = File(name="0", id=id, url="https://example.org/a", for_id=id)
                feedback = Feedback(forId=id, value=1, threadId=thread_id, comment="0")
                calls = [
                    ("steps", 0, layer.create_step, step(thread_id, id, 0)),
                    ("elements", 0, layer.create_element, file),
                    ("feedbacks", 0, layer.upsert_feedback, feedback),
                    ("steps", DELETED, layer.delete_step, id),
                ]
                for table, version, method, argument in calls[: 3 + number]:
                    call = method(argument)
                    await writer.record(who, table, thread_id, id, version, call)
            if older:
                deletion = layer.delete_thread(older)
                await writer.record(who, "threads", older, older, DELETED, deletion)
            older = thread_id


async def burst(
    writer: Writer, who: str, number: int, size: int = 200, table: str = "steps"
) -> None:
    """Start many messages or uploads together."""
    from chainlit.element import File

    def save(id: str) -> Coroutine[Any, Any, Any]:
        if table == "steps":
            return writer.layer.create_step(step(thread_id, id, 0, size))  # type: ignore[no-any-return]
        return writer.layer.create_element(File(name="0", id=id, content=bytes(size)))  # type: ignore[no-any-return]

    async with writer.thread(who) as thread_id:
        await writer.go.wait()
        ids = [str(uuid.uuid4()) for _ in range(number)]
        tasks = []
        for id in ids:
            call = writer.record(who, table, thread_id, id, 0, save(id))
            tasks.append(asyncio.create_task(call))
            if len(tasks) % 500 == 0:
                await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        writer.note(who)


async def read(writer: Writer, who: str, pause: float = 0.5) -> None:
    """Load the list and a thread of one's own, as a page does."""
    from chainlit.types import Pagination, ThreadFilter

    async with writer.thread(who) as thread_id:
        while not writer.stop.is_set():
            filters = ThreadFilter(userId=str(writer.user.id))
            page = writer.layer.list_threads(Pagination(first=20), filters)
            await writer.record(who, "reads", thread_id, "list", 0, page)
            thread = writer.layer.get_thread(thread_id)
            await writer.record(who, "reads", thread_id, thread_id, 0, thread)
            await asyncio.sleep(pause)


ROLES: dict[str, Any] = {"talk": talk, "mix": mix, "burst": burst, "read": read}


async def run(plan: dict[str, Any]) -> None:
    """Let the sessions of a plan write until SIGTERM, then close the layer."""
    import chainlit_sqla

    layer = chainlit_sqla.SQLADataLayer(plan["url"])
    with Path(plan["journal"]).open("w", buffering=1) as journal:  # noqa: ASYNC230
        writer = Writer(layer, await chat().login(layer), journal)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, writer.stop.set)
        loop.add_signal_handler(signal.SIGUSR1, writer.go.set)
        watching = asyncio.create_task(writer.watch())
        tasks = [
            asyncio.create_task(ROLES[role](writer, who, **arguments))
            for who, role, number, arguments in plan["roles"]
            for _ in range(number)
        ]
        await writer.stop.wait()
        await layer.close()
        await asyncio.wait(tasks, timeout=2)
        for task in (watching, *tasks):
            task.cancel()
        await asyncio.gather(watching, *tasks, return_exceptions=True)


def main() -> None:
    """Import the package of the plan's checkout and run the plan."""
    plan = json.loads(sys.argv[1])
    sys.path[0] = plan["checkout"]
    importlib.import_module("chainlit_sqla")
    sys.path[0] = str(ROOT)

    import nest_asyncio

    chat()
    nest_asyncio.apply()  # As Chainlit's command does before anything else.
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, force=True)
    logging.getLogger("chainlit_sqla").setLevel(logging.INFO)
    asyncio.get_event_loop().run_until_complete(run(plan))
    os._exit(0)  # Taking Chainlit's modules down takes seconds on a busy machine.


if __name__ == "__main__":
    main()
