"""Many sessions at the same time: each awaits each of its writes before the next one."""

from __future__ import annotations

import asyncio
import statistics
import time
import uuid
from typing import TYPE_CHECKING, Any

from ..processes import family_seconds
from ..record import Metric

if TYPE_CHECKING:
    from ..chat import Write
    from ..context import Context
    from ..subject import Subject

METRICS = (
    Metric("writes", "/s", more=True),
    Metric("client CPU", "µs"),
    Metric("server CPU", "µs"),
    Metric("p50", "ms"),
    Metric("p99", "ms"),
    Metric("stale steps", "%"),
)
SESSIONS = (50, 200)
_SECONDS, _QUICK_SECONDS = 2.0, 0.2
_SAMPLE = 10
"""Sessions whose threads are read back."""


async def run(context: Context) -> None:
    """Measure sessions."""
    seconds = _QUICK_SECONDS if context.quick else _SECONDS
    for kind in context.kinds:
        async with context.field(kind) as field:
            for number in SESSIONS:
                case = f"{number} sessions"
                await field.interleave("sessions", case, METRICS, measure, number, seconds)


async def measure(subject: Subject, number: int, seconds: float) -> dict[str, float]:
    """Let sessions write for some time, then read some of their threads back."""
    from ..chat import login, session, stale_steps, turn

    layer = subject.layer
    user = await login(layer)
    with session(user, str(uuid.uuid4())):
        template = turn()
    people = [_Session(layer, user, template) for _ in range(number)]
    await asyncio.gather(*(person.begin() for person in people))
    server, client, began = _server(subject), time.process_time(), time.perf_counter()
    await asyncio.gather(*(person.talk(began + seconds) for person in people))
    took = time.perf_counter() - began
    client, server = time.process_time() - client, _server(subject) - server
    waits = [wait for person in people for wait in person.waits]
    sample = people[:: number // _SAMPLE]
    written = [(person.thread_id, person.written) for person in sample]
    with session(user, str(uuid.uuid4())):
        stale = sum([await stale_steps(layer, thread_id, done) for thread_id, done in written])
    steps = sum(len({write.step["id"] for write in done}) for _, done in written)
    figures = {
        "writes": len(waits) / took,
        "client CPU": client / len(waits) * 1e6,
        "p50": statistics.median(waits) * 1000,
        "p99": statistics.quantiles(waits, n=100)[-1] * 1000,
        "stale steps": 100 * stale / steps,
    }
    return figures | ({"server CPU": server / len(waits) * 1e6} if server else {})


def _server(subject: Subject) -> float:
    pid = subject.place.server_pid
    return family_seconds(pid) if pid else 0.0


class _Session:
    """Somebody who talks in a thread."""

    def __init__(self, layer: Any, user: Any, template: list[Write]) -> None:
        self._layer = layer
        self._user = user
        self._template = template
        self.thread_id = str(uuid.uuid4())
        self.waits: list[float] = []
        self.written: list[Write] = []

    async def begin(self) -> None:
        """Make the thread."""
        from ..chat import session

        with session(self._user, self.thread_id):
            await self._layer.update_thread(self.thread_id, name="New", user_id=self._user.id)

    async def talk(self, until: float) -> None:
        """Have turns; a write that was begun is finished."""
        from ..chat import again, session

        with session(self._user, self.thread_id):
            while True:
                for write in again(self._template, self.thread_id):
                    began = time.perf_counter()
                    if began >= until:
                        return
                    await asyncio.create_task(write.carry_out(self._layer))
                    self.waits.append(time.perf_counter() - began)
                    self.written.append(write)
